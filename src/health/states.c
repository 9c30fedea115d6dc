#include "states_priv.h"

#include <stdio.h>

#include "weir/clock.h"
#include "weir/log.h"

static void
states_set(struct shm *shm, const struct pool_config *pool, const struct server_config *server,
    enum health_state state)
{
	struct entity *entity = shm_entity(shm, server->id);

	atomic_store_explicit(&entity->health_since_ms, now_ms, memory_order_relaxed);
	atomic_store_explicit(&entity->checks_in_row, 0, memory_order_relaxed);
	shm_set_health(shm, pool->id, server->id, state);
}

/* Nobody checks these any more: what was found once must not keep a server out for ever. */
static void
states_forget(const struct pool_config *conf, struct shm *shm)
{
	for (size_t i = 0; i < conf->server_count; i++) {
		const struct server_config *server = &conf->servers[i];
		struct entity *entity = shm_entity(shm, server->id);

		if (entity->health == HEALTH_DOWN)
			log_info("pool %s server %s: health checks are off, no longer down",
			    conf->name, server->name);
		if (entity->health != HEALTH_UNKNOWN)
			states_set(shm, conf, server, HEALTH_UNKNOWN);
		entity->last_check[0] = '\0';
	}
}

void
states_init(struct states_pool *pool, const struct pool_config *conf, struct shm *shm)
{
	*pool = (struct states_pool){ .conf = conf, .shm = shm };
	if (conf->health.type == HEALTH_OFF) {
		states_forget(conf, shm);
		return;
	}
	for (size_t i = 0; i < conf->server_count; i++)
		if (shm_entity(shm, conf->servers[i].id)->health == HEALTH_DOWN)
			pool->down++;
}

static void
states_go_up(
    struct states_pool *pool, const struct server_config *server, const char *text, unsigned row)
{
	log_info("pool %s server %s: health check passed: %s (%u of %u), now up", pool->conf->name,
	    server->name, text, row, pool->conf->health.rise);
	if (pool->down-- == pool->conf->server_count)
		log_info("pool %s: has a server again", pool->conf->name);
	shm_entity(pool->shm, server->id)->transitions++;
	/* What its requests met before says nothing of the server that came back. */
	shm_readmit(pool->shm, pool->conf->id, server->id, 0);
	states_set(pool->shm, pool->conf, server, HEALTH_UP);
}

static void
states_go_down(
    struct states_pool *pool, const struct server_config *server, const char *text, unsigned row)
{
	log_warnx("pool %s server %s: health check failed: %s (%u of %u), now down",
	    pool->conf->name, server->name, text, row, pool->conf->health.fall);
	if (++pool->down == pool->conf->server_count)
		log_warnx("pool %s: all its servers are down", pool->conf->name);
	shm_entity(pool->shm, server->id)->transitions++;
	states_set(pool->shm, pool->conf, server, HEALTH_DOWN);
}

/* What was expected of a server in this state: nothing speaks against it any more. */
static void
states_confirm(struct states_pool *pool, const struct server_config *server, const char *text)
{
	struct entity *entity = shm_entity(pool->shm, server->id);

	entity->checks_in_row = 0;
	if (entity->health != HEALTH_UNKNOWN)
		return;
	log_info("pool %s server %s: health check passed: %s, is up", pool->conf->name,
	    server->name, text);
	states_set(pool->shm, pool->conf, server, HEALTH_UP);
}

void
states_record(
    struct states_pool *pool, const struct server_config *server, bool passed, const char *text)
{
	const struct health_config *health = &pool->conf->health;
	struct entity *entity = shm_entity(pool->shm, server->id);
	bool is_down = entity->health == HEALTH_DOWN;
	unsigned row = entity->checks_in_row + 1, limit = is_down ? health->rise : health->fall;

	if (passed)
		entity->checks_ok++;
	else
		entity->checks_failed++;
	snprintf(entity->last_check, sizeof(entity->last_check), "%s", text);
	if (passed != is_down) {
		states_confirm(pool, server, text);
	} else if (row >= limit) {
		if (is_down)
			states_go_up(pool, server, text, row);
		else
			states_go_down(pool, server, text, row);
	} else {
		entity->checks_in_row = row;
		log_debug("pool %s server %s: health check %s: %s (%u of %u)", pool->conf->name,
		    server->name, passed ? "passed" : "failed", text, row, limit);
	}
}
