#include "weir/pool.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "balance_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/queue.h"
#include "weir/retry.h"
#include "weir/upstream.h"

enum { COOKIE_BYTES = 16 };

_Static_assert(
    sizeof(((struct server_config *)NULL)->cookie) == 2 * COOKIE_BYTES + 1, "cookie is hex");

static size_t
cookie_hash(const char *value, size_t len)
{
	return (size_t)XXH3_64bits(value, len);
}

static size_t
entity_hash(uint32_t id)
{
	return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

static void
index_add(struct server **index, size_t mask, size_t hash, struct server *server)
{
	while (index[hash & mask] != NULL)
		hash++;
	index[hash & mask] = server;
}

static void
pool_index_servers(struct pool *pool)
{
	size_t size = 4;

	free(pool->by_entity);
	free(pool->by_cookie);
	while (size < 2 * pool->conf->server_count)
		size *= 2;
	pool->index_mask = size - 1;
	pool->by_entity = xcalloc(size, sizeof(struct server *));
	for (size_t i = 0; i < pool->conf->server_count; i++)
		index_add(pool->by_entity, pool->index_mask, entity_hash(pool->conf->servers[i].id),
		    pool->servers[i]);
	if (pool->conf->sticky.by != STICKY_COOKIE_INSERT &&
	    pool->conf->sticky.by != STICKY_COOKIE_PREFIX)
		return;
	pool->by_cookie = xcalloc(size, sizeof(struct server *));
	for (size_t i = 0; i < pool->conf->server_count; i++)
		index_add(pool->by_cookie, pool->index_mask,
		    cookie_hash(pool->conf->servers[i].cookie, 2 * COOKIE_BYTES),
		    pool->servers[i]);
}

/* Each stays where it is for as long as somebody uses it, whatever becomes of the others. */
static struct server *
server_new(struct pool *pool, const struct server_config *conf)
{
	struct server *server = xcalloc(1, sizeof(*server));

	server->conf = conf;
	server->pool = pool;
	server->entity = shm_entity(pool->shm, conf->id);
	server->usage = shm_usage(pool->shm, conf->id);
	server->tally = shm_tally(pool->shm, pool->slot, conf->id);
	server->latency = shm_latency(pool->shm, pool->slot, conf->id);
	TAILQ_INIT(&server->idle);
	TAILQ_INIT(&server->h2);
	return server;
}

static void
server_free(struct server *server)
{
	tls_session_fini(&server->tls_session);
	if (server->is_leaving)
		free((void *)(uintptr_t)server->conf);
	free(server);
}

static void
pool_init(struct pool *pool, const struct pool_config *conf, struct shm *shm, int slot)
{
	pool->conf = conf;
	pool->shm = shm;
	pool->slot = slot;
	pool->entity = shm_entity(shm, conf->id);
	pool->usage = shm_usage(shm, conf->id);
	pool->picks = 1;
	pool->tally = shm_tally(shm, slot, conf->id);
	pool->latency = shm_latency(shm, slot, conf->id);
	pool->retry_credit = RETRY_CREDIT_MAX;
	/* Steps of the golden ratio: however many workers there are, they stand well apart. */
	pool->first = (uint32_t)slot * 0x9e3779b1U;
	pool->servers = xcalloc(conf->server_count, sizeof(struct server *));
	for (size_t i = 0; i < conf->server_count; i++)
		pool->servers[i] = server_new(pool, &conf->servers[i]);
	pool_index_servers(pool);
	queue_start(pool);
	balance_start(pool);
}

/* Out of pool->leaving. */
static void
server_forget(struct server *server)
{
	LIST_REMOVE(server, link);
	server_free(server);
}

/* It is to serve on as it did.  NULL: there is none that is the same. */
static struct server *
take_known(struct pool *pool, const struct server_config *conf)
{
	struct server *server = pool_find_entity(pool, conf->id);

	if (server != NULL && addr_equal(&server->conf->address, &conf->address))
		return server;
	LIST_FOREACH (server, &pool->leaving, link)
		if (server->conf->id == conf->id &&
		    addr_equal(&server->conf->address, &conf->address))
			break;
	if (server == NULL)
		return NULL;
	LIST_REMOVE(server, link);
	free((void *)(uintptr_t)server->conf);
	server->is_leaving = server->has_left = false;
	return server;
}

static void
server_leave(struct server *server, uint32_t revision)
{
	server->conf = conf_copy_servers(server->conf, 1);
	server->is_leaving = true;
	server->left_ms = now_ms;
	server->left_revision = revision;
	LIST_INSERT_HEAD(&server->pool->leaving, server, link);
	upstream_close_kept(server);
}

void
pool_set_servers(struct pool *pool, struct pool_config *conf, struct server_config *servers,
    size_t count, uint32_t revision)
{
	size_t old_count = conf->server_count;
	struct server **old = pool->servers, **new = xcalloc(count + 1, sizeof(*new));

	balance_stop(pool);
	for (size_t i = 0; i < count; i++) {
		new[i] = take_known(pool, &servers[i]);
		if (new[i] == NULL)
			new[i] = server_new(pool, &servers[i]);
		new[i]->is_kept = true;
	}
	for (size_t i = 0; i < old_count; i++)
		if (!old[i]->is_kept)
			server_leave(old[i], revision);
	for (size_t i = 0; i < count; i++) {
		new[i]->conf = &servers[i];
		new[i]->is_kept = false;
	}
	free(conf_swap_servers(conf, servers, count));
	free(old);
	pool->servers = new;
	pool_index_servers(pool);
	/* Not the same place in the round each time: servers would have their turns too often. */
	pool->first += 0x9e3779b1U;
	balance_start(pool);
	queue_wake(pool);
}

uint32_t
pool_reap(struct pool *pool)
{
	struct server *server, *next;
	uint32_t oldest = UINT32_MAX;

	for (server = LIST_FIRST(&pool->leaving); server != NULL; server = next) {
		next = LIST_NEXT(server, link);
		if (server->active == 0 && TAILQ_EMPTY(&server->h2))
			server_forget(server);
		else if (server->left_revision < oldest)
			oldest = server->left_revision;
	}
	return oldest;
}

struct pool *
pools_new(const struct config *config, struct shm *shm, int slot)
{
	struct pool *pools = xcalloc(config->pool_count, sizeof(*pools));

	for (size_t i = 0; i < config->pool_count; i++)
		pool_init(&pools[i], &config->pools[i], shm, slot);
	return pools;
}

void
pools_free(struct pool *pools, const struct config *config)
{
	if (pools == NULL)
		return;
	for (size_t i = 0; i < config->pool_count; i++) {
		balance_stop(&pools[i]);
		queue_stop(&pools[i]);
		free(pools[i].by_cookie);
		free(pools[i].by_entity);
		for (size_t j = 0; j < pools[i].conf->server_count; j++)
			server_free(pools[i].servers[j]);
		while (!LIST_EMPTY(&pools[i].leaving))
			server_forget(LIST_FIRST(&pools[i].leaving));
		free(pools[i].servers);
	}
	free(pools);
}

static void
server_name_cookie(
    struct server_config *server, const char *pool_name, const uint8_t *secret, size_t secret_len)
{
	size_t pool_size = strlen(pool_name) + 1, name_len = strlen(server->name);
	unsigned char digest[EVP_MAX_MD_SIZE], *text = xmalloc(pool_size + name_len);
	const unsigned char *done;

	memcpy(text, pool_name, pool_size);
	memcpy(text + pool_size, server->name, name_len);
	done =
	    HMAC(EVP_sha256(), secret, (int)secret_len, text, pool_size + name_len, digest, NULL);
	assert(done != NULL); /* fails only for want of memory */
	for (size_t i = 0; i < COOKIE_BYTES; i++) {
		server->cookie[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		server->cookie[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	server->cookie[2 * COOKIE_BYTES] = '\0';
	free(text);
}

void
pool_name_servers(struct server_config *servers, size_t count, const char *pool_name,
    const uint8_t *secret, size_t secret_len)
{
	assert(secret_len <= INT32_MAX);
	for (size_t i = 0; i < count; i++)
		server_name_cookie(&servers[i], pool_name, secret, secret_len);
}

void
pool_name_cookies(struct config *config, const uint8_t *secret, size_t secret_len)
{
	for (size_t i = 0; i < config->pool_count; i++)
		pool_name_servers(config->pools[i].servers, config->pools[i].server_count,
		    config->pools[i].name, secret, secret_len);
}

struct server *
pool_find_cookie(const struct pool *pool, const char *value, size_t len)
{
	struct server *server;

	if (pool->by_cookie == NULL || len != 2 * COOKIE_BYTES)
		return NULL;
	for (size_t i = cookie_hash(value, len);
	     (server = pool->by_cookie[i & pool->index_mask]) != NULL; i++)
		if (memcmp(server->conf->cookie, value, len) == 0)
			return server;
	return NULL;
}

struct server *
pool_find_entity(const struct pool *pool, uint32_t id)
{
	struct server *server;

	for (size_t i = entity_hash(id); (server = pool->by_entity[i & pool->index_mask]) != NULL;
	     i++)
		if (server->conf->id == id)
			return server;
	return NULL;
}
