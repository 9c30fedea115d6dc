/* change: servers of a pool that come and go while requests are under way; the lists on their way.
 */
#include "pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES = 11, HELD_MAX = 40, TURNS = 400 };

static uint32_t seed = 7;

static unsigned
draw(unsigned below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* Some of s0 to s10, in any order, at one of two addresses each. */
static struct server_config *
draw_servers(size_t *count)
{
	static char names[NAMES][8];
	struct server_config list[NAMES];
	unsigned order[NAMES];

	memset(list, 0, sizeof(list));
	for (unsigned i = 0; i < NAMES; i++) {
		unsigned other = draw(i + 1);

		order[i] = order[other];
		order[other] = i;
	}
	*count = draw(NAMES + 1);
	for (size_t i = 0; i < *count; i++) {
		char text[32];

		snprintf(names[order[i]], sizeof(names[0]), "s%u", order[i]);
		snprintf(text, sizeof(text), "192.0.2.%u:80", 1 + order[i] + 100 * draw(2));
		list[i].name = names[order[i]];
		list[i].weight = draw(4);
		assert_int_equal(addr_parse(&list[i].address, text, 0), 0);
	}
	return conf_copy_servers(list, *count);
}

static void
check_pool(const struct pool *pool)
{
	const struct pool_config *conf = pool->conf;
	struct server *server;

	for (size_t i = 0; i < conf->server_count; i++) {
		server = pool->servers[i];
		assert_ptr_equal(server->conf, &conf->servers[i]);
		assert_int_equal(server->conf->index, i);
		assert_false(server->is_leaving);
		assert_ptr_equal(pool_find_entity(pool, server->conf->id), server);
		assert_ptr_equal(pool_find_cookie(pool, server->conf->cookie, 32), server);
		assert_ptr_equal(server->entity, shm_entity(pool->shm, server->conf->id));
	}
	LIST_FOREACH (server, &pool->leaving, link) {
		assert_true(server->is_leaving);
		assert_int_equal(server->conf->name[0], 's');
	}
}

static void
change_and_serve(enum balance_method method)
{
	struct setting s = setting_new(method, STICKY_COOKIE_INSERT, NULL, 3);
	struct pool *pool = &s.pools[0];
	struct pool_config *conf = &s.config->pools[0];
	struct server *held[HELD_MAX];
	unsigned held_count = 0, served = 0;

	for (uint32_t turn = 1; turn <= TURNS; turn++) {
		size_t count;
		struct server_config *servers = draw_servers(&count);

		pool_name_servers(servers, count, conf->name, (const uint8_t *)"secret", 6);
		assert_int_equal(shm_bind_servers(s.shm, conf, servers, count, 1), 0);
		pool_set_servers(pool, conf, servers, count, turn);
		shm_touch_pool(s.shm, conf->id);
		check_pool(pool);
		for (unsigned i = 0; i < 6 && held_count < HELD_MAX; i++) {
			struct server *server = setting_pick(&s);

			if (server == NULL)
				continue;
			assert_false(server->is_leaving);
			assert_true(server->conf->weight > 0);
			held[held_count++] = server;
			served++;
		}
		while (held_count > 0 && (held_count > 30 || draw(3) > 0)) {
			unsigned one = draw(held_count);

			balance_release(held[one]);
			held[one] = held[--held_count];
		}
		if (draw(2) == 0)
			pool_reap(pool);
		now_ms += draw(2000);
	}
	assert_true(served > TURNS);
	while (held_count > 0)
		balance_release(held[--held_count]);
	assert_int_equal(pool_reap(pool), UINT32_MAX);
	assert_true(LIST_EMPTY(&pool->leaving));
	assert_int_equal(tally_get(pool->tally, TALLY_ACTIVE), 0);
	pools_free(s.pools, s.config);
	s.pools = NULL;
	free(conf->servers_owned);
	setting_free(&s);
}

static void
all_methods_take_changes(void **state)
{
	static const enum balance_method methods[] = { BALANCE_WRR, BALANCE_WLC,
		BALANCE_SOURCE_HASH, BALANCE_TUPLE_HASH, BALANCE_POWER_OF_TWO };

	(void)state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		change_and_serve(methods[i]);
}

/* The oldest change of which something is left decides. */
static void
reaps_what_is_over(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_COOKIE_INSERT, NULL, 2);
	struct pool *pool = &s.pools[0];
	struct pool_config *conf = &s.config->pools[0];
	struct server *first = pool->servers[0], *second = pool->servers[1];
	struct server_config *only = conf_copy_servers(&conf->servers[1], 1);

	(void)state;
	assert_true(balance_hold(first));
	assert_true(balance_hold(second));
	pool_set_servers(pool, conf, only, 1, 5);
	assert_true(first->is_leaving);
	assert_ptr_equal(pool->servers[0], second);
	assert_int_equal(pool_reap(pool), 5);
	pool_set_servers(pool, conf, conf_copy_servers(NULL, 0), 0, 6);
	assert_int_equal(pool_reap(pool), 5);
	balance_release(first);
	assert_int_equal(pool_reap(pool), 6);
	assert_null(setting_pick(&s));
	balance_release(second);
	assert_int_equal(pool_reap(pool), UINT32_MAX);
	pools_free(s.pools, s.config);
	s.pools = NULL;
	free(conf->servers_owned);
	setting_free(&s);
}

