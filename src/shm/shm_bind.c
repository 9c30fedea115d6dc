/*
 * shm_bind: which entity belongs to which listener, pool, server and so on.
 *
 * Runs in: master, at start and reload.  The region itself has no index: a private hash table is
 * made from a scan of the entities each time, which takes milliseconds for 100,000 of them and
 * cannot be left inconsistent by a crash.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "shm_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/conf.h"

enum { NO_ID = UINT32_MAX };

struct binder {
	struct shm *shm;
	unsigned generation;
	uint32_t *index; /* owned; open addressing: entity ids or NO_ID */
	size_t index_mask;
	XXH3_state_t *hash; /* owned */
	size_t missing;     /* objects that have no entity yet */
	uint32_t next_free; /* where the search for a free entity goes on */
};

/* One named object of a configuration. */
struct object {
	enum entity_kind kind;
	const struct pool_config *pool; /* of a server; NULL for all others */
	const char *owner; /* name of the pool or listener that it belongs to; NULL: its own is enough */
	const char *name;
	uint32_t *id;
	unsigned weight;
};

typedef void visit_fn(struct binder *binder, const struct object *object);

static void
each_object(struct binder *binder, struct config *config, visit_fn *visit)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		struct listener_config *l = &config->listeners[i];

		visit(binder, &(struct object){ ENTITY_LISTENER, .name = l->name, .id = &l->id });
	}
	for (size_t i = 0; i < config->pool_count; i++) {
		struct pool_config *p = &config->pools[i];

		visit(binder, &(struct object){ ENTITY_POOL, .name = p->name, .id = &p->id });
		for (size_t j = 0; j < p->server_count; j++) {
			struct server_config *s = &p->servers[j];

			visit(binder,
			    &(struct object){
				ENTITY_SERVER, p, p->name, s->name, &s->id, s->weight });
		}
	}
	for (size_t i = 0; i < config->bandwidth_count; i++) {
		struct bandwidth_config *b = &config->bandwidths[i];

		visit(binder, &(struct object){ ENTITY_BANDWIDTH, .name = b->name, .id = &b->id });
	}
	for (size_t i = 0; i < config->route_series_count; i++) {
		struct route_series *r = &config->route_series[i];

		visit(binder, &(struct object){ ENTITY_ROUTE,
				  .owner = r->listener->name, .name = r->name, .id = &r->id });
	}
	for (size_t i = 0; i < config->served_count; i++) {
		struct served_certificate *c = &config->served[i];

		visit(binder, &(struct object){ ENTITY_CERTIFICATE, .name = c->name, .id = &c->id });
	}
}

void
shm_key(XXH3_state_t *state, enum entity_kind kind, const char *owner, const char *name,
    uint64_t key[static 2])
{
	unsigned char byte = (unsigned char)kind;
	XXH128_hash_t hash;

	XXH3_128bits_reset(state);
	XXH3_128bits_update(state, &byte, 1);
	if (owner != NULL)
		XXH3_128bits_update(state, owner, strlen(owner) + 1);
	XXH3_128bits_update(state, name, strlen(name));
	hash = XXH3_128bits_digest(state);
	key[0] = hash.low64;
	key[1] = hash.high64;
}

static void
object_key(const struct binder *binder, const struct object *object, uint64_t key[static 2])
{
	shm_key(binder->hash, object->kind, object->owner, object->name, key);
}

/* The place of `key` in the index: with its id, or the empty one where it would go. */
static uint32_t *
index_find(const struct binder *binder, const uint64_t key[static 2])
{
	for (size_t i = (size_t)key[0];; i++) {
		uint32_t *place = &binder->index[i & binder->index_mask];

		if (*place == NO_ID || memcmp(binder->shm->entities[*place].key, key, 16) == 0)
			return place;
	}
}

static void
binder_init(struct binder *binder, struct shm *shm, const struct config *config)
{
	size_t used = shm_used(shm), size = 16;

	while (size < 2 * (used + shm_needed(config)))
		size *= 2;
	*binder = (struct binder){ .shm = shm, .generation = config->generation };
	binder->index = xmalloc(size * sizeof(*binder->index));
	memset(binder->index, 0xff, size * sizeof(*binder->index));
	binder->index_mask = size - 1;
	binder->hash = XXH3_createState();
	assert(binder->hash != NULL);
	for (uint32_t id = 0; id < used; id++)
		if (shm->entities[id].kind != ENTITY_FREE)
			*index_find(binder, shm->entities[id].key) = id;
}

static void
binder_fini(struct binder *binder)
{
	XXH3_freeState(binder->hash);
	free(binder->index);
}

/* Does a weight that was set at run time end with this configuration? */
static bool
weight_gives_way(const struct entity *e, unsigned weight, enum run_time_weights weights)
{
	switch (weights) {
	case WEIGHTS_YIELD:
		return e->config_weight != weight;
	case WEIGHTS_KEEP:
		return false;
	case WEIGHTS_RESET:
		return true;
	}
	return false;
}

