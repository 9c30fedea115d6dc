#include "weir/balance.h"

#include "balance_priv.h"
#include "weir/queue.h"

static const struct balance_algorithm *const algorithms[] = {
	[BALANCE_WRR] = &balance_wrr,
	[BALANCE_WLC] = &balance_wlc,
	[BALANCE_SOURCE_HASH] = &balance_source_hash,
	[BALANCE_TUPLE_HASH] = &balance_tuple_hash,
	[BALANCE_POWER_OF_TWO] = &balance_power_of_two,
};

static const struct balance_algorithm *
algorithm_of(const struct pool *pool)
{
	return algorithms[pool->conf->balance];
}

static void
count_active(struct server *server)
{
	tally_add(server->tally, TALLY_COUNTED, server->active);
	atomic_fetch_add_explicit(
	    &server->usage->active, (int32_t)server->active, memory_order_relaxed);
}

/* Servers that came have limits: those in progress with all of them count from now on. */
static void
count_all(struct pool *pool)
{
	struct server *server;

	for (size_t i = 0; i < pool->conf->server_count; i++)
		count_active(pool->servers[i]);
	LIST_FOREACH (server, &pool->leaving, link)
		count_active(server);
	pool->is_counted = true;
}

void
balance_start(struct pool *pool)
{
	/* Once begun it goes on, so that all that was counted is given back. */
	if (!pool->is_counted &&
	    (pool_is_limited(pool->conf) || algorithm_of(pool)->changed != NULL))
		count_all(pool);
	weights_start(pool);
	algorithm_of(pool)->start(pool);
}

void
balance_stop(struct pool *pool)
{
	algorithm_of(pool)->stop(pool);
	weights_stop(pool);
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

static void
tell_method(struct pool *pool, const struct server *server)
{
	if (algorithm_of(pool)->changed != NULL && !server->is_leaving)
		algorithm_of(pool)->changed(pool, server);
}

/*
 * The worker's own part is counted first and given back last: should it die between, the master
 * takes too much off rather than too little, and no place is lost for ever.
 */
static bool
count_for_all(struct server *server)
{
	struct pool *pool = server->pool;
	bool has_limit = pool->conf->max_connections > 0;

	if (has_limit) {
		tally_add(pool->tally, TALLY_COUNTED, 1);
		if (!usage_take(pool->usage, pool->conf->max_connections)) {
			tally_sub(pool->tally, TALLY_COUNTED, 1);
			pool->is_full = true;
			return false;
		}
	}
	tally_add(server->tally, TALLY_COUNTED, 1);
	if (!usage_take(server->usage, server->conf->max_connections)) {
		tally_sub(server->tally, TALLY_COUNTED, 1);
		if (has_limit)
			usage_give(pool->usage, pool->tally);
		return false;
	}
	tell_method(pool, server);
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
	if (pool->conf->max_connections > 0)
		usage_give(pool->usage, pool->tally);
	tell_method(pool, server);
	queue_wake(pool);
}

/* ---- choosing ---- */

/* May a request go there?  backup: of those that are not needed now, as other servers are up. */
static bool
is_eligible(const struct server *server, const struct balance_request *request, bool backup)
{
	if (backup)
		return server->conf->backup && server_is_usable(server) &&
		       shm_weight(server->pool->shm, server->conf) > 0 &&
		       !balance_is_out(request, server);
	return balance_weight(server) > 0 && !balance_is_out(request, server);
}

/* hold: pass over those that are full, and count the request. */
static struct server *
find_any(struct pool *pool, const struct balance_request *request, bool backup, bool hold)
{
	size_t count = pool->conf->server_count;
	size_t first = count > 0 ? pool->searches++ * UINT32_C(0x9e3779b1) % count : 0;

	for (size_t i = 0; i < count; i++) {
		struct server *server = pool->servers[(first + i) % count];

		if (is_eligible(server, request, backup) && (!hold || balance_hold(server)))
			return server;
	}
	return NULL;
}

struct server *
balance_find_any(struct pool *pool, const struct balance_request *request)
{
	return find_any(pool, request, false, false);
}

/* Somebody may have changed its state without telling: then all are looked at anew. */
static struct server *
pick(struct pool *pool, const struct balance_request *request)
{
	struct server *server;

	weights_refresh(pool);
	server = algorithm_of(pool)->pick(pool, request);
	if (server == NULL || server_is_usable(server))
		return server;
	weights_read(pool);
	return algorithm_of(pool)->pick(pool, request);
}

/* Full servers are passed over, as if they had been tried. */
static struct server *
pick_with_room(struct pool *pool, const struct balance_request *request)
{
	struct server *server = NULL;
	int passed = 0;

	pool->picks++;
	for (; passed < BALANCE_PASSED_MAX; passed++) {
		server = pick(pool, request);
		if (server == NULL || balance_hold(server))
			break;
		if (pool->is_full)
			return NULL; /* the pool itself */
		server->passed_over = pool->picks;
		server = NULL;
	}
	/* Whom the method does not come to before it has found too many full ones. */
	if (server == NULL && passed > 0)
		server = find_any(pool, request, false, true);
	pool->is_full = server == NULL && passed > 0;
	return server;
}

struct server *
balance_pick(struct pool *pool, const struct balance_request *request)
{
	struct server *server;

	pool->is_full = false;
	if (pool->is_counted) {
		server = pick_with_room(pool, request);
	} else {
		server = pick(pool, request);
		if (server != NULL)
			balance_hold(server);
	}
	/* Its other servers failed for this request, though nobody found them down yet. */
	if (server == NULL && !pool->is_full && pool->weights->has_backups &&
	    !pool->weights->on_backups && request->tried_count > 0)
		server = find_any(pool, request, true, true);
	return server;
}
