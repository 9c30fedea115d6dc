/* weights: what servers weigh: slow start, backups, limits; and how well loads are levelled. */
#include "pools.h"

#include <stdlib.h>
#include <string.h>

static struct server *
server(const struct setting *s, size_t i)
{
	return s->pools[0].servers[i];
}

static void
count_picks(struct setting *s, struct pool *pool, unsigned picks, unsigned *counts)
{
	memset(counts, 0, pool->conf->server_count * sizeof(*counts));
	s->request.client = &s->client;
	s->request.local = &s->local;
	for (unsigned i = 0; i < picks; i++) {
		struct server *chosen = balance_pick(pool, &s->request);

		assert_non_null(chosen);
		counts[chosen->conf->index]++;
		balance_release(chosen);
	}
}

/* The configuration is changed before any pool is made of it. */
static struct setting
setting_with(enum balance_method method, const unsigned *weights, size_t count,
    void (*change)(struct pool_config *))
{
	struct setting s = setting_new(method, STICKY_OFF, weights, count);

	pools_free(s.pools, s.config);
	change(&s.config->pools[0]);
	for (size_t i = 0; i < count; i++)
		atomic_store(&shm_usage(s.shm, setting_server_id(&s, i))->started_ms, 1);
	s.pools = pools_new(s.config, s.shm, s.slot);
	return s;
}

static void
with_slow_start(struct pool_config *pool)
{
	pool->slow_start_ms = 32000;
}

static void
slow_start_grows(void **state)
{
	static const enum balance_method methods[] = { BALANCE_WRR, BALANCE_WLC,
		BALANCE_POWER_OF_TWO };

	(void)state;
	for (size_t m = 0; m < 3; m++) {
		struct setting s = setting_with(methods[m], NULL, 4, with_slow_start);
		uint64_t begin_ms;
		unsigned counts[4], before = 0;

		count_picks(&s, s.pools, 4000, counts);
		assert_in_range(counts[3], 880, 1120);
		setting_set_health(&s, 3, HEALTH_DOWN);
		setting_set_health(&s, 3, HEALTH_UP);
		begin_ms = now_ms;
		/* It was the real clock that was asked when it came up. */
		atomic_store(&server(&s, 3)->usage->started_ms, begin_ms);
		for (unsigned part = 0; part <= 8; part++) {
			unsigned weight = part == 0 ? 16 : part * 32;
			unsigned expected = 16000 * weight / (3 * 256 + weight);

			now_ms = begin_ms + part * 4000;
			count_picks(&s, s.pools, 16000, counts);
			assert_in_range(counts[3], expected * 4 / 5, expected * 6 / 5);
			assert_true(counts[3] > before);
			before = counts[3];
		}
		setting_free(&s);
	}
}

/* While traffic is thin a server that starts slowly must not be put off each time it weighs more.
 */
static void
slow_start_with_few_requests(void **state)
{
	struct setting s = setting_with(BALANCE_WRR, NULL, 3, with_slow_start);
	uint64_t begin_ms = now_ms;
	unsigned got = 0;

	(void)state;
	atomic_store(&server(&s, 2)->usage->started_ms, begin_ms);
	shm_touch_pool(s.shm, s.config->pools[0].id);
	for (int i = 0; i < 64; i++) {
		struct server *chosen;

		now_ms = begin_ms + i * 500;
		chosen = setting_pick(&s);
		got += chosen == server(&s, 2);
		balance_release(chosen);
	}
	/* The mean share of the whole time is about a fifth. */
	assert_in_range(got, 8, 17);
	setting_free(&s);
}

static void
starts_are_noted(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 1);
	uint32_t pool_id = s.config->pools[0].id, id = setting_server_id(&s, 0);
	_Atomic uint64_t *started = &shm_usage(s.shm, id)->started_ms;

	(void)state;
	assert_int_not_equal(atomic_load(started), 0);
	atomic_store(started, 0);
	setting_set_health(&s, 0, HEALTH_UP); /* from unknown: it was in use */
	setting_set_health(&s, 0, HEALTH_DOWN);
	shm_set_admin(s.shm, pool_id, id, ADMIN_MAINT);
	assert_int_equal(atomic_load(started), 0);
	shm_set_admin(s.shm, pool_id, id, ADMIN_READY);
	assert_int_not_equal(atomic_load(started), 0);
	atomic_store(started, 0);
	setting_set_health(&s, 0, HEALTH_UP);
	assert_int_not_equal(atomic_load(started), 0);
	atomic_store(started, 0);
	assert_true(shm_eject(s.shm, id));
	assert_false(shm_eject(s.shm, id));
	assert_false(shm_server_usable(s.shm, server(&s, 0)->conf));
	assert_false(shm_server_stickable(s.shm, server(&s, 0)->conf));
	shm_touch_pool(s.shm, pool_id);
	assert_null(setting_pick(&s));
	assert_int_equal(atomic_load(started), 0);
	assert_true(shm_readmit(s.shm, pool_id, id, 0));
	assert_false(shm_readmit(s.shm, pool_id, id, 0));
	assert_int_not_equal(atomic_load(started), 0);
	setting_free(&s);
}

