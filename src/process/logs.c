/*
 * The log files of a generation.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "generation_priv.h"
#include "weir/arena.h"
#include "weir/log.h"
#include "weir/syslog.h"

enum { LOG_MODE = 0640 };

static bool
is_file(const char *log)
{
	return log[0] == '/';
}

static int
log_open(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, LOG_MODE);
}

/* Returns the descriptor; -1 with an error in `diag`. */
static int
log_open_configured(const struct config *config, const char *log, struct diag *diag)
{
	struct where where = { .file = config->file };
	int fd;

	if (strcmp(log, "stdout") == 0)
		return STDOUT_FILENO;
	if (strcmp(log, "stderr") == 0)
		return STDERR_FILENO;
	fd = is_file(log) ? log_open(log) : syslog_open(config->global.syslog);
	if (fd == -1)
		diag_error(diag, where, "cannot open log %s: %s", log, strerror(errno));
	return fd;
}

/* Would log_open() succeed?  Without making the file. */
static void
log_check(const struct config *config, const char *log, struct diag *diag)
{
	struct where where = { .file = config->file };
	char *copy;
	int result;

	if (!is_file(log))
		return;
	result = access(log, W_OK);
	if (result == -1 && errno == ENOENT) {
		copy = xstrdup(log);
		result = access(dirname(copy), W_OK | X_OK);
		free(copy);
	}
	if (result == -1)
		diag_error(diag, where, "cannot open log %s: %s", log, strerror(errno));
}

void
logs_check(const struct config *config, struct diag *diag)
{
	for (size_t i = 0; i < config->log_output_count; i++)
		log_check(config, config->log_outputs[i].to, diag);
	log_check(config, config->global.error_log, diag);
}

void
generation_open_logs(struct generation *generation, struct diag *diag)
{
	const struct config *config = generation->config;

	generation->log_fds = xcalloc(config->log_output_count + 1, sizeof(*generation->log_fds));
	for (size_t i = 0; i < config->log_output_count; i++)
		generation->log_fds[i] =
		    log_open_configured(config, config->log_outputs[i].to, diag);
	generation->error_fd = log_open_configured(config, config->global.error_log, diag);
}

static void
close_log(int fd)
{
	if (fd > STDERR_FILENO)
		close(fd);
}

void
generation_close_logs(struct generation *generation)
{
	for (size_t i = 0; i < generation->config->log_output_count; i++)
		close_log(generation->log_fds[i]);
	free(generation->log_fds);
	close_log(generation->error_fd);
}

static void
reopen(int fd, const char *path)
{
	int new;

	if (!is_file(path))
		return;
	new = log_open(path);
	if (new == -1) {
		log_warn("log %s: cannot be opened again, the open one is used on", path);
		return;
	}
	/* The number stays the same: the error log's is known to log.c. */
	if (dup3(new, fd, O_CLOEXEC) == -1)
		log_warn("log %s: cannot be opened again, the open one is used on", path);
	close(new);
}

void
generation_reopen_logs(struct generation *generation)
{
	const struct config *config = generation->config;

	for (size_t i = 0; i < config->log_output_count; i++)
		reopen(generation->log_fds[i], config->log_outputs[i].to);
	reopen(generation->error_fd, config->global.error_log);
}

const struct syslog_target *
generation_error_syslog(const struct config *config)
{
	return strcmp(config->global.error_log, "syslog") == 0 ? config->global.syslog : NULL;
}
