#include "weir/queue.h"

#include <stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "weir/arena.h"
#include "weir/clock.h"

enum {
	LOOK_MS = 5,       /* how soon places that other workers gave back are seen */
	TOLERANCE_MS = 10, /* a waiter of another worker goes first when it is older by more */
	/* Of those who wait for one certain server, who do not hold up others behind them. */
	PASSED_MAX = 64
};

struct queue {
	TAILQ_ENTRY(queue) link; /* among those with waiters */
	struct pool *pool;
	struct waiter_list waiters; /* the oldest first */
};

static struct {
	struct event timer;
	bool is_ready;
	TAILQ_HEAD(, queue) busy;
} queues = { .busy = TAILQ_HEAD_INITIALIZER(queues.busy) };

/* ---- what the others know of this worker's queue ---- */

static void
publish_first(const struct queue *queue)
{
	const struct waiter *first = TAILQ_FIRST(&queue->waiters);
	_Atomic uint64_t *place = &queue->pool->tally->v[TALLY_QUEUE_SINCE];

	atomic_store_explicit(place, first != NULL ? first->since_ms : 0, memory_order_relaxed);
}

/*
 * Has somebody in another worker waited longer?  One that should have given up long ago does not
 * count: its worker hangs.
 */
static bool
is_younger(const struct queue *queue, const struct waiter *waiter)
{
	const struct pool *pool = queue->pool;
	uint64_t words[SHM_SLOTS / 64];

	shm_live_slots(pool->shm, words);
	for (int word = 0; word < SHM_SLOTS / 64; word++)
		for (uint64_t bits = words[word]; bits != 0; bits &= bits - 1) {
			uint64_t since = tally_get(
			    shm_tally(pool->shm, word * 64 + __builtin_ctzll(bits), pool->conf->id),
			    TALLY_QUEUE_SINCE);

			if (since != 0 && since + TOLERANCE_MS < waiter->since_ms &&
			    now_ms < since + pool->conf->queue.timeout_ms + TOLERANCE_MS)
				return true;
		}
	return false;
}

/* ---- turns ---- */

static void
end_late(struct queue *queue)
{
	struct waiter *waiter;

	while ((waiter = TAILQ_FIRST(&queue->waiters)) != NULL &&
	       now_ms - waiter->since_ms >= queue->pool->conf->queue.timeout_ms) {
		queue_leave(waiter);
		tally_add(queue->pool->tally, TALLY_QUEUE_TIMEOUTS, 1);
		waiter->on_timeout(waiter);
	}
}

static struct waiter *
waiter_behind(const struct queue *queue, unsigned passed)
{
	struct waiter *waiter = TAILQ_FIRST(&queue->waiters);

	while (waiter != NULL && passed-- > 0)
		waiter = TAILQ_NEXT(waiter, link);
	return waiter;
}

/*
 * The first is asked again and again, as long as there are places.  One that gets none although the
 * pool has some waits for its own server: the next is asked.
 */
static void
serve(struct queue *queue)
{
	struct pool *pool = queue->pool;
	struct waiter *waiter;
	unsigned passed = 0;

	end_late(queue);
	while (passed < PASSED_MAX && (waiter = waiter_behind(queue, passed)) != NULL) {
		if (is_younger(queue, waiter))
			break;
		waiter->is_turn = true;
		pool->is_full = false;
		waiter->on_turn(waiter);
		waiter->is_turn = false;
		if (waiter->queue == NULL)
			continue; /* the list has moved up */
		if (pool->is_full)
			break;
		passed++;
	}
}

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct queue *queue, *next;

	(void)fd;
	(void)what;
	(void)arg;
	clock_update();
	for (queue = TAILQ_FIRST(&queues.busy); queue != NULL; queue = next) {
		next = TAILQ_NEXT(queue, link);
		serve(queue);
	}
}

void
queues_init(struct event_base *base)
{
	event_assign(&queues.timer, base, -1, EV_PERSIST, on_look, NULL);
	queues.is_ready = true;
}

void
queues_fini(void)
{
	if (queues.is_ready)
		event_del(&queues.timer);
	queues.is_ready = false;
}

void
queue_start(struct pool *pool)
{
	if (pool->conf->queue.size == 0)
		return;
	pool->queue = xcalloc(1, sizeof(*pool->queue));
	pool->queue->pool = pool;
	TAILQ_INIT(&pool->queue->waiters);
}

void
queue_stop(struct pool *pool)
{
	free(pool->queue);
	pool->queue = NULL;
}

/* ---- coming and going ---- */

bool
queue_is_busy(const struct pool *pool)
{
	return pool->queue != NULL &&
	       atomic_load_explicit(&pool->usage->queued, memory_order_relaxed) > 0;
}

bool
queue_join(struct pool *pool, struct waiter *waiter)
{
	const struct timeval every = { 0, LOOK_MS * 1000 };
	struct queue *queue = pool->queue;

	if (queue == NULL)
		return false;
	tally_add(pool->tally, TALLY_QUEUED, 1);
	if (atomic_fetch_add_explicit(&pool->usage->queued, 1, memory_order_relaxed) >=
	    (int32_t)pool->conf->queue.size) {
		atomic_fetch_sub_explicit(&pool->usage->queued, 1, memory_order_relaxed);
		tally_sub(pool->tally, TALLY_QUEUED, 1);
		return false;
	}
	if (TAILQ_EMPTY(&queues.busy))
		event_add(&queues.timer, &every);
	if (TAILQ_EMPTY(&queue->waiters))
		TAILQ_INSERT_TAIL(&queues.busy, queue, link);
	waiter->queue = queue;
	waiter->since_ms = now_ms;
	TAILQ_INSERT_TAIL(&queue->waiters, waiter, link);
	publish_first(queue);
	return true;
}

void
queue_leave(struct waiter *waiter)
{
	struct queue *queue = waiter->queue;

	if (queue == NULL)
		return;
	waiter->queue = NULL;
	TAILQ_REMOVE(&queue->waiters, waiter, link);
	publish_first(queue);
	atomic_fetch_sub_explicit(&queue->pool->usage->queued, 1, memory_order_relaxed);
	tally_sub(queue->pool->tally, TALLY_QUEUED, 1);
	if (TAILQ_EMPTY(&queue->waiters))
		TAILQ_REMOVE(&queues.busy, queue, link);
	if (TAILQ_EMPTY(&queues.busy) && queues.is_ready)
		event_del(&queues.timer);
}

void
queue_wake(struct pool *pool)
{
	/* Not here: the caller is about to end, and holds what a waiter might want. */
	if (pool->queue != NULL && !TAILQ_EMPTY(&pool->queue->waiters))
		event_active(&queues.timer, EV_TIMEOUT, 1);
}
