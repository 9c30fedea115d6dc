#include "sockets_priv.h"

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listen_priv.h"
#include "sockets_groups_priv.h"
#include "weir/arena.h"
#include "weir/file.h"
#include "weir/log.h"

struct sockets *
sockets_new(void)
{
	struct sockets *sockets = xcalloc(1, sizeof(*sockets));

	TAILQ_INIT(&sockets->groups);
	sockets->stats.fd = sockets->next_stats.fd = -1;
	sockets->control.fd = sockets->next_control.fd = -1;
	return sockets;
}

static void
group_cut(struct group *group, unsigned count)
{
	while (group->count > count)
		close(group->fds[--group->count]);
	if (group->listening > count)
		group->listening = count;
}

static void
group_free(struct sockets *sockets, struct group *group)
{
	TAILQ_REMOVE(&sockets->groups, group, entry);
	assert(
	    TAILQ_FIRST(&sockets->groups) != group); /* for the analyser, which loses track there */
	group_cut(group, 0);
	free(group->fds);
	free(group);
}

static void
close_control(const struct sockets *sockets, struct control_socket *control)
{
	if (control->fd != -1) {
		if (!sockets->is_shared)
			unlink(control->path);
		close(control->fd);
	}
	free(control->path);
	*control = (struct control_socket){ .fd = -1 };
}

void
sockets_free(struct sockets *sockets)
{
	struct group *group;

	if (sockets == NULL)
		return;
	if (sockets->is_prepared)
		sockets_rollback(sockets);
	while ((group = TAILQ_FIRST(&sockets->groups)) != NULL)
		group_free(sockets, group);
	if (sockets->stats.fd != -1)
		close(sockets->stats.fd);
	close_control(sockets, &sockets->control);
	free(sockets);
}

void
sockets_share(struct sockets *sockets)
{
	sockets->is_shared = true;
}

void
sockets_own(struct sockets *sockets)
{
	sockets->is_shared = false;
}

void
sockets_leave(struct sockets *sockets)
{
	struct group *group;

	assert(sockets->is_shared && !sockets->is_prepared);
	while ((group = TAILQ_FIRST(&sockets->groups)) != NULL)
		group_free(sockets, group);
	if (sockets->stats.fd != -1)
		close(sockets->stats.fd);
	sockets->stats.fd = -1;
	close_control(sockets, &sockets->control);
}

static bool
is_wildcard(const struct addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return addr->in.sin_addr.s_addr == INADDR_ANY;
	return IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

static bool
is_udp_listener(const struct listener_config *listener)
{
	return listener->protocol == PROTOCOL_UDP;
}

/* [::] serves IPv4 too, unless somebody asked for 0.0.0.0 with the same port. */
static bool
needs_v6only(const struct config *config, bool is_udp, const struct addr *addr)
{
	if (addr->sa.sa_family != AF_INET6)
		return false;
	if (!is_wildcard(addr))
		return !IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr);
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct listener_config *listener = &config->listeners[i];

		if (is_udp_listener(listener) != is_udp)
			continue;
		for (size_t j = 0; j < listener->listen_count; j++) {
			const struct addr *other = &listener->listen[j];

			if (other->sa.sa_family == AF_INET && is_wildcard(other) &&
			    addr_port(other) == addr_port(addr))
				return true;
		}
	}
	return false;
}

/* One that serves IPv4 too will do for IPv6 alone: 0.0.0.0, being the reason for that, gets IPv4
 * first. */
struct group *
sockets_find_group(const struct sockets *sockets, const struct addr *addr, bool is_udp, bool v6only)
{
	struct group *group = TAILQ_FIRST(&sockets->groups), *wider = NULL;

	for (; group != NULL; group = TAILQ_NEXT(group, entry)) {
		if (group->retired || group->is_udp != is_udp || !addr_equal(&group->addr, addr))
			continue;
		if (group->v6only == v6only)
			return group;
		if (!group->v6only)
			wider = group;
	}
	return wider;
}

