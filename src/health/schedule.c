/*
 * One binary heap orders all checks by the time they are due, one timer waits for the first of
 * them: thousands of servers cost a few array steps per probe.  A check is in the heap while it
 * waits and out of it while its probe runs, so that no server is ever asked twice at once.
 */
#include "weir/health.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "probe_priv.h"
#include "readmit_priv.h"
#include "states_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/log.h"
#include "weir/wheel.h"

enum {
	PROBES_MAX = 1000, /* in flight; further ones wait for their turn */
	TURN_MS = 10, /* between two looks at what is due and what came in: many checks share one */
	PROBES_PER_TURN = 512, /* started before the loop looks at other events again */
	SPARE_MAX = 256,       /* sockets kept for further probes, of each family */
	SPREAD_MS = 1000,      /* the checks of servers already known begin within this */
	MAINT_LOOK_MS = 1000,  /* how soon a server that left maintenance is noticed */
	SCARCE_WAIT_MS = 1000, /* after a probe could not be started for want of descriptors */
};

struct check {
	LIST_ENTRY(check) entry; /* in the list of its pool */
	struct health *health;
	struct states_pool *pool;           /* borrowed from health->pools */
	const struct server_config *server; /* borrowed from the generation */
	struct entity *entity;              /* shared memory */
	struct probe *probe;                /* owned; NULL while the check is in the heap */
	struct link *link;                  /* owned; kept between two probes; NULL: none */
	uint64_t due_ms;                    /* when the next probe starts */
	uint64_t began_ms;                  /* when the last one did */
	bool is_kept;                       /* while health_on_change() sorts them */
	bool is_gone; /* its server was taken out: in no list, and freed when it comes out of the
			 heap */
};
LIST_HEAD(check_list, check);

struct health {
	struct event_base *base;
	struct links links;
	struct event timer;        /* the next turn */
	struct event ready;        /* added while nothing comes in: makes the next turn */
	uint64_t turned_ms;        /* when the last turn was */
	bool in_turn;              /* who changes something then need not arm the timer */
	bool is_busy;              /* something came in at the last turn, or was started since */
	struct states_pool *pools; /* owned */
	struct readmit *readmit;   /* owned */
	size_t pool_count;
	struct check_list *checks; /* owned, and all in them; for each pool those of its servers */
	struct check **heap;       /* owned; due[i / 2] <= due[i], counted from 1 */
	size_t heap_count, heap_size;
	struct shm *shm;
	size_t in_flight, in_flight_max;
	uint64_t random; /* xorshift state, never 0 */
};

static uint64_t
health_random(struct health *health, uint64_t below)
{
	health->random ^= health->random << 13;
	health->random ^= health->random >> 7;
	health->random ^= health->random << 17;
	return below > 0 ? health->random % below : 0;
}

static void
heap_push(struct health *health, struct check *check)
{
	size_t i = ++health->heap_count;

	if (i >= health->heap_size) {
		health->heap_size = 2 * i;
		health->heap = xrealloc(health->heap, health->heap_size * sizeof(struct check *));
	}
	for (; i > 1 && health->heap[i / 2]->due_ms > check->due_ms; i /= 2)
		health->heap[i] = health->heap[i / 2];
	health->heap[i] = check;
}

/* Takes the first check out; the heap is not empty. */
static struct check *
heap_pop(struct health *health)
{
	struct check *first = health->heap[1], *last = health->heap[health->heap_count--];
	size_t i = 1, child;

	for (; (child = i * 2) <= health->heap_count; i = child) {
		if (child < health->heap_count &&
		    health->heap[child + 1]->due_ms < health->heap[child]->due_ms)
			child++;
		if (health->heap[child]->due_ms >= last->due_ms)
			break;
		health->heap[i] = health->heap[child];
	}
	health->heap[i] = last;
	return first;
}

/*
 * Called after any change: the next turn is when a check is due, but a while after the last one;
 * while probes are under way and answers come in, there is one after the other.
 */
static void
health_arm(struct health *health, uint64_t not_before_ms)
{
	struct timeval wait = { 0, 0 };
	uint64_t due = UINT64_MAX;

	if (health->in_turn)
		return;
	if (health->heap_count > 0 && health->in_flight < health->in_flight_max)
		due = health->heap[1]->due_ms;
	if (due < not_before_ms)
		due = not_before_ms;
	if (health->is_busy && health->in_flight > 0)
		due = 0;
	else
		event_add(&health->ready, NULL);
	if (due == UINT64_MAX)
		return;
	if (due < health->turned_ms + TURN_MS)
		due = health->turned_ms + TURN_MS;
	if (due > now_ms) {
		wait.tv_sec = (time_t)((due - now_ms) / 1000);
		wait.tv_usec = (suseconds_t)((due - now_ms) % 1000) * 1000;
	}
	event_add(&health->timer, &wait);
}

