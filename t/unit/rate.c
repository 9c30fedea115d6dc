/* rate: a limit lets through what it says, all sources and each one, and no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "weir/addr.h"
#include "weir/rate.h"

enum { SECOND_US = 1000000 };

/* One route with the limit, as the configuration has it. */
struct setting {
	struct route_config route;
	struct listener_config listener;
	struct config config;
};

static void
setting_init(struct setting *s, uint32_t requests, uint32_t per_source, uint32_t burst)
{
	struct diag *diag = diag_new();

	*s = (struct setting){ .route = { .limit = { true, requests, per_source, burst, NULL } } };
	s->listener = (struct listener_config){ .routes = &s->route, .route_count = 1 };
	s->config = (struct config){ .listeners = &s->listener, .listener_count = 1 };
	assert_int_equal(rate_open(&s->config, diag), 0);
	assert_non_null(s->route.limit.rate);
	diag_free(diag);
}

/* How many of `tries` pass that come at once. */
static unsigned
passes(const struct setting *s, const char *source, unsigned tries, uint64_t now_us)
{
	struct addr client;
	unsigned count = 0;

	assert_int_equal(addr_parse_ip(&client, source, 1234), 0);
	while (tries-- > 0)
		count += rate_take(&s->route.limit, &client, now_us);
	return count;
}

static void
all_together(void **state)
{
	uint64_t now = 5 * (uint64_t)SECOND_US;
	struct setting s;

	(void)state;
	setting_init(&s, 10, 0, 0);
	assert_int_equal(passes(&s, "192.0.2.1", 30, now), 10);
	assert_int_equal(passes(&s, "192.0.2.2", 5, now), 0);
	assert_int_equal(passes(&s, "192.0.2.2", 5, now + SECOND_US / 10), 1);
	assert_int_equal(passes(&s, "2001:db8::1", 50, now + 60 * (uint64_t)SECOND_US), 10);
	rate_close(&s.config);
}

static void
bursts(void **state)
{
	uint64_t now = 5 * (uint64_t)SECOND_US;
	struct setting s;

	(void)state;
	setting_init(&s, 5, 0, 10);
	assert_int_equal(passes(&s, "192.0.2.1", 30, now), 10);
	assert_int_equal(passes(&s, "192.0.2.1", 30, now + SECOND_US), 5);
	rate_close(&s.config);
	setting_init(&s, 0, 5, 10);
	assert_int_equal(passes(&s, "192.0.2.1", 30, now), 10);
	rate_close(&s.config);
}

static void
each_source(void **state)
{
	uint64_t now = 5 * (uint64_t)SECOND_US;
	struct setting s;

	(void)state;
	setting_init(&s, 7, 3, 0);
	assert_int_equal(passes(&s, "192.0.2.1", 9, now), 3);
	assert_int_equal(passes(&s, "::ffff:192.0.2.1", 9, now), 0);
	assert_int_equal(passes(&s, "192.0.2.2", 9, now), 3);
	assert_int_equal(passes(&s, "192.0.2.3", 9, now), 1);
	rate_close(&s.config);
	setting_init(&s, 0, 1, 0);
	for (unsigned i = 0; i < 100; i++) {
		char source[32];

		snprintf(source, sizeof(source), "198.51.100.%u", i);
		assert_int_equal(passes(&s, source, 3, now), 1);
	}
	rate_close(&s.config);
}

static void
no_limit_needs_no_memory(void **state)
{
	struct config config = { 0 };
	struct diag *diag = diag_new();

	(void)state;
	assert_int_equal(rate_open(&config, diag), 0);
	assert_null(config.rates);
	rate_close(&config);
	diag_free(diag);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_together),
		cmocka_unit_test(bursts),
		cmocka_unit_test(each_source),
		cmocka_unit_test(no_limit_needs_no_memory),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