/* The kernel would refuse the probe because of a socket of our own. */
static bool
overlaps_own(const struct sockets *sockets, const struct group *new)
{
	struct group *group;

	for (group = TAILQ_FIRST(&sockets->groups); group != NULL;
	     group = TAILQ_NEXT(group, entry)) {
		if (group->listening == 0 || group->is_udp != new->is_udp ||
		    addr_port(&group->addr) != addr_port(&new->addr))
			continue;
		if (is_wildcard(&group->addr) || is_wildcard(&new->addr) ||
		    addr_equal(&group->addr, &new->addr))
			return true;
	}
	return false;
}

static void
report(struct diag *diag, struct where where, const struct addr *addr, const char *whose,
    const char *name)
{
	char text[ADDR_TEXT_SIZE];
	int error = errno;

	diag_error(diag, where, "cannot listen on %s for %s%s: %s", addr_print(addr, text), whose,
	    name, strerror(error));
}

struct group *
sockets_new_group(struct sockets *sockets, const struct addr *addr, bool is_udp, bool v6only)
{
	struct group *group = xcalloc(1, sizeof(*group));

	group->addr = *addr;
	group->is_udp = is_udp;
	group->v6only = v6only;
	group->listener = group->next_listener = NOBODY;
	group->is_new = true;
	TAILQ_INSERT_TAIL(&sockets->groups, group, entry);
	return group;
}

/* Make the groups known, and see whether others are in the way before any socket of ours can be. */
static void
note_group(struct sockets *sockets, const struct config *config,
    const struct listener_config *listener, size_t i, struct diag *diag)
{
	const struct addr *addr = &listener->listen[i];
	bool is_udp = is_udp_listener(listener), v6only = needs_v6only(config, is_udp, addr);
	struct group *group = sockets_find_group(sockets, addr, is_udp, v6only);

	if (group == NULL) {
		group = sockets_new_group(sockets, addr, is_udp, v6only);
		if (!overlaps_own(sockets, group) && listen_probe(addr, is_udp, v6only) == -1)
			report(diag, listener->listen_where[i], addr, "listener ", listener->name);
	}
	group->next_listener = (int)listener->index;
}

static bool
is_taken(const struct sockets *sockets, const struct config *config,
    const struct listener_config *listener, const struct addr *addr)
{
	bool is_udp = is_udp_listener(listener), v6only = needs_v6only(config, is_udp, addr);

	return sockets_find_group(sockets, addr, is_udp, v6only) == NULL &&
	       listen_probe(addr, is_udp, v6only) == -1 && errno == EADDRINUSE;
}

bool
sockets_are_taken(const struct sockets *sockets, const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct listener_config *listener = &config->listeners[i];

		for (size_t j = 0; j < listener->listen_count; j++)
			if (is_taken(sockets, config, listener, &listener->listen[j]))
				return true;
	}
	return false;
}

static int
group_open_socket(const struct group *group)
{
	return group->is_udp ? listen_open_udp(&group->addr, group->v6only)
			     : listen_bind(&group->addr, group->v6only);
}

static int
group_start_socket(const struct group *group, int fd)
{
	return group->is_udp ? listen_start_udp(fd, &group->addr) : listen_start(fd);
}

static void
fill_group(struct sockets *sockets, const struct config *config,
    const struct listener_config *listener, size_t i, unsigned workers, struct diag *diag)
{
	const struct addr *addr = &listener->listen[i];
	bool is_udp = is_udp_listener(listener);
	struct group *group =
	    sockets_find_group(sockets, addr, is_udp, needs_v6only(config, is_udp, addr));

	if (group->count >= workers)
		return;
	group->fds = xrealloc(group->fds, workers * sizeof(*group->fds));
	while (group->count < workers) {
		int fd = group_open_socket(group);

		if (fd != -1)
			group->fds[group->count++] = fd;
		if (fd == -1 || (group->is_new && group_start_socket(group, fd) == -1)) {
			report(diag, listener->listen_where[i], addr, "listener ", listener->name);
			return;
		}
		if (group->is_new)
			group->listening = group->count;
	}
}

/* Do clients of `group` belong to the listener at `addr`, when the group's own address is not
 * configured? */
static bool
covers(const struct addr *addr, bool is_udp, bool v6only, const struct group *group)
{
	if (!is_wildcard(addr) || group->is_udp != is_udp || addr_port(addr) != addr_port(&group->addr))
		return false;
	return addr->sa.sa_family == group->addr.sa.sa_family ||
	       (addr->sa.sa_family == AF_INET6 && !v6only);
}

