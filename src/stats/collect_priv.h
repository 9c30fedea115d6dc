/*
 * collect: one look at everything that is counted, for the exporters and the commands.
 *
 * Runs in: control.  Reads the configuration and shared memory in one pass; a value that workers change meanwhile is
 * old or new, never torn.
 */
#ifndef WEIR_COLLECT_PRIV_H
#define WEIR_COLLECT_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/conf.h"
#include "weir/shm.h"
#include "weir/slice.h"
#include "weir/tally.h"

struct arena;

/* What the kernel counts of one process. */
struct process_use {
	uint64_t cpu_ms, resident; /* bytes; 0: it could not be read */
};

struct worker_stats {
	int pid, slot;
	enum slot_state state;
	unsigned generation;
	uint64_t active, requests; /* of all listeners */
	uint64_t log_lines_lost;
	struct process_use use;
};

struct process_stats {
	int pid; /* of the master */
	unsigned generation;
	uint64_t started_wall_s, loaded_wall_s, uptime_s;
	uint64_t reloads, reload_failures, server_changes, worker_deaths;
	uint64_t log_lines_lost;
	struct process_use control; /* this process */
	struct worker_stats workers[SHM_SLOTS];
	size_t worker_count;
	size_t workers_current; /* running, and of the present generation */
	size_t workers_wanted;  /* what the configuration asks for */
};

/* Durations of one kind, in microseconds. */
struct latency_stats {
	uint64_t count, sum_us, p50_us, p90_us, p99_us, p999_us;
};

/* Upper bounds of the buckets in /metrics. */
enum { COLLECT_BOUNDS = 16 };
extern const uint64_t collect_bounds_us[COLLECT_BOUNDS];

/* The same with what /metrics wants: how many took at most that long. */
struct latency_spread {
	struct latency_stats all;
	uint64_t below[COLLECT_BOUNDS];
};

struct server_stats {
	const struct server_config *conf;
	const struct pool_config *pool;
	struct slice labels; /* export_prometheus.c's */
	uint64_t sums[TALLY_FIELDS];
	struct latency_stats latency[LATENCY_KINDS];
	enum health_state health;
	enum admin_state admin;
	unsigned weight; /* in force */
	bool usable;     /* for new requests */
	bool ejected;    /* left out, because requests failed, ... */
	uint64_t ejected_s; /* ... for so many seconds from now on */
	uint64_t ends[LATENCY_ENDS]; /* of connect_errors and response_errors, by enum end */
	bool has_since;  /* the health changed at least once */
	uint64_t since_s; /* seconds since then */
	uint64_t checks_ok, checks_failed, transitions;
	char last_check[sizeof(((struct entity *)NULL)->last_check)];
};

struct pool_stats {
	const struct pool_config *conf;
	struct slice labels; /* export_prometheus.c's */
	uint64_t sums[TALLY_FIELDS];
	uint64_t ends[LATENCY_ENDS]; /* why requests failed, by enum end */
	struct latency_spread latency[LATENCY_KINDS];
	struct server_stats *servers; /* conf->server_count of them */
	size_t usable, down;
};

struct listener_stats {
	const struct listener_config *conf;
	struct slice labels; /* export_prometheus.c's */
	uint64_t sums[TALLY_FIELDS];
	uint64_t ends[LATENCY_ENDS]; /* by enum end */
	struct latency_spread latency[LATENCY_KINDS];
};

struct route_stats {
	const struct route_series *conf;
	struct slice labels; /* export_prometheus.c's */
	uint64_t sums[TALLY_FIELDS];
	uint64_t ends[LATENCY_ENDS]; /* why requests failed, by enum end */
	struct latency_spread latency[LATENCY_KINDS];
};

/* One that clients are shown, whatever kinds of keys its ID has. */
struct certificate_stats {
	const struct served_certificate *conf;
	uint64_t sums[TALLY_FIELDS];
};

struct stats {
	struct arena *arena; /* owns all below */
	const struct shm *shm;       /* borrowed */
	const struct config *config; /* borrowed; its counts are those of the arrays */
	struct process_stats process;
	struct listener_stats *listeners;
	struct pool_stats *pools;
	struct route_stats *routes;
	struct certificate_stats *certificates; /* as config->served */
	size_t server_count, servers_down;
};

/* What is wanted of the latencies of servers, of which there may be thousands. */
enum collect_detail { COLLECT_SUMS = 0, COLLECT_PERCENTILES };

/*
 * Cost     O(objects x workers).
 * Returns  a copy of everything; collect_free() it.
 */
struct stats *collect_all(const struct config *config, const struct shm *shm, enum collect_detail detail);
void collect_free(struct stats *stats);
/* By its ID; NULL: clients are not shown it. */
const struct certificate_stats *collect_find_certificate(const struct stats *stats, const char *id);
/* Parts of the same, for answers that need no more. */
void collect_process(struct process_stats *process, const struct config *config, const struct shm *shm);
void collect_listener(struct listener_stats *stats, const struct listener_config *conf, const struct shm *shm);
void collect_route(struct route_stats *stats, const struct route_series *conf, const struct shm *shm);
void collect_certificate(
    struct certificate_stats *stats, const struct served_certificate *conf, const struct shm *shm);
void collect_server(struct server_stats *stats, const struct pool_config *pool, const struct server_config *conf,
    const struct shm *shm, enum collect_detail detail);

/* The words that JSON, tables and the configuration use. */
const char *collect_health_name(enum health_state state);
const char *collect_admin_name(enum admin_state state);
const char *collect_slot_name(enum slot_state state);
const char *collect_listener_protocol(const struct listener_config *listener);
const char *collect_pool_protocol(const struct pool_config *pool);
const char *collect_balance_name(enum balance_method method);
const char *collect_check_name(enum health_type type);

#endif
