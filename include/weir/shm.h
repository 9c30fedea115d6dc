/*
 * shm: what the processes share.
 *
 * Runs in: master (makes it, binds configurations to it, cleans up after the dead), workers, control.
 *
 * One region lives as long as the master, not one per generation: an *entity* (listener, pool, server, bandwidth
 * limit, route or certificate) is found by its kind and name, so a reload finds its health, run-time weight, counters and sticky entries again, and old and new
 * workers count active connections on the same server together.  The region is one memfd, mapped at the same address
 * in all processes because they are forked; it holds no pointers, so that a new binary can take it over.
 *
 * Layout: header | entities[capacity] | sticky table | slots[SHM_SLOTS] of tally[capacity] | slots[SHM_SLOTS] of
 * latency[capacity] | slots[SHM_SLOTS] of malformed messages | the recent past | usage[capacity] |
 * buckets[capacity] | rates of sources.  It is sparse: pages cost memory only
 * once touched, by reading too.  Each worker owns one slot and writes only there (no shared cache line on the fast path); slot 0
 * holds what ended workers had counted.
 *
 * Workers keep schedules made from health, admin states and weights.  Whoever changes one of these calls shm_set_*(),
 * which tell the workers through the pool's change counter; a change written past them is noticed within a second.
 */
#ifndef WEIR_SHM_H
#define WEIR_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/bucket.h"
#include "weir/faults.h"
#include "weir/histogram.h"
#include "weir/history.h"
#include "weir/tally.h"

struct config;
struct pool_config;
struct server_config;
struct shm;

enum { SHM_SLOTS = 256, SHM_SLOT_RETIRED = 0, SHM_CAPACITY_MAX = (1 << 22) - 2 };

enum entity_kind {
	ENTITY_FREE = 0,
	ENTITY_LISTENER,
	ENTITY_POOL,
	ENTITY_SERVER,
	ENTITY_BANDWIDTH,
	ENTITY_ROUTE,      /* what is counted as one route: struct route_series */
	ENTITY_CERTIFICATE /* shown to clients */
};

/* What health checks found.  UNKNOWN (not checked yet) is used like UP. */
enum health_state { HEALTH_UNKNOWN = 0, HEALTH_UP, HEALTH_DOWN };

/* What the operator wants (weirctl server ... ready|drain|maint). */
enum admin_state { ADMIN_READY = 0, ADMIN_DRAIN, ADMIN_MAINT };

enum { WEIGHT_FROM_CONFIG = -1 };

struct entity {
	_Alignas(64) uint64_t key[2]; /* 128-bit hash of kind and name; written by the master before workers know the id */
	uint32_t kind;                /* enum entity_kind; likewise */
	uint32_t generation;          /* the last configuration that named it; written and read by the master */
	/* Servers; health_* written by control, admin and weight by control on the operator's word, read by all. */
	_Atomic uint32_t health;   /* enum health_state */
	_Atomic uint16_t admin;    /* enum admin_state */
	_Atomic uint16_t is_ejected; /* workers found it failing: see eject.h; written by workers and control */
	_Atomic int32_t weight;    /* run-time weight; WEIGHT_FROM_CONFIG */
	_Atomic uint32_t checks_in_row; /* results in a row that speak against `health` */
	/* Pools: counted up (release) after a server changed; workers read it (acquire) before they read the servers. */
	_Atomic uint32_t changes;
	_Atomic uint16_t incarnation; /* counted up by the master when the place gets a new name; see shm_sticky_find() */
	uint16_t config_weight;       /* servers: the weight of the last configuration; master only */
	_Atomic uint64_t health_since_ms; /* CLOCK_MONOTONIC, when `health` last changed */
	_Atomic uint64_t checks_ok, checks_failed, transitions;
	/* Odd while the counts of an ended worker move to slot 0; written by masters, read by shm_sum() (acquire). */
	_Atomic uint32_t retire_count;
	char last_check[44]; /* "200", "connection refused"...: text for people; written and read by control */
};
_Static_assert(sizeof(struct entity) == 128, "an entity is two cache lines");

