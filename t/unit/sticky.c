/* sticky: cookies in their field, source addresses in the shared table. */
#include "pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/sticky.h"

struct field_case {
	const char *field;
	const char *value; /* NULL: not there */
	const char *rest;  /* what is left when the cut is taken out */
};

static const struct field_case field_cases[] = {
	{ "SRV=abc", "abc", "" },
	{ "SRV=abc; a=1", "abc", "a=1" },
	{ "a=1; SRV=abc", "abc", "a=1" },
	{ "a=1; SRV=abc; b=2", "abc", "a=1; b=2" },
	{ "a=1;SRV=abc;b=2", "abc", "a=1;b=2" },
	{ "  SRV = abc  ", "abc", "" },
	{ "SRV=abc;", "abc", "" },
	{ "SRV=abc ; ;\t", "abc", "" },
	{ "; ;SRV=abc; b=2", "abc", "b=2" },
	{ "a=1; SRV=abc;", "abc", "a=1;" },
	{ "SRV=\"abc\"; a=1", "abc", "a=1" },
	{ "SRV=\"\"", "", "" },
	{ "SRV=", "", "" },
	{ "SRV=a=b==", "a=b==", "" },
	/* The first one counts. */
	{ "SRV=1; SRV=2", "1", "SRV=2" },
	/* Malformed values are taken out and mean nothing. */
	{ "SRV=\"; a=1", "", "a=1" },
	{ "SRV=\"a; b\"; c=1", "", "b\"; c=1" },
	{ "SRV=a b", "", "" },
	{ "SRV=a,b", "", "" },
	{ "SRV=a\\b", "", "" },
	{ "SRV=a\x7f", "", "" },
	{ "SRV=\xc3\xa9", "", "" },
	/* Not there. */
	{ "", NULL, "" },
	{ ";", NULL, ";" },
	{ "SRV", NULL, "SRV" },
	{ "srv=1", NULL, "srv=1" },
	{ "XSRV=1; SRVX=2", NULL, "XSRV=1; SRVX=2" },
	{ "a=SRV=1", NULL, "a=SRV=1" },
	{ "a=\"x SRV=1\"", NULL, "a=\"x SRV=1\"" },
	{ "S RV=1", NULL, "S RV=1" },
	{ "=SRV", NULL, "=SRV" },
};

static void
finds_cookies_in_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(field_cases) / sizeof(field_cases[0]); i++) {
		const struct field_case *c = &field_cases[i];
		struct slice value = { NULL, 0 }, cut = { c->field, 0 };
		bool found = sticky_find_in_field(slice_of(c->field), SLICE("SRV"), &value, &cut);
		char rest[64];

		assert_int_equal(found, c->value != NULL);
		if (found)
			assert_true(slice_equal(value, slice_of(c->value)));
		snprintf(rest, sizeof(rest), "%.*s%s", (int)(cut.ptr - c->field), c->field,
		    cut.ptr + cut.len);
		assert_string_equal(rest, c->rest);
	}
}

/*
 * Any bytes: what is found lies within the field, and what is left still has all the other cookies.
 */
static void
survives_any_field(void **state)
{
	static const char alphabet[] = "SRV=;; \t\"a,";
	uint32_t random = 1;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		size_t len = (size_t)(round % 24);
		/* Of exact size, so that the sanitizer sees every step too far. */
		char *field = malloc(len ? len : 1);
		struct slice value, cut, s = { field, len };

		for (size_t i = 0; i < len; i++) {
			random = random * 1664525 + 1013904223;
			field[i] = alphabet[(random >> 16) % (sizeof(alphabet) - 1)];
		}
		if (sticky_find_in_field(s, SLICE("S"), &value, &cut)) {
			assert_true(value.ptr >= field && value.ptr + value.len <= field + len);
			assert_true(cut.ptr >= field && cut.ptr + cut.len <= field + len);
			assert_true(cut.ptr == field || *cut.ptr == ';');
			assert_true(value.len == 0 || (value.ptr >= cut.ptr &&
			    value.ptr + value.len <= cut.ptr + cut.len));
			assert_true(cut.ptr == field || cut.ptr + cut.len == field + len ||
			    cut.ptr[cut.len] == ';');
		}
		free(field);
	}
}

static struct slice
cookie_of(const struct setting *s, size_t i)
{
	return slice_of(s->config->pools[0].servers[i].cookie);
}

