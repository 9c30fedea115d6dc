/*
 * Latencies for Prometheus.  Listeners, routes and pools have histograms; servers, of which there may be
 * thousands, have sums and counts, which give averages: their percentiles are in /stats.json.
 */
#include "export_priv.h"

static const char *const latency_help[LATENCY_KINDS] = {
	[LATENCY_CONNECT] = "From the start of a connection to a server until it stood.",
	[LATENCY_FIRST_BYTE] = "From the request head to the head of the server's response.",
	[LATENCY_TOTAL] = "From the request head to the end of the response.",
};

static void
latency_head(struct text *text, const char *object, enum latency_kind kind, const char *type)
{
	text_printf(text, "# HELP weir_%s_%s_seconds %s\n# TYPE weir_%s_%s_seconds %s\n", object,
	    latency_names[kind], latency_help[kind], object, latency_names[kind], type);
}

/* 1500000 us: 1.5 */
static void
add_seconds(struct text *text, uint64_t us)
{
	char digits[8] = { 0 };
	uint64_t rest = us % 1000000;
	int used = 0;

	text_uint(text, us / 1000000);
	for (; rest > 0; rest = rest * 10 % 1000000)
		digits[used++] = (char)('0' + rest * 10 / 1000000);
	if (used > 0) {
		text_puts(text, ".");
		text_add(text, digits, (size_t)used);
	}
}

/* One object's. */
struct series {
	const char *object;
	struct slice labels; /* with the braces */
};

/* Without the closing brace. */
static void
sample_begin(
    struct text *text, const struct series *series, enum latency_kind kind, const char *suffix)
{
	text_puts(text, "weir_");
	text_puts(text, series->object);
	text_puts(text, "_");
	text_puts(text, latency_names[kind]);
	text_puts(text, "_seconds");
	text_puts(text, suffix);
	text_add(text, series->labels.ptr, series->labels.len - 1);
}

static void
sample_sums(struct text *text, const struct series *series, enum latency_kind kind,
    const struct latency_stats *latency)
{
	sample_begin(text, series, kind, "_sum");
	text_puts(text, "} ");
	add_seconds(text, latency->sum_us);
	text_puts(text, "\n");
	sample_begin(text, series, kind, "_count");
	text_puts(text, "} ");
	text_uint(text, latency->count);
	text_puts(text, "\n");
}

static void
sample_histogram(struct text *text, const struct series *series, enum latency_kind kind,
    const struct latency_spread *latency)
{
	for (size_t i = 0; i < COLLECT_BOUNDS; i++) {
		sample_begin(text, series, kind, "_bucket");
		text_puts(text, ",le=\"");
		add_seconds(text, collect_bounds_us[i]);
		text_puts(text, "\"} ");
		text_uint(text, latency->below[i]);
		text_puts(text, "\n");
	}
	sample_begin(text, series, kind, "_bucket");
	text_puts(text, ",le=\"+Inf\"} ");
	text_uint(text, latency->all.count);
	text_puts(text, "\n");
	sample_sums(text, series, kind, &latency->all);
}

static void
export_listeners(struct text *text, const struct stats *stats, enum latency_kind kind)
{
	latency_head(text, "listener", kind, "histogram");
	for (size_t i = 0; i < stats->config->listener_count; i++) {
		const struct listener_stats *listener = &stats->listeners[i];
		const struct series series = { "listener", listener->labels };

		sample_histogram(text, &series, kind, &listener->latency[kind]);
	}
}

static void
export_pools(struct text *text, const struct stats *stats, enum latency_kind kind)
{
	latency_head(text, "pool", kind, "histogram");
	for (size_t i = 0; i < stats->config->pool_count; i++) {
		const struct pool_stats *pool = &stats->pools[i];
		const struct series series = { "pool", pool->labels };

		sample_histogram(text, &series, kind, &pool->latency[kind]);
	}
}

/* Of thousands, only those that are in use. */
static void
export_routes(struct text *text, const struct stats *stats, enum latency_kind kind)
{
	if (stats->config->route_series_count == 0)
		return;
	latency_head(text, "route", kind, "histogram");
	for (size_t i = 0; i < stats->config->route_series_count; i++) {
		const struct route_stats *route = &stats->routes[i];
		const struct series series = { "route", route->labels };

		if (route->latency[kind].all.count > 0)
			sample_histogram(text, &series, kind, &route->latency[kind]);
	}
}

static void
export_servers(struct text *text, const struct stats *stats, enum latency_kind kind)
{
	latency_head(text, "server", kind, "summary");
	for (size_t i = 0; i < stats->config->pool_count; i++) {
		const struct pool_stats *pool = &stats->pools[i];

		for (size_t k = 0; k < pool->conf->server_count; k++) {
			const struct server_stats *server = &pool->servers[k];
			const struct series series = { "server", server->labels };

			if (server->latency[kind].count > 0)
				sample_sums(text, &series, kind, &server->latency[kind]);
		}
	}
}

void
export_prometheus_latency(struct text *text, const struct stats *stats)
{
	for (enum latency_kind kind = 0; kind < LATENCY_KINDS; kind++) {
		if (kind != LATENCY_CONNECT) {
			export_listeners(text, stats, kind);
			export_routes(text, stats, kind);
		}
		export_pools(text, stats, kind);
		export_servers(text, stats, kind);
	}
}
