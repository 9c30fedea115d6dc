#include "handover_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master_priv.h"
#include "weir/arena.h"
#include "weir/log.h"
#include "weir/tls_tickets.h"

enum { HANDOVER_MAX = 16 << 20 };

static const char handover_head[] = "weir-upgrade 1";

/* ---- leaving ---- */

static unsigned
oldest_generation(const struct master *master)
{
	unsigned oldest = master->current->config->generation;
	const struct generation *generation;

	TAILQ_FOREACH (generation, &master->generations, entry)
		if (generation->config->generation < oldest)
			oldest = generation->config->generation;
	return oldest;
}

static void
print_secret(const uint8_t secret[static SECRET_SIZE], FILE *out)
{
	fputs("secret ", out);
	for (size_t i = 0; i < SECRET_SIZE; i++)
		fprintf(out, "%02x", secret[i]);
	fputc('\n', out);
}

int
handover_write(const struct master *master, int description, int ready)
{
	const struct generation *current = master->current;
	int fd = dup(description), result;
	FILE *out = fd != -1 ? fdopen(fd, "w") : NULL;

	if (out == NULL) {
		if (fd != -1)
			close(fd);
		return -1;
	}
	fprintf(out, "%s\nready %d\n", handover_head, ready);
	fprintf(out, "shm %d %u\n", shm_fd(current->region->shm), current->region->sticky_entries);
	fprintf(out, "generation %u %u\n", master->last_number, oldest_generation(master));
	fprintf(out, "pid_file %d %s\n", master->pid_fd, master->pid_path);
	print_secret(current->secret, out);
	tls_tickets_print(out);
	sockets_print(master->sockets, out);
	result = ferror(out) ? -1 : 0;
	return fclose(out) == 0 ? result : -1;
}

static void
inherit_one(void *arg, int fd)
{
	int *result = arg;

	if (fcntl(fd, F_SETFD, 0) == -1)
		*result = -1;
}

int
handover_inherit(const struct master *master, int description, int ready)
{
	int result = 0;

	inherit_one(&result, description);
	inherit_one(&result, ready);
	inherit_one(&result, shm_fd(master->current->region->shm));
	inherit_one(&result, master->pid_fd);
	sockets_each_fd(master->sockets, inherit_one, &result);
	return result;
}

/* ---- taking ---- */

/* A descriptor that is open, and from now on this process's alone; -1: it is none. */
static int
take_fd(const char *text, char **end)
{
	long number = strtol(text, end, 10);

	if (*end == text || number <= STDERR_FILENO || number > INT_MAX ||
	    fcntl((int)number, F_SETFD, FD_CLOEXEC) == -1)
		return -1;
	return (int)number;
}

static int
take_ready(struct master *master, char *rest)
{
	char *end;

	master->upgrade.old_fd = take_fd(rest, &end);
	return master->upgrade.old_fd == -1 ? -1 : 0;
}

/* Shared memory of another layout is left alone: counters start anew, traffic goes on. */
static int
take_shm(struct master *master, char *rest)
{
	char *end;
	int fd = take_fd(rest, &end);
	unsigned sticky = (unsigned)strtoul(end, NULL, 10);
	struct shm *shm;

	if (fd == -1)
		return -1;
	shm = shm_attach_take(fd);
	if (shm == NULL) {
		log_warn("upgrade: the shared memory of the process before cannot be used: "
			 "counters and states start anew");
		close(fd);
		return 0;
	}
	master->upgrade.region = region_take(shm, sticky);
	return 0;
}

static int
take_generation(struct master *master, char *rest)
{
	return sscanf(rest, "%u %u", &master->last_number, &master->upgrade.old_generation) == 2
		   ? 0
		   : -1;
}

static int
take_pid_file(struct master *master, char *rest)
{
	char *end;

	master->pid_fd = take_fd(rest, &end);
	if (master->pid_fd == -1 || *end != ' ' || end[1] != '/')
		return -1;
	master->pid_path = xstrdup(end + 1);
	return 0;
}

