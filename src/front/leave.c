/*
 * leave: what becomes of sessions whose server leaves.
 *
 * Runs in: worker.  A server leaves when its health checks fail, or when a reload takes it out of
 * the configuration (the old worker then still has its sessions).  Sessions are cut at once, or
 * after the pool's drain timeout if it has one; a server that comes back within that time keeps
 * them.  Requests of HTTP end by themselves and are left alone.
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
		    tally_get(server->tally, TALLY_ACTIVE) == 0)
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

		if (!is_watched(pool->conf) ||
		    (changes == leave->seen[i] && !leave->is_pending[i] && leave->drain_ms == 0))
			continue;
		leave->seen[i] = changes;
		must_cut = look_at_pool(leave, pool, i) || must_cut;
	}
	if (must_cut)
		cut_sessions(leave);
	timer_set(&leave->timer, LOOK_MS);
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
		if (is_watched(&config->pools[i]) && leave->timer.link == NULL)
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