void
shm_entity_weigh(struct entity *e, unsigned weight, enum run_time_weights weights)
{
	if (weight_gives_way(e, weight, weights))
		atomic_store_explicit(&e->weight, WEIGHT_FROM_CONFIG, memory_order_relaxed);
	e->config_weight = (uint16_t)weight;
}

/* Visitor: those that were here before get their entity again. */
static void
bind_known(struct binder *binder, const struct object *object)
{
	struct entity *e;
	uint64_t key[2];

	object_key(binder, object, key);
	*object->id = *index_find(binder, key);
	if (*object->id == NO_ID) {
		binder->missing++;
		return;
	}
	e = &binder->shm->entities[*object->id];
	e->generation = binder->generation;
	if (object->kind == ENTITY_SERVER)
		shm_entity_weigh(e, object->weight, object->pool->run_time_weights);
	if (object->kind == ENTITY_POOL)
		shm_touch_pool(binder->shm, *object->id);
}

/* Frees what no configuration in use names.  Returns how many entities are free then. */
static size_t
free_unnamed(struct binder *binder, unsigned oldest_generation)
{
	size_t used = shm_used(binder->shm), count = binder->shm->capacity - used;

	for (size_t id = 0; id < used; id++) {
		struct entity *e = &binder->shm->entities[id];

		if (e->generation < oldest_generation && e->generation != binder->generation)
			e->kind = ENTITY_FREE;
		if (e->kind == ENTITY_FREE)
			count++;
	}
	return count;
}

static void
clear_tallies(struct shm *shm, uint32_t id)
{
	uint64_t live[SHM_SLOT_WORDS];

	/* No worker in life knows this entity by its old name, so nobody else writes here. */
	shm_live_slots(shm, live);
	live[SHM_SLOT_RETIRED / 64] |= 1;
	for (int slot = 0; slot < SHM_SLOTS; slot++)
		if (live[slot / 64] >> (slot % 64) & 1) {
			shm_latency_clear(shm, slot, id);
			for (unsigned field = 0; field < TALLY_FIELDS; field++)
				atomic_store_explicit(&shm_tally(shm, slot, id)->v[field], 0,
				    memory_order_relaxed);
		}
}

static uint32_t
take_entity(struct binder *binder)
{
	struct shm *shm = binder->shm;
	size_t used = shm_used(shm);
	uint32_t id = binder->next_free;

	while (id < used && shm->entities[id].kind != ENTITY_FREE)
		id++;
	assert(id < shm->capacity);
	binder->next_free = id + 1;
	return id;
}

void
shm_entity_begin(struct shm *shm, uint32_t id, enum entity_kind kind, const uint64_t key[static 2],
    unsigned generation, unsigned weight, const struct health_config *health)
{
	struct entity *e = &shm->entities[id];
	uint16_t incarnation = atomic_load_explicit(&e->incarnation, memory_order_relaxed);

	if (id == shm_used(shm))
		atomic_store_explicit(&shm->header->used, id + 1, memory_order_relaxed);
	else
		clear_tallies(shm, id);
	memset(e, 0, sizeof(*e));
	memset(shm_usage(shm, id), 0, sizeof(struct usage));
	shm_mark_start(shm, id);
	memcpy(e->key, key, sizeof(e->key));
	e->kind = kind;
	e->generation = generation;
	e->config_weight = (uint16_t)weight;
	atomic_store_explicit(&e->weight, WEIGHT_FROM_CONFIG, memory_order_relaxed);
	atomic_store_explicit(&e->incarnation, (uint16_t)(incarnation + 1), memory_order_relaxed);
	if (health != NULL && health->type != HEALTH_OFF && health->starts_down) {
		e->health = HEALTH_DOWN;
		e->health_since_ms = now_ms;
		e->checks_in_row = health->rise - 1; /* the first success brings it up */
	}
}

/* Visitor: the others get a new one. */
static void
bind_new(struct binder *binder, const struct object *object)
{
	uint64_t key[2];
	uint32_t *place;

	if (*object->id != NO_ID)
		return;
	object_key(binder, object, key);
	place = index_find(binder, key);
	if (*place == NO_ID) {
		*place = take_entity(binder);
		shm_entity_begin(
		    binder->shm, *place, object->kind, key, binder->generation, object->weight,
		    object->pool != NULL ? &object->pool->health : NULL);
	}
	*object->id = *place;
}

size_t
shm_needed(const struct config *config)
{
	size_t count = config->listener_count + config->pool_count + config->bandwidth_count +
		       config->route_series_count + config->served_count;

	for (size_t i = 0; i < config->pool_count; i++)
		count += config->pools[i].server_count;
	return count;
}

int
shm_bind_config(struct shm *shm, struct config *config, unsigned oldest_generation)
{
	struct binder binder;
	int result = -1;

	binder_init(&binder, shm, config);
	each_object(&binder, config, bind_known);
	if (free_unnamed(&binder, oldest_generation) >= binder.missing) {
		each_object(&binder, config, bind_new);
		result = 0;
	}
	binder_fini(&binder);
	return result;
}

