/*
 * limits: what is judged too low, and what is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/arena.h"
#include "weir/limits.h"

static char *said; /* all of it */

static void
on_warning(void *arg, const char *text)
{
	char *longer = xprintf("%s%s\n", said, text);

	(void)arg;
	free(said);
	said = longer;
}

static const char *
judged(struct limits_found found, unsigned connections, unsigned workers)
{
	struct pool_config pools[] = { { .name = "empty" },
		{ .name = "default/web:80", .server_count = 2 } };
	struct config config = { .pools = pools, .pool_count = 2 };

	config.global.limits.connections = connections;
	free(said);
	said = xstrdup("");
	limits_judge(&found, &config, workers, on_warning, NULL);
	return said;
}

static const struct limits_found plenty = { 1 << 20, 4096, 28232, UINT64_C(8) << 30 };

static void
a_usual_machine_is_fine(void **state)
{
	(void)state;
	assert_string_equal(judged(plenty, CONF_AUTO, 8), "");
	assert_string_equal(judged(plenty, 10000, 4), "");
	assert_string_equal(judged((struct limits_found){ 0 }, 1000000, 8), "");
}

static void
each_limit_is_told_with_its_command(void **state)
{
	struct limits_found found = plenty;

	(void)state;
	found.descriptors = 1024;
	assert_non_null(strstr(judged(found, CONF_AUTO, 1), "1024 files"));
	assert_non_null(strstr(said, "LimitNOFILE="));
	assert_string_equal(judged(found, 100, 1), "");
	found = plenty;
	found.somaxconn = 128;
	assert_non_null(strstr(judged(found, CONF_AUTO, 1), "sysctl -w net.core.somaxconn=4096"));
	found = plenty;
	found.ports = 5000;
	assert_non_null(strstr(judged(found, CONF_AUTO, 1), "5000 local ports"));
	assert_non_null(strstr(said, "net.ipv4.ip_local_port_range"));
	found = plenty;
	assert_non_null(strstr(judged(found, 30000, 2), "pool default/web:80: 60000 connections"));
	found.memory = 1 << 20;
	assert_non_null(strstr(judged(found, 1000, 2), "7 MiB, and 1 are available"));
}

static void
what_is_found_makes_sense(void **state)
{
	struct limits_found found;

	(void)state;
	limits_find(&found);
	assert_true(found.memory > 1 << 20);
	assert_true(found.ports <= 65536);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_usual_machine_is_fine),
		cmocka_unit_test(each_limit_is_told_with_its_command),
		cmocka_unit_test(what_is_found_makes_sense),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(said);
	return failed;
}