/*
 * From 127.0.0.1:80 to *:80: the kernel would prefer the old sockets until they close.  They stay,
 * for the new listener.
 */
static void
adopt_groups(struct sockets *sockets, const struct config *config,
    const struct listener_config *listener, size_t i)
{
	const struct addr *addr = &listener->listen[i];
	bool is_udp = is_udp_listener(listener), v6only = needs_v6only(config, is_udp, addr);
	struct group *group = TAILQ_FIRST(&sockets->groups);

	if (!is_wildcard(addr))
		return;
	for (; group != NULL; group = TAILQ_NEXT(group, entry))
		if (!group->retired && group->next_listener == NOBODY &&
		    covers(addr, is_udp, v6only, group))
			group->next_listener = (int)listener->index;
}

static void
prepare_groups(
    struct sockets *sockets, const struct config *config, unsigned workers, struct diag *diag)
{
	size_t errors = diag_errors(diag);
	struct group *group = TAILQ_FIRST(&sockets->groups);

	for (; group != NULL; group = TAILQ_NEXT(group, entry))
		group->next_listener = NOBODY;
	for (size_t i = 0; i < config->listener_count; i++)
		for (size_t j = 0; j < config->listeners[i].listen_count; j++)
			note_group(sockets, config, &config->listeners[i], j, diag);
	if (diag_errors(diag) > errors)
		return;
	for (size_t i = 0; i < config->listener_count; i++)
		for (size_t j = 0; j < config->listeners[i].listen_count; j++) {
			fill_group(sockets, config, &config->listeners[i], j, workers, diag);
			adopt_groups(sockets, config, &config->listeners[i], j);
		}
}

static void
prepare_stats(struct sockets *sockets, const struct config *config, struct diag *diag)
{
	const struct addr *addr = &config->global.stats_listen;
	struct where where = { .file = config->file };
	int fd;

	sockets->next_stats.fd = -1;
	if (!config->global.stats_on)
		return;
	if (sockets->stats.fd != -1 && addr_equal(&sockets->stats.addr, addr)) {
		sockets->next_stats = sockets->stats;
		return;
	}
	fd = listen_probe(addr, false, false) == -1 ? -1 : listen_bind(addr, false);
	if (fd == -1 || listen_start(fd) == -1)
		report(diag, where, addr, "the stats endpoint", "");
	sockets->next_stats = (struct stats_socket){ .addr = *addr, .fd = fd };
}

static void
prepare_control(struct sockets *sockets, const struct config *config, struct diag *diag)
{
	const char *path = config->global.control_socket;
	struct where where = { .file = config->file };
	char *copy;
	int fd;

	if (sockets->control.fd != -1 && strcmp(sockets->control.path, path) == 0) {
		sockets->next_control = sockets->control;
		return;
	}
	copy = xstrdup(path);
	file_make_dirs(dirname(copy), 0755); /* what is wrong with it, bind() tells */
	free(copy);
	fd = listen_unix(path);
	if (fd == -1)
		diag_error(
		    diag, where, "cannot listen on control socket %s: %s", path, strerror(errno));
	else
		sockets->next_control = (struct control_socket){ .path = xstrdup(path), .fd = fd };
}

int
sockets_prepare(
    struct sockets *sockets, const struct config *config, unsigned workers, struct diag *diag)
{
	size_t errors = diag_errors(diag);

	sockets->is_prepared = true;
	prepare_groups(sockets, config, workers, diag);
	prepare_stats(sockets, config, diag);
	prepare_control(sockets, config, diag);
	return diag_errors(diag) > errors ? -1 : 0;
}

static void
join_group(struct group *group)
{
	char text[ADDR_TEXT_SIZE];

	for (; group->listening < group->count; group->listening++)
		if (group_start_socket(group, group->fds[group->listening]) == -1)
			log_warn("listening socket %s: a further one cannot join its group",
			    addr_print(&group->addr, text));
}