/*
 * One interval after the last start, give or take a twentieth, so that checks do not march in step.
 * A state that results speak against is asked about sooner, if so configured.
 */
static uint64_t
check_next_ms(struct check *check)
{
	const struct health_config *health = &check->pool->conf->health;
	uint64_t interval = health->interval_ms;

	if (health->fast_interval_ms != 0 && check->entity->checks_in_row > 0)
		interval = health->fast_interval_ms;
	return check->began_ms + interval - interval / 20 +
	       health_random(check->health, interval / 10 + 1);
}

static void
health_on_done(void *arg, bool passed, const char *text)
{
	struct check *check = arg;
	struct health *health = check->health;

	clock_update();
	check->probe = NULL;
	health->in_flight--;
	/* A result that comes in after the operator took the server out says nothing any more. */
	if (check->entity->admin != ADMIN_MAINT)
		states_record(check->pool, check->server, passed, text);
	check->due_ms = check_next_ms(check);
	heap_push(health, check);
	health_arm(health, 0);
}

/* Returns false when this process lacks the means to start a probe now. */
static bool
check_begin(struct check *check)
{
	static struct log_limit limit;
	struct health *health = check->health;

	if (check->entity->admin == ADMIN_MAINT) {
		check->due_ms = now_ms + MAINT_LOOK_MS;
		heap_push(health, check);
		return true;
	}
	check->probe = probe_start(
	    &health->links, &check->link, check->pool->conf, check->server, health_on_done, check);
	if (check->probe == NULL) {
		if (log_allowed(&limit, 1, 60000))
			log_warn("health: checks wait, %zu in flight: cannot start a probe",
			    health->in_flight);
		heap_push(health, check);
		return false;
	}
	check->began_ms = now_ms;
	health->in_flight++;
	return true;
}

/* Start what is due.  Returns when the next may be, if that is not as soon as it is due. */
static uint64_t
health_begin_due(struct health *health)
{
	for (int budget = PROBES_PER_TURN; budget > 0; budget--) {
		struct check *check;

		if (health->heap_count == 0 || health->heap[1]->due_ms > now_ms ||
		    health->in_flight >= health->in_flight_max)
			break;
		check = heap_pop(health);
		if (check->is_gone)
			free(check);
		else if (!check_begin(check))
			return now_ms + SCARCE_WAIT_MS;
		health->is_busy = true;
	}
	return 0;
}

static void
health_turn(struct health *health)
{
	uint64_t not_before_ms;

	clock_update();
	health->in_turn = true;
	health->turned_ms = now_ms;
	health->is_busy = probes_run(&health->links);
	not_before_ms = health_begin_due(health);
	health->in_turn = false;
	health_arm(health, not_before_ms);
}

static void
health_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	health_turn(arg);
}

/* Something came in after a while: what else comes is looked at with it. */
static void
health_on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct health *health = arg;
	const struct timeval wait = { 0, TURN_MS * 1000 };

	(void)fd;
	(void)what;
	event_add(&health->timer, &wait);
}

/*
 * Half of the descriptors at most for probes under way, a quarter for connections between two: the
 * stats endpoint and the control socket need some too.
 */
static void
health_set_limits(struct health *health)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		limit.rlim_cur = 1024;
	health->in_flight_max = limit.rlim_cur / 2 < PROBES_MAX ? limit.rlim_cur / 2 : PROBES_MAX;
	if (health->in_flight_max == 0)
		health->in_flight_max = 1;
	if (links_init(&health->links, limit.rlim_cur / 4,
		limit.rlim_cur / 16 < SPARE_MAX ? limit.rlim_cur / 16 : SPARE_MAX) == -1) {
		log_warn("health: epoll_create1");
		abort(); /* as without memory: the master starts another */
	}
}

static void
check_add(struct health *health, struct states_pool *pool, const struct server_config *server)
{
	uint64_t spread =
	    pool->conf->health.interval_ms < SPREAD_MS ? pool->conf->health.interval_ms : SPREAD_MS;
	struct check *check = xcalloc(1, sizeof(*check));

	*check = (struct check){ .health = health, .pool = pool, .server = server };
	check->entity = shm_entity(health->shm, server->id);
	/* Nothing is known of a new server: ask at once, lest requests find out. */
	check->due_ms = now_ms;
	if (check->entity->health != HEALTH_UNKNOWN)
		check->due_ms += health_random(health, spread + 1);
	LIST_INSERT_HEAD(&health->checks[pool->conf->index], check, entry);
	heap_push(health, check);
}