static void
cookie_names_server(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_COOKIE_INSERT, NULL, 1000);
	struct pool *pool = &s.pools[0];
	uint32_t pool_id = s.config->pools[0].id;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		assert_ptr_equal(sticky_find_cookie(pool, cookie_of(&s, i)), pool->servers[i]);
	assert_null(sticky_find_cookie(pool, SLICE("0123456789abcdef0123456789abcdef")));
	assert_null(sticky_find_cookie(pool, SLICE("")));
	assert_null(sticky_find_cookie(pool, (struct slice){ cookie_of(&s, 0).ptr, 31 }));

	shm_set_admin(s.shm, pool_id, setting_server_id(&s, 0), ADMIN_DRAIN);
	shm_set_weight(s.shm, pool_id, setting_server_id(&s, 1), 0);
	assert_non_null(sticky_find_cookie(pool, cookie_of(&s, 0)));
	assert_non_null(sticky_find_cookie(pool, cookie_of(&s, 1)));
	shm_set_admin(s.shm, pool_id, setting_server_id(&s, 2), ADMIN_MAINT);
	setting_set_health(&s, 3, HEALTH_DOWN);
	assert_null(sticky_find_cookie(pool, cookie_of(&s, 2)));
	assert_null(sticky_find_cookie(pool, cookie_of(&s, 3)));
	setting_free(&s);
}

/*
 * The value is HMAC-SHA256("secret", "default/api:80" NUL "s0"), cut to 128 bits: fixed for ever,
 * whatever the order.
 */
static void
cookie_is_keyed(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_COOKIE_INSERT, NULL, 2);
	char before[33];

	(void)state;
	assert_string_equal(
	    s.config->pools[0].servers[0].cookie, "7aa2c365077b1155a135c83960b5e70c");
	strcpy(before, s.config->pools[0].servers[0].cookie);
	pool_name_cookies(s.config, (const uint8_t *)"Secret", 6);
	assert_string_not_equal(s.config->pools[0].servers[0].cookie, before);
	setting_free(&s);
}

static void
source_is_remembered(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_SOURCE_IP, NULL, 3);
	struct pool *pool = &s.pools[0], *other = setting_other_worker(&s);
	struct addr mapped, v6, v6_neighbour;

	(void)state;
	addr_parse(&mapped, "[::ffff:198.51.100.7]:1", 0);
	addr_parse(&v6, "[2001:db8::1]:1", 0);
	addr_parse(&v6_neighbour, "[2001:db8::2]:1", 0);
	assert_null(sticky_find_source(pool, &s.client));
	sticky_store_source(pool, &s.client, pool->servers[2]);
	sticky_store_source(pool, &v6, pool->servers[1]);
	addr_set_port(&s.client, 5);
	assert_ptr_equal(sticky_find_source(pool, &s.client), pool->servers[2]);
	assert_ptr_equal(sticky_find_source(pool, &mapped), pool->servers[2]);
	assert_ptr_equal(sticky_find_source(pool, &v6), pool->servers[1]);
	assert_null(sticky_find_source(pool, &v6_neighbour));
	assert_ptr_equal(sticky_find_source(other, &s.client), other->servers[2]);

	/* Down: the session moves, and stays where it moved to when the first server comes back. */
	setting_set_health(&s, 2, HEALTH_DOWN);
	assert_null(sticky_find_source(pool, &s.client));
	sticky_store_source(pool, &s.client, pool->servers[0]);
	setting_set_health(&s, 2, HEALTH_UP);
	assert_ptr_equal(sticky_find_source(pool, &s.client), pool->servers[0]);
	pools_free(other, s.config);
	setting_free(&s);
}

static void
source_may_be_a_network(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_SOURCE_IP, NULL, 3);
	struct pool *pool = &s.pools[0];
	struct addr first, same, other, v4, v4_neighbour;

	(void)state;
	s.config->pools[0].sticky.ipv6_prefix = 60;
	addr_parse(&first, "[2001:db8:0:f0::1]:1", 0);
	addr_parse(&same, "[2001:db8:0:ff:1:2:3:4]:9", 0);
	addr_parse(&other, "[2001:db8:0:e0::1]:1", 0);
	addr_parse(&v4, "192.0.2.1:1", 0);
	addr_parse(&v4_neighbour, "192.0.2.2:1", 0);
	sticky_store_source(pool, &first, pool->servers[2]);
	sticky_store_source(pool, &v4, pool->servers[1]);
	assert_ptr_equal(sticky_find_source(pool, &same), pool->servers[2]);
	assert_null(sticky_find_source(pool, &other));
	assert_null(sticky_find_source(pool, &v4_neighbour));
	setting_free(&s);
}

