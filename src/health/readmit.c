#include "readmit_priv.h"

#include <stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/log.h"

enum { LOOK_MS = 250 };

struct readmit {
	struct event timer;
	const struct config *config; /* borrowed */
	struct shm *shm;             /* borrowed */
};

/*
 * One further failure ejects it again, so that a server that still fails does not cost as many
 * requests each time.
 */
static void
readmit_server(struct shm *shm, const struct pool_config *pool, const struct server_config *server)
{
	const struct usage *usage = shm_usage(shm, server->id);

	if (atomic_load(&shm_entity(shm, server->id)->is_ejected) == 0)
		return;
	/* Read after the flag: see eject(). */
	if (pool->eject.on && now_ms < atomic_load(&usage->readmit_ms))
		return;
	if (shm_readmit(shm, pool->id, server->id, pool->eject.on ? pool->eject.errors - 1 : 0))
		log_info("pool %s server %s: no longer left out", pool->name, server->name);
}

static void
readmit_look(struct readmit *readmit, const struct pool_config *pool)
{
	for (size_t i = 0; i < pool->server_count; i++)
		readmit_server(readmit->shm, pool, &pool->servers[i]);
}

static void
readmit_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct readmit *readmit = arg;

	(void)fd;
	(void)what;
	clock_update();
	for (size_t i = 0; i < readmit->config->pool_count; i++)
		if (readmit->config->pools[i].eject.on)
			readmit_look(readmit, &readmit->config->pools[i]);
}

struct readmit *
readmit_start(struct event_base *base, const struct config *config, struct shm *shm)
{
	const struct timeval every = { 0, LOOK_MS * 1000 };
	struct readmit *readmit = xcalloc(1, sizeof(*readmit));
	bool is_needed = false;

	readmit->config = config;
	readmit->shm = shm;
	event_assign(&readmit->timer, base, -1, EV_PERSIST, readmit_on_timer, readmit);
	/* Nobody ejects servers of the other pools any more: what was found once must not keep one
	 * out for ever. */
	for (size_t i = 0; i < config->pool_count; i++) {
		readmit_look(readmit, &config->pools[i]);
		is_needed = is_needed || config->pools[i].eject.on;
	}
	if (is_needed)
		event_add(&readmit->timer, &every);
	return readmit;
}

void
readmit_stop(struct readmit *readmit)
{
	if (readmit == NULL)
		return;
	event_del(&readmit->timer);
	free(readmit);
}