/* Out of its list, which the caller takes care of. */
static void
check_drop(struct check *check)
{
	if (check->probe == NULL) {
		link_close(check->link);
		check->is_gone = true;
		return;
	}
	probe_cancel(check->probe);
	check->health->in_flight--;
	free(check);
}

static int
compare_checks(const void *left, const void *right)
{
	uintptr_t a = (uintptr_t)(*(struct check *const *)left)->entity;
	uintptr_t b = (uintptr_t)(*(struct check *const *)right)->entity;

	return (a > b) - (a < b);
}

/* All checks of a pool in the order of their entities, taken out of its list.  The caller frees the
 * array. */
static struct check **
take_checks(struct check_list *list, size_t *count)
{
	struct check *check, **checks;
	size_t n = 0;

	*count = 0;
	LIST_FOREACH (check, list, entry)
		(*count)++;
	checks = xcalloc(*count + 1, sizeof(struct check *));
	LIST_FOREACH (check, list, entry)
		checks[n++] = check;
	LIST_INIT(list);
	qsort(checks, n, sizeof(struct check *), compare_checks);
	return checks;
}

void
health_on_change(struct health *health, const struct pool_config *conf)
{
	struct states_pool *pool = &health->pools[conf->index];
	struct check_list *list = &health->checks[conf->index];
	struct check **old;
	size_t count;

	clock_update();
	states_init(pool, conf, health->shm);
	if (conf->health.type == HEALTH_OFF)
		return;
	old = take_checks(list, &count);
	for (size_t i = 0; i < conf->server_count; i++) {
		const struct server_config *server = &conf->servers[i];
		struct check key = { .entity = shm_entity(health->shm, server->id) };
		struct check *wanted = &key;
		struct check **found =
		    bsearch(&wanted, old, count, sizeof(struct check *), compare_checks);

		/* One that has another address now is another one to ask, of which something is
		 * known. */
		if (found == NULL || !addr_equal(&(*found)->server->address, &server->address)) {
			check_add(health, pool, server);
			continue;
		}
		(*found)->server = server;
		(*found)->is_kept = true;
		LIST_INSERT_HEAD(list, *found, entry);
	}
	for (size_t i = 0; i < count; i++) {
		if (!old[i]->is_kept)
			check_drop(old[i]);
		else
			old[i]->is_kept = false;
	}
	free(old);
	health_arm(health, 0);
}

struct health *
health_start(struct event_base *base, const struct config *config, struct shm *shm)
{
	struct health *health = xcalloc(1, sizeof(*health));

	clock_update();
	health->base = base;
	health_set_limits(health);
	health->pools = xcalloc(config->pool_count + 1, sizeof(*health->pools));
	health->pool_count = config->pool_count;
	health->checks = xcalloc(config->pool_count + 1, sizeof(*health->checks));
	health->shm = shm;
	if (getrandom(&health->random, sizeof(health->random), GRND_NONBLOCK) == -1)
		health->random = clock_us();
	health->random |= 1;
	wheel_init(base);
	event_assign(&health->timer, base, -1, 0, health_on_timer, health);
	event_assign(&health->ready, base, health->links.epoll, EV_READ, health_on_ready, health);
	for (size_t i = 0; i < config->pool_count; i++) {
		states_init(&health->pools[i], &config->pools[i], shm);
		for (size_t k = 0; k < config->pools[i].server_count; k++)
			if (config->pools[i].health.type != HEALTH_OFF)
				check_add(health, &health->pools[i], &config->pools[i].servers[k]);
	}
	health_arm(health, 0);
	health->readmit = readmit_start(base, config, shm);
	return health;
}

void
health_stop(struct health *health)
{
	struct check *check;

	if (health == NULL)
		return;
	event_del(&health->timer);
	event_del(&health->ready);
	readmit_stop(health->readmit);
	/* In the heap is what waits, in the lists what is under way too. */
	for (size_t i = 1; i <= health->heap_count; i++)
		if (health->heap[i]->is_gone)
			free(health->heap[i]);
	for (size_t i = 0; i < health->pool_count; i++)
		while ((check = LIST_FIRST(&health->checks[i])) != NULL) {
			LIST_REMOVE(check, entry);
			probe_cancel(check->probe);
			link_close(check->link);
			free(check);
		}
	links_fini(&health->links);
	wheel_fini();
	free(health->pools);
	free(health->checks);
	free(health->heap);
	free(health);
}
