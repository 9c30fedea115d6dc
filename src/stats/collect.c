#include "collect_priv.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weir/arena.h"
#include "weir/clock.h"

enum { WORKERS_AUTO_MAX = 120 }; /* as the master has it (process/generation.c) */

static size_t
collect_workers_wanted(const struct config *config)
{
	cpu_set_t set;

	if (config->global.workers != CONF_AUTO)
		return config->global.workers;
	if (sched_getaffinity(0, sizeof(set), &set) == -1)
		return 1;
	return CPU_COUNT(&set) < WORKERS_AUTO_MAX ? (size_t)CPU_COUNT(&set) : WORKERS_AUTO_MAX;
}

void
collect_process(struct process_stats *process, const struct config *config, const struct shm *shm)
{
	const struct shm_global *global = shm_global(shm);

	*process = (struct process_stats){ .pid = global->master_pid };
	process->generation = global->revision;
	process->started_wall_s = global->started_wall_s;
	process->loaded_wall_s = global->loaded_wall_s;
	if (now_ms > global->started_ms)
		process->uptime_s = (now_ms - global->started_ms) / 1000;
	process->reloads = global->reloads;
	process->reload_failures = global->reload_failures;
	process->server_changes = global->server_changes;
	process->worker_deaths = global->worker_deaths;
	process->log_lines_lost = global->log_lines_lost;
	process->workers_wanted = collect_workers_wanted(config);
	for (int slot = 0; slot < SHM_SLOTS; slot++) {
		const struct slot_info *info = shm_slot_info(shm, slot);
		struct worker_stats *worker = &process->workers[process->worker_count];

		if (slot == SHM_SLOT_RETIRED || info->state == SLOT_FREE)
			continue;
		worker->pid = info->pid;
		worker->slot = slot;
		worker->state = info->state;
		worker->generation = info->revision;
		worker->log_lines_lost = info->log_lines_lost;
		process->log_lines_lost += worker->log_lines_lost;
		if (worker->state == SLOT_RUNNING && worker->generation == process->generation)
			process->workers_current++;
		process->worker_count++;
	}
}

/* From 250 us to a minute; doublings or a little more. */
const uint64_t collect_bounds_us[COLLECT_BOUNDS] = { 250, 500, 1000, 2500, 5000, 10000, 25000,
	50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 60000000 };

static void
collect_latency_stats(struct latency_stats *stats, const struct histogram_sum *sum)
{
	stats->count = sum->count;
	stats->sum_us = sum->sum_us;
	stats->p50_us = histogram_percentile_us(sum, 500);
	stats->p90_us = histogram_percentile_us(sum, 900);
	stats->p99_us = histogram_percentile_us(sum, 990);
	stats->p999_us = histogram_percentile_us(sum, 999);
}

/* The histograms of entities with nothing counted are not looked at: most of thousands of servers.
 */
static bool
collect_histograms(struct histogram_sum sums[static LATENCY_KINDS], const struct shm *shm,
    uint32_t id, const uint64_t tallies[static TALLY_FIELDS])
{
	if (tallies[TALLY_REQUESTS] == 0)
		return false;
	shm_latency_sum(shm, id, sums);
	return true;
}

static void
collect_spread(struct latency_spread spread[static LATENCY_KINDS], const struct shm *shm,
    uint32_t id, const uint64_t tallies[static TALLY_FIELDS])
{
	struct histogram_sum sums[LATENCY_KINDS];

	memset(spread, 0, LATENCY_KINDS * sizeof(*spread));
	if (!collect_histograms(sums, shm, id, tallies))
		return;
	for (size_t kind = 0; kind < LATENCY_KINDS; kind++) {
		collect_latency_stats(&spread[kind].all, &sums[kind]);
		for (size_t i = 0; i < COLLECT_BOUNDS; i++)
			spread[kind].below[i] =
			    histogram_count_below(&sums[kind], collect_bounds_us[i]);
	}
}

static void
collect_ends(uint64_t ends[static LATENCY_ENDS], const struct shm *shm, uint32_t id,
    const uint64_t tallies[static TALLY_FIELDS])
{
	memset(ends, 0, LATENCY_ENDS * sizeof(*ends));
	if (tallies[TALLY_REQUESTS] != 0 || tallies[TALLY_CONNECTIONS] != 0)
		shm_ends_sum(shm, id, ends);
}

