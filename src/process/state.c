/*
 * state: what is kept over a restart: the table of sticky source addresses and flows, and what
 * operators changed of servers.
 *
 * Runs in: master.  Written when the daemon ends, and now and then (state_interval; what operators
 * do: at once) by a process of its own, so that a crash costs no more than that and the master that
 * serves never waits for a disk.
 */
#include "state_priv.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "master_priv.h"
#include "spawn_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/log.h"
#include "weir/shm.h"
#include "weir/statefile.h"

enum { START_MS = 1000, SOON_MS = 100 };

/* Bytes of either kind, for the file. */
typedef void *save_fn(const struct shm *shm, size_t *len);
typedef long load_fn(struct shm *shm, const struct config *config, const void *data, size_t len);

struct kept {
	struct state_kind kind; /* its name is that of the file too */
	save_fn *save;
	load_fn *load;
	const char *what; /* "sticky entries" */
	const char *loss; /* "source addresses lose their servers" */
};

static long
load_sticky(struct shm *shm, const struct config *config, const void *data, size_t len)
{
	(void)config;
	return shm_sticky_load(shm, data, len);
}

static void *
save_sticky(const struct shm *shm, size_t *len)
{
	void *data = shm_sticky_save(shm, len);

	if (shm_sticky_count(data) == 0)
		*len = 0;
	return data;
}

static const struct kept kept_sticky = { { "sticky", 1, SHM_STICKY_FILE_MAX }, save_sticky,
	load_sticky, "sticky entries", "source addresses lose their servers" };
static const struct kept kept_servers = { { "servers", 1, SHM_STATES_FILE_MAX }, shm_states_save,
	shm_states_load, "servers that were changed by hand",
	"servers lose what was changed by hand" };

static char *
path_of(const struct kept *kept, const struct config *config)
{
	return xprintf("%s/%s", config->global.state_dir, kept->kind.name);
}

static void
load(const struct kept *kept, struct shm *shm, const struct config *config)
{
	char *path = path_of(kept, config);
	const char *why;
	size_t len;
	void *data = statefile_read(path, &kept->kind, &len, &why);
	long count = 0;

	if (data != NULL && len > 0 && (count = kept->load(shm, config, data, len)) == -1)
		why = "it makes no sense";
	if (why != NULL)
		log_warnx("state %s: not used: %s", path, why);
	else if (count > 0)
		log_info("state %s: %ld %s", path, count, kept->what);
	free(data);
	free(path);
}

void
state_load(struct shm *shm, const struct config *config)
{
	load(&kept_sticky, shm, config);
	load(&kept_servers, shm, config);
}

static void
save(const struct kept *kept, const struct generation *generation)
{
	char *path = path_of(kept, generation->config);
	size_t len;
	void *data = kept->save(generation->region->shm, &len);

	/* Nothing is said where nothing is to be remembered, nor was. */
	if ((len > 0 || access(path, F_OK) == 0) &&
	    statefile_write(path, &kept->kind, data, len) == -1)
		log_warn("state %s: cannot be kept, so %s", path, kept->loss);
	free(data);
	free(path);
}

static void
state_save(const struct generation *generation)
{
	clock_update(); /* entries are as old as this clock says */
	save(&kept_sticky, generation);
	save(&kept_servers, generation);
}

/* Returns whether this is the new process, which is to save and end. */
static bool
fork_saver(struct master *master)
{
	master->saver = fork();
	if (master->saver == -1)
		log_warn("state: cannot start a process to keep it");
	if (master->saver == 0)
		spawn_alone(master->current->error_fd);
	return master->saver == 0;
}

void
state_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;
	uint32_t ms =
	    master->current != NULL ? master->current->config->global.state_interval_ms : START_MS;
	struct timeval next = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	(void)fd;
	(void)what;
	evtimer_add(master->saving, &next);
	if (master->current == NULL || master->phase != PHASE_RUNNING || master->saver > 0)
		return;
	if (!fork_saver(master))
		return;
	state_save(master->current);
	_exit(EXIT_SUCCESS);
}

/* Several changes in a row are written together. */
void
state_on_change(struct master *master)
{
	struct timeval soon = { .tv_usec = SOON_MS * 1000 };

	evtimer_add(master->saving_servers, &soon);
}

void
state_on_servers_timer(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;

	(void)fd;
	(void)what;
	if (master->saver > 0)
		state_on_change(master); /* later */
	if (master->current == NULL || master->phase != PHASE_RUNNING || master->saver > 0 ||
	    !fork_saver(master))
		return;
	save(&kept_servers, master->current);
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
