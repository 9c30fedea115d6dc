#include "weir/pace.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/conf.h"
#include "weir/shm.h"
#include "weir/slab.h"
#include "weir/transport.h"

enum {
	BURST_NS = 100 * 1000 * 1000, /* of 10 s it is 1 % */
	QUANTUM_PART = 8,             /* of a burst: it is filled every 12 ms */
	QUANTUM_MAX = 64 * 1024,
	SHARE_MAX = 64 * 1024, /* bytes of one turn, while others wait for theirs */
	WAIT_MIN_US = 1000,
	RECEIVE_MIN = 64 * 1024, /* of a socket's buffer */
	RECEIVE_MAX = 1024 * 1024
};

struct paced {
	struct transport *transport;
	struct pacer *pacer;
	struct tally *tally;
	TAILQ_ENTRY(paced) links[PACE_WAYS];
	bool is_held[PACE_WAYS]; /* in the queue */
};

static struct slab all; /* struct paced; lives as long as the process */

static uint64_t
now_ns(void)
{
	return clock_us() * 1000;
}

/* ---- who waits ---- */

static void
arm(struct pacer_way *way)
{
	uint64_t us =
	    bucket_wait_ns(way->bucket, &way->rate, way->quantum, now_ns()) / 1000 + WAIT_MIN_US;
	struct timeval wait = { .tv_sec = (time_t)(us / 1000000),
		.tv_usec = (suseconds_t)(us % 1000000) };

	event_add(&way->event, &wait);
}

void
pace_hold(struct transport *t, enum pace_way which)
{
	struct paced *p = t->paced;
	struct pacer_way *way = &p->pacer->ways[which];

	if (which == PACE_IN)
		t->readable = false;
	else
		t->writable = false;
	if (p->is_held[which])
		return;
	if (TAILQ_EMPTY(&way->queue))
		arm(way);
	TAILQ_INSERT_TAIL(&way->queue, p, links[which]);
	p->is_held[which] = true;
	tally_add(p->tally, TALLY_HELD, 1);
}

static void
release(struct paced *p, enum pace_way which)
{
	struct pacer_way *way = &p->pacer->ways[which];

	TAILQ_REMOVE(&way->queue, p, links[which]);
	p->is_held[which] = false;
	if (TAILQ_EMPTY(&way->queue))
		event_del(&way->event);
}

static bool
has_quantum(const struct pacer_way *way)
{
	return bucket_credit(way->bucket, &way->rate, now_ns()) >= (int64_t)way->quantum;
}

/* The first of the queue have their turn as long as there is something for them. */
static void
serve(struct pacer *pacer, enum pace_way which)
{
	struct pacer_way *way = &pacer->ways[which];
	struct paced *p, *last = TAILQ_LAST(&way->queue, paced_queue);

	clock_update();
	while ((p = TAILQ_FIRST(&way->queue)) != NULL && has_quantum(way)) {
		struct transport *t = p->transport;
		bool is_last = p == last;

		release(p, which);
		if (which == PACE_IN)
			t->readable = true;
		else
			t->writable = true;
		way->served = p;
		t->on_ready(t); /* may end it, and any other */
		way->served = NULL;
		if (is_last)
			break;
	}
	if (!TAILQ_EMPTY(&way->queue))
		arm(way);
}

static void
on_in(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	serve(arg, PACE_IN);
}

static void
on_out(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	serve(arg, PACE_OUT);
}

/* ---- moving bytes ---- */

size_t
pace_allow(struct transport *t, enum pace_way which, size_t len)
{
	struct pacer_way *way = &t->paced->pacer->ways[which];
	bool others_wait = !TAILQ_EMPTY(&way->queue), is_its_turn = way->served == t->paced;
	size_t least = len < way->quantum ? len : way->quantum;
	int64_t credit;

	if (way->rate.bytes_per_s == 0)
		return len;
	way->served = NULL;
	credit = bucket_credit(way->bucket, &way->rate, now_ns());
	if ((others_wait && !is_its_turn) || credit < (int64_t)least) {
		pace_hold(t, which);
		return 0;
	}
	len = len < (uint64_t)credit ? len : (size_t)credit;
	return others_wait && len > SHARE_MAX ? SHARE_MAX : len;
}