/*
 * What workers tell each other about a server or pool while they use it: a cache line of its own, touched only where the
 * configuration asks for what it is good for.  Several processes write it.
 */
struct usage {
	/* Requests and sessions in progress, where limits or the method want them of all workers. */
	_Alignas(64) _Atomic int32_t active;
	/* Pools: those that wait. */
	_Atomic int32_t queued;
	/* Servers: failures since the last good answer. */
	_Atomic uint32_t failures;
	/* Ejections without a time in use between them as long as the ejection before; see eject.h. */
	_Atomic uint32_t ejections_in_row;
	/* The last ejection: its length, and when (CLOCK_MONOTONIC) the server is, or was, used again; 0: none. */
	_Atomic uint64_t eject_ms, readmit_ms;
	/* Servers: when they could be used again, or came (CLOCK_MONOTONIC, ms). */
	_Atomic uint64_t started_ms;
};

/*
 * Make a region with room for `capacity` entities and `sticky_entries` source addresses.
 * Returns NULL with errno set (EINVAL: no room at all or more than SHM_CAPACITY_MAX).
 */
struct shm *shm_new(size_t capacity, size_t sticky_entries);
/* Unmaps the region and closes its descriptor in this process; it lives on in others.  NULL is allowed. */
void shm_free(struct shm *shm);
/* The descriptor of the region (close-on-exec), to hand over to a new binary; stays the shm's. */
int shm_fd(const struct shm *shm);
/*
 * Take over the region behind `fd`, which becomes the shm's.  Context: master of a new binary.
 * Returns NULL with errno set and `fd` still the caller's; EPROTO: laid out by an incompatible version.
 */
struct shm *shm_attach_take(int fd);
size_t shm_capacity(const struct shm *shm);
/* Entities that a configuration needs. */
size_t shm_needed(const struct config *config);

/*
 * Give each listener, pool, server, bandwidth limit, route and certificate of `config` its entity (the .id fields), keeping the state of
 * those known by name, and free entities that no configuration since `oldest_generation` names.  Admin states stay; what
 * becomes of run-time weights, the pool's run_time_weights says.
 * Context: master.  Returns 0; -1 when the region is full (nothing changed that matters): make a larger one.
 */
int shm_bind_config(struct shm *shm, struct config *config, unsigned oldest_generation);
/*
 * The same for the servers that `pool`, which is bound, is to have instead of its own.  Those that are in no
 * configuration any more keep their entities until shm_free_server().
 * Context  master
 * Cost     one pass over the entities if some of the servers are new; else that of comparing names
 * Returns  0; -1 when the region is full: then nothing was taken.
 */
int shm_bind_servers(struct shm *shm, const struct pool_config *pool, struct server_config *servers, size_t count,
    unsigned generation);
/* Nobody knows this server any more.  Context: master. */
void shm_free_server(struct shm *shm, uint32_t id);
/*
 * Copy the entities of `from` with their ids, states, counters so far and sticky entries into the new `to`, which is at
 * least as large.  What the workers of `from` count from now on is not seen in `to`.  Context: master.
 */
void shm_copy(struct shm *to, struct shm *from);

/* Context: master.  Take a free slot for a worker to be started; -1: all taken. */
int shm_take_slot(struct shm *shm);
/* Context: master, once the worker is reaped: its counters are added to slot 0, its gauges vanish, the slot is free. */
void shm_retire_slot(struct shm *shm, int slot);
/* 64 slots per word: bit set = a worker's.  `words` has SHM_SLOTS / 64.  Slot 0 is never among them. */
void shm_live_slots(const struct shm *shm, uint64_t words[static SHM_SLOTS / 64]);