static void
with_backups(struct pool_config *pool)
{
	pool->servers[2].backup = pool->servers[3].backup = true;
}

static void
backups_wait(void **state)
{
	(void)state;
	for (int method = BALANCE_WRR; method <= BALANCE_POWER_OF_TWO; method++) {
		static const unsigned weights[] = { 1, 1, 1, 2 };
		struct setting s =
		    setting_with((enum balance_method)method, weights, 4, with_backups);
		struct server *a, *b, *c;
		unsigned counts[4];

		count_picks(&s, s.pools, 100, counts);
		assert_int_equal(counts[2] + counts[3], 0);
		setting_set_health(&s, 0, HEALTH_DOWN);
		count_picks(&s, s.pools, 100, counts);
		assert_int_equal(counts[1], 100);
		shm_set_weight(s.shm, s.config->pools[0].id, setting_server_id(&s, 1), 0);
		count_picks(&s, s.pools, 100, counts);
		assert_int_equal(counts[2] + counts[3], 100);
		setting_set_health(&s, 0, HEALTH_UP);
		count_picks(&s, s.pools, 100, counts);
		assert_int_equal(counts[0], 100);

		/* All others failed for this request: then a backup may try. */
		a = setting_pick(&s);
		s.request.tried[s.request.tried_count++] = a;
		b = setting_pick(&s);
		assert_non_null(b);
		assert_true(b->conf->backup);
		s.request.tried[s.request.tried_count++] = b;
		c = setting_pick(&s);
		assert_non_null(c);
		assert_true(c->conf->backup && c != b);
		s.request.tried[s.request.tried_count++] = c;
		assert_null(setting_pick(&s));
		setting_free(&s);
	}
}

static void
with_limits(struct pool_config *pool)
{
	for (size_t i = 0; i < pool->server_count; i++)
		pool->servers[i].max_connections = (unsigned)i % 3 + 1;
}

/* Every method fills every server to its limit and no further, in two workers together. */
static void
limits_hold(void **state)
{
	enum { SERVERS = 60 };

	(void)state;
	for (int method = BALANCE_WRR; method <= BALANCE_POWER_OF_TWO; method++) {
		struct setting s =
		    setting_with((enum balance_method)method, NULL, SERVERS, with_limits);
		struct pool *other = setting_other_worker(&s);
		struct server *held[SERVERS * 2];
		unsigned counts[SERVERS] = { 0 };

		s.request.client = &s.client;
		s.request.local = &s.local;
		for (unsigned i = 0; i < SERVERS * 2; i++) {
			held[i] = balance_pick(i % 2 == 0 ? s.pools : other, &s.request);
			assert_non_null(held[i]);
			counts[held[i]->conf->index]++;
		}
		for (unsigned i = 0; i < SERVERS; i++)
			assert_int_equal(counts[i], i % 3 + 1);
		assert_null(balance_pick(s.pools, &s.request));
		assert_true(s.pools->is_full);
		assert_false(balance_hold(server(&s, 7)));
		balance_release(held[9]);
		assert_ptr_equal(balance_pick(other, &s.request)->conf, held[9]->conf);
		for (unsigned i = 0; i < SERVERS * 2; i++)
			balance_release(held[i]);
		for (unsigned i = 0; i < SERVERS; i++)
			assert_int_equal(atomic_load(&server(&s, i)->usage->active), 0);
		pools_free(other, s.config);
		setting_free(&s);
	}
}

static void
with_pool_limit(struct pool_config *pool)
{
	pool->max_connections = 3;
	pool->servers[0].max_connections = 1;
}

static void
dead_workers_hold_nothing(void **state)
{
	struct setting s = setting_with(BALANCE_WRR, NULL, 2, with_pool_limit);
	int slot = shm_take_slot(s.shm);
	struct pool *other = pools_new(s.config, s.shm, slot);

	(void)state;
	s.request.client = &s.client;
	s.request.local = &s.local;
	assert_non_null(balance_pick(other, &s.request));
	assert_non_null(balance_pick(other, &s.request));
	assert_non_null(setting_pick(&s));
	assert_null(setting_pick(&s));
	assert_true(s.pools->is_full);
	shm_retire_slot(s.shm, slot);
	assert_non_null(setting_pick(&s));
	assert_non_null(setting_pick(&s));
	assert_null(setting_pick(&s));
	assert_int_equal(atomic_load(&s.pools->usage->active), 3);
	pools_free(other, s.config);
	setting_free(&s);
}

