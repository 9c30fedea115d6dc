/*
 * balance_wlc: weighted least connections.
 *
 * Chosen is the server with the fewest requests in progress for its weight, those of all workers
 * counted.  Among equals (all idle, most often) turns are taken in proportion to the weights.  Each
 * count read is a cache line that another processor may have written just now, so of a pool with
 * many servers a pick looks at a part only, the next one at the next part: the best of some dozens
 * is nearly the best of all, and the cost stays bounded.
 */
#include <stdlib.h>

#include "balance_priv.h"
#include "weir/arena.h"

enum { WLC_READS = 512, WLC_WINDOW_MIN = 16 };

static const uint64_t wlc_round = UINT64_C(1) << 32;

struct wlc {
	size_t cursor;   /* where the next look begins */
	uint64_t now;    /* latest turn that was taken; wraps: compare differences */
	uint64_t *turns; /* owned; one for each server: the lowest goes first among equals */
};

struct candidate {
	struct server *server; /* NULL: none yet */
	uint64_t active;       /* requests in progress */
	uint64_t weight;
	uint64_t turn;
};

/* The slots of all workers in life: walked once per server and pick. */
struct slots {
	unsigned count;
	const struct tally *tallies[SHM_SLOTS]; /* of entity 0 */
};

static void
slots_read(struct slots *slots, const struct shm *shm)
{
	uint64_t words[SHM_SLOTS / 64];

	slots->count = 0;
	shm_live_slots(shm, words);
	for (unsigned word = 0; word < SHM_SLOTS / 64; word++)
		for (uint64_t bits = words[word]; bits != 0; bits &= bits - 1)
			slots->tallies[slots->count++] =
			    shm_tally(shm, (int)word * 64 + __builtin_ctzll(bits), 0);
}

static uint64_t
count_active(const struct server *server, const struct slots *slots)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < slots->count; i++)
		sum += tally_get(slots->tallies[i] + server->conf->id, TALLY_ACTIVE);
	return sum < UINT32_MAX ? sum : UINT32_MAX; /* so that products with a weight fit */
}

static bool
is_better(const struct candidate *a, const struct candidate *b)
{
	uint64_t left = a->active * b->weight, right = b->active * a->weight;

	if (b->server == NULL)
		return true;
	return left != right ? left < right : (int64_t)(a->turn - b->turn) < 0;
}

/* Servers to look at in one pick. */
static size_t
window_of(const struct slots *slots)
{
	size_t window = WLC_READS / (slots->count + 1);

	return window > WLC_WINDOW_MIN ? window : WLC_WINDOW_MIN;
}

static struct server *
wlc_take_turn(struct pool *pool, const struct candidate *chosen)
{
	struct wlc *wlc = pool->wlc;
	uint64_t *turn = &wlc->turns[chosen->server->conf->index];

	/* One that was busy for long does not make up for the turns it missed. */
	if ((int64_t)(*turn - wlc->now) < 0)
		*turn = wlc->now;
	else
		wlc->now = *turn;
	*turn += wlc_round / chosen->weight;
	return chosen->server;
}

static struct server *
wlc_pick(struct pool *pool, const struct balance_request *request)
{
	size_t server_count = pool->conf->server_count, i = pool->wlc->cursor, window;
	struct candidate best = { 0 };
	struct slots slots;

	slots_read(&slots, pool->shm);
	window = window_of(&slots);
	for (size_t seen = 0; seen < server_count; seen++) {
		struct candidate c = { .server = pool->servers[i], .turn = pool->wlc->turns[i] };

		if (seen >= window && best.server != NULL)
			break;
		i = i + 1 < server_count ? i + 1 : 0;
		c.weight = balance_weight(c.server);
		if (c.weight == 0 || balance_is_out(request, c.server))
			continue;
		c.active = count_active(c.server, &slots);
		if (is_better(&c, &best))
			best = c;
	}
	pool->wlc->cursor = i;
	return best.server != NULL ? wlc_take_turn(pool, &best) : NULL;
}

static void
wlc_start(struct pool *pool)
{
	size_t server_count = pool->conf->server_count;

	pool->wlc = xcalloc(1, sizeof(*pool->wlc));
	pool->wlc->turns = xcalloc(server_count, sizeof(*pool->wlc->turns));
	pool->wlc->cursor = (size_t)((uint64_t)pool->first * server_count >> 32);
}

static void
wlc_stop(struct pool *pool)
{
	if (pool->wlc == NULL)
		return;
	free(pool->wlc->turns);
	free(pool->wlc);
	pool->wlc = NULL;
}

const struct balance_algorithm balance_wlc = { wlc_start, wlc_stop, wlc_pick };