/* What the master tells everybody about the processes; the master writes, all read. */
enum slot_state { SLOT_FREE = 0, SLOT_RUNNING, SLOT_DRAINING };
struct slot_info {
	_Atomic int32_t pid;
	_Atomic uint32_t state; /* enum slot_state */
	_Atomic uint32_t revision; /* of the configuration that it serves */
	_Atomic uint64_t log_lines_lost; /* written by the worker */
	_Atomic uint32_t pongs;          /* likewise: how often it was asked whether it lives, and said so */
};
struct shm_global {
	_Atomic int32_t master_pid;
	_Atomic uint32_t generation, revision; /* in force, as in struct config */
	_Atomic uint64_t started_wall_s, loaded_wall_s;
	_Atomic uint64_t started_ms; /* as started_wall_s, by CLOCK_MONOTONIC */
	_Atomic uint64_t reloads, reload_failures, worker_deaths;
	_Atomic uint64_t server_changes; /* of pools' servers, without new workers */
	_Atomic uint64_t log_lines_lost; /* by workers that ended */
	_Atomic uint64_t logs_torn;      /* files that end within a line: see log_writer_new() */
};
struct shm_global *shm_global(const struct shm *shm);
struct slot_info *shm_slot_info(const struct shm *shm, int slot);

struct entity *shm_entity(const struct shm *shm, uint32_t id);
struct usage *shm_usage(const struct shm *shm, uint32_t id);
struct tally *shm_tally(const struct shm *shm, int slot, uint32_t id);
/* Sum over all slots, retired ones too; never goes back.  Not for the data path: may sleep while a slot is retired. */
uint64_t shm_sum(const struct shm *shm, uint32_t id, enum tally_field field);
void shm_sum_all(const struct shm *shm, uint32_t id, uint64_t sums[static TALLY_FIELDS]);

/* The histograms of one slot.  What has no requests in its tally has none there, and is not to be read. */
struct latency *shm_latency(const struct shm *shm, int slot, uint32_t id);
/* The malformed messages of one slot; slot 0: those of workers that ended. */
struct fault_ring *shm_faults(const struct shm *shm, int slot);
/* As shm_sum_all(): those of all slots. */
void shm_latency_sum(const struct shm *shm, uint32_t id, struct histogram_sum sums[static LATENCY_KINDS]);
/* How requests and sessions of a listener ended, by enum end; while a worker is retired some may be missing. */
void shm_ends_sum(const struct shm *shm, uint32_t id, uint64_t sums[static LATENCY_ENDS]);
/* Only `count` and `sum_us` of them, at a hundredth of the cost; the buckets are left as they are. */
void shm_latency_count(const struct shm *shm, uint32_t id, struct histogram_sum sums[static LATENCY_KINDS]);

/* The recent past: of the whole, and of a listener or pool.  Servers have none: it is not to be touched. */
struct history_head *shm_history_head(const struct shm *shm);
struct history *shm_history(const struct shm *shm, uint32_t id);
/* Of a bandwidth limit: towards weir, and from it (enum pace_way).  Others have none: they are not to be touched. */
enum { SHM_BUCKETS = 2 };
struct bucket *shm_buckets(const struct shm *shm, uint32_t id);
/* Remember a change of a server.  shm_set_*() do so. */
void shm_history_event(struct shm *shm, uint32_t pool_id, uint32_t server_id, enum history_event_kind kind,
    unsigned from, unsigned to);

/*
 * Change what is known of a server and tell the workers.  Nothing is told when nothing changes.
 * shm_set_health() leaves health_since_ms and the counts to the caller.  weight: 0 to 256 or WEIGHT_FROM_CONFIG.
 */
void shm_set_health(struct shm *shm, uint32_t pool_id, uint32_t server_id, enum health_state state);
void shm_set_admin(struct shm *shm, uint32_t pool_id, uint32_t server_id, enum admin_state state);
void shm_set_weight(struct shm *shm, uint32_t pool_id, uint32_t server_id, int weight);
/* Tell the workers that something of a pool's servers has changed. */
void shm_touch_pool(struct shm *shm, uint32_t pool_id);

