/* pool: a worker's view of the configuration and of shared memory. */
#include "pools.h"

#include <string.h>

static void
points_into_shared_memory(void **state)
{
	static const unsigned weights[] = { 3, 0, 7 };
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, weights, 3);
	struct pool *pool = &s.pools[0], *other = setting_other_worker(&s);

	(void)state;
	assert_ptr_equal(pool->conf, &s.config->pools[0]);
	assert_ptr_equal(pool->entity, shm_entity(s.shm, pool->conf->id));
	assert_ptr_equal(pool->tally, shm_tally(s.shm, s.slot, pool->conf->id));
	for (size_t i = 0; i < 3; i++) {
		struct server *server = pool->servers[i];

		assert_ptr_equal(server->conf, &pool->conf->servers[i]);
		assert_ptr_equal(server->pool, pool);
		assert_ptr_equal(server->entity, other->servers[i]->entity);
		assert_ptr_not_equal(server->tally, other->servers[i]->tally);
		assert_true(TAILQ_EMPTY(&server->idle));
		assert_ptr_equal(pool_find_entity(pool, server->conf->id), server);
	}
	assert_null(pool_find_entity(pool, pool->conf->id));
	assert_null(pool_find_entity(pool, UINT32_MAX));
	pools_free(other, s.config);
	setting_free(&s);
}

static void
cookies_only_where_wanted(void **state)
{
	struct setting with = setting_new(BALANCE_WRR, STICKY_COOKIE_INSERT, NULL, 2);
	struct setting without = setting_new(BALANCE_WRR, STICKY_SOURCE_IP, NULL, 2);
	const char *value = with.config->pools[0].servers[1].cookie;

	(void)state;
	assert_int_equal(strlen(value), 32);
	assert_int_equal(strspn(value, "0123456789abcdef"), 32);
	assert_ptr_equal(pool_find_cookie(&with.pools[0], value, 32), with.pools[0].servers[1]);
	assert_null(pool_find_cookie(&with.pools[0], value, 31));
	assert_null(pool_find_cookie(&with.pools[0], NULL, 0));
	assert_null(pool_find_cookie(&without.pools[0], value, 32));
	setting_free(&with);
	setting_free(&without);
}

/* A cookie of one pool means nothing to another, and names do not run together. */
static void
cookies_differ_between_pools(void **state)
{
	struct arena *arena = arena_new();
	struct config *a = setting_config(arena, "ab", 1, NULL, 1);
	struct config *b = setting_config(arena, "a", 1, NULL, 1);

	(void)state;
	a->pools[0].servers[0].name = "c";
	b->pools[0].servers[0].name = "bc";
	pool_name_cookies(a, (const uint8_t *)"key", 3);
	pool_name_cookies(b, (const uint8_t *)"key", 3);
	assert_string_not_equal(a->pools[0].servers[0].cookie, b->pools[0].servers[0].cookie);
	arena_free(arena);
}

static void
many_pools(void **state)
{
	enum { POOLS = 200 };
	struct setting s = setting_new(BALANCE_WLC, STICKY_OFF, NULL, 2);
	struct pool_config *pools = arena_array(s.arena, POOLS, sizeof(*pools));
	struct config config = { .generation = 2, .pools = pools, .pool_count = POOLS };
	struct shm *shm = shm_new(1000, 0);
	struct pool *made;

	(void)state;
	for (size_t i = 0; i < POOLS; i++) {
		const char *name = arena_printf(s.arena, "pool-%zu", i);

		pools[i] = setting_config(s.arena, name, 2, NULL, i % 4)->pools[0];
		pools[i].balance = (enum balance_method)(i % 4);
	}
	assert_int_equal(shm_bind_config(shm, &config, 0), 0);
	made = pools_new(&config, shm, shm_take_slot(shm));
	for (size_t i = 0; i < POOLS; i++)
		assert_int_equal(balance_pick(&made[i], &(struct balance_request){
		    .client = &s.client, .local = &s.local }) != NULL, i % 4 != 0);
	pools_free(made, &config);
	pools_free(NULL, &config);
	shm_free(shm);
	setting_free(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(points_into_shared_memory),
		cmocka_unit_test(cookies_only_where_wanted),
		cmocka_unit_test(cookies_differ_between_pools),
		cmocka_unit_test(many_pools),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