static void
retire_group(struct group *group)
{
	char text[ADDR_TEXT_SIZE];

	if (group->retired)
		return;
	group->retired = true;
	if (group->is_udp)
		return; /* a datagram makes no connection that could be cut */
	/* What comes to the service manager's waits there for the next weir. */
	for (unsigned i = group->foreign; i < group->count; i++)
		if (listen_stop_new(group->fds[i]) == -1) {
			/* Workers go on accepting until they close it; what comes in that instant
			 * is reset. */
			log_debug("listening socket %s: new connections cannot be held off before "
				  "it closes: %s",
			    addr_print(&group->addr, text), strerror(errno));
			return;
		}
}

void
sockets_commit(struct sockets *sockets)
{
	struct group *group;

	sockets->is_prepared = false;
	for (group = TAILQ_FIRST(&sockets->groups); group != NULL;
	     group = TAILQ_NEXT(group, entry)) {
		group->is_new = false;
		group->listener = group->next_listener;
		if (group->listener != NOBODY)
			join_group(group);
		else
			retire_group(group);
	}
	if (sockets->stats.fd != -1 && sockets->stats.fd != sockets->next_stats.fd)
		close(sockets->stats.fd);
	sockets->stats = sockets->next_stats;
	if (sockets->control.fd != sockets->next_control.fd)
		close_control(sockets, &sockets->control);
	sockets->control = sockets->next_control;
	sockets->next_stats.fd = -1;
	sockets->next_control = (struct control_socket){ .fd = -1 };
}

void
sockets_rollback(struct sockets *sockets)
{
	struct group *group = TAILQ_FIRST(&sockets->groups), *next;

	sockets->is_prepared = false;
	for (; group != NULL; group = next) {
		next = TAILQ_NEXT(group, entry);
		if (group->is_new)
			group_free(sockets, group);
		else
			group_cut(group, group->listening);
	}
	if (sockets->next_stats.fd != -1 && sockets->next_stats.fd != sockets->stats.fd)
		close(sockets->next_stats.fd);
	sockets->next_stats.fd = -1;
	if (sockets->next_control.fd != sockets->control.fd)
		close_control(sockets, &sockets->next_control);
	sockets->next_control = (struct control_socket){ .fd = -1 };
}

void
sockets_retire_all(struct sockets *sockets)
{
	struct group *group;

	for (group = TAILQ_FIRST(&sockets->groups); group != NULL; group = TAILQ_NEXT(group, entry))
		retire_group(group);
}

bool
sockets_have_retired(const struct sockets *sockets)
{
	struct group *group;

	for (group = TAILQ_FIRST(&sockets->groups); group != NULL; group = TAILQ_NEXT(group, entry))
		if (group->retired)
			return true;
	return false;
}

bool
sockets_retired_pending(const struct sockets *sockets)
{
	struct group *group;

	for (group = TAILQ_FIRST(&sockets->groups); group != NULL; group = TAILQ_NEXT(group, entry))
		for (unsigned i = 0; group->retired && !group->is_udp && i < group->count; i++)
			if (listen_queued(group->fds[i]) > 0)
				return true;
	return false;
}

void
sockets_close_retired(struct sockets *sockets)
{
	struct group *group = TAILQ_FIRST(&sockets->groups), *next;

	for (; group != NULL; group = next) {
		next = TAILQ_NEXT(group, entry);
		if (group->retired)
			group_free(sockets, group);
	}
}

void
sockets_each(const struct sockets *sockets, unsigned index, unsigned workers, bool is_next,
    void (*each)(void *arg, unsigned listener_index, int fd), void *arg)
{
	const struct group *group = TAILQ_FIRST(&sockets->groups);

	for (; group != NULL; group = TAILQ_NEXT(group, entry)) {
		int listener = is_next ? group->next_listener : group->listener;
		unsigned count = is_next ? group->count : group->listening;

		if (group->retired || listener == NOBODY)
			continue;
		for (unsigned i = index; i < count; i += workers)
			each(arg, (unsigned)listener, group->fds[i]);
	}
}

int
sockets_stats_fd(const struct sockets *sockets, bool is_next)
{
	return is_next ? sockets->next_stats.fd : sockets->stats.fd;
}

int
sockets_control_fd(const struct sockets *sockets, bool is_next)
{
	return is_next ? sockets->next_control.fd : sockets->control.fd;
}
