#include "export_priv.h"

#include <time.h>

#include "weir/tls_kernel.h"
#include "weir/clock.h"

#include "weir/addr.h"
#include "weir/ends.h"

static void
export_sums(struct json *json, const uint64_t sums[static TALLY_FIELDS], unsigned of)
{
	for (size_t i = 0; i < TALLY_FIELDS; i++)
		if ((tally_table[i].of & of) != 0)
			json_put_uint(json, tally_table[i].name, sums[i]);
}

/* {"count": N, "mean_us": N, "p50_us": N...}: null where nothing was counted. */
static void
export_latency(struct json *json, enum latency_kind kind, const struct latency_stats *latency)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "mean_us", latency->count > 0 ? latency->sum_us / latency->count : 0 },
		{ "p50_us", latency->p50_us },
		{ "p90_us", latency->p90_us },
		{ "p99_us", latency->p99_us },
		{ "p999_us", latency->p999_us },
	};

	json_open(json, latency_names[kind], '{');
	json_put_uint(json, "count", latency->count);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (latency->count > 0)
			json_put_uint(json, rows[i].name, rows[i].value);
		else
			json_put_null(json, rows[i].name);
	}
	json_close(json, '}');
}

static void
export_spread(
    struct json *json, const struct latency_spread spread[static LATENCY_KINDS], bool has_connect)
{
	json_open(json, "latency", '{');
	for (enum latency_kind kind = has_connect ? 0 : 1; kind < LATENCY_KINDS; kind++)
		export_latency(json, kind, &spread[kind].all);
	json_close(json, '}');
}

static void
export_address(struct json *json, const char *key, const struct addr *addr)
{
	char text[ADDR_TEXT_SIZE];

	json_put_string(json, key, addr_print(addr, text));
}

void
export_json_workers(struct json *json, const struct process_stats *process)
{
	json_open(json, "workers", '[');
	for (size_t i = 0; i < process->worker_count; i++) {
		const struct worker_stats *worker = &process->workers[i];

		json_open(json, NULL, '{');
		json_put_uint(json, "pid", (uint64_t)worker->pid);
		json_put_uint(json, "slot", (uint64_t)worker->slot);
		json_put_string(json, "state", collect_slot_name(worker->state));
		json_put_uint(json, "generation", worker->generation);
		json_put_uint(json, "active", worker->active);
		json_put_uint(json, "requests", worker->requests);
		json_put_uint(json, "cpu_ms", worker->use.cpu_ms);
		json_put_uint(json, "resident_bytes", worker->use.resident);
		json_close(json, '}');
	}
	json_close(json, ']');
}

/* Only what happened: most of the reasons never do. */
static void
export_ends(struct json *json, const uint64_t ends[static LATENCY_ENDS])
{
	json_open(json, "ends", '{');
	for (size_t i = 0; i < ENDS; i++)
		if (ends[i] != 0)
			json_put_uint(json, end_table[i].word, ends[i]);
	json_close(json, '}');
}

void
export_json_listener(struct json *json, const struct listener_stats *listener)
{
	const struct listener_config *conf = listener->conf;

	json_open(json, NULL, '{');
	json_put_string(json, "name", conf->name);
	json_put_string(json, "protocol", collect_listener_protocol(conf));
	json_open(json, "addresses", '[');
	for (size_t i = 0; i < conf->listen_count; i++)
		export_address(json, NULL, &conf->listen[i]);
	json_close(json, ']');
	export_sums(json, listener->sums, TALLY_OF_LISTENER);
	export_ends(json, listener->ends);
	export_spread(json, listener->latency, false);
	json_close(json, '}');
}

/* null: there is none. */
static void
put_limit(struct json *json, const char *key, unsigned limit)
{
	if (limit > 0)
		json_put_uint(json, key, limit);
	else
		json_put_null(json, key);
}

void
export_json_server(struct json *json, const struct server_stats *server, bool with_pool)
{
	json_open(json, NULL, '{');
	if (with_pool)
		json_put_string(json, "pool", server->pool->name);
	json_put_string(json, "name", server->conf->name);
	export_address(json, "address", &server->conf->address);
	json_put_uint(json, "weight", server->weight);
	json_put_uint(json, "configured_weight", server->conf->weight);
	json_put_bool(json, "backup", server->conf->backup);
	put_limit(json, "max_connections", server->conf->max_connections);
	json_put_string(json, "health", collect_health_name(server->health));
	json_put_string(json, "admin", collect_admin_name(server->admin));
	json_put_bool(json, "usable", server->usable);
	json_put_bool(json, "ejected", server->ejected);
	if (server->ejected)
		json_put_uint(json, "ejected_s", server->ejected_s);
	else
		json_put_null(json, "ejected_s");
	json_put_string(json, "last_check", server->last_check);
	if (server->has_since)
		json_put_uint(json, "since_s", server->since_s);
	else
		json_put_null(json, "since_s");
	json_put_uint(json, "checks_ok", server->checks_ok);
	json_put_uint(json, "checks_failed", server->checks_failed);
	json_put_uint(json, "transitions", server->transitions);
	export_sums(json, server->sums, TALLY_OF_SERVER);
	export_ends(json, server->ends);
	json_open(json, "latency", '{');
	for (enum latency_kind kind = 0; kind < LATENCY_KINDS; kind++)
		export_latency(json, kind, &server->latency[kind]);
	json_close(json, '}');
	json_close(json, '}');
}

