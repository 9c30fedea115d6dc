/*
 * balance_wlc: weighted least connections.
 *
 * Chosen is the server with the fewest requests in progress for its weight, those of all workers
 * counted (struct usage).  Among equals (all idle, most often) turns are taken in proportion to the
 * weights.
 *
 * Each worker has the servers in a heap by what it knows of them.  Its own requests it knows at
 * once.  That others have sent more to a server is found when that server comes up: what is on top
 * is compared with shared memory, and sinks if there is more.  So as long as requests only come,
 * the choice is exact.  That others have finished some is found by looking: at all servers of a
 * small pool in each pick, at a few of a large one in turn, and at all of them ten times a second.
 */
#include <stdlib.h>

#include "balance_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"

enum {
	WLC_LOOKS = 16,    /* servers looked at in each pick of a pool that has no more, ... */
	WLC_LOOKS_FEW = 2, /* ... and of a larger one */
	WLC_RELOOK_MS = 100,
	WLC_ARITY = 4, /* of the heap: four entries lie in one or two cache lines */
	WLC_NOWHERE = UINT32_MAX
};

static const uint64_t wlc_round = UINT64_C(1) << 40; /* length of a round of turns */

struct wlc_entry {
	uint64_t load; /* requests in progress / weight */
	uint64_t turn; /* the lowest goes first among equals; wraps: compare differences */
	uint32_t index;
};

struct wlc {
	uint32_t round;         /* of the weights that the heap was made from */
	uint64_t looked_ms;     /* when all were looked at */
	uint64_t now;           /* latest turn that was taken */
	size_t cursor;          /* where the next look begins */
	size_t count;           /* in the heap: servers with a weight */
	struct wlc_entry *heap; /* owned */
	uint32_t *places;       /* owned; by index: where in the heap; WLC_NOWHERE */
	uint64_t *turns;        /* owned; by index, while they are not in the heap */
};

/* ---- heap ---- */

static bool
is_before(const struct wlc_entry *a, const struct wlc_entry *b)
{
	return a->load != b->load ? a->load < b->load : (int64_t)(a->turn - b->turn) < 0;
}

static void
heap_put(struct wlc *wlc, size_t i, const struct wlc_entry *entry)
{
	wlc->heap[i] = *entry;
	wlc->places[entry->index] = (uint32_t)i;
}

static void
heap_sink(struct wlc *wlc, size_t i)
{
	struct wlc_entry moved = wlc->heap[i];

	for (;;) {
		size_t child = WLC_ARITY * i + 1, end = child + WLC_ARITY, least = child;

		if (end > wlc->count)
			end = wlc->count;
		while (++child < end)
			if (is_before(&wlc->heap[child], &wlc->heap[least]))
				least = child;
		if (least >= end || !is_before(&wlc->heap[least], &moved))
			break;
		heap_put(wlc, i, &wlc->heap[least]);
		i = least;
	}
	heap_put(wlc, i, &moved);
}

static void
heap_rise(struct wlc *wlc, size_t i)
{
	struct wlc_entry moved = wlc->heap[i];

	for (; i > 0 && is_before(&moved, &wlc->heap[(i - 1) / WLC_ARITY]); i = (i - 1) / WLC_ARITY)
		heap_put(wlc, i, &wlc->heap[(i - 1) / WLC_ARITY]);
	heap_put(wlc, i, &moved);
}

/* ---- what is known ---- */

static uint64_t
load_of(const struct server *server)
{
	int32_t active = atomic_load_explicit(&server->usage->active, memory_order_relaxed);

	return active > 0 ? (uint64_t)active * (wlc_round / balance_weight(server)) : 0;
}

/* Looks at the server at a place of the heap.  Returns whether it is where it belongs. */
static bool
look(struct pool *pool, size_t place)
{
	struct wlc *wlc = pool->wlc;
	struct wlc_entry *entry = &wlc->heap[place];
	uint64_t load = load_of(pool->servers[entry->index]);

	if (load == entry->load)
		return true;
	if (load < entry->load) {
		entry->load = load;
		heap_rise(wlc, place);
	} else {
		entry->load = load;
		heap_sink(wlc, place);
	}
	return false;
}

