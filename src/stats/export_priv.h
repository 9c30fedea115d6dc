/*
 * export: what collect.c saw, as JSON, as Prometheus text and as HAProxy's CSV.
 *
 * Runs in: control.  The counters come from tally_table: a row added there appears everywhere.
 */
#ifndef WEIR_EXPORT_PRIV_H
#define WEIR_EXPORT_PRIV_H

#include <stdbool.h>

#include "collect_priv.h"
#include "text_priv.h"

#ifndef WEIR_VERSION
#define WEIR_VERSION "unknown"
#endif

/* /stats.json: one object with everything. */
void export_json(struct text *text, const struct stats *stats);

/* Parts of it, for the commands. */
void export_json_workers(struct json *json, const struct process_stats *process);
/* served  NULL: clients are not shown it. */
void export_json_certificate(struct json *json, const struct certificate_info *certificate,
    const struct certificate_stats *served);
void export_json_route(struct json *json, const struct route_stats *route);
void export_json_listener(struct json *json, const struct listener_stats *listener);
/* with_servers  false: only how many. */
void export_json_pool(struct json *json, const struct pool_stats *pool, bool with_servers);
/* with_pool  whether the pool's name is said too. */
void export_json_server(struct json *json, const struct server_stats *server, bool with_pool);

/* The processes; likewise. */
void export_prometheus_process(struct text *text, const struct process_stats *process);

/* Histograms of listeners, pools and routes, and sums of servers; part of export_prometheus(). */
void export_prometheus_latency(struct text *text, const struct stats *stats);

/* /dashboard.json: what the page at / shows in its tables. */
void export_dashboard(struct text *text, const struct stats *stats);

/* /stats.csv: HAProxy's columns. */
void export_csv(struct text *text, const struct stats *stats);

/* /metrics: Prometheus text format 0.0.4.  Sets the labels of servers. */
void export_prometheus(struct text *text, struct stats *stats);

#endif
