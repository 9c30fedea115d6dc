/*
 * histogram: every duration lies in its bucket, and percentiles are right within 5 %.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/arena.h"
#include "weir/conf.h"
#include "weir/histogram.h"
#include "weir/shm.h"

static void
buckets_are_without_gaps(void **state)
{
	(void)state;
	assert_int_equal(histogram_lower_us(0), 0);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t lower = histogram_lower_us(i), upper = histogram_upper_us(i);

		assert_true(lower < upper);
		assert_int_equal(histogram_index(lower), i);
		assert_int_equal(histogram_index(upper - 1), i);
		/* The middle is within 5 % of both ends. */
		assert_true((double)(upper - 1 - lower) / 2 <= 0.05 * (double)lower + 0.5);
	}
	assert_int_equal(histogram_upper_us(HISTOGRAM_BUCKETS - 1), UINT64_C(1) << 31);
	assert_int_equal(histogram_index(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Against the exact value, for durations spread over six decades and for narrow ones. */
static void
percentiles_are_right(void **state)
{
	enum { COUNT = 20000 };
	static const unsigned wanted[] = { 1, 500, 900, 990, 999, 1000 };
	static struct histogram h, other;
	static uint64_t all[COUNT];

	(void)state;
	for (int shape = 0; shape < 2; shape++) {
		struct histogram_sum sum = { 0 };
		uint64_t seed = 42;

		memset(&h, 0, sizeof(h));
		memset(&other, 0, sizeof(other));
		for (size_t i = 0; i < COUNT; i++) {
			seed = seed * 6364136223846793005 + 1442695040888963407;
			all[i] = shape == 0 ? (seed >> 33) >> (seed >> 8) % 24
					    : 1000 + (seed >> 40) % 500;
			/* Two workers. */
			histogram_add(i % 3 == 0 ? &h : &other, histogram_index(all[i]), all[i]);
		}
		qsort(all, COUNT, sizeof(all[0]), compare);
		histogram_sum_add(&sum, &h);
		histogram_sum_add(&sum, &other);
		assert_int_equal(sum.count, COUNT);
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
			uint64_t rank = (COUNT * (uint64_t)wanted[i] + 999) / 1000;
			double exact = (double)all[rank - 1];
			double got = (double)histogram_percentile_us(&sum, wanted[i]);

			assert_true(got >= exact * 0.95 - 1 && got <= exact * 1.05 + 1);
		}
	}
}

static void
counts_below_a_bound_rise(void **state)
{
	static struct histogram h;
	struct histogram_sum sum = { 0 };
	uint64_t last = 0;

	(void)state;
	for (uint64_t us = 1; us <= 100000; us += 7)
		histogram_add(&h, histogram_index(us), us);
	histogram_sum_add(&sum, &h);
	for (uint64_t bound = 1; bound < 200000; bound += 501) {
		uint64_t below = histogram_count_below(&sum, bound);

		assert_true(below >= last);
		if (bound <= 100000)
			assert_in_range(below, bound / 7 * 94 / 100, bound / 7 * 106 / 100 + 2);
		last = below;
	}
	assert_int_equal(histogram_count_below(&sum, UINT64_C(1) << 40), sum.count);
	assert_int_equal(last, sum.count);
}

static void
nothing_counted_is_no_percentile(void **state)
{
	struct histogram_sum sum = { 0 }, earlier = { 0 };
	static struct histogram h;

	(void)state;
	assert_int_equal(histogram_percentile_us(&sum, 990), 0);
	histogram_add(&h, histogram_index(100), 100);
	histogram_sum_add(&earlier, &h);
	histogram_add(&h, histogram_index(90000), 90000);
	histogram_sum_add(&sum, &h);
	histogram_sum_subtract(&sum, &earlier);
	assert_int_equal(sum.count, 1);
	assert_int_equal(sum.sum_us, 90000);
	assert_in_range(histogram_percentile_us(&sum, 500), 85500, 94500);
}

/* In shared memory: over the end of a worker, into a larger region, and not into a new entity. */
static void
shared_histograms_outlive_workers(void **state)
{
	struct arena *arena = arena_new();
	struct config *config = arena_alloc(arena, sizeof(*config));
	struct pool_config *pool = arena_alloc(arena, sizeof(*pool));
	struct shm *shm = shm_new(2, 0), *larger = shm_new(64, 0);
	int slot = shm_take_slot(shm);
	struct histogram_sum sums[LATENCY_KINDS] = { 0 };
	struct latency *latency;

	(void)state;
	*config = (struct config){ .pools = pool, .pool_count = 1, .generation = 1 };
	pool->name = "a";
	assert_int_equal(shm_bind_config(shm, config, 1), 0);
	latency = shm_latency(shm, slot, pool->id);
	tally_add(shm_tally(shm, slot, pool->id), TALLY_REQUESTS, 2);
	histogram_add(&latency->of[LATENCY_TOTAL], histogram_index(300), 300);
	histogram_add(&latency->of[LATENCY_TOTAL], histogram_index(500), 500);
	shm_latency_sum(shm, pool->id, sums);
	assert_int_equal(sums[LATENCY_TOTAL].count, 2);
	assert_int_equal(sums[LATENCY_CONNECT].count, 0);
	shm_retire_slot(shm, slot);
	assert_int_equal(shm_take_slot(shm), slot);
	memset(sums, 0, sizeof(sums));
	shm_latency_sum(shm, pool->id, sums);
	assert_int_equal(sums[LATENCY_TOTAL].count, 2);
	assert_int_equal(sums[LATENCY_TOTAL].sum_us, 800);

	shm_copy(larger, shm);
	memset(sums, 0, sizeof(sums));
	shm_latency_sum(larger, pool->id, sums);
	assert_int_equal(sums[LATENCY_TOTAL].count, 2);
	assert_int_equal(sums[LATENCY_TOTAL].sum_us, 800);

	pool->name = "b";
	config->generation = 2;
	assert_int_equal(shm_bind_config(shm, config, 2), 0);
	pool->name = "c";
	config->generation = 3;
	assert_int_equal(shm_bind_config(shm, config, 3), 0);
	assert_int_equal(pool->id, 0);
	memset(sums, 0, sizeof(sums));
	shm_latency_sum(shm, pool->id, sums);
	assert_int_equal(sums[LATENCY_TOTAL].count, 0);
	shm_free(larger);
	shm_free(shm);
	arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_are_without_gaps),
		cmocka_unit_test(percentiles_are_right),
		cmocka_unit_test(counts_below_a_bound_rise),
		cmocka_unit_test(nothing_counted_is_no_percentile),
		cmocka_unit_test(shared_histograms_outlive_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
