/*
 * balance_weights: what each server of a pool weighs now: its weight, nothing when it may not be
 * used, less while it starts slowly, nothing for backups while they are not needed.
 *
 * A worker keeps the result, as reading it anew for each request would touch a cache line for each
 * server.  It is read again when the pool's change counter has moved, at least once a second in
 * case somebody wrote a state without counting, and more often while a server starts slowly.
 */
#include <stdlib.h>

#include "balance_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"

enum {
	RECHECK_MS = 1000,
	SLOW_STEPS = 64,          /* looks while a server starts slowly, ... */
	SLOW_RECHECK_MIN_MS = 20, /* ... but not more often */
	SLOW_PART_MIN = 16,       /* of WEIGHT_ONE: it starts with a sixteenth */
};

static unsigned
slow_part(const struct pool *pool, const struct server *server)
{
	uint64_t started_ms =
	    atomic_load_explicit(&server->usage->started_ms, memory_order_relaxed);
	uint64_t age_ms = now_ms > started_ms ? now_ms - started_ms : 0, part;

	if (age_ms >= pool->conf->slow_start_ms)
		return WEIGHT_ONE;
	part = age_ms * WEIGHT_ONE / pool->conf->slow_start_ms;
	return part > SLOW_PART_MIN ? (unsigned)part : SLOW_PART_MIN;
}

/* Returns whether a server starts slowly. */
static bool
read_weights(struct pool *pool, struct weights *w)
{
	bool has_primary = false, is_slow = false;

	for (size_t i = 0; i < pool->conf->server_count; i++) {
		const struct server *server = pool->servers[i];
		unsigned part = WEIGHT_ONE;

		w->of[i] = server_is_usable(server) ? shm_weight(pool->shm, server->conf) : 0;
		has_primary = has_primary || (w->of[i] > 0 && !server->conf->backup);
		if (pool->conf->slow_start_ms > 0 && w->of[i] > 0)
			part = slow_part(pool, server);
		is_slow = is_slow || part < WEIGHT_ONE;
		w->of[i] *= part;
	}
	w->on_backups = !has_primary;
	for (size_t i = 0; w->has_backups && has_primary && i < pool->conf->server_count; i++)
		if (pool->servers[i]->conf->backup)
			w->of[i] = 0;
	return is_slow;
}

void
weights_read(struct pool *pool)
{
	struct weights *w = pool->weights;
	uint32_t slow_ms = pool->conf->slow_start_ms / SLOW_STEPS;

	/*
	 * Pairs with the release in shm_touch_pool(): the states read below are at least as new as
	 * the count.
	 */
	w->changes = atomic_load_explicit(&pool->entity->changes, memory_order_acquire);
	w->recheck_ms = now_ms + RECHECK_MS;
	if (slow_ms < SLOW_RECHECK_MIN_MS)
		slow_ms = SLOW_RECHECK_MIN_MS;
	if (read_weights(pool, w) && slow_ms < RECHECK_MS)
		w->recheck_ms = now_ms + slow_ms;
	w->round++;
}

void
weights_start(struct pool *pool)
{
	size_t server_count = pool->conf->server_count;

	pool->weights = xcalloc(1, sizeof(*pool->weights));
	pool->weights->of = xcalloc(server_count, sizeof(*pool->weights->of));
	for (size_t i = 0; i < server_count; i++)
		if (pool->servers[i]->conf->backup)
			pool->weights->has_backups = true;
	weights_read(pool);
}

void
weights_stop(struct pool *pool)
{
	if (pool->weights == NULL)
		return;
	free(pool->weights->of);
	free(pool->weights);
	pool->weights = NULL;
}
