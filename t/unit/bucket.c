/* bucket: the rate is kept by one taker and by several, over any stretch of (made up) time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "weir/bucket.h"

static const uint64_t ms = 1000000, s = 1000000000;
static const uint64_t start = 12345 * UINT64_C(1000000000);

/* Not on the stack: some sanitizers' stacks are not aligned as much as it is. */
static struct bucket *
fresh_bucket(void)
{
	static struct bucket bucket;

	atomic_store(&bucket.paid_ns, 0);
	return &bucket;
}

static void
an_idle_bucket_holds_a_burst_and_no_more(void **state)
{
	const struct bucket_rate rate = { 1000000, 100 * ms };
	struct bucket *bucket = fresh_bucket();

	(void)state;
	assert_int_equal(bucket_credit(bucket, &rate, start), 100000);
	assert_int_equal(bucket_wait_ns(bucket, &rate, 100000, start), 0);
	bucket_take(bucket, &rate, 60000, start);
	assert_int_equal(bucket_credit(bucket, &rate, start), 40000);
	assert_int_equal(bucket_wait_ns(bucket, &rate, 50000, start), 10 * ms);
	assert_int_equal(bucket_credit(bucket, &rate, start + 10 * ms), 50000);
	assert_int_equal(bucket_credit(bucket, &rate, start + 3600 * s), 100000);
}

static void
debts_are_paid(void **state)
{
	const struct bucket_rate rate = { 8000, 100 * ms };
	struct bucket *bucket = fresh_bucket();

	(void)state;
	bucket_take(bucket, &rate, 65507, start);
	assert_int_equal(bucket_credit(bucket, &rate, start), 800 - 65507);
	assert_int_equal(bucket_credit(bucket, &rate, start + 8 * s), 800 - 65507 + 64000);
	assert_true(bucket_credit(bucket, &rate, start + 9 * s) > 0);
	assert_int_equal(bucket_wait_ns(bucket, &rate, 0, start + 8 * s), 707 * s / 8000);
}

/* Takers that come at odd moments, each with what there is, up to `most` bytes. */
static uint64_t
taken_in(const struct bucket_rate *rate, uint64_t duration, unsigned takers, uint64_t most)
{
	struct bucket *bucket = fresh_bucket();
	uint64_t sum = 0, now = start;

	while (now < start + duration) {
		now += (uint64_t)(random() % (12 * 1000 * 1000 / takers));
		for (int64_t credit; (credit = bucket_credit(bucket, rate, now)) >= 1000;) {
			uint64_t len = (uint64_t)credit < most ? (uint64_t)credit : most;

			bucket_take(bucket, rate, len, now);
			sum += len;
			if (random() % 4 == 0)
				break;
		}
	}
	return sum;
}

static void
ten_seconds_are_within_two_percent(void **state)
{
	static const uint64_t mbit[] = { 1, 10, 100, 1000, 5000, 30000 };

	(void)state;
	srandom(1);
	for (size_t i = 0; i < sizeof(mbit) / sizeof(mbit[0]); i++) {
		const struct bucket_rate rate = { mbit[i] * 125000, 100 * ms };
		uint64_t ideal = rate.bytes_per_s * 10;

		for (unsigned takers = 1; takers <= 4; takers += 3) {
			assert_in_range(
			    taken_in(&rate, 10 * s, takers, 65536 + ideal / 100), ideal * 98 / 100, ideal * 102 / 100);
		}
	}
}

static void
many_small_ones_do_not_get_more(void **state)
{
	const struct bucket_rate rate = { 3750000000, 100 * ms }; /* 30 Gbit/s: 27 ns for 100 bytes */
	struct bucket *bucket = fresh_bucket();
	uint64_t sum = 0;

	(void)state;
	while (bucket_credit(bucket, &rate, start) > 0) {
		bucket_take(bucket, &rate, 100, start);
		sum += 100;
	}
	assert_in_range(sum, 375000000 * UINT64_C(95) / 100, 375000000);
}

/* Four processes that race for one bucket: none of what one took is forgotten. */
static void
processes_share_it(void **state)
{
	enum { PROCESSES = 4, STEP = 1500 };
	const struct bucket_rate rate = { 12500000, 100 * ms };
	struct shared {
		struct bucket bucket;
		_Atomic uint64_t sum;
	} *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(shared, MAP_FAILED);
	for (int i = 0; i < PROCESSES; i++)
		if (fork() == 0) {
			for (uint64_t now = start; now <= start + s; now += ms)
				while (bucket_credit(&shared->bucket, &rate, now) > 0) {
					bucket_take(&shared->bucket, &rate, STEP, now);
					shared->sum += STEP;
				}
			_exit(0);
		}
	for (int i = 0; i < PROCESSES; i++)
		wait(NULL);
	assert_in_range(shared->sum, 1, rate.bytes_per_s * 11 / 10 + PROCESSES * STEP);
	assert_true(bucket_credit(&shared->bucket, &rate, start + s) <= 0);
	assert_true(bucket_credit(&shared->bucket, &rate, start + s) > -PROCESSES * STEP - STEP);
	munmap(shared, sizeof(*shared));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_bucket_holds_a_burst_and_no_more),
		cmocka_unit_test(debts_are_paid),
		cmocka_unit_test(ten_seconds_are_within_two_percent),
		cmocka_unit_test(many_small_ones_do_not_get_more),
		cmocka_unit_test(processes_share_it),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
