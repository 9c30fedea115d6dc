/*
 * balance_priv: what the balancing methods share with balance.c and with nobody else.
 *
 * A method keeps its own state in the pool (made by start, freed by stop) and chooses in pick;
 * counting what was chosen is balance.c's.
 */
#ifndef WEIR_BALANCE_PRIV_H
#define WEIR_BALANCE_PRIV_H

#include "weir/balance.h"
#include "weir/clock.h"

/* Servers found full in one pick before a plain search begins. */
enum { BALANCE_PASSED_MAX = 8, BALANCE_OUT_MAX = BALANCE_TRIED_MAX + BALANCE_PASSED_MAX };

struct balance_algorithm {
	void (*start)(struct pool *pool);
	void (*stop)(struct pool *pool); /* after start, or when start was never called */
	struct server *(*pick)(struct pool *pool, const struct balance_request *request);
	/* What all workers have in progress on the server has changed, by this one.  NULL: the method
	 * does not want struct usage's `active`. */
	void (*changed)(struct pool *pool, const struct server *server);
};

extern const struct balance_algorithm balance_wrr, balance_wlc, balance_source_hash,
    balance_tuple_hash, balance_power_of_two;

/* Called by pools_new() once the servers are there, and by pools_free(). */
void balance_start(struct pool *pool);
void balance_stop(struct pool *pool);

/* One of those with a weight that are not out; NULL: none is left.  Cost: linear. */
struct server *balance_find_any(struct pool *pool, const struct balance_request *request);

/* balance_weights.c */

enum { WEIGHT_ONE = 256 }; /* that of a server of weight 1 which has started */

struct weights {
	uint32_t changes;    /* the pool's counter when they were read */
	uint64_t recheck_ms; /* when they are read again without a change */
	uint32_t round;      /* counted up whenever they are read: methods make their schedules anew */
	bool has_backups;
	bool on_backups; /* no other server can be used */
	uint32_t *of;    /* owned; by index; 0: no new request may go there; up to 256 * WEIGHT_ONE */
};

void weights_start(struct pool *pool);
void weights_stop(struct pool *pool);
void weights_read(struct pool *pool);

/* Before a pick. */
static inline void
weights_refresh(struct pool *pool)
{
	if (atomic_load_explicit(&pool->entity->changes, memory_order_relaxed) !=
		pool->weights->changes ||
	    now_ms >= pool->weights->recheck_ms)
		weights_read(pool);
}

/* 0: no new request may go there. */
static inline unsigned
balance_weight(const struct server *server)
{
	return server->pool->weights->of[server->conf->index];
}

/* Was it tried for this request, or found full in this pick? */
static inline bool
balance_is_out(const struct balance_request *request, const struct server *server)
{
	return server->passed_over == server->pool->picks || balance_was_tried(request, server);
}

/* As shared memory has it now. */
static inline bool
server_is_usable(const struct server *server)
{
	const struct entity *e = server->entity;

	return atomic_load_explicit(&e->health, memory_order_relaxed) != HEALTH_DOWN &&
	       atomic_load_explicit(&e->admin, memory_order_relaxed) == ADMIN_READY &&
	       atomic_load_explicit(&e->is_ejected, memory_order_relaxed) == 0;
}

#endif
