/*
 * leave: what becomes of sessions whose server leaves.
 *
 * Runs in: worker.  A server leaves when its health checks fail, when it is taken out of the pool,
 * or when a reload takes it out of the configuration (the old worker then still has its sessions).
 * Sessions are cut at once, or after the pool's drain timeout if it has one; a server that comes
 * back within that time keeps them.  Requests of HTTP end by themselves and are left alone, and so
 * are tunnels of pools without a drain timeout, but not for longer than limits.drain.
 */
#include <stdlib.h>

#include "front_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/log.h"
#include "weir/pool.h"

enum { LOOK_MS = 250 };

struct leave {
	struct timer timer;
	struct worker *worker;
	struct client_list *clients;
	uint32_t *seen;   /* owned; for each pool: its change counter at the last look */
	bool *is_pending; /* owned; for each pool: some server has left, and its time is not over or
			     it has sessions */
	uint64_t drain_ms; /* when this worker became an old one; 0: it has not */
	bool is_watching;  /* some pool is watched all the time */
	bool is_reaping;   /* pools may have servers that were taken out */
	uint32_t settled;  /* of all changes up to this one nothing is left */
	uint32_t revision; /* the last change */
};

#define OF_TIMER(t) ((struct leave *)(void *)((char *)(t)-offsetof(struct leave, timer)))

static bool
is_watched(const struct pool_config *conf)
{
	return !pool_is_http(conf) || conf->drain_on;
}

/* since_ms: set to when it left. */
static bool
server_is_leaving(const struct leave *leave, const struct server *server, uint64_t *since_ms)
{
	const struct entity *e = server->entity;

	if (atomic_load_explicit(&e->health, memory_order_relaxed) == HEALTH_DOWN) {
		*since_ms = atomic_load_explicit(&e->health_since_ms, memory_order_relaxed);
		return true;
	}
	/* The master writes the number before the new configuration is in force. */
	*since_ms = leave->drain_ms;
	return leave->drain_ms != 0 &&
	       __atomic_load_n(&e->generation, __ATOMIC_RELAXED) <
		   atomic_load_explicit(
		       &shm_global(leave->worker->shm)->generation, memory_order_relaxed);
}

/* The same for those that were taken out.  May one that a worker keeps in mind be cut? */
static bool
look_at_leaving(const struct leave *leave, struct pool *pool)
{
	const struct limits_config *limits = &leave->worker->config->global.limits;
	uint64_t limit_ms = pool->conf->drain_on	 ? pool->conf->drain_ms
			    : pool_is_http(pool->conf) ? limits->drain_ms
						       : 0;
	struct server *server;
	bool must_cut = false;

	LIST_FOREACH (server, &pool->leaving, link) {
		server->has_left = now_ms >= server->left_ms + limit_ms;
		must_cut = must_cut || server->has_left;
	}
	return must_cut;
}

/* Returns whether one of its servers has sessions to be cut now. */
static bool
look_at_pool(struct leave *leave, struct pool *pool, size_t index)
{
	bool must_cut = false;

	leave->is_pending[index] = false;
	for (size_t i = 0; i < pool->conf->server_count; i++) {
		struct server *server = pool->servers[i];
		uint64_t since_ms;

		server->has_left = false;
		if (!server_is_leaving(leave, server, &since_ms) ||
		    server->active == 0)
			continue;
		leave->is_pending[index] = true;
		server->has_left =
		    !pool->conf->drain_on || now_ms >= since_ms + pool->conf->drain_ms;
		must_cut = must_cut || server->has_left;
	}
	return must_cut;
}

static void
cut_sessions(struct leave *leave)
{
	struct client *client, *next;
	size_t count = 0;

	for (client = LIST_FIRST(leave->clients); client != NULL; client = next) {
		const struct server *server =
		    client->kind->server != NULL ? client->kind->server(client) : NULL;

		next = LIST_NEXT(client, link);
		if (server == NULL || !server->has_left)
			continue;
		client->kind->cut(client, END_SERVER_LEFT);
		count++;
	}
	if (count > 0)
		log_info("%zu sessions cut, because their servers have left", count);
}

/* Nothing is left of servers that have nothing active any more. */
static void
reap(struct leave *leave)
{
	uint32_t oldest = UINT32_MAX;

	for (size_t i = 0; i < leave->worker->config->pool_count; i++) {
		uint32_t revision = pool_reap(&leave->worker->pools[i]);

		oldest = revision < oldest ? revision : oldest;
	}
	leave->is_reaping = oldest != UINT32_MAX;
	leave->settled = leave->is_reaping ? oldest - 1 : leave->revision;
}

static void
on_look(struct timer *timer)
{
	struct leave *leave = OF_TIMER(timer);
	const struct config *config = leave->worker->config;
	bool must_cut = false;

	if (leave->worker->draining && leave->drain_ms == 0)
		leave->drain_ms = now_ms;
	for (size_t i = 0; i < config->pool_count; i++) {
		struct pool *pool = &leave->worker->pools[i];
		/* Pairs with the release of shm_touch_pool(). */
		uint32_t changes =
		    atomic_load_explicit(&pool->entity->changes, memory_order_acquire);

		if (!LIST_EMPTY(&pool->leaving))
			must_cut = look_at_leaving(leave, pool) || must_cut;
		if (!is_watched(pool->conf) ||
		    (changes == leave->seen[i] && !leave->is_pending[i] && leave->drain_ms == 0))
			continue;
		leave->seen[i] = changes;
		must_cut = look_at_pool(leave, pool, i) || must_cut;
	}
	if (must_cut)
		cut_sessions(leave);
	if (leave->is_reaping)
		reap(leave);
	if (leave->is_watching || leave->is_reaping)
		timer_set(&leave->timer, LOOK_MS);
}

void
leave_on_change(struct leave *leave, uint32_t revision)
{
	leave->revision = revision;
	leave->is_reaping = true;
	if (leave->timer.link == NULL)
		timer_set(&leave->timer, LOOK_MS);
}

uint32_t
leave_settled(const struct leave *leave)
{
	return leave->settled;
}

struct leave *
leave_new(struct worker *worker, struct client_list *clients)
{
	const struct config *config = worker->config;
	struct leave *leave = xcalloc(1, sizeof(*leave));

	leave->worker = worker;
	leave->clients = clients;
	leave->seen = xcalloc(config->pool_count, sizeof(*leave->seen));
	leave->is_pending = xcalloc(config->pool_count, sizeof(*leave->is_pending));
	timer_init(&leave->timer, on_look);
	for (size_t i = 0; i < config->pool_count; i++)
		leave->is_watching = leave->is_watching || is_watched(&config->pools[i]);
	if (leave->is_watching)
		timer_set(&leave->timer, LOOK_MS);
	return leave;
}

void
leave_free(struct leave *leave)
{
	timer_stop(&leave->timer);
	free(leave->seen);
	free(leave->is_pending);
	free(leave);
}
