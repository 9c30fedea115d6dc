/*
 * shm_states_file: what operators want of servers (weirctl server ...), as it is kept over a
 * restart.
 *
 * Runs in: master.  Only servers for which somebody said something are in it, named by the hash of
 * their pool's name and theirs: ids mean nothing in another run.
 */
#include <stdlib.h>
#include <string.h>

#include "shm_priv.h"
#include "weir/arena.h"

struct kept_server {
	uint64_t key[2]; /* of its entity */
	uint32_t admin;  /* enum admin_state */
	int32_t weight;  /* as in struct entity */
	uint32_t config_weight;
	uint32_t unused; /* 0 */
};
_Static_assert(sizeof(struct kept_server) == SHM_STATE_SIZE, "the file has no padding");

static int
compare_kept(const void *left, const void *right)
{
	return memcmp(((const struct kept_server *)left)->key,
	    ((const struct kept_server *)right)->key, sizeof(((struct kept_server *)0)->key));
}

/* Returns whether somebody said something. */
static bool
keep(const struct entity *e, struct kept_server *kept)
{
	if (e->kind != ENTITY_SERVER)
		return false;
	*kept = (struct kept_server){ .key = { e->key[0], e->key[1] },
		.admin = atomic_load_explicit(&e->admin, memory_order_relaxed),
		.weight = atomic_load_explicit(&e->weight, memory_order_relaxed),
		.config_weight = e->config_weight };
	return kept->admin != ADMIN_READY || kept->weight != WEIGHT_FROM_CONFIG;
}

void *
shm_states_save(const struct shm *shm, size_t *len)
{
	size_t used = shm_used(shm), count = 0, size = 16;
	struct kept_server *list = xmalloc(size * sizeof(*list)), kept;

	for (size_t id = 0; id < used; id++) {
		if (!keep(&shm->entities[id], &kept))
			continue;
		if (count == size)
			list = xrealloc(list, (size *= 2) * sizeof(*list));
		list[count++] = kept;
	}
	*len = count * sizeof(*list);
	return list;
}

static bool
makes_sense(const struct kept_server *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].admin > ADMIN_MAINT || list[i].weight < WEIGHT_FROM_CONFIG ||
		    list[i].weight > SHM_WEIGHT_MAX || list[i].unused != 0)
			return false;
	return true;
}

static void
restore(struct entity *e, const struct kept_server *kept, enum run_time_weights weights)
{
	bool is_yielding = weights == WEIGHTS_YIELD && kept->config_weight != e->config_weight;

	atomic_store_explicit(&e->admin, (uint16_t)kept->admin, memory_order_relaxed);
	if (weights != WEIGHTS_RESET && !is_yielding)
		atomic_store_explicit(&e->weight, kept->weight, memory_order_relaxed);
}

long
shm_states_load(struct shm *shm, const struct config *config, const void *data, size_t len)
{
	size_t count = len / sizeof(struct kept_server);
	struct kept_server *list;
	long loaded = 0;

	if (len % sizeof(*list) != 0)
		return -1;
	list = xmalloc(len + 1);
	memcpy(list, data, len);
	if (!makes_sense(list, count)) {
		free(list);
		return -1;
	}
	qsort(list, count, sizeof(*list), compare_kept);
	for (size_t i = 0; i < config->pool_count && count > 0; i++) {
		const struct pool_config *pool = &config->pools[i];

		for (size_t k = 0; k < pool->server_count; k++) {
			struct entity *e = shm_entity(shm, pool->servers[k].id);
			struct kept_server wanted = { .key = { e->key[0], e->key[1] } };
			const struct kept_server *found =
			    bsearch(&wanted, list, count, sizeof(*list), compare_kept);

			if (found == NULL)
				continue;
			restore(e, found, pool->run_time_weights);
			loaded++;
		}
	}
	free(list);
	return loaded;
}
