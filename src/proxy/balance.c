#include "weir/balance.h"

#include "balance_priv.h"
#include "weir/queue.h"

static const struct balance_algorithm *const algorithms[] = {
	[BALANCE_WRR] = &balance_wrr,
	[BALANCE_WLC] = &balance_wlc,
	[BALANCE_SOURCE_HASH] = &balance_source_hash,
	[BALANCE_TUPLE_HASH] = &balance_tuple_hash,
};

void
balance_start(struct pool *pool)
{
	algorithms[pool->conf->balance]->start(pool);
}

void
balance_stop(struct pool *pool)
{
	algorithms[pool->conf->balance]->stop(pool);
}

/* ---- counting ---- */

/* limit: 0: none. */
static bool
usage_take(struct usage *usage, unsigned limit)
{
	int32_t before = atomic_fetch_add_explicit(&usage->active, 1, memory_order_relaxed);

	if (limit == 0 || before < (int32_t)limit)
		return true;
	atomic_fetch_sub_explicit(&usage->active, 1, memory_order_relaxed);
	return false;
}

static void
usage_give(struct usage *usage, struct tally *tally)
{
	atomic_fetch_sub_explicit(&usage->active, 1, memory_order_relaxed);
	tally_sub(tally, TALLY_COUNTED, 1);
}

/*
 * The worker's own part is counted first and given back last: should it die between, the master
 * takes too much off rather than too little, and no place is lost for ever.
 */
static bool
count_for_all(struct server *server)
{
	struct pool *pool = server->pool;

	tally_add(pool->tally, TALLY_COUNTED, 1);
	if (!usage_take(pool->usage, pool->conf->max_connections)) {
		tally_sub(pool->tally, TALLY_COUNTED, 1);
		pool->is_full = true;
		return false;
	}
	tally_add(server->tally, TALLY_COUNTED, 1);
	if (!usage_take(server->usage, server->conf->max_connections)) {
		tally_sub(server->tally, TALLY_COUNTED, 1);
		usage_give(pool->usage, pool->tally);
		return false;
	}
	return true;
}

bool
balance_hold(struct server *server)
{
	if (server->pool->is_counted && !count_for_all(server))
		return false;
	server->active++;
	tally_add(server->tally, TALLY_ACTIVE, 1);
	tally_add(server->pool->tally, TALLY_ACTIVE, 1);
	return true;
}

void
balance_release(struct server *server)
{
	struct pool *pool;

	if (server == NULL)
		return;
	pool = server->pool;
	server->active--;
	tally_sub(server->tally, TALLY_ACTIVE, 1);
	tally_sub(pool->tally, TALLY_ACTIVE, 1);
	if (!pool->is_counted)
		return;
	usage_give(server->usage, server->tally);
	usage_give(pool->usage, pool->tally);
	queue_wake(pool);
}

/* ---- choosing ---- */

/* Whom the method does not come to before it has found too many full ones. */
static struct server *
find_any(struct pool *pool, const struct balance_request *request)
{
	size_t count = pool->conf->server_count;
	size_t first = count > 0 ? pool->picks * UINT32_C(0x9e3779b1) % count : 0;

	for (size_t i = 0; i < count; i++) {
		struct server *server = pool->servers[(first + i) % count];

		if (balance_weight(server) > 0 && !balance_is_out(request, server) &&
		    balance_hold(server))
			return server;
	}
	return NULL;
}

/* Under limits: full servers are passed over, as if they had been tried. */
static struct server *
pick_with_room(struct pool *pool, const struct balance_request *request)
{
	struct server *server = NULL;
	int passed = 0;

	pool->picks++;
	for (; passed < BALANCE_PASSED_MAX; passed++) {
		server = algorithms[pool->conf->balance]->pick(pool, request);
		if (server == NULL || balance_hold(server))
			break;
		if (pool->is_full)
			return NULL; /* the pool itself */
		server->passed_over = pool->picks;
		server = NULL;
	}
	if (server == NULL && passed > 0)
		server = find_any(pool, request);
	pool->is_full = server == NULL && passed > 0;
	return server;
}

struct server *
balance_pick(struct pool *pool, const struct balance_request *request)
{
	struct server *server;

	pool->is_full = false;
	if (pool->is_counted)
		return pick_with_room(pool, request);
	server = algorithms[pool->conf->balance]->pick(pool, request);
	if (server != NULL)
		balance_hold(server);
	return server;
}
