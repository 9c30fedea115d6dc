/*
 * queue: requests and sessions that wait for a server of a pool that has reached its limits.
 *
 * Runs in: worker.  Each worker has a queue for each pool, first come, first served; `size` bounds those of all workers
 * together.  A place that becomes free goes to the worker's own first waiter, unless that of another worker has waited
 * longer by more than a moment; workers see places that others gave back within a few milliseconds.  Pools without limits
 * have no queue and cost nothing.
 */
#ifndef WEIR_QUEUE_H
#define WEIR_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "weir/pool.h"

struct event_base;
struct waiter;
TAILQ_HEAD(waiter_list, waiter);

struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct queue *queue; /* NULL: it does not wait */
	uint64_t since_ms;
	bool is_turn;        /* it may try now */
	/* Try to get a server: queue_leave() if there is one, or if the request ends.  May end other waiters. */
	void (*on_turn)(struct waiter *waiter);
	/* It has waited for too long, and is out of the queue. */
	void (*on_timeout)(struct waiter *waiter);
};

/* Once in a worker: the looking begins on `base` when somebody waits. */
void queues_init(struct event_base *base);
void queues_fini(void);
/* Called for each pool by pools_new(), and by pools_free() when nobody waits. */
void queue_start(struct pool *pool);
void queue_stop(struct pool *pool);

/* Must a new request wait, as others do already?  It may not overtake them. */
bool queue_is_busy(const struct pool *pool);
/* Wait for a place, at the end.  Returns false when the queue is full, or the pool has none. */
bool queue_join(struct pool *pool, struct waiter *waiter);
/* Leave it; one that does not wait is left alone. */
void queue_leave(struct waiter *waiter);
/* A place of the pool has become free. */
void queue_wake(struct pool *pool);

#endif
