/*
 * pick: what one choice of a server costs, by method and number of servers.  `make bench-pick`
 * builds and runs it.
 *
 * Nanoseconds of processor time of this thread for one choice and its release, the best of several
 * rounds; a number of requests stays in progress meanwhile, as it does in a busy worker, and other
 * workers have some too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "weir/arena.h"
#include "weir/balance.h"
#include "weir/clock.h"
#include "weir/pool.h"
#include "weir/shm.h"

enum { PICKS = 200000, ROUNDS = 5, ACTIVE = 1024, WORKERS = 4, CLIENTS = 1 << 14 };

static const struct {
	const char *name;
	enum balance_method method;
} methods[] = {
	{ "weighted_round_robin", BALANCE_WRR },
	{ "weighted_least_connections", BALANCE_WLC },
	{ "power_of_two", BALANCE_POWER_OF_TWO },
	{ "source_hash", BALANCE_SOURCE_HASH },
	{ "tuple_hash", BALANCE_TUPLE_HASH },
};

static double
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static struct config *
make_config(struct arena *arena, enum balance_method method, size_t count)
{
	struct config *config = arena_alloc(arena, sizeof(*config));
	struct pool_config *pool = arena_alloc(arena, sizeof(*pool));

	config->arena = arena;
	config->generation = 1;
	config->pools = pool;
	config->pool_count = 1;
	pool->name = "bench";
	pool->balance = method;
	pool->servers = arena_array(arena, count, sizeof(*pool->servers));
	pool->server_count = count;
	for (size_t i = 0; i < count; i++) {
		pool->servers[i].index = (unsigned)i;
		pool->servers[i].name = arena_printf(arena, "server-%zu", i);
		pool->servers[i].weight = 1 + (unsigned)(i % 5);
		if (addr_parse(&pool->servers[i].address,
			arena_printf(
			    arena, "10.%zu.%zu.%zu:80", i >> 16 & 255, i >> 8 & 255, i & 255),
			0) != 0)
			abort();
	}
	return config;
}

static uint64_t random_state = 88172645463325252U;

static uint64_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static struct addr clients[CLIENTS];
static struct server *active[ACTIVE];

/* One worker makes PICKS choices, each of which ends the request that began ACTIVE choices before.
 */
static double
run_round(struct pool *pool, const struct addr *local)
{
	struct balance_request request = { .local = local };
	double begin = now_ns();

	for (unsigned i = 0; i < PICKS; i++) {
		struct server **place = &active[i % ACTIVE];

		balance_release(*place);
		request.client = &clients[next_random() % CLIENTS];
		*place = balance_pick(pool, &request);
	}
	return (now_ns() - begin) / PICKS;
}

static double
measure(enum balance_method method, size_t count)
{
	struct arena *arena = arena_new();
	struct config *config = make_config(arena, method, count);
	struct shm *shm = shm_new(shm_needed(config) + 8, 16);
	struct pool *pools[WORKERS];
	struct addr local;
	double best = 1e18;

	if (shm == NULL || shm_bind_config(shm, config, 0) != 0 ||
	    addr_parse(&local, "192.0.2.1:80", 0) != 0)
		abort();
	memset(active, 0, sizeof(active));
	for (int w = 0; w < WORKERS; w++)
		pools[w] = pools_new(config, shm, shm_take_slot(shm));
	for (int round = 0; round < ROUNDS; round++) {
		double ns;

		/* What the others do is not measured. */
		for (int w = 1; w < WORKERS; w++)
			for (unsigned i = 0; i < 500; i++)
				balance_pick(
				    pools[w], &(struct balance_request){
						  .client = &clients[i], .local = &local });
		clock_update();
		ns = run_round(pools[0], &local);
		best = ns < best ? ns : best;
	}
	for (int w = 0; w < WORKERS; w++)
		pools_free(pools[w], config);
	shm_free(shm);
	arena_free(arena);
	return best;
}

int
main(void)
{
	static const size_t counts[] = { 10, 100, 1000, 10000 };

	clock_update();
	for (unsigned i = 0; i < CLIENTS; i++) {
		char text[64];
		uint64_t r = next_random();

		snprintf(text, sizeof(text), "10.%u.%u.%u:%u", (unsigned)(r & 255),
		    (unsigned)(r >> 8 & 255), (unsigned)(r >> 16 & 255),
		    1024 + (unsigned)(r >> 24 & 0x7fff));
		if (addr_parse(&clients[i], text, 0) != 0)
			abort();
	}
	printf("%-28s", "ns for one choice; servers:");
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
		printf("%10zu", counts[c]);
	printf("\n");
	for (size_t m = 0; m < sizeof(methods) / sizeof(methods[0]); m++) {
		printf("%-28s", methods[m].name);
		for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
			printf("%10.0f", measure(methods[m].method, counts[c]));
		printf("\n");
	}
	return 0;
}
