/*
 * pace: bandwidth limits of clients' connections: who may not send or receive now waits for its turn.
 *
 * Runs in: worker; one pacer per limit and worker, over two buckets that all workers share (bucket.h).  A connection that
 * is held reads no more, or writes no more, as if the kernel had said EAGAIN, so that backpressure does the rest; it
 * stands in a queue, and goes on when it is the first and the bucket holds something again.  One event per direction
 * wakes the first: nothing is set or polled while nobody waits.
 *
 * What counts are the bytes of connections, inside of TLS, and the payload of datagrams.
 */
#ifndef WEIR_PACE_H
#define WEIR_PACE_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "weir/bucket.h"

struct bandwidth_config; /* conf.h */
struct event_base;
struct paced; /* a connection's places in the queues */
struct shm;
struct tally;
struct transport;

enum pace_way { PACE_IN = 0, PACE_OUT, PACE_WAYS }; /* from the client, to the client */

TAILQ_HEAD(paced_queue, paced);

struct pacer_way {
	struct bucket *bucket; /* borrowed, shared */
	struct bucket_rate rate; /* bytes_per_s 0: no limit */
	size_t quantum;        /* bytes worth waking for */
	struct paced_queue queue;
	struct paced *served;  /* taken from the queue just now: it is its turn; NULL: nobody's */
	struct event event;
};

struct pacer {
	struct pacer_way ways[PACE_WAYS];
};

/* Returns an array as `limits`, owned by the caller. */
struct pacer *pacers_new(
    const struct bandwidth_config *limits, size_t count, const struct shm *shm, struct event_base *base);
/* Context: no transport is paced any more.  NULL is allowed. */
void pacers_free(struct pacer *pacers, size_t count);

/* May a datagram of `len` bytes pass?  If so, it is accounted for. */
bool pacer_admit(struct pacer *pacer, enum pace_way way, size_t len);

/*
 * Limit `transport`, a client's, until it is closed.
 * tally  counts how often it was held; borrowed
 */
void transport_pace(struct transport *transport, struct pacer *pacer, struct tally *tally);

/* For transport.c and pipe.c.  Context: transport->paced is not NULL. */
/* How many of `len` bytes may be moved now; 0: none, the transport is in the queue, and does not seem ready. */
size_t pace_allow(struct transport *transport, enum pace_way way, size_t len);
/* Account for bytes that were moved. */
void pace_moved(struct transport *transport, enum pace_way way, size_t len);
/* What was allowed has been moved, and there is more: wait for the next turn. */
void pace_hold(struct transport *transport, enum pace_way way);
/* The transport is closed. */
void pace_end(struct transport *transport);

#endif
