/*
 * What the dashboard's tables show, as rows of values: thousands of servers every few seconds, so no
 * key is repeated.
 */
#include "export_priv.h"

#include "weir/addr.h"

static void
put_words(struct json *json, const char *key, const char *const *words, size_t count)
{
	json_open(json, key, '[');
	for (size_t i = 0; i < count; i++)
		json_put_string(json, NULL, words[i]);
	json_close(json, ']');
}

#define PUT_COLUMNS(json, key, ...)                                                                \
	do {                                                                                       \
		static const char *const words[] = { __VA_ARGS__ };                                \
		put_words(json, key, words, sizeof(words) / sizeof(words[0]));                     \
	} while (0)

static void
put_percentile(struct json *json, const struct latency_stats *latency, uint64_t us)
{
	if (latency->count > 0)
		json_put_uint(json, NULL, us);
	else
		json_put_null(json, NULL);
}

static void
put_listener(struct json *json, const struct listener_stats *listener)
{
	const struct latency_stats *total = &listener->latency[LATENCY_TOTAL].all;
	const uint64_t *sums = listener->sums;
	char addr[ADDR_TEXT_SIZE];

	json_open(json, NULL, '[');
	json_put_string(json, NULL, listener->conf->name);
	json_put_string(json, NULL, collect_listener_protocol(listener->conf));
	json_open(json, NULL, '[');
	for (size_t i = 0; i < listener->conf->listen_count; i++)
		json_put_string(json, NULL, addr_print(&listener->conf->listen[i], addr));
	json_close(json, ']');
	json_put_uint(json, NULL, sums[TALLY_ACTIVE]);
	json_put_uint(json, NULL, sums[TALLY_REQUESTS]);
	json_put_uint(json, NULL, sums[TALLY_STATUS_4XX]);
	json_put_uint(json, NULL, sums[TALLY_STATUS_5XX]);
	json_put_uint(json, NULL, sums[TALLY_BAD_REQUESTS]);
	json_put_uint(json, NULL, sums[TALLY_REFUSED]);
	json_put_uint(json, NULL, sums[TALLY_TLS_FAILURES]);
	json_put_uint(json, NULL, sums[TALLY_BYTES_IN]);
	json_put_uint(json, NULL, sums[TALLY_BYTES_OUT]);
	put_percentile(json, total, total->p50_us);
	put_percentile(json, total, total->p99_us);
	json_close(json, ']');
}

static void
put_pool(struct json *json, const struct pool_stats *pool)
{
	const struct latency_stats *total = &pool->latency[LATENCY_TOTAL].all;
	const uint64_t *sums = pool->sums;

	json_open(json, NULL, '[');
	json_put_string(json, NULL, pool->conf->name);
	json_put_string(json, NULL, collect_pool_protocol(pool->conf));
	json_put_string(json, NULL, collect_balance_name(pool->conf->balance));
	json_put_string(json, NULL, collect_check_name(pool->conf->health.type));
	json_put_uint(json, NULL, pool->conf->server_count);
	json_put_uint(json, NULL, pool->usable);
	json_put_uint(json, NULL, pool->down);
	json_put_uint(json, NULL, sums[TALLY_ACTIVE]);
	json_put_uint(json, NULL, sums[TALLY_REQUESTS]);
	json_put_uint(json, NULL, sums[TALLY_STATUS_4XX]);
	json_put_uint(json, NULL, sums[TALLY_STATUS_5XX]);
	json_put_uint(json, NULL, sums[TALLY_RETRIES]);
	json_put_uint(json, NULL, sums[TALLY_NO_SERVER]);
	json_put_uint(json, NULL, sums[TALLY_QUEUED]);
	json_put_uint(json, NULL, sums[TALLY_BYTES_IN]);
	json_put_uint(json, NULL, sums[TALLY_BYTES_OUT]);
	put_percentile(json, total, total->p50_us);
	put_percentile(json, total, total->p99_us);
	json_close(json, ']');
}

static void
put_server(struct json *json, const struct server_stats *server, size_t pool)
{
	const struct latency_stats *total = &server->latency[LATENCY_TOTAL];
	const uint64_t *sums = server->sums;
	char addr[ADDR_TEXT_SIZE];

	json_open(json, NULL, '[');
	json_put_uint(json, NULL, pool);
	json_put_string(json, NULL, server->conf->name);
	json_put_string(json, NULL, addr_print(&server->conf->address, addr));
	json_put_uint(json, NULL, server->weight);
	json_put_string(json, NULL, collect_health_name(server->health));
	json_put_string(json, NULL, collect_admin_name(server->admin));
	json_put_bool(json, NULL, server->usable);
	json_put_bool(json, NULL, server->ejected);
	json_put_string(json, NULL, server->last_check);
	if (server->has_since)
		json_put_uint(json, NULL, server->since_s);
	else
		json_put_null(json, NULL);
	json_put_uint(json, NULL, sums[TALLY_ACTIVE]);
	json_put_uint(json, NULL, sums[TALLY_REQUESTS]);
	json_put_uint(json, NULL, sums[TALLY_STATUS_5XX]);
	json_put_uint(json, NULL, sums[TALLY_CONNECT_ERRORS] + sums[TALLY_RESPONSE_ERRORS]);
	json_put_uint(json, NULL, sums[TALLY_BYTES_IN]);
	json_put_uint(json, NULL, sums[TALLY_BYTES_OUT]);
	put_percentile(json, total, total->p50_us);
	put_percentile(json, total, total->p99_us);
	json_close(json, ']');
}