/* Without what is in progress: it will end in `from`. */
static void
copy_usage(struct usage *to, const struct usage *from)
{
	memcpy(to, from, sizeof(*to));
	atomic_store_explicit(&to->active, 0, memory_order_relaxed);
	atomic_store_explicit(&to->queued, 0, memory_order_relaxed);
}

static void
copy_entity(struct shm *to, struct shm *from, uint32_t id)
{
	uint64_t sums[TALLY_FIELDS];

	memcpy(&to->entities[id], &from->entities[id], sizeof(struct entity));
	atomic_store_explicit(&to->entities[id].retire_count, 0, memory_order_relaxed);
	if (from->entities[id].kind == ENTITY_FREE)
		return;
	if (from->entities[id].kind == ENTITY_POOL || from->entities[id].kind == ENTITY_SERVER)
		copy_usage(shm_usage(to, id), shm_usage(from, id));
	shm_sum_all(from, id, sums);
	shm_latency_copy(to, from, id);
	for (unsigned field = 0; field < TALLY_FIELDS; field++)
		if (sums[field] != 0 && !tally_table[field].is_gauge)
			atomic_store_explicit(&shm_tally(to, SHM_SLOT_RETIRED, id)->v[field],
			    sums[field], memory_order_relaxed);
}

/* With those of workers that live: their slots stay behind. */
static uint64_t
lines_lost(const struct shm *shm)
{
	uint64_t live[SHM_SLOT_WORDS], sum = shm->header->global.log_lines_lost;

	shm_live_slots(shm, live);
	for (int slot = 0; slot < SHM_SLOTS; slot++)
		if ((live[slot / 64] >> (slot % 64) & 1) != 0)
			sum += shm->header->info[slot].log_lines_lost;
	return sum;
}

static void
copy_global(struct shm_global *to, const struct shm_global *from)
{
	to->master_pid = from->master_pid;
	to->generation = from->generation;
	to->revision = from->revision;
	to->started_wall_s = from->started_wall_s;
	to->loaded_wall_s = from->loaded_wall_s;
	to->started_ms = from->started_ms;
	to->reloads = from->reloads;
	to->reload_failures = from->reload_failures;
	to->worker_deaths = from->worker_deaths;
	to->server_changes = from->server_changes;
	to->logs_torn = from->logs_torn;
}

/* Those of workers that live go on being written in `from`: what there is now is copied. */
static void
copy_faults(struct shm *to, const struct shm *from)
{
	uint64_t live[SHM_SLOT_WORDS];

	shm_live_slots(from, live);
	live[SHM_SLOT_RETIRED / 64] |= 1;
	for (int slot = 0; slot < SHM_SLOTS; slot++)
		if ((live[slot / 64] >> (slot % 64) & 1) != 0)
			faults_merge(shm_faults(to, SHM_SLOT_RETIRED), shm_faults(from, slot));
}

/* Listeners and pools only: of servers nothing is recorded, and their pages stay untouched. */
static void
copy_history(struct shm *to, const struct shm *from)
{
	size_t used = shm_used(from);

	memcpy(shm_history_head(to), shm_history_head(from), sizeof(struct history_head));
	for (uint32_t id = 0; id < used; id++)
		if (from->entities[id].kind == ENTITY_LISTENER ||
		    from->entities[id].kind == ENTITY_POOL)
			memcpy(shm_history(to, id), shm_history(from, id), sizeof(struct history));
}

static void
copy_buckets(struct shm *to, const struct shm *from)
{
	size_t used = shm_used(from);

	for (uint32_t id = 0; id < used; id++)
		if (from->entities[id].kind == ENTITY_BANDWIDTH)
			memcpy(shm_buckets(to, id), shm_buckets(from, id), SHM_BUCKETS * sizeof(struct bucket));
}

static void
copy_sources(struct shm *to, const struct shm *from)
{
	to->header->seed = from->header->seed;
	for (size_t i = 0; i < SHM_SOURCE_SETS * SHM_STICKY_WAYS; i++) {
		uint64_t word = atomic_load_explicit(&from->sources[i], memory_order_relaxed);

		if (word != 0) /* else its page stays untouched */
			atomic_store_explicit(&to->sources[i], word, memory_order_relaxed);
	}
}

void
shm_copy(struct shm *to, struct shm *from)
{
	size_t used = shm_used(from);

	assert(to->capacity >= used);
	for (uint32_t id = 0; id < used; id++)
		copy_entity(to, from, id);
	atomic_store_explicit(&to->header->used, (uint32_t)used, memory_order_relaxed);
	copy_global(&to->header->global, &from->header->global);
	to->header->global.log_lines_lost = lines_lost(from);
	shm_sticky_copy(to, from);
	copy_faults(to, from);
	copy_history(to, from);
	copy_buckets(to, from);
	copy_sources(to, from);
}