void
export_json_pool(struct json *json, const struct pool_stats *pool, bool with_servers)
{
	const struct pool_config *conf = pool->conf;

	json_open(json, NULL, '{');
	json_put_string(json, "name", conf->name);
	json_put_string(json, "protocol", collect_pool_protocol(conf));
	json_put_string(json, "balance", collect_balance_name(conf->balance));
	json_put_string(json, "checks", collect_check_name(conf->health.type));
	put_limit(json, "max_connections", conf->max_connections);
	put_limit(json, "queue_size", conf->queue.size);
	json_put_uint(json, "servers_total", conf->server_count);
	json_put_uint(json, "servers_usable", pool->usable);
	json_put_uint(json, "servers_down", pool->down);
	export_sums(json, pool->sums, TALLY_OF_POOL);
	export_ends(json, pool->ends);
	export_spread(json, pool->latency, true);
	json_open(json, "meta", '{');
	for (size_t i = 0; i < conf->meta_count; i++)
		json_put_string(json, conf->meta[i].key, conf->meta[i].value);
	json_close(json, '}');
	if (with_servers) {
		json_open(json, "servers", '[');
		for (size_t i = 0; i < conf->server_count; i++)
			export_json_server(json, &pool->servers[i], false);
		json_close(json, ']');
	}
	json_close(json, '}');
}

static void
put_date(struct json *json, const char *key, time_t date)
{
	char text[32];
	struct tm tm;

	if (gmtime_r(&date, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = '\0';
	json_put_string(json, key, text);
}

void
export_json_route(struct json *json, const struct route_stats *route)
{
	json_open(json, NULL, '{');
	json_put_string(json, "listener", route->conf->listener->name);
	json_put_string(json, "name", route->conf->name);
	json_put_uint(json, "routes", route->conf->routes);
	export_sums(json, route->sums, TALLY_OF_ROUTE);
	export_ends(json, route->ends);
	export_spread(json, route->latency, false);
	json_close(json, '}');
}

/* NULL: clients are not shown it. */
static void
put_served(struct json *json, const struct certificate_stats *served)
{
	json_open(json, "listeners", '[');
	for (size_t i = 0; served != NULL && i < served->conf->listener_count; i++)
		json_put_string(json, NULL, served->conf->listeners[i]->name);
	json_close(json, ']');
	if (served != NULL)
		export_sums(json, served->sums, TALLY_OF_CERTIFICATE);
}

void
export_json_certificate(struct json *json, const struct certificate_info *certificate,
    const struct certificate_stats *served)
{
	time_t left = certificate->not_after - now_wall_s;

	json_open(json, NULL, '{');
	json_put_string(json, "id", certificate->id);
	json_put_string(json, "key", certificate->key);
	json_put_string(json, "names", certificate->names);
	put_date(json, "not_before", certificate->not_before);
	put_date(json, "not_after", certificate->not_after);
	json_put_uint(json, "expires_in_s", left > 0 ? (uint64_t)left : 0);
	put_served(json, served);
	json_close(json, '}');
}

void
export_json(struct text *text, const struct stats *stats)
{
	const struct process_stats *process = &stats->process;
	struct json json = { .text = text };

	json_open(&json, NULL, '{');
	json_put_string(&json, "version", WEIR_VERSION);
	json_put_uint(&json, "pid", (uint64_t)process->pid);
	json_put_uint(&json, "generation", process->generation);
	json_put_uint(&json, "uptime_s", process->uptime_s);
	json_put_uint(&json, "reloads", process->reloads);
	json_put_uint(&json, "reload_failures", process->reload_failures);
	json_put_uint(&json, "server_changes", process->server_changes);
	json_put_uint(&json, "worker_deaths", process->worker_deaths);
	json_put_string(&json, "kernel_tls", tls_kernel_text(stats->config->kernel_tls));
	json_put_uint(&json, "log_lines_lost", process->log_lines_lost);
	export_json_workers(&json, process);
	json_open(&json, "listeners", '[');
	for (size_t i = 0; i < stats->config->listener_count; i++)
		export_json_listener(&json, &stats->listeners[i]);
	json_close(&json, ']');
	json_open(&json, "pools", '[');
	for (size_t i = 0; i < stats->config->pool_count; i++)
		export_json_pool(&json, &stats->pools[i], true);
	json_close(&json, ']');
	json_open(&json, "certificates", '[');
	for (size_t i = 0; i < stats->config->certificate_count; i++)
		export_json_certificate(&json, &stats->config->certificates[i],
		    collect_find_certificate(stats, stats->config->certificates[i].id));
	json_close(&json, ']');
	json_put_uint(&json, "routes_together", stats->config->routes_together);
	json_open(&json, "routes", '[');
	for (size_t i = 0; i < stats->config->route_series_count; i++)
		export_json_route(&json, &stats->routes[i]);
	json_close(&json, ']');
	json_close(&json, '}');
	text_puts(text, "\n");
}
