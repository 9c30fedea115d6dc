/*
 * sockets_handover: from one binary, or the service manager, to the next.
 */
#include "sockets_priv.h"

#include "sockets_groups_priv.h"
#include "weir/arena.h"

void
sockets_print(const struct sockets *sockets, FILE *out)
{
	const struct group *group;
	char text[ADDR_TEXT_SIZE];

	if (sockets->stats.fd != -1)
		fprintf(out, "stats %d %s\n", sockets->stats.fd,
		    addr_print(&sockets->stats.addr, text));
	if (sockets->control.fd != -1)
		fprintf(out, "control %d %s\n", sockets->control.fd, sockets->control.path);
	for (group = TAILQ_FIRST(&sockets->groups); group != NULL;
	     group = TAILQ_NEXT(group, entry)) {
		if (group->retired || group->listening == 0)
			continue;
		fprintf(out, "group %s %d %u %s", group->is_udp ? "udp" : "tcp", group->v6only,
		    group->foreign, addr_print(&group->addr, text));
		for (unsigned i = 0; i < group->listening; i++)
			fprintf(out, " %d", group->fds[i]);
		fputc('\n', out);
	}
}

void
sockets_each_fd(const struct sockets *sockets, void (*each)(void *arg, int fd), void *arg)
{
	const struct group *group;

	if (sockets->stats.fd != -1)
		each(arg, sockets->stats.fd);
	if (sockets->control.fd != -1)
		each(arg, sockets->control.fd);
	for (group = TAILQ_FIRST(&sockets->groups); group != NULL; group = TAILQ_NEXT(group, entry))
		for (unsigned i = 0; !group->retired && i < group->listening; i++)
			each(arg, group->fds[i]);
}

int
sockets_take_stats(struct sockets *sockets, int fd, const char *address)
{
	sockets_share(sockets);
	if (addr_parse(&sockets->stats.addr, address, 0) == -1)
		return -1;
	sockets->stats.fd = fd;
	return 0;
}

int
sockets_take_control(struct sockets *sockets, int fd, const char *path)
{
	sockets_share(sockets);
	if (path[0] != '/')
		return -1;
	sockets->control = (struct control_socket){ .path = xstrdup(path), .fd = fd };
	return 0;
}

struct group *
sockets_take_group(
    struct sockets *sockets, const char *address, bool is_udp, bool v6only, unsigned foreign)
{
	struct group *group;
	struct addr addr;

	sockets_share(sockets);
	if (addr_parse(&addr, address, 0) == -1)
		return NULL;
	group = sockets_new_group(sockets, &addr, is_udp, v6only);
	group->is_new = false;
	group->foreign = foreign;
	return group;
}

void
sockets_take_fd(struct group *group, int fd)
{
	group->fds = xrealloc(group->fds, (group->count + 1) * sizeof(*group->fds));
	group->fds[group->count++] = fd;
	group->listening = group->count;
}

void
sockets_take_listening(
    struct sockets *sockets, const struct addr *addr, bool is_udp, bool v6only, int fd)
{
	struct group *group = sockets_find_group(sockets, addr, is_udp, v6only);

	if (group == NULL || group->v6only != v6only) {
		group = sockets_new_group(sockets, addr, is_udp, v6only);
		group->is_new = false;
	}
	sockets_take_fd(group, fd);
	group->foreign = group->count;
}