static void
places_run_out_and_come_back(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 2);
	struct pool_config *conf = &s.config->pools[0];
	struct server_config list[10];
	uint32_t first, id = conf->servers[0].id;

	(void)state;
	memset(list, 0, sizeof(list));
	for (size_t i = 0; i < 10; i++)
		list[i].name = arena_printf(s.arena, "n%zu", i);
	list[9].name = "s0";
	shm_set_admin(s.shm, conf->id, id, ADMIN_DRAIN);
	/* 8 places are free, one is s0's. */
	assert_int_equal(shm_bind_servers(s.shm, conf, list, 9, 1), -1);
	assert_int_equal(shm_bind_servers(s.shm, conf, list + 1, 9, 1), 0);
	assert_int_equal(list[9].id, id);
	assert_int_equal(shm_entity(s.shm, id)->admin, ADMIN_DRAIN);
	assert_int_equal(shm_entity(s.shm, list[5].id)->admin, ADMIN_READY);
	assert_int_equal(shm_bind_servers(s.shm, conf, list, 1, 1), -1);
	first = list[5].id;
	tally_add(shm_tally(s.shm, s.slot, first), TALLY_REQUESTS, 9);
	shm_free_server(s.shm, first);
	assert_int_equal(shm_bind_servers(s.shm, conf, list, 1, 1), 0);
	assert_int_equal(list[0].id, first);
	assert_int_equal(shm_sum(s.shm, first, TALLY_REQUESTS), 0);
	/* One that is not in the pool, but has not been freed, is known again. */
	assert_int_equal(shm_bind_servers(s.shm, conf, list + 6, 1, 1), 0);
	setting_free(&s);
}

/* ---- text and messages ---- */

static struct servers_change *
load(const char *text, size_t len)
{
	struct diag *diag = diag_new();
	struct servers_change *change = conf_load_servers("change", text, len, diag);

	assert_int_equal(change == NULL, diag_errors(diag) > 0);
	diag_free(diag);
	return change;
}

static const char good[] =
    "{from: 00000000000000000000000000000000, to: 11111111111111111111111111111111, pools: "
    "[{name: \"default/web:80\", servers: [{name: a, address: \"192.0.2.1:80\", weight: 3}, "
    "{\"name\": \"b\", \"address\": \"[2001:db8::1]:80\"}]}, {name: x, servers: []}]}";

static void
reads_changes(void **state)
{
	struct servers_change *change = load(good, sizeof(good) - 1);

	(void)state;
	assert_non_null(change);
	assert_int_equal(change->pool_count, 2);
	assert_string_equal(change->pools[0].name, "default/web:80");
	assert_int_equal(change->pools[0].server_count, 2);
	assert_int_equal(change->pools[0].servers[0].weight, 3);
	assert_int_equal(change->pools[0].servers[1].weight, 1);
	assert_int_equal(change->pools[1].server_count, 0);
	conf_free_servers(change);
}

/* Whatever comes, it is read or refused with a reason. */
static void
refuses_nonsense(void **state)
{
	static const char bytes[] = "{}[],:\"0-a &*\n\xff";
	char text[sizeof(good)];

	(void)state;
	for (size_t len = 0; len < sizeof(good) - 1; len++)
		assert_null(load(good, len));
	for (int i = 0; i < 4000; i++) {
		memcpy(text, good, sizeof(good));
		for (unsigned n = 1 + draw(3); n > 0; n--)
			text[draw(sizeof(good) - 1)] = bytes[draw(sizeof(bytes))];
		conf_free_servers(load(text, sizeof(good) - 1));
	}
}

static void
copies_find_their_names(void **state)
{
	struct server_config list[3] = { { .name = "one" }, { .name = "" }, { .name = "three" } };
	struct server_config *copy = conf_copy_servers(list, 3), *moved;
	size_t size = conf_servers_size(copy, 3);

	(void)state;
	moved = malloc(size);
	assert_non_null(moved);
	memcpy(moved, copy, size);
	free(copy);
	assert_false(conf_adopt_servers(moved, 3, size - 1));
	assert_false(conf_adopt_servers(moved, 3, 3 * sizeof(list[0])));
	assert_true(conf_adopt_servers(moved, 3, size));
	assert_string_equal(moved[0].name, "one");
	assert_string_equal(moved[1].name, "");
	assert_string_equal(moved[2].name, "three");
	free(moved);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_methods_take_changes),
		cmocka_unit_test(reaps_what_is_over),
		cmocka_unit_test(places_run_out_and_come_back),
		cmocka_unit_test(reads_changes),
		cmocka_unit_test(refuses_nonsense),
		cmocka_unit_test(copies_find_their_names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