void
pace_moved(struct transport *t, enum pace_way which, size_t len)
{
	struct pacer_way *way = &t->paced->pacer->ways[which];

	if (way->rate.bytes_per_s != 0)
		bucket_take(way->bucket, &way->rate, len, now_ns());
}

bool
pacer_admit(struct pacer *pacer, enum pace_way which, size_t len)
{
	struct pacer_way *way = &pacer->ways[which];
	uint64_t now = now_ns();

	if (way->rate.bytes_per_s == 0)
		return true;
	if (bucket_credit(way->bucket, &way->rate, now) <= 0)
		return false;
	bucket_take(way->bucket, &way->rate, len, now);
	return true;
}

/* ---- life ---- */

/* What the kernel takes on behalf of a worker that does not read is to be short of a second. */
static void
bound_buffer(int fd, uint64_t bytes_per_s)
{
	uint64_t quarter = bytes_per_s / 4;
	int size = (int)(quarter < RECEIVE_MIN	? RECEIVE_MIN
			 : quarter > RECEIVE_MAX ? RECEIVE_MAX
						 : quarter);

	if (quarter <= RECEIVE_MAX)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

void
transport_pace(struct transport *t, struct pacer *pacer, struct tally *tally)
{
	if (all.object_size == 0)
		slab_init(&all, sizeof(struct paced));
	t->paced = slab_take(&all);
	*t->paced = (struct paced){ .transport = t, .pacer = pacer, .tally = tally };
	if (pacer->ways[PACE_IN].rate.bytes_per_s != 0)
		bound_buffer(t->fd, pacer->ways[PACE_IN].rate.bytes_per_s);
}

void
pace_end(struct transport *t)
{
	struct paced *p = t->paced;

	for (enum pace_way which = PACE_IN; which < PACE_WAYS; which++) {
		if (p->is_held[which])
			release(p, which);
		if (p->pacer->ways[which].served == p)
			p->pacer->ways[which].served = NULL;
	}
	slab_give(&all, p);
	t->paced = NULL;
}

static void
way_init(struct pacer_way *way, struct bucket *bucket, uint32_t bytes_per_s)
{
	uint64_t quantum = (uint64_t)bytes_per_s * BURST_NS / 1000000000 / QUANTUM_PART;

	way->bucket = bucket;
	way->rate = (struct bucket_rate){ bytes_per_s, BURST_NS };
	way->quantum = quantum > QUANTUM_MAX ? QUANTUM_MAX : (size_t)quantum;
	TAILQ_INIT(&way->queue);
}

struct pacer *
pacers_new(const struct bandwidth_config *limits, size_t count, const struct shm *shm,
    struct event_base *base)
{
	struct pacer *pacers = xcalloc(count, sizeof(*pacers));

	for (size_t i = 0; i < count; i++) {
		struct pacer_way *ways = pacers[i].ways;
		struct bucket *buckets = shm_buckets(shm, limits[i].id);

		way_init(&ways[PACE_IN], &buckets[PACE_IN], limits[i].in);
		way_init(&ways[PACE_OUT], &buckets[PACE_OUT], limits[i].out);
		evtimer_assign(&ways[PACE_IN].event, base, on_in, &pacers[i]);
		evtimer_assign(&ways[PACE_OUT].event, base, on_out, &pacers[i]);
	}
	return pacers;
}

void
pacers_free(struct pacer *pacers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (enum pace_way which = PACE_IN; which < PACE_WAYS; which++)
			event_del(&pacers[i].ways[which].event);
	free(pacers);
	if (all.object_size != 0)
		slab_fini(&all);
	all.object_size = 0;
}
