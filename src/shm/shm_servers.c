/*
 * shm_servers: entities for servers that come to a pool while the daemon runs.
 *
 * Runs in: master.  The free places of the region are the spare slots of all pools.  Usually few of
 * the servers are new, so these are put into a small table, and one pass over the entities finds
 * those that were here before and as many free places as are needed.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "shm_priv.h"
#include "weir/arena.h"
#include "weir/conf.h"

enum { NO_ID = UINT32_MAX };

struct newcomer {
	uint64_t key[2];
	struct server_config *server; /* NULL: an empty place of the table */
};

struct search {
	struct shm *shm;
	struct newcomer *table; /* owned; open addressing */
	size_t mask;
	uint32_t *free_ids; /* owned; as many as there are newcomers */
	size_t wanted, free_count;
};

/* The place of `key` in the table: its newcomer's, or the empty one where it would go. */
static struct newcomer *
find_newcomer(const struct search *search, const uint64_t key[static 2])
{
	for (size_t i = (size_t)key[0];; i++) {
		struct newcomer *place = &search->table[i & search->mask];

		if (place->server == NULL || memcmp(place->key, key, sizeof(place->key)) == 0)
			return place;
	}
}

static size_t
table_size(size_t count)
{
	size_t size = 4;

	while (size < 2 * count)
		size *= 2;
	return size;
}

/* Those that the pool has already get their entities again; the others go into the table. */
static void
sort_servers(struct search *search, const struct pool_config *pool, struct server_config *servers,
    size_t count)
{
	XXH3_state_t *state = XXH3_createState();
	struct search known = { .mask = table_size(pool->server_count) - 1 };
	uint64_t key[2];

	assert(state != NULL);
	known.table = xcalloc(known.mask + 1, sizeof(*known.table));
	for (size_t i = 0; i < pool->server_count; i++) {
		struct newcomer *place;

		shm_key(state, ENTITY_SERVER, pool->name, pool->servers[i].name, key);
		place = find_newcomer(&known, key);
		*place = (struct newcomer){ { key[0], key[1] }, &pool->servers[i] };
	}
	for (size_t i = 0; i < count; i++) {
		const struct newcomer *old;

		shm_key(state, ENTITY_SERVER, pool->name, servers[i].name, key);
		old = find_newcomer(&known, key);
		servers[i].id = old->server != NULL ? old->server->id : NO_ID;
		if (old->server != NULL)
			continue;
		*find_newcomer(search, key) = (struct newcomer){ { key[0], key[1] }, &servers[i] };
		search->wanted++;
	}
	free(known.table);
	XXH3_freeState(state);
}

/* What was here before, in a configuration or in a pool before its last change, is here again. */
static void
search_entities(struct search *search)
{
	struct shm *shm = search->shm;
	size_t used = shm_used(shm);
	size_t missing = search->wanted;

	for (uint32_t id = 0; id < used; id++) {
		struct newcomer *found;

		if (shm->entities[id].kind == ENTITY_FREE) {
			if (search->free_count < search->wanted)
				search->free_ids[search->free_count++] = id;
			continue;
		}
		found = find_newcomer(search, shm->entities[id].key);
		if (found->server == NULL)
			continue;
		found->server->id = id;
		missing--;
	}
	while (search->free_count < missing && used < shm->capacity)
		search->free_ids[search->free_count++] = (uint32_t)used++;
	search->wanted = missing;
}

static void
begin_newcomers(struct search *search, const struct pool_config *pool, unsigned generation)
{
	size_t next = 0;

	for (size_t i = 0; i <= search->mask; i++) {
		struct newcomer *n = &search->table[i];

		if (n->server == NULL || n->server->id != NO_ID)
			continue;
		n->server->id = search->free_ids[next++];
		shm_entity_begin(search->shm, n->server->id, ENTITY_SERVER, n->key, generation,
		    n->server->weight, &pool->health);
	}
}

int
shm_bind_servers(struct shm *shm, const struct pool_config *pool, struct server_config *servers,
    size_t count, unsigned generation)
{
	struct search search = { .shm = shm, .mask = table_size(count) - 1 };
	int result = -1;

	search.table = xcalloc(search.mask + 1, sizeof(*search.table));
	sort_servers(&search, pool, servers, count);
	search.free_ids = xcalloc(search.wanted + 1, sizeof(*search.free_ids));
	if (search.wanted > 0)
		search_entities(&search);
	if (search.free_count >= search.wanted) {
		begin_newcomers(&search, pool, generation);
		for (size_t i = 0; i < count; i++) {
			struct entity *e = &shm->entities[servers[i].id];

			e->generation = generation;
			shm_entity_weigh(e, servers[i].weight, pool->run_time_weights);
		}
		result = 0;
	}
	free(search.table);
	free(search.free_ids);
	return result;
}

void
shm_free_server(struct shm *shm, uint32_t id)
{
	struct entity *e = shm_entity(shm, id);

	assert(e->kind == ENTITY_SERVER);
	e->kind = ENTITY_FREE;
}