static void
put_route(struct json *json, const struct route_stats *route)
{
	const struct latency_stats *total = &route->latency[LATENCY_TOTAL].all;
	const uint64_t *sums = route->sums;

	json_open(json, NULL, '[');
	json_put_string(json, NULL, route->conf->listener->name);
	json_put_string(json, NULL, route->conf->name);
	json_put_uint(json, NULL, route->conf->routes);
	json_put_uint(json, NULL, sums[TALLY_ACTIVE]);
	json_put_uint(json, NULL, sums[TALLY_REQUESTS]);
	json_put_uint(json, NULL, sums[TALLY_STATUS_4XX]);
	json_put_uint(json, NULL, sums[TALLY_STATUS_5XX]);
	json_put_uint(json, NULL, sums[TALLY_OVER_LIMIT]);
	json_put_uint(json, NULL, sums[TALLY_RETRIES]);
	json_put_uint(json, NULL, sums[TALLY_BYTES_IN]);
	json_put_uint(json, NULL, sums[TALLY_BYTES_OUT]);
	put_percentile(json, total, total->p50_us);
	put_percentile(json, total, total->p99_us);
	json_close(json, ']');
}

static void
put_routes(struct json *json, const struct stats *stats)
{
	PUT_COLUMNS(json, "route_columns", "listener", "name", "routes", "active", "requests",
	    "status_4xx", "status_5xx", "over_limit", "retries", "bytes_in", "bytes_out", "p50_us",
	    "p99_us");
	json_put_uint(json, "routes_together", stats->config->routes_together);
	json_open(json, "routes", '[');
	for (size_t i = 0; i < stats->config->route_series_count; i++)
		put_route(json, &stats->routes[i]);
	json_close(json, ']');
}

/* Nothing is counted of a certificate that clients are not shown. */
static void
put_sum(struct json *json, const struct certificate_stats *served, enum tally_field field)
{
	if (served != NULL)
		json_put_uint(json, NULL, served->sums[field]);
	else
		json_put_null(json, NULL);
}

static void
put_certificates(struct json *json, const struct stats *stats)
{
	const struct config *config = stats->config;

	PUT_COLUMNS(json, "certificate_columns", "id", "key", "names", "not_after_s", "listeners",
	    "handshakes", "resumed", "failures");
	json_open(json, "certificates", '[');
	for (size_t i = 0; i < config->certificate_count; i++) {
		const struct certificate_info *info = &config->certificates[i];
		const struct certificate_stats *served = collect_find_certificate(stats, info->id);

		json_open(json, NULL, '[');
		json_put_string(json, NULL, info->id);
		json_put_string(json, NULL, info->key);
		json_put_string(json, NULL, info->names);
		json_put_uint(json, NULL, info->not_after > 0 ? (uint64_t)info->not_after : 0);
		json_open(json, NULL, '[');
		for (size_t k = 0; served != NULL && k < served->conf->listener_count; k++)
			json_put_string(json, NULL, served->conf->listeners[k]->name);
		json_close(json, ']');
		put_sum(json, served, TALLY_TLS_HANDSHAKES);
		put_sum(json, served, TALLY_TLS_RESUMED);
		put_sum(json, served, TALLY_TLS_FAILURES);
		json_close(json, ']');
	}
	json_close(json, ']');
}

static void
put_process(struct json *json, const struct process_stats *process)
{
	json_put_string(json, "version", WEIR_VERSION);
	json_put_uint(json, "pid", (uint64_t)process->pid);
	json_put_uint(json, "generation", process->generation);
	json_put_uint(json, "uptime_s", process->uptime_s);
	json_put_uint(json, "loaded", process->loaded_wall_s);
	json_put_uint(json, "reloads", process->reloads);
	json_put_uint(json, "reload_failures", process->reload_failures);
	json_put_uint(json, "worker_deaths", process->worker_deaths);
	json_put_uint(json, "log_lines_lost", process->log_lines_lost);
	json_put_uint(json, "workers", process->workers_current);
	json_put_uint(json, "workers_wanted", process->workers_wanted);
}

void
export_dashboard(struct text *text, const struct stats *stats)
{
	struct json json = { .text = text };

	json_open(&json, NULL, '{');
	put_process(&json, &stats->process);
	PUT_COLUMNS(&json, "listener_columns", "name", "protocol", "addresses", "active",
	    "requests", "status_4xx", "status_5xx", "bad_requests", "refused", "tls_failures",
	    "bytes_in", "bytes_out", "p50_us", "p99_us");
	json_open(&json, "listeners", '[');
	for (size_t i = 0; i < stats->config->listener_count; i++)
		put_listener(&json, &stats->listeners[i]);
	json_close(&json, ']');
	PUT_COLUMNS(&json, "pool_columns", "name", "protocol", "balance", "checks", "servers",
	    "usable", "down", "active", "requests", "status_4xx", "status_5xx", "retries",
	    "no_server", "queued", "bytes_in", "bytes_out", "p50_us", "p99_us");
	json_open(&json, "pools", '[');
	for (size_t i = 0; i < stats->config->pool_count; i++)
		put_pool(&json, &stats->pools[i]);
	json_close(&json, ']');
	put_routes(&json, stats);
	put_certificates(&json, stats);
	PUT_COLUMNS(&json, "server_columns", "pool", "name", "address", "weight", "health",
	    "admin", "usable", "ejected", "last_check", "since_s", "active", "requests", "status_5xx",
	    "errors", "bytes_in", "bytes_out", "p50_us", "p99_us");
	json_open(&json, "servers", '[');
	for (size_t i = 0; i < stats->config->pool_count; i++)
		for (size_t k = 0; k < stats->pools[i].conf->server_count; k++)
			put_server(&json, &stats->pools[i].servers[k], i);
	json_close(&json, ']');
	json_close(&json, '}');
	text_puts(text, "\n");
}
