/*
 * shm_priv: the layout of the shared region, for the files of this room.
 */
#ifndef WEIR_SHM_PRIV_H
#define WEIR_SHM_PRIV_H

#include "weir/conf.h"
#include "weir/shm.h"

enum { SHM_WEIGHT_MAX = 256 };
enum { SHM_SLOT_WORDS = SHM_SLOTS / 64, SHM_STICKY_WAYS = 8, SHM_STICKY_SETS_MAX = 1 << 22 };

/*
 * First in the region.  Everything up to `size` is written once, and checked by a new binary before
 * it takes over.
 */
struct shm_header {
	uint64_t magic;
	uint32_t version; /* of the meaning of fields; the sizes below speak for themselves */
	uint32_t header_size, entity_size, tally_size, tally_fields, slots, latency_size, fault_size, history_size;
	uint32_t usage_size, buckets_size, source_sets;
	uint64_t seed;        /* of the keys of sources */
	uint64_t capacity;    /* entities */
	uint64_t sticky_sets; /* a power of two */
	uint64_t size;        /* bytes of the whole region */
	/* Entities at and above this were never touched; written and read by masters. */
	_Atomic uint32_t used;
	/* Slots that workers have; written by masters (release), read by all (acquire). */
	_Atomic uint64_t live[SHM_SLOT_WORDS];
	struct shm_global global;
	struct slot_info info[SHM_SLOTS];
};

/*
 * One process's view.  The sizes are its own copy: what others may have scribbled into the header
 * does not matter.
 */
struct shm {
	int fd;     /* owned */
	char *map;  /* owned; the whole region */
	size_t size;
	size_t capacity;
	size_t slot_stride; /* bytes from one slot to the next */
	size_t latency_stride; /* likewise */
	size_t sticky_sets;
	struct shm_header *header;
	struct entity *entities;
	_Atomic uint64_t *sticky; /* sticky_sets * SHM_STICKY_WAYS words */
	char *slots;
	char *latencies;
	char *faults; /* struct fault_ring for each slot */
	size_t history_head_size;
	char *history; /* struct history_head, struct history for each entity */
	char *usages;  /* struct usage for each entity */
	struct bucket *buckets; /* SHM_BUCKETS for each entity */
	_Atomic uint64_t *sources; /* SHM_SOURCE_SETS * SHM_STICKY_WAYS words */
};

/* A server can be used from now on. */
void shm_mark_start(struct shm *shm, uint32_t id);
/* Entities that may hold something. */
size_t shm_used(const struct shm *shm);
/*
 * shm_bind.c, for shm_servers.c: what tells one entity from all others; a place's new life (health: of a server's pool,
 * else NULL); a weight that the configuration has now.
 */
struct XXH3_state_s;
void shm_key(struct XXH3_state_s *state, enum entity_kind kind, const char *owner, const char *name,
    uint64_t key[static 2]);
void shm_entity_begin(struct shm *shm, uint32_t id, enum entity_kind kind, const uint64_t key[static 2],
    unsigned generation, unsigned weight, const struct health_config *health);
void shm_entity_weigh(struct entity *entity, unsigned weight, enum run_time_weights weights);
/* The histograms of one slot go to slot 0.  Context: within the odd retire_count of the entity. */
void shm_latency_retire(struct shm *shm, int slot, uint32_t id);
/* All histograms of one slot are zero from now on. */
void shm_latency_clear(struct shm *shm, int slot, uint32_t id);
/* The histograms' part of shm_copy(). */
void shm_latency_copy(struct shm *to, struct shm *from, uint32_t id);
/* For shm_sticky_file.c: does the word still mean a server, and which? */
bool shm_sticky_means(const struct shm *shm, uint64_t word);
uint32_t shm_sticky_id(uint64_t word);
/* The word as it is kept, with its set and its age. */
uint64_t shm_sticky_pack(uint64_t word, size_t set);
/*
 * Puts an entry into the table that was packed in one of `sets` sets and is older by `gone_s` seconds.
 * Returns false when it is too old, or has a set that there was not.
 */
bool shm_sticky_unpack(struct shm *shm, uint64_t packed, size_t sets, uint32_t server_id, uint64_t gone_s);
/* The sticky part of shm_copy(). */
void shm_sticky_copy(struct shm *to, struct shm *from);

#endif
