/*
 * balance: choose the server of a pool that gets one request (or one TCP session).
 *
 * Runs in: worker.  Reads health, weights and all workers' active counts in shared memory, writes only this worker's
 * slot; never allocates, blocks or logs.  Knows pools and servers, nothing of HTTP or sockets.
 */
#ifndef WEIR_BALANCE_H
#define WEIR_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/addr.h"
#include "weir/pool.h"

enum { BALANCE_TRIED_MAX = 8 };

/* What is known of the client of a request, and what was tried for it already. */
struct balance_request {
	const struct addr *client; /* borrowed */
	const struct addr *local;  /* borrowed; the address the client spoke to */
	struct server *tried[BALANCE_TRIED_MAX]; /* failed for this request: not chosen again */
	unsigned tried_count;
};

/* Has it failed for this request?  Stickiness must not choose it again either. */
static inline bool
balance_was_tried(const struct balance_request *request, const struct server *server)
{
	for (unsigned i = 0; i < request->tried_count; i++)
		if (request->tried[i] == server)
			return true;
	return false;
}

/*
 * Choose by the pool's method among the servers that are usable, not tried and below their limits, and count the request
 * as active.
 * Returns  NULL if there is none; pool->is_full tells whether limits are the reason.
 * Pair     each server returned here or counted by balance_hold() with one balance_release(), on error paths too.
 * Cost     no system call, no allocation; doc/balancing.md has the figures.
 * Source   doc/balancing.md
 */
struct server *balance_pick(struct pool *pool, const struct balance_request *request);
/*
 * Count a request as active on the server that stickiness chose (TALLY_ACTIVE of the server and of its pool).
 * Returns  false when the limits do not allow it; it is not counted then.
 */
bool balance_hold(struct server *server);
/* Give back what was counted.  NULL is allowed and does nothing. */
void balance_release(struct server *server);

/* What source_hash and tuple_hash come down to: consistent hashing.  Counts nothing, unlike balance_pick(). */
struct server *balance_hash_pick(struct pool *pool, const struct balance_request *request, uint64_t hash);

#endif
