#include "weir/conf.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "conf_priv.h"

enum { CONF_SIZE_MAX = 256 * 1024 * 1024 };

static void
set_indexes(struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		config->listeners[i].index = (unsigned)i;
		if (config->listeners[i].tls.verify != TLS_VERIFY_OFF)
			config->verifies_clients = true;
	}
	for (size_t i = 0; i < config->pool_count; i++) {
		struct pool_config *pool = &config->pools[i];

		pool->index = (unsigned)i;
		for (size_t j = 0; j < pool->server_count; j++)
			pool->servers[j].index = (unsigned)j;
	}
}

/* From the documents of one file.  The tree of nodes is in an arena of its own, which the caller
 * frees. */
static struct config *
load(const char *name, struct yaml_node **documents, size_t count, size_t errors_before,
    struct diag *diag)
{
	struct load l = { .diag = diag, .arena = arena_new() };
	struct config *config = arena_alloc(l.arena, sizeof(*config));
	struct where whole = { .file = name };

	config->arena = l.arena;
	config->file = arena_strdup(l.arena, name);
	l.config = config;
	if (count == 1)
		schema_load(&l, &conf_root, documents[0], config);
	else if (count > 1)
		diag_error(diag, documents[1]->where,
		    "a second document begins here; a configuration is one document");
	else if (diag_errors(diag) == errors_before)
		diag_error(diag, whole,
		    "the file holds no configuration; \"version: 1\" is the least that is needed");
	set_indexes(config);
	check_config(&l);
	check_logs(&l);
	free(l.bounds);
	free(l.broken);
	if (diag_errors(diag) == errors_before)
		return config;
	conf_free(config);
	return NULL;
}

struct config *
conf_load(const char *path, struct diag *diag)
{
	const char *name = strcmp(path, "-") == 0 ? "<stdin>" : path;
	struct config *config;
	size_t len;
	char *text = yaml_read_file(diag, path, CONF_SIZE_MAX, &len);

	if (text == NULL)
		return NULL;
	config = conf_load_text(name, text, len, diag);
	free(text);
	return config;
}

struct config *
conf_load_text(const char *name, const char *text, size_t len, struct diag *diag)
{
	struct arena *nodes = arena_new();
	size_t errors = diag_errors(diag), count;
	struct yaml_node **documents = yaml_parse(nodes, diag, name, text, len, &count);
	struct config *config = load(name, documents, count, errors, diag);

	if (config != NULL)
		conf_digest(text, len, config->digest);
	arena_free(nodes);
	return config;
}

void
conf_free(struct config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < config->pool_count; i++)
		free(config->pools[i].servers_owned);
	arena_free(config->arena); /* config itself is in there */
}

void
conf_digest(const char *text, size_t len, char digest[static CONF_DIGEST_SIZE])
{
	XXH128_hash_t hash = XXH3_128bits(text, len);

	snprintf(digest, CONF_DIGEST_SIZE, "%016llx%016llx", (unsigned long long)hash.high64,
	    (unsigned long long)hash.low64);
}

struct listener_config *
conf_find_listener(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (strcmp(config->listeners[i].name, name) == 0)
			return &config->listeners[i];
	return NULL;
}

struct pool_config *
conf_find_pool(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->pool_count; i++)
		if (strcmp(config->pools[i].name, name) == 0)
			return &config->pools[i];
	return NULL;
}

struct server_config *
conf_find_server(const struct pool_config *pool, const char *name)
{
	for (size_t i = 0; i < pool->server_count; i++)
		if (strcmp(pool->servers[i].name, name) == 0)
			return &pool->servers[i];
	return NULL;
}

bool
pool_is_limited(const struct pool_config *pool)
{
	for (size_t i = 0; i < pool->server_count; i++)
		if (pool->servers[i].max_connections > 0)
			return true;
	return pool->max_connections > 0;
}

const char *
pool_protocol_name(enum pool_protocol protocol)
{
	switch (protocol) {
	case POOL_TCP:
		return "tcp";
	case POOL_HTTP:
		return "http";
	case POOL_UDP:
		return "udp";
	case POOL_HTTPS:
		return "https";
	case POOL_H2:
		return "h2";
	case POOL_H2C:
		return "h2c";
	}
	return "?";
}