/*
 * Leave a server out, until it is readmitted.  The caller tells the workers (shm_touch_pool()), or readmits it when it
 * should have stayed.  Returns false when it is out already.
 */
bool shm_eject(struct shm *shm, uint32_t server_id);
/* Use it again.  failures: those it begins with.  Returns false when it is in use. */
bool shm_readmit(struct shm *shm, uint32_t pool_id, uint32_t server_id, uint32_t failures);

/* Weight in force: run-time weight or the configured one. */
unsigned shm_weight(const struct shm *shm, const struct server_config *server);

/* May new requests go there?  UP or UNKNOWN, READY, not ejected, weight above 0. */
bool shm_server_usable(const struct shm *shm, const struct server_config *server);
/* May requests that stick to it go there?  UP or UNKNOWN, READY or DRAIN, not ejected, any weight. */
bool shm_server_stickable(const struct shm *shm, const struct server_config *server);

/*
 * Source-address stickiness: one table for all pools, 8-way sets of one 64-bit word each (tag, entity and its
 * incarnation, second of last use), so that readers and writers need no lock; the entry unused for longest makes room.
 * Time is that of now_ms (CLOCK_MONOTONIC, so the same in all processes).
 *
 * key         64-bit hash of pool entity and source address
 * timeout_s   entries unused for longer do not count
 */
/*
 * The table as bytes, owned by the caller, for another run of weir to load; now_wall_s counts.  Context: master.
 */
void *shm_sticky_save(const struct shm *shm, size_t *len);
/*
 * Entries whose servers are there again, by their names.  Context: master, before workers start.
 * Returns their number; -1: the bytes are no table, and nothing was loaded.
 */
long shm_sticky_load(struct shm *shm, const void *data, size_t len);
/* Entries in what shm_sticky_save() made. */
uint64_t shm_sticky_count(const void *data);
/*
 * The same for what operators want of servers: admin states and run-time weights.  A weight is not taken over where a
 * reload would have ended it.  `config` is bound.
 */
void *shm_states_save(const struct shm *shm, size_t *len);
long shm_states_load(struct shm *shm, const struct config *config, const void *data, size_t len);
enum { SHM_STATE_SIZE = 32, SHM_STATES_FILE_MAX = SHM_CAPACITY_MAX * SHM_STATE_SIZE };
/* Bytes at most of a table, for checks of files. */
enum { SHM_STICKY_FILE_MAX = 1 << 29 };
/* Returns the entity id of the server, renewing the entry; UINT32_MAX if none. */
uint32_t shm_sticky_find(struct shm *shm, uint64_t key, uint32_t timeout_s);
void shm_sticky_forget(struct shm *shm, uint64_t key);
void shm_sticky_store(struct shm *shm, uint64_t key, uint32_t server_id, uint32_t timeout_s);
/*
 * Call `each` for every entry that still means a server.
 * age_s  since it was used last
 * Cost   one pass over the table.
 */
void shm_sticky_each(const struct shm *shm, void (*each)(void *arg, uint32_t server_id, uint32_t age_s), void *arg);

/*
 * Rates of source addresses: one table for all listeners, of SHM_SOURCE_SETS * 8 entries; the source that will have all it
 * may have first makes room for a new one.
 */
enum { SHM_SOURCE_SETS = 1 << 14 };

struct source_rate {
	uint64_t interval_us; /* 1 to an hour: between two, when they come evenly */
	uint64_t burst_us;    /* at most an hour: so many intervals may come at once, one at least */
};

/* For keys of sources: unknown to clients, the same in all processes. */
uint64_t shm_source_seed(const struct shm *shm);
/*
 * One more of what `key` stands for.
 * key      64-bit hash, with the seed, of what is counted and of the source
 * Returns  0: admitted and counted; else the microseconds until one will be admitted again.
 * Cost     a compare-and-swap.
 */
uint64_t shm_source_admit(struct shm *shm, uint64_t key, const struct source_rate *rate, uint64_t now_us);

#endif