static void
look_at_all(struct pool *pool)
{
	struct wlc *wlc = pool->wlc;

	for (size_t i = 0; i < wlc->count; i++)
		wlc->turns[wlc->heap[i].index] = wlc->heap[i].turn;
	wlc->count = 0;
	for (size_t i = 0; i < pool->conf->server_count; i++) {
		struct wlc_entry entry = { .turn = wlc->turns[i], .index = (uint32_t)i };

		wlc->places[i] = WLC_NOWHERE;
		if (balance_weight(pool->servers[i]) == 0)
			continue;
		entry.load = load_of(pool->servers[i]);
		heap_put(wlc, wlc->count++, &entry);
	}
	for (size_t i = wlc->count; i-- > 0;)
		heap_sink(wlc, i);
	wlc->round = pool->weights->round;
	wlc->looked_ms = now_ms;
}

static void
look_at_some(struct pool *pool)
{
	struct wlc *wlc = pool->wlc;
	size_t server_count = pool->conf->server_count;
	size_t looks = server_count <= WLC_LOOKS ? server_count : WLC_LOOKS_FEW;

	for (; looks > 0; looks--) {
		uint32_t place = wlc->places[wlc->cursor];

		wlc->cursor = wlc->cursor + 1 < server_count ? wlc->cursor + 1 : 0;
		if (place != WLC_NOWHERE)
			look(pool, place);
	}
}

static void
wlc_changed(struct pool *pool, const struct server *server)
{
	uint32_t place = pool->wlc->places[server->conf->index];

	if (place != WLC_NOWHERE && balance_weight(server) > 0)
		look(pool, place);
}

/* ---- choosing ---- */

/* With the request that comes to it: when that is counted it is where it belongs already. */
static struct server *
wlc_take_turn(struct pool *pool, struct wlc_entry *chosen)
{
	struct wlc *wlc = pool->wlc;
	struct server *server = pool->servers[chosen->index];
	uint64_t step = wlc_round / balance_weight(server);

	/* One that was busy for long does not make up for the turns it missed. */
	if ((int64_t)(chosen->turn - wlc->now) < 0)
		chosen->turn = wlc->now;
	else
		wlc->now = chosen->turn;
	chosen->turn += step;
	chosen->load += step;
	heap_sink(wlc, wlc->places[chosen->index]);
	return server;
}

/* The best of those that are not out, when the very best are. */
static struct server *
pick_behind(struct pool *pool, const struct balance_request *request)
{
	struct wlc *wlc = pool->wlc;
	struct wlc_entry *best = NULL;

	for (size_t i = 0; i < wlc->count; i++)
		if ((best == NULL || is_before(&wlc->heap[i], best)) &&
		    !balance_is_out(request, pool->servers[wlc->heap[i].index]))
			best = &wlc->heap[i];
	return best != NULL ? wlc_take_turn(pool, best) : NULL;
}

static struct server *
wlc_pick(struct pool *pool, const struct balance_request *request)
{
	struct wlc *wlc = pool->wlc;

	if (wlc->round != pool->weights->round || now_ms - wlc->looked_ms >= WLC_RELOOK_MS)
		look_at_all(pool);
	else
		look_at_some(pool);
	if (wlc->count == 0)
		return NULL;
	/* Each look that finds more in progress brings another server to the top: not for ever. */
	for (size_t looks = 0; looks < wlc->count && !look(pool, 0); looks++)
		;
	if (balance_is_out(request, pool->servers[wlc->heap[0].index]))
		return pick_behind(pool, request);
	return wlc_take_turn(pool, &wlc->heap[0]);
}

static void
wlc_start(struct pool *pool)
{
	size_t server_count = pool->conf->server_count;
	struct wlc *wlc = xcalloc(1, sizeof(*wlc));

	pool->wlc = wlc;
	wlc->heap = xcalloc(server_count, sizeof(*wlc->heap));
	wlc->places = xcalloc(server_count, sizeof(*wlc->places));
	wlc->turns = xcalloc(server_count, sizeof(*wlc->turns));
	wlc->cursor = (size_t)((uint64_t)pool->first * server_count >> 32);
	/* Workers do not begin with the same one. */
	for (size_t i = 0; i < server_count; i++)
		wlc->turns[i] = (i + server_count - wlc->cursor) % server_count;
	look_at_all(pool);
}

static void
wlc_stop(struct pool *pool)
{
	struct wlc *wlc = pool->wlc;

	if (wlc == NULL)
		return;
	free(wlc->heap);
	free(wlc->places);
	free(wlc->turns);
	free(wlc);
	pool->wlc = NULL;
}

const struct balance_algorithm balance_wlc = { wlc_start, wlc_stop, wlc_pick, wlc_changed };
