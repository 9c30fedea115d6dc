/* shm_source: rates of sources in one bounded table, over made up time. */
#include "pools.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>


static const uint64_t s = 1000000, start = UINT64_C(987654321012);

static uint64_t
key_of(uint64_t i)
{
	return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static unsigned
admitted(struct shm *shm, uint64_t key, const struct source_rate *rate, uint64_t now_us, unsigned tries)
{
	unsigned count = 0;

	for (unsigned i = 0; i < tries; i++)
		count += shm_source_admit(shm, key, rate, now_us) == 0;
	return count;
}

static void
bursts_and_rates(void **state)
{
	static const struct {
		struct source_rate rate;
		unsigned at_once, in_ten_seconds;
	} cases[] = {
		{ { 10000, 1000000 }, 100, 1100 },     /* 100/s, burst 1s */
		{ { 20000, 100000 }, 5, 505 },         /* 50/s, burst 100ms */
		{ { 2000000, 1000000 }, 1, 6 },        /* 30/m: one at least */
		{ { 10, 1000000 }, 100000, 1100000 },  /* 100000/s */
		{ { 3600000000, 3600000000 }, 1, 1 },  /* 1/h */
	};
	struct shm *shm = shm_new(1, 0);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned count = admitted(shm, key_of(i), &cases[i].rate, start, 200000);

		assert_int_equal(count, cases[i].at_once);
		for (uint64_t ms = 1; ms <= 10000; ms++)
			count += admitted(shm, key_of(i), &cases[i].rate, start + ms * 1000, 120);
		assert_int_equal(count, cases[i].in_ten_seconds);
	}
	shm_free(shm);
}

static void
the_wait_is_as_long_as_said(void **state)
{
	const struct source_rate rate = { 2 * 1000000, 1000000 };
	struct shm *shm = shm_new(1, 0);
	uint64_t wait;

	(void)state;
	assert_int_equal(shm_source_admit(shm, key_of(1), &rate, start), 0);
	wait = shm_source_admit(shm, key_of(1), &rate, start + s / 2);
	assert_in_range(wait, 1, 3 * s / 2 + s);
	assert_int_not_equal(shm_source_admit(shm, key_of(1), &rate, start + s / 2 + wait - 1), 0);
	assert_int_equal(shm_source_admit(shm, key_of(1), &rate, start + s / 2 + wait), 0);
	/* Others are not meant. */
	assert_int_equal(shm_source_admit(shm, key_of(2), &rate, start + s / 2), 0);
	shm_free(shm);
}

static void
words_of_weeks_ago_mean_nothing(void **state)
{
	const struct source_rate rate = { 1000000, 1000000 };
	struct shm *shm = shm_new(1, 0);
	const uint64_t day = 24 * 3600 * s;

	(void)state;
	for (uint64_t days = 0; days < 120; days++) {
		assert_int_equal(shm_source_admit(shm, key_of(1), &rate, start + days * day), 0);
		assert_int_not_equal(shm_source_admit(shm, key_of(1), &rate, start + days * day + 1), 0);
	}
	shm_free(shm);
}

/* Far more sources than there is room for: those that wait longest are kept, and nobody waits who came once. */
static void
a_full_table_forgets_the_oldest(void **state)
{
	const struct source_rate rate = { 1000000, 5 * 1000000 };
	struct shm *shm = shm_new(1, 0);

	(void)state;
	for (uint64_t i = 0; i < 1000000; i++)
		assert_int_equal(shm_source_admit(shm, key_of(i), &rate, start), 0);
	/* One that has used all it may have outlives newer ones with less. */
	assert_int_equal(admitted(shm, key_of(5000000), &rate, start, 10), 5);
	for (uint64_t i = 1000000; i < 2000000; i++)
		shm_source_admit(shm, key_of(i), &rate, start);
	assert_int_equal(admitted(shm, key_of(5000000), &rate, start, 10), 0);
	shm_free(shm);
}

static void
copies_and_processes_count_together(void **state)
{
	const struct source_rate rate = { 1000, 1000000 };
	struct shm *shm = shm_new(1, 0), *larger = shm_new(100, 0);
	int sum = 0, status;

	(void)state;
	for (int i = 0; i < 4; i++)
		if (fork() == 0)
			_exit((int)(admitted(shm, key_of(1), &rate, start, 3000) / 8));
	for (int i = 0; i < 4; i++) {
		wait(&status);
		sum += WEXITSTATUS(status);
	}
	assert_in_range(sum, 1000 / 8 - 4, 1000 / 8);
	shm_copy(larger, shm);
	assert_int_equal(shm_source_seed(larger), shm_source_seed(shm));
	assert_int_equal(admitted(larger, key_of(1), &rate, start, 10), 0);
	shm_free(shm);
	shm_free(larger);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bursts_and_rates),
		cmocka_unit_test(the_wait_is_as_long_as_said),
		cmocka_unit_test(words_of_weeks_ago_mean_nothing),
		cmocka_unit_test(a_full_table_forgets_the_oldest),
		cmocka_unit_test(copies_and_processes_count_together),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
