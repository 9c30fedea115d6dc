/*
 * worker: what all parts of one worker share.
 *
 * Runs in: worker; exactly one, made by front_new().
 */
#ifndef WEIR_WORKER_H
#define WEIR_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/conf.h"
#include "weir/shm.h"
#include "weir/slab.h"

struct event_base;
struct pacer;
struct pool;
struct log_writer;
struct series;

/*
 * First member of every object that event callbacks may end.  Its memory goes back when the turn of the loop is over,
 * so that functions further up the stack can still see that it is dead.
 */
struct grave {
	struct grave *next;
	struct slab *slab; /* where it goes back to; NULL while it lives */
};

/* Something to be done at the end of this turn of the event loop; a member of the object it is about. */
struct deferred {
	struct deferred *next, **link; /* link NULL: not in the list */
	void (*run)(struct deferred *deferred); /* may free the object */
};

struct worker {
	struct event_base *base;     /* borrowed */
	const struct config *config; /* borrowed; lives as long as the process */
	struct shm *shm;             /* borrowed */
	int slot;                    /* in shared memory */
	bool draining;               /* no new connections; responses say Connection: close */
	bool stopping;               /* draining, and no worker follows: idle clients are let go */
	struct pool *pools;          /* owned; as config->pools */
	struct pacer *pacers;        /* owned; as config->bandwidths */
	struct series *series;       /* owned; as config->route_series */
	struct tally **certificates; /* owned; as config->served; each this worker's own */
	struct log_writer **log_writers; /* owned; one for each of config->log_outputs */
	struct log_writer *spans;    /* one of them; NULL: none are written */
	struct slab http_clients, tcp_clients, tunnels, h2_streams, exchanges, upstreams, flows;
	struct slab prefaces;
	struct slab h2_upstreams, h2_legs; /* proxy/h2_upstream.c */
	struct udp *udp;             /* owned; NULL: no UDP listener (front/udp.c) */
	struct grave *graves;
	struct deferred *deferred;
	uint64_t turn;               /* of the event loop, from 1 on */
	uint64_t request_ids;        /* the next request ID */
	uint64_t trace_seeds[2];     /* for IDs of traces that begin here */
	unsigned traces_skipped;     /* begun here since one was sampled */
};

static inline bool
is_buried(const struct grave *grave)
{
	return grave->slab != NULL;
}

/* Context: callbacks; everything the object owned is released already. */
static inline void
worker_bury(struct worker *worker, struct grave *grave, struct slab *slab)
{
	grave->slab = slab;
	grave->next = worker->graves;
	worker->graves = grave;
}

/* Once in each turn, however often it is called. */
void worker_defer(struct worker *worker, struct deferred *deferred);
void worker_undefer(struct worker *worker, struct deferred *deferred);
/* Context: between two turns of the event loop. */
void worker_run_deferred(struct worker *worker);

/* Context: between two turns of the event loop. */
void worker_clear_graves(struct worker *worker);

#endif