void
collect_listener(
    struct listener_stats *stats, const struct listener_config *conf, const struct shm *shm)
{
	stats->conf = conf;
	shm_sum_all(shm, conf->id, stats->sums);
	collect_ends(stats->ends, shm, conf->id, stats->sums);
	collect_spread(stats->latency, shm, conf->id, stats->sums);
}

void
collect_route(struct route_stats *stats, const struct route_series *conf, const struct shm *shm)
{
	stats->conf = conf;
	shm_sum_all(shm, conf->id, stats->sums);
	collect_ends(stats->ends, shm, conf->id, stats->sums);
	collect_spread(stats->latency, shm, conf->id, stats->sums);
}

void
collect_certificate(
    struct certificate_stats *stats, const struct served_certificate *conf, const struct shm *shm)
{
	stats->conf = conf;
	shm_sum_all(shm, conf->id, stats->sums);
}

static void
collect_server_latency(
    struct server_stats *stats, const struct shm *shm, enum collect_detail detail)
{
	struct histogram_sum sums[LATENCY_KINDS];

	memset(stats->latency, 0, sizeof(stats->latency));
	if (stats->sums[TALLY_REQUESTS] == 0)
		return;
	if (detail == COLLECT_PERCENTILES)
		shm_latency_sum(shm, stats->conf->id, sums);
	else
		shm_latency_count(shm, stats->conf->id, sums);
	for (size_t kind = 0; kind < LATENCY_KINDS; kind++) {
		if (detail == COLLECT_PERCENTILES) {
			collect_latency_stats(&stats->latency[kind], &sums[kind]);
			continue;
		}
		stats->latency[kind].count = sums[kind].count;
		stats->latency[kind].sum_us = sums[kind].sum_us;
	}
}

void
collect_server(struct server_stats *stats, const struct pool_config *pool,
    const struct server_config *conf, const struct shm *shm, enum collect_detail detail)
{
	const struct entity *entity = shm_entity(shm, conf->id);
	uint64_t since_ms = entity->health_since_ms;

	stats->conf = conf;
	stats->pool = pool;
	shm_sum_all(shm, conf->id, stats->sums);
	collect_server_latency(stats, shm, detail);
	memset(stats->ends, 0, sizeof(stats->ends));
	if (stats->sums[TALLY_CONNECT_ERRORS] + stats->sums[TALLY_RESPONSE_ERRORS] != 0)
		collect_ends(stats->ends, shm, conf->id, stats->sums);
	stats->health = entity->health;
	stats->admin = entity->admin;
	stats->weight = shm_weight(shm, conf);
	stats->usable = shm_server_usable(shm, conf);
	stats->ejected = entity->is_ejected != 0;
	if (stats->ejected) {
		uint64_t readmit_ms = shm_usage(shm, conf->id)->readmit_ms;

		stats->ejected_s = readmit_ms > now_ms ? (readmit_ms - now_ms + 999) / 1000 : 0;
	}
	stats->has_since = since_ms != 0;
	stats->since_s = since_ms != 0 && now_ms > since_ms ? (now_ms - since_ms) / 1000 : 0;
	stats->checks_ok = entity->checks_ok;
	stats->checks_failed = entity->checks_failed;
	stats->transitions = entity->transitions;
	memcpy(stats->last_check, entity->last_check, sizeof(stats->last_check));
	stats->last_check[sizeof(stats->last_check) - 1] = '\0';
}

static void
collect_pool(struct stats *stats, struct pool_stats *pool, const struct pool_config *conf,
    const struct shm *shm, enum collect_detail detail)
{
	pool->conf = conf;
	shm_sum_all(shm, conf->id, pool->sums);
	collect_ends(pool->ends, shm, conf->id, pool->sums);
	collect_spread(pool->latency, shm, conf->id, pool->sums);
	pool->servers = arena_array(stats->arena, conf->server_count, sizeof(*pool->servers));
	for (size_t i = 0; i < conf->server_count; i++) {
		struct server_stats *server = &pool->servers[i];

		collect_server(server, conf, &conf->servers[i], shm, detail);
		pool->usable += server->usable;
		pool->down += server->health == HEALTH_DOWN;
	}
	stats->server_count += conf->server_count;
	stats->servers_down += pool->down;
}

