/*
 * balance_wrr: smooth weighted round robin.
 *
 * Each server is due at regular times, one round divided by its weight apart, the first half a step
 * after it joins; the one due earliest is chosen.  In each round every server is chosen exactly as
 * often as its weight says, and its turns lie evenly among those of the others.  The due times
 * stand in a heap, so that a pick costs O(log n).
 *
 * The heap holds the servers that had a weight when the schedule was made.  It is made anew,
 * keeping due times, when the weights were read again.
 */
#include <stdlib.h>

#include "balance_priv.h"
#include "weir/arena.h"

enum { WRR_AHEAD_MAX = 4096 };

/*
 * Length of a round in units of due time.  What rounding takes from a step adds up to a turn out of
 * place only after 2^48 / 2^17 turns of one server.  Due times wrap: compare differences.
 */
static const uint64_t wrr_round = UINT64_C(1) << 48;

struct wrr_entry {
	uint64_t due;
	uint32_t index; /* of the server in its pool; breaks ties */
};

struct wrr_share {
	uint64_t step; /* wrr_round / weight; 0: not in the schedule */
	uint64_t due;  /* while the schedule is made */
};

struct wrr {
	uint32_t round;           /* of the weights that the schedule was made from */
	uint64_t now;             /* latest due time of a pick */
	size_t count;             /* servers in the schedule */
	struct wrr_entry *heap;   /* owned */
	struct wrr_share *shares; /* owned; one for each server */
};

static bool
is_before(const struct wrr_entry *a, const struct wrr_entry *b)
{
	if (a->due != b->due)
		return (int64_t)(a->due - b->due) < 0;
	return a->index < b->index;
}

static void
heap_sink(struct wrr *wrr, size_t i)
{
	struct wrr_entry moved = wrr->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < wrr->count && is_before(&wrr->heap[child + 1], &wrr->heap[child]))
			child++;
		if (child >= wrr->count || !is_before(&wrr->heap[child], &moved))
			break;
		wrr->heap[i] = wrr->heap[child];
		i = child;
	}
	wrr->heap[i] = moved;
}

static struct wrr_entry
heap_take_top(struct wrr *wrr)
{
	struct wrr_entry top = wrr->heap[0];

	wrr->heap[0] = wrr->heap[--wrr->count];
	if (wrr->count > 0)
		heap_sink(wrr, 0);
	return top;
}

static void
heap_add(struct wrr *wrr, struct wrr_entry entry)
{
	size_t i = wrr->count++;

	for (; i > 0 && is_before(&entry, &wrr->heap[(i - 1) / 2]); i = (i - 1) / 2)
		wrr->heap[i] = wrr->heap[(i - 1) / 2];
	wrr->heap[i] = entry;
}

/*
 * Until it is due with another step: half a step for one that joins.  One whose weight changes has
 * waited for a part of its time, and waits for the rest of it at the new pace: while a server
 * starts slowly that may change more often than it is due.
 */
static uint64_t
first_wait(const struct wrr *wrr, const struct wrr_share *share, uint64_t step)
{
	int64_t left = (int64_t)(share->due - wrr->now);

	if (share->step == 0 || left < 0 || (uint64_t)left > share->step)
		return step / 2;
	return (uint64_t)((double)left / (double)share->step * (double)step);
}

/* Makes the heap from what the servers are like now. */
static void
wrr_schedule(struct pool *pool)
{
	struct wrr *wrr = pool->wrr;
	size_t server_count = pool->conf->server_count;

	for (size_t i = 0; i < wrr->count; i++)
		wrr->shares[wrr->heap[i].index].due = wrr->heap[i].due;
	wrr->count = 0;
	for (size_t i = 0; i < server_count; i++) {
		unsigned weight = balance_weight(pool->servers[i]);
		uint64_t step = weight > 0 ? wrr_round / weight : 0;
		struct wrr_share *share = &wrr->shares[i];

		if (share->step != step) {
			share->due = wrr->now + first_wait(wrr, share, step);
			share->step = step;
		}
		if (step > 0)
			wrr->heap[wrr->count++] = (struct wrr_entry){ share->due, (uint32_t)i };
	}
	for (size_t i = wrr->count / 2; i-- > 0;)
		heap_sink(wrr, i);
	wrr->round = pool->weights->round;
}

/* The server on top has its turn: it is due again one step later. */
static struct server *
wrr_advance(struct pool *pool)
{
	struct wrr *wrr = pool->wrr;
	struct wrr_entry *top = &wrr->heap[0];
	struct server *server = pool->servers[top->index];

	if ((int64_t)(top->due - wrr->now) > 0)
		wrr->now = top->due;
	top->due += wrr->shares[top->index].step;
	heap_sink(wrr, 0);
	return server;
}

static struct server *
wrr_pick(struct pool *pool, const struct balance_request *request)
{
	struct wrr *wrr = pool->wrr;
	struct wrr_entry aside[BALANCE_OUT_MAX];
	struct server *chosen = NULL;
	size_t aside_count = 0;

	if (wrr->round != pool->weights->round)
		wrr_schedule(pool);
	while (chosen == NULL && wrr->count > 0) {
		uint32_t index = wrr->heap[0].index;

		if (balance_is_out(request, pool->servers[index])) {
			aside[aside_count++] = heap_take_top(wrr);
		} else {
			chosen = wrr_advance(pool);
		}
	}
	while (aside_count > 0)
		heap_add(wrr, aside[--aside_count]);
	return chosen;
}

/* Turns in the shortest round: weights without their common divisor. */
static uint64_t
round_turns(const struct pool *pool)
{
	uint64_t sum = 0;
	unsigned divisor = 0;

	for (size_t i = 0; i < pool->conf->server_count; i++) {
		unsigned weight = balance_weight(pool->servers[i]);

		sum += weight;
		while (weight != 0) {
			unsigned rest = divisor % weight;

			divisor = weight;
			weight = rest;
		}
	}
	return divisor > 0 ? sum / divisor : 0;
}

/*
 * Goes to this worker's own place in the round; if all began at its start, each would choose the
 * same servers first.
 */
static void
wrr_go_ahead(struct pool *pool)
{
	uint64_t turns = round_turns(pool);

	turns = turns < WRR_AHEAD_MAX ? turns : WRR_AHEAD_MAX;
	for (uint64_t i = pool->first * turns >> 32; i > 0; i--)
		wrr_advance(pool);
}

static void
wrr_start(struct pool *pool)
{
	struct wrr *wrr = xcalloc(1, sizeof(*wrr));

	pool->wrr = wrr;
	wrr->heap = xcalloc(pool->conf->server_count, sizeof(*wrr->heap));
	wrr->shares = xcalloc(pool->conf->server_count, sizeof(*wrr->shares));
	wrr_schedule(pool);
	wrr_go_ahead(pool);
}

static void
wrr_stop(struct pool *pool)
{
	if (pool->wrr == NULL)
		return;
	free(pool->wrr->heap);
	free(pool->wrr->shares);
	free(pool->wrr);
	pool->wrr = NULL;
}

const struct balance_algorithm balance_wrr = {
	.start = wrr_start, .stop = wrr_stop, .pick = wrr_pick
};
