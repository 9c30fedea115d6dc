/*
 * balance_priv: what the balancing methods share with balance.c and with nobody else.
 *
 * A method keeps its own state in the pool (made by start, freed by stop) and chooses in pick;
 * counting what was chosen is balance.c's.
 */
#ifndef WEIR_BALANCE_PRIV_H
#define WEIR_BALANCE_PRIV_H

#include "weir/balance.h"

/* Servers found full in one pick before a plain search begins. */
enum { BALANCE_PASSED_MAX = 8, BALANCE_OUT_MAX = BALANCE_TRIED_MAX + BALANCE_PASSED_MAX };

struct balance_algorithm {
	void (*start)(struct pool *pool);
	void (*stop)(struct pool *pool); /* after start, or when start was never called */
	struct server *(*pick)(struct pool *pool, const struct balance_request *request);
};

extern const struct balance_algorithm balance_wrr, balance_wlc, balance_source_hash,
    balance_tuple_hash;

/* Called by pools_new() once the servers are there, and by pools_free(). */
void balance_start(struct pool *pool);
void balance_stop(struct pool *pool);

/* Was it tried for this request, or found full in this pick? */
static inline bool
balance_is_out(const struct balance_request *request, const struct server *server)
{
	return server->passed_over == server->pool->picks || balance_was_tried(request, server);
}

/* 0: no new request may go there. */
static inline unsigned
balance_weight(const struct server *server)
{
	const struct entity *e = server->entity;

	if (atomic_load_explicit(&e->health, memory_order_relaxed) == HEALTH_DOWN ||
	    atomic_load_explicit(&e->admin, memory_order_relaxed) != ADMIN_READY ||
	    atomic_load_explicit(&e->is_ejected, memory_order_relaxed) != 0)
		return 0;
	return shm_weight(server->pool->shm, server->conf);
}

#endif
