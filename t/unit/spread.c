/*
 * spread: 100,000 choices by each method, against the weights: chi-square; and what moves when
 * servers come and go.
 */
#include "pools.h"

#include <stdlib.h>
#include <string.h>

enum { PICKS = 100000 };

static uint64_t random_state;

static uint32_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

static double
root(double x)
{
	double r = 1;

	for (int i = 0; i < 60; i++)
		r = (r + x / r) / 2;
	return r;
}

/*
 * Pearson's chi-square of `counts`, in parts of the value that chance exceeds once in 1,000 times
 * (approximated by Wilson and Hilferty).  The seeds are fixed: it is no dice.
 */
static double
deviation(const unsigned *counts, const unsigned *weights, size_t count)
{
	double sum = 0, chi_square = 0, freedom = -1, picks = 0, limit;

	for (size_t i = 0; i < count; i++) {
		sum += weights[i];
		picks += counts[i];
		freedom += weights[i] > 0;
	}
	for (size_t i = 0; i < count; i++) {
		double expected = picks * weights[i] / sum;

		if (weights[i] == 0)
			assert_int_equal(counts[i], 0);
		else
			chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
	}
	limit = 1 - 2 / (9 * freedom) + 3.09 * root(2 / (9 * freedom));
	return chi_square / (freedom * limit * limit * limit);
}

/* Clients at random; `workers` of them choose in an order at random; up to 64 requests stay in
 * progress. */
static void
pick_many(
    struct setting *s, struct pool **workers, unsigned worker_count, bool stay, unsigned *counts)
{
	struct server *held[64] = { NULL };

	memset(counts, 0, s->config->pools[0].server_count * sizeof(*counts));
	s->request.client = &s->client;
	s->request.local = &s->local;
	for (unsigned i = 0; i < PICKS; i++) {
		struct server **place = &held[stay ? next_random() % 64 : 0];

		balance_release(*place);
		s->client.in.sin_addr.s_addr = next_random();
		addr_set_port(&s->client, (uint16_t)next_random());
		*place = balance_pick(workers[next_random() % worker_count], &s->request);
		assert_non_null(*place);
		counts[(*place)->conf->index]++;
	}
	for (unsigned i = 0; i < 64; i++)
		balance_release(held[i]);
}

static void
every_method_keeps_the_weights(void **state)
{
	static const unsigned weights[10] = { 1, 2, 3, 5, 8, 13, 0, 40, 100, 256 };
	static const unsigned alike[10] = { 1, 1, 1, 1, 1, 1, 0, 1, 1, 1 };

	(void)state;
	for (int method = BALANCE_WRR; method <= BALANCE_POWER_OF_TWO; method++)
		for (unsigned seed = 1; seed <= 3; seed++) {
			bool hashes = method == BALANCE_SOURCE_HASH || method == BALANCE_TUPLE_HASH;
			struct setting s =
			    setting_new((enum balance_method)method, STICKY_OFF, weights, 10);
			struct pool *workers[4] = { s.pools, setting_other_worker(&s),
				setting_other_worker(&s), setting_other_worker(&s) };
			unsigned counts[10];
			double d;

			random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
			pick_many(&s, workers, 4, false, counts);
			/* The hashing methods count all weights above 0 alike. */
			d = deviation(counts, hashes ? alike : weights, 10);
			assert_true(d < 1);
			/* Those that take turns do better than chance. */
			if (method == BALANCE_WRR)
				assert_true(d < 0.05);
			for (int i = 1; i < 4; i++)
				pools_free(workers[i], s.config);
			setting_free(&s);
		}
}

/* Four workers, each with a fourth of the requests: all together are as even as one alone. */
static void
round_robin_is_fair_across_workers(void **state)
{
	static const unsigned weights[] = { 3, 1, 7, 5, 2 };
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, weights, 5);
	struct pool *workers[4] = { s.pools, setting_other_worker(&s), setting_other_worker(&s),
		setting_other_worker(&s) };
	unsigned counts[5];

	(void)state;
	random_state = 42;
	pick_many(&s, workers, 4, true, counts);
	for (int i = 0; i < 5; i++)
		assert_in_range(
		    counts[i], PICKS / 18 * weights[i] - 8, PICKS / 18 * weights[i] + 64);
	for (int i = 1; i < 4; i++)
		pools_free(workers[i], s.config);
	setting_free(&s);
}