static int
take_secret(struct master *master, char *rest)
{
	unsigned byte;

	if (strlen(rest) != 2 * (size_t)SECRET_SIZE)
		return -1;
	for (size_t i = 0; i < SECRET_SIZE; i++) {
		if (sscanf(rest + 2 * i, "%2x", &byte) != 1)
			return -1;
		master->upgrade.secret[i] = (uint8_t)byte;
	}
	return 0;
}

static int
take_tickets(struct master *master, char *rest)
{
	(void)master;
	return tls_tickets_take(rest) ? 0 : -1;
}

static int
take_stats(struct master *master, char *rest)
{
	char *end;
	int fd = take_fd(rest, &end);

	return fd != -1 && *end == ' ' ? sockets_take_stats(master->sockets, fd, end + 1) : -1;
}

static int
take_control(struct master *master, char *rest)
{
	char *end;
	int fd = take_fd(rest, &end);

	return fd != -1 && *end == ' ' ? sockets_take_control(master->sockets, fd, end + 1) : -1;
}

/* group tcp|udp V6ONLY FOREIGN ADDRESS FD... */
static int
take_group(struct master *master, char *rest)
{
	char protocol[4], address[ADDR_TEXT_SIZE];
	int v6only, used = 0;
	unsigned foreign;
	struct group *group;

	if (sscanf(rest, "%3s %d %u %63s%n", protocol, &v6only, &foreign, address, &used) != 4)
		return -1;
	group = sockets_take_group(
	    master->sockets, address, strcmp(protocol, "udp") == 0, v6only != 0, foreign);
	if (group == NULL)
		return -1;
	for (rest += used; *rest == ' ';) {
		int fd = take_fd(rest, &rest);

		if (fd == -1)
			return -1;
		sockets_take_fd(group, fd);
	}
	return *rest == '\0' ? 0 : -1;
}

static const struct {
	const char *word;
	int (*take)(struct master *master, char *rest);
	bool needed;
} lines[] = {
	{ "ready", take_ready, true },
	{ "shm", take_shm, true },
	{ "generation", take_generation, true },
	{ "pid_file", take_pid_file, true },
	{ "secret", take_secret, true },
	{ "tickets", take_tickets, false },
	{ "stats", take_stats, false },
	{ "control", take_control, true },
	{ "group", take_group, false },
};
enum { LINES = sizeof(lines) / sizeof(lines[0]) };

static int
take_line(struct master *master, char *line, bool seen[static LINES])
{
	char *rest = strchr(line, ' ');

	if (rest == NULL)
		return 0;
	*rest++ = '\0';
	for (size_t i = 0; i < LINES; i++) {
		if (strcmp(line, lines[i].word) != 0)
			continue;
		seen[i] = true;
		if (lines[i].take(master, rest) == 0)
			return 0;
		log_errorx("upgrade: bad line \"%s\"", line);
		return -1;
	}
	return 0;
}

/* The text from its beginning; NULL with errno set. */
static char *
read_all(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text;

	if (size < 0 || size > HANDOVER_MAX) {
		errno = size < 0 ? errno : EFBIG;
		return NULL;
	}
	text = xmalloc((size_t)size + 1);
	if (pread(fd, text, (size_t)size, 0) != size) {
		free(text);
		return NULL;
	}
	text[size] = '\0';
	return text;
}

int
handover_read(struct master *master, int description)
{
	char *text = description > STDERR_FILENO ? read_all(description) : NULL, *save = NULL;
	bool seen[LINES] = { false };
	int result = 0;
	char *line;

	if (text == NULL) {
		log_error("upgrade: cannot read what the process before has left");
		return -1;
	}
	close(description);
	line = strtok_r(text, "\n", &save);
	if (line == NULL || strcmp(line, handover_head) != 0) {
		log_errorx("upgrade: the process before left something else");
		result = -1;
	}
	for (line = strtok_r(NULL, "\n", &save); result == 0 && line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		result = take_line(master, line, seen);
	for (size_t i = 0; result == 0 && i < LINES; i++)
		if (lines[i].needed && !seen[i]) {
			log_errorx("upgrade: the process before left no \"%s\"", lines[i].word);
			result = -1;
		}
	free(text);
	return result;
}