/* Servers of a running pool get limits: what is in progress counts, also with those that leave. */
static void
limits_come_later(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 2);
	struct pool *pool = s.pools;
	struct server *first = server(&s, 0), *second = server(&s, 1), *third;
	struct server_config *only;

	(void)state;
	assert_true(balance_hold(first));
	assert_true(balance_hold(second));
	assert_true(balance_hold(second));
	assert_int_equal(atomic_load(&second->usage->active), 0);
	only = conf_copy_servers(second->conf, 1);
	only->max_connections = 3;
	assert_int_equal(shm_bind_servers(s.shm, pool->conf, only, 1, 1), 0);
	pool_set_servers(pool, &s.config->pools[0], only, 1, 1);
	assert_int_equal(atomic_load(&second->usage->active), 2);
	third = setting_pick(&s);
	assert_ptr_equal(third, second);
	assert_null(setting_pick(&s));
	assert_true(pool->is_full);
	balance_release(first);
	assert_null(setting_pick(&s));
	balance_release(second);
	assert_ptr_equal(setting_pick(&s), second);
	for (int i = 0; i < 3; i++)
		balance_release(second);
	assert_int_equal(atomic_load(&second->usage->active), 0);
	assert_int_equal(atomic_load(&first->usage->active), 0);
	assert_int_equal(tally_get(second->tally, TALLY_COUNTED), 0);
	setting_free(&s);
	free(only);
}

/* Thousands of requests through four workers in turn: the levels differ by one at most. */
static void
wlc_is_exact_across_workers(void **state)
{
	enum { SERVERS = 1000, REQUESTS = 7 * SERVERS + 300 };
	struct setting s = setting_new(BALANCE_WLC, STICKY_OFF, NULL, SERVERS);
	struct pool *workers[4] = { s.pools, setting_other_worker(&s), setting_other_worker(&s),
		setting_other_worker(&s) };
	static unsigned counts[SERVERS];
	static struct server *held[REQUESTS];

	(void)state;
	s.request.client = &s.client;
	s.request.local = &s.local;
	for (unsigned i = 0; i < REQUESTS; i++) {
		held[i] = balance_pick(workers[i * 7 / 3 % 4], &s.request);
		counts[held[i]->conf->index]++;
	}
	for (unsigned i = 0; i < SERVERS; i++)
		assert_in_range(counts[i], 7, 8);
	/* Half of the servers lose all; what comes next goes there, once it has been looked at. */
	for (unsigned i = 0; i < REQUESTS; i++)
		if (held[i]->conf->index < SERVERS / 2)
			balance_release(held[i]);
	now_ms += 100;
	for (unsigned i = 0; i < SERVERS; i++)
		assert_in_range(
		    balance_pick(workers[i % 4], &s.request)->conf->index, 0, SERVERS / 2 - 1);
	for (int i = 1; i < 4; i++)
		pools_free(workers[i], s.config);
	setting_free(&s);
}

static void
power_of_two_levels(void **state)
{
	enum { SERVERS = 1000 };
	struct setting s = setting_new(BALANCE_POWER_OF_TWO, STICKY_OFF, NULL, SERVERS);
	struct pool *other = setting_other_worker(&s);
	static unsigned counts[SERVERS];
	unsigned least = UINT32_MAX, most = 0;

	(void)state;
	s.request.client = &s.client;
	s.request.local = &s.local;
	for (unsigned i = 0; i < 20 * SERVERS; i++)
		counts[balance_pick(i % 2 == 0 ? s.pools : other, &s.request)->conf->index]++;
	for (unsigned i = 0; i < SERVERS; i++) {
		least = counts[i] < least ? counts[i] : least;
		most = counts[i] > most ? counts[i] : most;
	}
	/* One random choice would leave 20 +- 15; the theory says ln ln n above the mean. */
	assert_in_range(most, 20, 24);
	assert_in_range(least, 14, 20);
	pools_free(other, s.config);
	setting_free(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_start_grows),
		cmocka_unit_test(slow_start_with_few_requests),
		cmocka_unit_test(starts_are_noted),
		cmocka_unit_test(backups_wait),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(dead_workers_hold_nothing),
		cmocka_unit_test(limits_come_later),
		cmocka_unit_test(wlc_is_exact_across_workers),
		cmocka_unit_test(power_of_two_levels),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