/* So many that the table of slots is used, too. */
static void
hashing_many_servers(void **state)
{
	enum { SERVERS = 1000 };
	static unsigned counts[SERVERS], alike[SERVERS];
	struct setting s = setting_new(BALANCE_SOURCE_HASH, STICKY_OFF, NULL, SERVERS);

	(void)state;
	for (int i = 0; i < SERVERS; i++)
		alike[i] = 1;
	random_state = 7;
	pick_many(&s, &s.pools, 1, false, counts);
	assert_true(deviation(counts, alike, SERVERS) < 1);
	setting_free(&s);
}

static unsigned
owner(struct setting *s, struct pool *pool, uint32_t client)
{
	struct server *server;

	s->client.in.sin_addr.s_addr = htonl(client);
	s->request.client = &s->client;
	s->request.local = &s->local;
	server = balance_pick(pool, &s->request);
	assert_non_null(server);
	balance_release(server);
	return (unsigned)strtoul(server->conf->name + 1, NULL, 10);
}

/* A pool of s0 to s(count - 1) without s(gone), in an order of its own. */
static struct setting
setting_without(size_t count, unsigned gone, unsigned turn)
{
	struct setting s = setting_new(BALANCE_SOURCE_HASH, STICKY_OFF, NULL, count - 1);

	pools_free(s.pools, s.config);
	for (unsigned i = 0; i < count - 1; i++) {
		unsigned name = (i * 11 + turn) % (unsigned)(count - 1);

		s.config->pools[0].servers[i].name =
		    arena_printf(s.arena, "s%u", name < gone ? name : name + 1);
	}
	s.pools = pools_new(s.config, s.shm, s.slot);
	return s;
}

/*
 * One that is taken out of the configuration moves only its own clients, evenly; so does one that
 * is down.  By place or by table: a pool of 200 begins with the one and ends with the other.
 */
static void
only_its_own_clients_move(void **state)
{
	static const size_t sizes[] = { 3, 10, 64, 65, 200 };
	enum { CLIENTS = 40000 };

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		size_t count = sizes[k];
		unsigned gone = (unsigned)count / 2, moved = 0, gained[200] = { 0 };
		struct setting all = setting_new(BALANCE_SOURCE_HASH, STICKY_OFF, NULL, count);
		struct setting less = setting_without(count, gone, 2);
		struct setting down = setting_new(BALANCE_SOURCE_HASH, STICKY_OFF, NULL, count);

		setting_set_health(&down, gone, HEALTH_DOWN);
		for (uint32_t i = 0; i < CLIENTS; i++) {
			unsigned before = owner(&all, all.pools, i),
				 after = owner(&less, less.pools, i);
			unsigned meanwhile = owner(&down, down.pools, i);

			assert_int_not_equal(after, gone);
			assert_int_not_equal(meanwhile, gone);
			if (before != gone) {
				assert_int_equal(before, after);
				assert_int_equal(before, meanwhile);
				continue;
			}
			moved++;
			gained[after]++;
		}
		assert_in_range(moved, CLIENTS / count * 8 / 10, CLIENTS / count * 12 / 10);
		for (unsigned i = 0; i < count; i++)
			if (i != gone)
				assert_in_range(gained[i], 0, 8 + 2 * moved / (count - 1));
		/* It comes back, and so do its clients. */
		setting_set_health(&down, gone, HEALTH_UP);
		for (uint32_t i = 0; i < 1000; i++)
			assert_int_equal(owner(&all, all.pools, i), owner(&down, down.pools, i));
		setting_free(&all);
		setting_free(&less);
		setting_free(&down);
	}
}

/* Another machine, another order of the servers; and a worker that has made its table beside one
 * that has not. */
static void
all_choose_alike(void **state)
{
	enum { SERVERS = 300 };
	struct setting a = setting_without(SERVERS, SERVERS - 1, 3);
	struct setting b = setting_without(SERVERS, SERVERS - 1, 11);
	struct pool *fresh;

	(void)state;
	for (uint32_t i = 0; i < 40000; i++)
		assert_int_equal(
		    owner(&a, a.pools, i * 2654435761U), owner(&b, b.pools, i * 2654435761U));
	fresh = setting_other_worker(&a);
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(owner(&a, a.pools, i * 7919), owner(&a, fresh, i * 7919));
	pools_free(fresh, a.config);
	setting_free(&a);
	setting_free(&b);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method_keeps_the_weights),
		cmocka_unit_test(round_robin_is_fair_across_workers),
		cmocka_unit_test(hashing_many_servers),
		cmocka_unit_test(only_its_own_clients_move),
		cmocka_unit_test(all_choose_alike),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
