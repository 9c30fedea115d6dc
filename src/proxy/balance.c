#include "weir/balance.h"

#include "balance_priv.h"

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

struct server *
balance_pick(struct pool *pool, const struct balance_request *request)
{
	struct server *server = algorithms[pool->conf->balance]->pick(pool, request);

	if (server != NULL)
		balance_hold(server);
	return server;
}

void
balance_hold(struct server *server)
{
	tally_add(server->tally, TALLY_ACTIVE, 1);
	tally_add(server->pool->tally, TALLY_ACTIVE, 1);
}

void
balance_release(struct server *server)
{
	if (server == NULL)
		return;
	tally_sub(server->tally, TALLY_ACTIVE, 1);
	tally_sub(server->pool->tally, TALLY_ACTIVE, 1);
}
