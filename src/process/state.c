/*
 * state: what is kept over a restart: the table of sticky source addresses and flows.
 *
 * Runs in: master.  Written when the daemon ends, and now and then (state_interval) by a process of
 * its own, so that a crash costs no more than that and the master that serves never waits for a disk.
 */
#include "state_priv.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "master_priv.h"
#include "weir/arena.h"
#include "weir/log.h"
#include "weir/shm.h"
#include "weir/statefile.h"

enum { START_MS = 1000 };

static const struct state_kind sticky_kind = { "sticky", 1, SHM_STICKY_FILE_MAX };

static char *
path_of(const struct config *config)
{
	return xprintf("%s/sticky", config->global.state_dir);
}

void
state_load(struct shm *shm, const struct config *config)
{
	char *path = path_of(config);
	const char *why;
	size_t len;
	void *data = statefile_read(path, &sticky_kind, &len, &why);
	long count = 0;

	if (data != NULL && (count = shm_sticky_load(shm, data, len)) == -1)
		why = "it makes no sense";
	if (why != NULL)
		log_warnx("state %s: not used: %s", path, why);
	else if (count > 0)
		log_info("state %s: %ld sticky entries", path, count);
	free(data);
	free(path);
}

/* Returns 0 or -1 with errno set. */
static int
save(const struct shm *shm, const char *path)
{
	size_t len;
	void *data = shm_sticky_save(shm, &len);
	int result = 0;

	/* Nothing is said where nothing is to be remembered, nor was. */
	if (shm_sticky_count(data) > 0 || access(path, F_OK) == 0)
		result = statefile_write(path, &sticky_kind, data, len);
	free(data);
	return result;
}

static void
state_save(const struct generation *generation)
{
	char *path = path_of(generation->config);

	if (save(generation->region->shm, path) == -1)
		log_warn("state %s: cannot be kept, so source addresses lose their servers", path);
	free(path);
}

void
state_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;
	uint32_t ms = master->current != NULL ? master->current->config->global.state_interval_ms
					      : START_MS;
	struct timeval next = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	(void)fd;
	(void)what;
	evtimer_add(master->saving, &next);
	if (master->current == NULL || master->phase != PHASE_RUNNING || master->saver > 0)
		return;
	master->saver = fork();
	if (master->saver == -1)
		log_warn("state: cannot start a process to keep it");
	if (master->saver != 0)
		return;
	state_save(master->current);
	_exit(EXIT_SUCCESS);
}

void
state_on_reap(struct master *master)
{
	if (master->saver > 0 && waitpid(master->saver, NULL, WNOHANG) == master->saver)
		master->saver = 0;
}

/* The last word is that of the master itself. */
void
state_finish(struct master *master)
{
	if (master->saver > 0)
		waitpid(master->saver, NULL, 0);
	master->saver = 0;
	if (master->current != NULL)
		state_save(master->current);
}
