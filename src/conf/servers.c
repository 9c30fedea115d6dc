/* Other servers for the pools of a configuration that is in force, and nothing else. */
#include "conf_priv.h"

#include <stdlib.h>
#include <string.h>

#include "names_priv.h"

static const struct option pool_servers_options[] = {
	OPTION("name", pool_servers, name, kind_name, .doc = "A pool that is in force."),
	LIST("servers", pool_servers, servers, server_count, kind_blocks, .block = &conf_server,
	    .doc = "All that it is to have."),
};
static const struct block pool_servers_block = {
	.name = "pool",
	TABLE(pool_servers_options),
	.size = sizeof(struct pool_servers),
	.where_offset = offsetof(struct pool_servers, where),
};

static const struct option servers_change_options[] = {
	OPTION("from", servers_change, from, kind_text, .preset = ""),
	OPTION("to", servers_change, to, kind_text, .preset = ""),
	LIST("pools", servers_change, pools, pool_count, kind_blocks, .min = "1",
	    .block = &pool_servers_block),
};
static const struct block servers_change_block = {
	.name = "change of servers",
	TABLE(servers_change_options),
	.where_offset = NOWHERE,
};

static void
check_change(struct load *l, struct servers_change *change)
{
	struct names names;

	names_init(&names, change->pools, change->pool_count, sizeof(*change->pools),
	    offsetof(struct pool_servers, name), offsetof(struct pool_servers, where));
	names_report_duplicates(l, &names, "pools");
	names_fini(&names);
	for (size_t i = 0; i < change->pool_count; i++)
		check_servers(l, change->pools[i].servers, change->pools[i].server_count);
	if ((change->to != NULL && strlen(change->to) != CONF_DIGEST_SIZE - 1) ||
	    (change->to == NULL) != (change->from == NULL))
		diag_error(l->diag, (struct where){ .file = l->config->file },
		    "\"from\" and \"to\" belong together and have %d digits each",
		    CONF_DIGEST_SIZE - 1);
}

struct servers_change *
conf_load_servers(const char *name, const char *text, size_t len, struct diag *diag)
{
	struct arena *nodes = arena_new();
	size_t errors = diag_errors(diag), count;
	struct yaml_node **documents = yaml_parse(nodes, diag, name, text, len, &count);
	struct load l = { .diag = diag, .arena = arena_new() };
	struct servers_change *change = arena_alloc(l.arena, sizeof(*change));

	change->arena = l.arena;
	l.config = arena_alloc(l.arena, sizeof(*l.config));
	l.config->file = arena_strdup(l.arena, name);
	if (count == 1)
		schema_load(&l, &servers_change_block, documents[0], change);
	else if (diag_errors(diag) == errors)
		diag_error(diag, (struct where){ .file = name }, "one document is needed");
	check_change(&l, change);
	arena_free(nodes);
	free(l.broken);
	if (diag_errors(diag) == errors)
		return change;
	conf_free_servers(change);
	return NULL;
}

void
conf_free_servers(struct servers_change *change)
{
	if (change != NULL)
		arena_free(change->arena);
}

size_t
conf_servers_size(const struct server_config *servers, size_t count)
{
	size_t size = count * sizeof(*servers);

	for (size_t i = 0; i < count; i++)
		size += strlen(servers[i].name) + 1;
	return size;
}

bool
conf_adopt_servers(struct server_config *servers, size_t count, size_t size)
{
	char *name = (char *)(servers + count), *end = (char *)servers + size;

	for (size_t i = 0; i < count; i++) {
		char *nul = name < end ? memchr(name, '\0', (size_t)(end - name)) : NULL;

		if (nul == NULL)
			return false;
		servers[i].name = name;
		name = nul + 1;
	}
	return true;
}

struct server_config *
conf_copy_servers(const struct server_config *servers, size_t count)
{
	struct server_config *copy = xmalloc(conf_servers_size(servers, count) + 1);
	char *name;

	name = (char *)(copy + count);
	for (size_t i = 0; i < count; i++) {
		copy[i] = servers[i];
		copy[i].name = name;
		name = stpcpy(name, servers[i].name) + 1;
	}
	return copy;
}

void *
conf_swap_servers(struct pool_config *pool, struct server_config *servers, size_t count)
{
	void *old = pool->servers_owned;

	for (size_t i = 0; i < count; i++) {
		servers[i].index = (unsigned)i;
		servers[i].where = pool->where; /* the line they stood in may be another's by now */
	}
	pool->servers = pool->servers_owned = servers;
	pool->server_count = count;
	return old;
}

/* Is what a user writes of them the same?  Both are zero where nothing was written. */
static bool
same_server(const struct server_config *a, const struct server_config *b)
{
	struct server_config bare_a = *a, bare_b = *b;

	if (strcmp(a->name, b->name) != 0 || !addr_equal(&a->address, &b->address))
		return false;
	bare_a.where = bare_b.where;
	bare_a.id = bare_b.id;
	bare_a.index = bare_b.index;
	bare_a.name = bare_b.name;
	bare_a.address = bare_b.address;
	memcpy(bare_a.cookie, bare_b.cookie, sizeof(bare_a.cookie));
	return memcmp(&bare_a, &bare_b, sizeof(bare_a)) == 0;
}

bool
conf_same_servers(const struct pool_config *a, const struct pool_config *b)
{
	if (a->server_count != b->server_count)
		return false;
	for (size_t i = 0; i < a->server_count; i++)
		if (!same_server(&a->servers[i], &b->servers[i]))
			return false;
	return true;
}

/* All but servers, as text.  The caller frees it. */
static char *
print_bare(const struct config *config, size_t *len)
{
	struct config bare = *config;
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (out == NULL)
		return NULL;
	bare.pools = xcalloc(config->pool_count + 1, sizeof(*bare.pools));
	if (config->pool_count > 0)
		memcpy(bare.pools, config->pools, config->pool_count * sizeof(*bare.pools));
	for (size_t i = 0; i < config->pool_count; i++)
		bare.pools[i].server_count = 0;
	conf_dump(&bare, out);
	free(bare.pools);
	fclose(out);
	return text;
}

bool
conf_same_but_servers(const struct config *a, const struct config *b)
{
	size_t len_a = 0, len_b = 0;
	char *text_a = print_bare(a, &len_a), *text_b = print_bare(b, &len_b);
	bool same = text_a != NULL && text_b != NULL && len_a == len_b &&
		    memcmp(text_a, text_b, len_a) == 0;

	free(text_a);
	free(text_b);
	return same;
}
