/*
 * shm: what the processes share.
 *
 * Runs in: master (makes it, binds configurations to it, cleans up after the dead), workers, control.
 *
 * One region lives as long as the master, not one per generation: an *entity* (listener, pool or server) is found by
 * its kind and name, so a reload finds its health, run-time weight, counters and sticky entries again, and old and new
 * workers count active connections on the same server together.  The region is one memfd, mapped at the same address
 * in all processes because they are forked; it holds no pointers, so that a new binary can take it over.
 *
 * Layout: header | entities[capacity] | slots[SHM_SLOTS] of tally[capacity] | sticky table.  It is sparse: pages cost memory
 * only once touched.  Each worker owns one slot and writes only there (no shared cache line on the fast path); slot 0
 * holds what ended workers had counted.
 */
#ifndef WEIR_SHM_H
#define WEIR_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/tally.h"

struct config;
struct server_config;
struct shm;

enum { SHM_SLOTS = 256, SHM_SLOT_RETIRED = 0 };

enum entity_kind { ENTITY_FREE = 0, ENTITY_LISTENER, ENTITY_POOL, ENTITY_SERVER };

/* What health checks found.  UNKNOWN (not checked yet) is used like UP. */
enum health_state { HEALTH_UNKNOWN = 0, HEALTH_UP, HEALTH_DOWN };

/* What the operator wants (weirctl server ... ready|drain|maint). */
enum admin_state { ADMIN_READY = 0, ADMIN_DRAIN, ADMIN_MAINT };

enum { WEIGHT_FROM_CONFIG = -1 };

struct entity {
	uint64_t key[2];    /* 128-bit hash of kind and name */
	uint32_t kind;      /* enum entity_kind */
	uint32_t generation; /* the last configuration that named it; written by the master */
	/* Servers; health_* written by control, admin and weight by control on the operator's word, read by all. */
	_Atomic uint32_t health;   /* enum health_state */
	_Atomic uint32_t admin;    /* enum admin_state */
	_Atomic int32_t weight;    /* run-time weight; WEIGHT_FROM_CONFIG */
	_Atomic uint32_t checks_in_row; /* equal results in a row */
	_Atomic uint64_t health_since_ms; /* CLOCK_MONOTONIC, when `health` last changed */
	_Atomic uint64_t checks_ok, checks_failed, transitions;
	char last_check[48]; /* "200", "connection refused"...: text for people; written by control */
};

/*
 * Make a region with room for `capacity` entities and `sticky_entries` source addresses.
 * Returns NULL with errno set.
 */
struct shm *shm_new(size_t capacity, size_t sticky_entries);
void shm_free(struct shm *shm);
size_t shm_capacity(const struct shm *shm);
/* Entities that a configuration needs. */
size_t shm_needed(const struct config *config);

/*
 * Give each listener, pool and server of `config` its entity (the .id fields), keeping the state of those known by
 * name, and free entities that no configuration since `oldest_generation` names.  A run-time weight is reset to
 * WEIGHT_FROM_CONFIG, admin states stay.
 * Context: master.  Returns 0; -1 when the region is full (nothing changed that matters): make a larger one.
 */
int shm_bind_config(struct shm *shm, struct config *config, unsigned oldest_generation);
/* Copy states, retired counters and sticky entries of all entities of `from` into the larger `to`.  Context: master. */
void shm_copy(struct shm *to, struct shm *from);

/* Context: master.  Take a free slot for a worker to be started; -1: all taken. */
int shm_take_slot(struct shm *shm);
/* Context: master, once the worker is reaped: its counters are added to slot 0, its gauges vanish, the slot is free. */
void shm_retire_slot(struct shm *shm, int slot);
/* 64 slots per word: bit set = in use.  `words` has SHM_SLOTS / 64. */
void shm_live_slots(const struct shm *shm, uint64_t words[static SHM_SLOTS / 64]);

/* What the master tells everybody about the processes; the master writes, all read. */
enum slot_state { SLOT_FREE = 0, SLOT_RUNNING, SLOT_DRAINING };
struct slot_info {
	_Atomic int32_t pid;
	_Atomic uint32_t state; /* enum slot_state */
	_Atomic uint32_t generation;
};
struct shm_global {
	_Atomic int32_t master_pid;
	_Atomic uint32_t generation;
	_Atomic uint64_t started_wall_s, loaded_wall_s;
	_Atomic uint64_t reloads, reload_failures, worker_deaths;
};
struct shm_global *shm_global(const struct shm *shm);
struct slot_info *shm_slot_info(const struct shm *shm, int slot);

struct entity *shm_entity(const struct shm *shm, uint32_t id);
struct tally *shm_tally(const struct shm *shm, int slot, uint32_t id);
/* Sum over all slots, retired ones too. */
uint64_t shm_sum(const struct shm *shm, uint32_t id, enum tally_field field);
void shm_sum_all(const struct shm *shm, uint32_t id, uint64_t sums[static TALLY_FIELDS]);

/* Weight in force: run-time weight or the configured one. */
unsigned shm_weight(const struct shm *shm, const struct server_config *server);

/* May new requests go there?  UP or UNKNOWN, READY, weight above 0. */
bool shm_server_usable(const struct shm *shm, const struct server_config *server);
/* May requests that stick to it go there?  UP or UNKNOWN, READY or DRAIN, any weight. */
bool shm_server_stickable(const struct shm *shm, const struct server_config *server);

/*
 * Source-address stickiness: one table for all pools, 8-way sets of one 64-bit word each (tag, entity, seconds), so
 * that readers and writers need no lock; the entry unused for longest makes room.
 *
 * key         64-bit hash of pool entity and source address
 * timeout_s   entries unused for longer do not count
 */
/* Returns the entity id of the server, renewing the entry; UINT32_MAX if none. */
uint32_t shm_sticky_find(struct shm *shm, uint64_t key, uint32_t timeout_s);
void shm_sticky_store(struct shm *shm, uint64_t key, uint32_t server_id, uint32_t timeout_s);

#endif