static void
source_expires_when_unused(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_SOURCE_IP, NULL, 3);
	struct pool *pool = &s.pools[0];

	(void)state;
	sticky_store_source(pool, &s.client, pool->servers[1]);
	for (int i = 0; i < 10; i++) { /* each use renews */
		now_ms += 59000;
		assert_non_null(sticky_find_source(pool, &s.client));
	}
	now_ms += 61000;
	assert_null(sticky_find_source(pool, &s.client));
	/* The loop of another process may have woken a little earlier than the one that wrote. */
	sticky_store_source(pool, &s.client, pool->servers[1]);
	now_ms -= 5000;
	assert_non_null(sticky_find_source(pool, &s.client));
	/* The clock of the entries wraps after 48 days. */
	now_ms = (1ULL << 22) * 1000 * 3 - 1000;
	sticky_store_source(pool, &s.client, pool->servers[0]);
	now_ms += 30000;
	assert_ptr_equal(sticky_find_source(pool, &s.client), pool->servers[0]);
	now_ms += 61000;
	assert_null(sticky_find_source(pool, &s.client));
	setting_free(&s);
}

static void
full_set_forgets_the_one_unused_for_longest(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_SOURCE_IP, NULL, 1);
	uint32_t id = setting_server_id(&s, 0);

	(void)state;
	/* Equal low bits: one set. */
	for (uint64_t i = 0; i < 8; i++) {
		shm_sticky_store(s.shm, i << 48 | 5, id, 600);
		now_ms += 1000;
	}
	assert_int_equal(shm_sticky_find(s.shm, 0ULL << 48 | 5, 600), id);
	shm_sticky_store(s.shm, 8ULL << 48 | 5, id, 600);
	assert_int_equal(shm_sticky_find(s.shm, 1ULL << 48 | 5, 600), UINT32_MAX);
	for (uint64_t i = 0; i <= 8; i++)
		if (i != 1)
			assert_int_equal(shm_sticky_find(s.shm, i << 48 | 5, 600), id);
	setting_free(&s);
}

/* A server that takes the place of one that is gone does not inherit its clients. */
static void
gone_server_is_forgotten(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_SOURCE_IP, NULL, 2);
	struct config *next = setting_config(s.arena, "default/api:80", 2, NULL, 2);
	uint32_t id = setting_server_id(&s, 1);
	struct pool *pools;

	(void)state;
	sticky_store_source(&s.pools[0], &s.client, s.pools[0].servers[1]);
	next->pools[0].servers[1].name = "other";
	assert_int_equal(shm_bind_config(s.shm, next, 2), 0);
	assert_int_equal(next->pools[0].servers[1].id, id);
	pools = pools_new(next, s.shm, shm_take_slot(s.shm));
	assert_null(sticky_find_source(&pools[0], &s.client));
	pools_free(pools, next);
	setting_free(&s);
}

static void
many_sources(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_SOURCE_IP, NULL, 7);
	struct pool *pool = &s.pools[0];
	unsigned kept = 0;

	(void)state;
	for (uint32_t i = 0; i < 512; i++) { /* half of the table */
		s.client.in.sin_addr.s_addr = htonl(i);
		sticky_store_source(pool, &s.client, pool->servers[i % 7]);
	}
	for (uint32_t i = 0; i < 512; i++) {
		struct server *server;

		s.client.in.sin_addr.s_addr = htonl(i);
		server = sticky_find_source(pool, &s.client);
		kept += server != NULL;
		assert_true(server == NULL || server == pool->servers[i % 7]);
	}
	assert_in_range(kept, 490, 512);
	setting_free(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_cookies_in_fields),
		cmocka_unit_test(survives_any_field),
		cmocka_unit_test(cookie_names_server),
		cmocka_unit_test(cookie_is_keyed),
		cmocka_unit_test(source_is_remembered),
		cmocka_unit_test(source_may_be_a_network),
		cmocka_unit_test(source_expires_when_unused),
		cmocka_unit_test(full_set_forgets_the_one_unused_for_longest),
		cmocka_unit_test(gone_server_is_forgotten),
		cmocka_unit_test(many_sources),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
