/*
 * pools: a configuration with one pool, made by hand, for the tests of what stands on pools.
 */
#ifndef T_UNIT_POOLS_H
#define T_UNIT_POOLS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "weir/arena.h"
#include "weir/balance.h"
#include "weir/clock.h"
#include "weir/pool.h"
#include "weir/shm.h"

struct setting {
	struct arena *arena;
	struct config *config;
	struct shm *shm;
	int slot;
	struct pool *pools; /* one */
	struct addr client, local;
	struct balance_request request;
};

/* Pool `name` with servers s0, s1...; all of weight 1 when `weights` is NULL. */
static inline struct config *
setting_config(struct arena *arena, const char *name, unsigned generation, const unsigned *weights,
    size_t count)
{
	struct config *config = arena_alloc(arena, sizeof(*config));
	struct pool_config *pool = arena_alloc(arena, sizeof(*pool));

	config->arena = arena;
	config->generation = generation;
	config->pools = pool;
	config->pool_count = 1;
	pool->name = name;
	pool->sticky.timeout_ms = 60000;
	pool->servers = arena_array(arena, count, sizeof(*pool->servers));
	pool->server_count = count;
	for (size_t i = 0; i < count; i++) {
		pool->servers[i].index = (unsigned)i;
		pool->servers[i].name = arena_printf(arena, "s%zu", i);
		pool->servers[i].weight = weights != NULL ? weights[i] : 1;
	}
	return config;
}

static inline struct setting
setting_new(
    enum balance_method method, enum sticky_by sticky, const unsigned *weights, size_t count)
{
	struct setting s = { .arena = arena_new() };

	now_ms = 5000000;
	s.config = setting_config(s.arena, "default/api:80", 1, weights, count);
	s.config->pools[0].balance = method;
	s.config->pools[0].sticky.by = sticky;
	s.shm = shm_new(shm_needed(s.config) + 8, 1024);
	assert_non_null(s.shm);
	assert_int_equal(shm_bind_config(s.shm, s.config, 0), 0);
	pool_name_cookies(s.config, (const uint8_t *)"secret", 6);
	s.slot = shm_take_slot(s.shm);
	s.pools = pools_new(s.config, s.shm, s.slot);
	assert_int_equal(addr_parse(&s.client, "198.51.100.7:40000", 0), 0);
	assert_int_equal(addr_parse(&s.local, "192.0.2.1:80", 0), 0);
	return s;
}

/* Another worker's view; the caller frees it with pools_free(). */
static inline struct pool *
setting_other_worker(struct setting *s)
{
	return pools_new(s->config, s->shm, shm_take_slot(s->shm));
}

static inline void
setting_free(struct setting *s)
{
	pools_free(s->pools, s->config);
	shm_free(s->shm);
	arena_free(s->arena);
}

static inline struct server *
setting_pick(struct setting *s)
{
	s->request.client = &s->client;
	s->request.local = &s->local;
	return balance_pick(&s->pools[0], &s->request);
}

static inline uint32_t
setting_server_id(const struct setting *s, size_t i)
{
	return s->config->pools[0].servers[i].id;
}

static inline void
setting_set_health(struct setting *s, size_t i, enum health_state state)
{
	shm_set_health(s->shm, s->config->pools[0].id, setting_server_id(s, i), state);
}

#endif