/* proc(5): utime, stime and rss are the 14th, 15th and 24th field; the second is a name in brackets. */
static void
read_use(struct process_use *use, int pid)
{
	unsigned long user = 0, system = 0;
	long resident = 0, ticks = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
	char path[40], text[1024];
	const char *rest;
	FILE *file;

	*use = (struct process_use){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(text, sizeof(text), file) != NULL && (rest = strrchr(text, ')')) != NULL &&
	    sscanf(rest + 1,
		" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u "
		"%*u %ld",
		&user, &system, &resident) == 3 &&
	    ticks > 0) {
		use->cpu_ms = (user + system) * 1000 / (unsigned long)ticks;
		use->resident = (uint64_t)resident * (uint64_t)page;
	}
	fclose(file);
}

static void
collect_worker(struct worker_stats *worker, const struct config *config, const struct shm *shm)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct tally *tally = shm_tally(shm, worker->slot, config->listeners[i].id);

		worker->active += tally_get(tally, TALLY_ACTIVE);
		worker->requests += tally_get(tally, TALLY_REQUESTS);
	}
	read_use(&worker->use, worker->pid);
}

static void
collect_use(struct stats *stats)
{
	struct process_stats *process = &stats->process;

	read_use(&process->control, getpid());
	for (size_t i = 0; i < process->worker_count; i++)
		collect_worker(&process->workers[i], stats->config, stats->shm);
}

struct stats *
collect_all(const struct config *config, const struct shm *shm, enum collect_detail detail)
{
	struct arena *arena = arena_new();
	struct stats *stats = arena_alloc(arena, sizeof(*stats));

	clock_update();
	stats->arena = arena;
	stats->config = config;
	stats->shm = shm;
	collect_process(&stats->process, config, shm);
	collect_use(stats);
	stats->listeners = arena_array(arena, config->listener_count, sizeof(*stats->listeners));
	for (size_t i = 0; i < config->listener_count; i++)
		collect_listener(&stats->listeners[i], &config->listeners[i], shm);
	stats->pools = arena_array(arena, config->pool_count, sizeof(*stats->pools));
	for (size_t i = 0; i < config->pool_count; i++)
		collect_pool(stats, &stats->pools[i], &config->pools[i], shm, detail);
	stats->routes = arena_array(arena, config->route_series_count, sizeof(*stats->routes));
	for (size_t i = 0; i < config->route_series_count; i++)
		collect_route(&stats->routes[i], &config->route_series[i], shm);
	stats->certificates = arena_array(arena, config->served_count, sizeof(*stats->certificates));
	for (size_t i = 0; i < config->served_count; i++)
		collect_certificate(&stats->certificates[i], &config->served[i], shm);
	return stats;
}

static int
compare_certificate(const void *id, const void *certificate)
{
	return strcmp(id, ((const struct certificate_stats *)certificate)->conf->name);
}

const struct certificate_stats *
collect_find_certificate(const struct stats *stats, const char *id)
{
	size_t count = stats->config->served_count;

	if (count == 0)
		return NULL;
	return bsearch(id, stats->certificates, count, sizeof(*stats->certificates), compare_certificate);
}

void
collect_free(struct stats *stats)
{
	if (stats != NULL)
		arena_free(stats->arena);
}

/* A value from shared memory is checked: an index is as good as what wrote it. */
#define COLLECT_NAME(names, value)                                                                 \
	((size_t)(value) < sizeof(names) / sizeof((names)[0]) ? (names)[value] : "unknown")

const char *
collect_health_name(enum health_state state)
{
	static const char *const names[] = { "unknown", "up", "down" };

	return COLLECT_NAME(names, state);
}

const char *
collect_admin_name(enum admin_state state)
{
	static const char *const names[] = { "ready", "drain", "maint" };

	return COLLECT_NAME(names, state);
}

const char *
collect_slot_name(enum slot_state state)
{
	static const char *const names[] = { "free", "running", "draining" };

	return COLLECT_NAME(names, state);
}

const char *
collect_listener_protocol(const struct listener_config *listener)
{
	static const char *const names[] = { "tcp", "http", "https", "tls", "udp" };

	return COLLECT_NAME(names, listener->protocol);
}

const char *
collect_pool_protocol(const struct pool_config *pool)
{
	return pool_protocol_name(pool->protocol);
}

const char *
collect_balance_name(enum balance_method method)
{
	static const char *const names[] = { "weighted_round_robin", "weighted_least_connections",
		"source_hash", "tuple_hash", "power_of_two" };

	return COLLECT_NAME(names, method);
}

const char *
collect_check_name(enum health_type type)
{
	static const char *const names[] = { "off", "tcp", "http", "udp", "grpc" };

	return COLLECT_NAME(names, type);
}
