#include "states_priv.h"

#include <stdio.h>
#include <string.h>

#include "weir/clock.h"
#include "weir/log.h"

static void
states_set(struct entity *entity, enum health_state state)
{
	atomic_store_explicit(&entity->health, state, memory_order_relaxed);
	atomic_store_explicit(&entity->health_since_ms, now_ms, memory_order_relaxed);
	atomic_store_explicit(&entity->checks_in_row, 0, memory_order_relaxed);
}

static void
states_set_text(struct entity *entity, const char *text)
{
	snprintf(entity->last_check, sizeof(entity->last_check), "%s", text);
}

/* Nobody checks these any more: what was found once must not keep a server out for ever. */
static void
states_forget(const struct pool_config *conf, const struct shm *shm)
{
	for (size_t i = 0; i < conf->server_count; i++) {
		struct entity *entity = shm_entity(shm, conf->servers[i].id);

		if (entity->health == HEALTH_DOWN)
			log_info("pool %s server %s: health checks are off, no longer down",
			    conf->name, conf->servers[i].name);
		if (entity->health != HEALTH_UNKNOWN)
			states_set(entity, HEALTH_UNKNOWN);
		states_set_text(entity, "");
	}
}

void
states_init(struct states_pool *pool, const struct pool_config *conf, const struct shm *shm)
{
	*pool = (struct states_pool){ .conf = conf };
	if (conf->health.type == HEALTH_OFF) {
		states_forget(conf, shm);
		return;
	}
	for (size_t i = 0; i < conf->server_count; i++)
		if (shm_entity(shm, conf->servers[i].id)->health == HEALTH_DOWN)
			pool->down++;
}

static void
states_go_up(struct states_pool *pool, const struct server_config *server, struct entity *entity,
    const char *text, unsigned row)
{
	log_info("pool %s server %s: health check passed: %s (%u of %u), now up", pool->conf->name,
	    server->name, text, row, pool->conf->health.rise);
	if (pool->down == pool->conf->server_count)
		log_info("pool %s: has a server again", pool->conf->name);
	pool->down--;
	entity->transitions++;
	states_set(entity, HEALTH_UP);
}

static void
states_go_down(struct states_pool *pool, const struct server_config *server, struct entity *entity,
    const char *text, unsigned row)
{
	log_warnx("pool %s server %s: health check failed: %s (%u of %u), now down",
	    pool->conf->name, server->name, text, row, pool->conf->health.fall);
	if (++pool->down == pool->conf->server_count)
		log_errorx("pool %s: all %zu servers are down", pool->conf->name, pool->down);
	entity->transitions++;
	states_set(entity, HEALTH_DOWN);
}

static void
states_count(struct states_pool *pool, const struct server_config *server, struct entity *entity,
    bool passed, const char *text)
{
	const struct health_config *health = &pool->conf->health;
	bool is_down = entity->health == HEALTH_DOWN;
	unsigned row = entity->checks_in_row + 1;

	if (passed != is_down) { /* as expected: whatever spoke against the state does no longer */
		if (entity->health == HEALTH_UNKNOWN) {
			log_info("pool %s server %s: health check passed: %s, is up",
			    pool->conf->name, server->name, text);
			states_set(entity, HEALTH_UP);
		}
		entity->checks_in_row = 0;
		return;
	}
	if (is_down && row >= health->rise) {
		states_go_up(pool, server, entity, text, row);
	} else if (!is_down && row >= health->fall) {
		states_go_down(pool, server, entity, text, row);
	} else {
		entity->checks_in_row = row;
		log_debug("pool %s server %s: health check %s: %s (%u of %u)", pool->conf->name,
		    server->name, passed ? "passed" : "failed", text, row,
		    is_down ? health->rise : health->fall);
	}
}

void
states_record(struct states_pool *pool, const struct server_config *server, struct entity *entity,
    bool passed, const char *text)
{
	if (passed)
		entity->checks_ok++;
	else
		entity->checks_failed++;
	states_set_text(entity, text);
	states_count(pool, server, entity, passed, text);
}
