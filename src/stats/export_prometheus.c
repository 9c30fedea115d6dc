/*
 * The text format wants all samples of a family together under its HELP and TYPE, so each family is
 * one pass over the objects.
 */
#include "export_priv.h"

#include "families_priv.h"
#include "weir/arena.h"
#include "weir/ends.h"

typedef uint64_t server_value_fn(const struct server_stats *server);
typedef uint64_t pool_value_fn(const struct pool_stats *pool);

static void
sample_certificate(struct text *text, const struct family *family,
    const struct certificate_stats *certificate, uint64_t value)
{
	family_name(text, "certificate_", family);
	text_puts(text, "{certificate=");
	text_label_value(text, certificate->conf->name);
	text_puts(text, "}");
	family_sample_end(text, value);
}

/* Is this counted for servers of such a pool at all? */
static bool
is_counted(enum tally_field field, const struct pool_config *pool)
{
	if (field >= TALLY_STATUS_1XX && field <= TALLY_STATUS_5XX)
		return pool_is_http(pool);
	if (field == TALLY_DATAGRAMS_IN || field == TALLY_DATAGRAMS_OUT)
		return pool->protocol == POOL_UDP;
	return true;
}

static void
export_servers_tally(struct text *text, const struct stats *stats, enum tally_field field,
    const struct family *family)
{
	struct sample_name name;

	family_name_init(&name, "server_", family);
	family_head(text, "server_", family);
	for (size_t i = 0; i < stats->config->pool_count; i++) {
		const struct pool_stats *pool = &stats->pools[i];

		if (!is_counted(field, pool->conf))
			continue;
		for (size_t k = 0; k < pool->conf->server_count; k++)
			family_sample(text, &name, pool->servers[k].labels,
			    pool->servers[k].sums[field]);
	}
}

/* One family per row of tally_table and kind of object. */
static void
export_tally(struct text *text, const struct stats *stats, enum tally_field field)
{
	const struct tally_info *info = &tally_table[field];
	const struct family family = { info->name, info->help, info->is_gauge };
	struct sample_name name;

	if ((info->of & TALLY_OF_LISTENER) != 0) {
		family_name_init(&name, "listener_", &family);
		family_head(text, "listener_", &family);
		for (size_t i = 0; i < stats->config->listener_count; i++)
			family_sample(text, &name, stats->listeners[i].labels,
			    stats->listeners[i].sums[field]);
	}
	if ((info->of & TALLY_OF_POOL) != 0) {
		family_name_init(&name, "pool_", &family);
		family_head(text, "pool_", &family);
		for (size_t i = 0; i < stats->config->pool_count; i++)
			family_sample(
			    text, &name, stats->pools[i].labels, stats->pools[i].sums[field]);
	}
	if ((info->of & TALLY_OF_SERVER) != 0)
		export_servers_tally(text, stats, field, &family);
	if ((info->of & TALLY_OF_ROUTE) != 0 && stats->config->route_series_count > 0) {
		family_name_init(&name, "route_", &family);
		family_head(text, "route_", &family);
		for (size_t i = 0; i < stats->config->route_series_count; i++)
			family_sample(text, &name, stats->routes[i].labels, stats->routes[i].sums[field]);
	}
	if ((info->of & TALLY_OF_CERTIFICATE) != 0 && stats->config->served_count > 0) {
		family_head(text, "certificate_", &family);
		for (size_t i = 0; i < stats->config->served_count; i++)
			sample_certificate(text, &family, &stats->certificates[i],
			    stats->certificates[i].sums[field]);
	}
}

static uint64_t
pool_servers(const struct pool_stats *pool)
{
	return pool->conf->server_count;
}

static uint64_t
pool_usable(const struct pool_stats *pool)
{
	return pool->usable;
}

static void
export_pools(struct text *text, const struct stats *stats)
{
	static const struct {
		struct family family;
		pool_value_fn *value;
	} rows[] = {
		{ { "servers", "Servers of the pool.", true }, pool_servers },
		{ { "servers_usable", "Servers that new requests may go to.", true }, pool_usable },
	};

	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct sample_name name;

		family_name_init(&name, "pool_", &rows[row].family);
		family_head(text, "pool_", &rows[row].family);
		for (size_t i = 0; i < stats->config->pool_count; i++)
			family_sample(text, &name, stats->pools[i].labels,
			    rows[row].value(&stats->pools[i]));
	}
}

static uint64_t
server_up(const struct server_stats *server)
{
	return server->health != HEALTH_DOWN;
}

static uint64_t
server_usable(const struct server_stats *server)
{
	return server->usable;
}

static uint64_t
server_ejected(const struct server_stats *server)
{
	return server->ejected;
}

static uint64_t
server_admin(const struct server_stats *server)
{
	return server->admin;
}

static uint64_t
server_weight(const struct server_stats *server)
{
	return server->weight;
}

static uint64_t
server_checks_ok(const struct server_stats *server)
{
	return server->checks_ok;
}

static uint64_t
server_checks_failed(const struct server_stats *server)
{
	return server->checks_failed;
}

static uint64_t
server_transitions(const struct server_stats *server)
{
	return server->transitions;
}

static void
export_servers(struct text *text, const struct stats *stats)
{
	static const struct {
		struct family family;
		server_value_fn *value;
	} rows[] = {
		{ { "up", "0 when health checks found the server down, else 1.", true },
		    server_up },
		{ { "usable", "1 when new requests may go to the server, else 0.", true },
		    server_usable },
		{ { "ejected", "1 while it is left out because requests to it failed, else 0.", true },
		    server_ejected },
		{ { "admin_state", "What the operator set: 0 ready, 1 drain, 2 maint.", true },
		    server_admin },
		{ { "weight", "Weight in force.", true }, server_weight },
		{ { "checks_passed", "Health checks that passed.", false }, server_checks_ok },
		{ { "checks_failed", "Health checks that failed.", false }, server_checks_failed },
		{ { "health_transitions", "Changes between up and down.", false },
		    server_transitions },
	};

	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct sample_name name;

		family_name_init(&name, "server_", &rows[row].family);
		family_head(text, "server_", &rows[row].family);
		for (size_t i = 0; i < stats->config->pool_count; i++)
			for (size_t k = 0; k < stats->pools[i].conf->server_count; k++)
				family_sample(text, &name, stats->pools[i].servers[k].labels,
				    rows[row].value(&stats->pools[i].servers[k]));
	}
}

/* labels: those of the object, with the braces. */
static void
sample_ends(struct text *text, const char *object, struct slice labels,
    const uint64_t ends[static LATENCY_ENDS])
{
	for (size_t end = 0; end < ENDS; end++) {
		if (ends[end] == 0)
			continue;
		text_printf(text, "weir_%sends_total", object);
		text_add(text, labels.ptr, labels.len - 1);
		text_printf(text, ",end=\"%s\"}", end_table[end].word);
		family_sample_end(text, ends[end]);
	}
}

/* Only what happened: most of the reasons never do. */
static void
export_ends(struct text *text, const struct stats *stats)
{
	static const struct family all = { "ends",
		"Requests and sessions by the reason why they ended, as the access log has it.", false };
	static const struct family failures = { "ends",
		"Requests and sessions that did not end as ok, by the reason, as the access log has it.",
		false };
	static const struct family errors = { "ends",
		"Errors of the server by their reason: attempts to connect, and responses.", false };
	const struct config *config = stats->config;

	family_head(text, "listener_", &all);
	for (size_t i = 0; i < config->listener_count; i++)
		sample_ends(text, "listener_", stats->listeners[i].labels, stats->listeners[i].ends);
	family_head(text, "pool_", &failures);
	for (size_t i = 0; i < config->pool_count; i++)
		sample_ends(text, "pool_", stats->pools[i].labels, stats->pools[i].ends);
	family_head(text, "server_", &errors);
	for (size_t i = 0; i < config->pool_count; i++)
		for (size_t k = 0; k < config->pools[i].server_count; k++)
			sample_ends(text, "server_", stats->pools[i].servers[k].labels,
			    stats->pools[i].servers[k].ends);
	family_head(text, "route_", &failures);
	for (size_t i = 0; i < config->route_series_count; i++)
		sample_ends(text, "route_", stats->routes[i].labels, stats->routes[i].ends);
}

/* Who owns it, what it costs: to be joined with the others by the pool. */
static void
export_meta(struct text *text, const struct config *config)
{
	static const struct family family = { "pool_meta",
		"What the configuration says of a pool beside how it works; always 1.", true };
	bool has_head = false;

	for (size_t i = 0; i < config->pool_count; i++) {
		const struct pool_config *pool = &config->pools[i];

		for (size_t k = 0; k < pool->meta_count; k++) {
			if (!has_head)
				family_head(text, "", &family);
			has_head = true;
			family_name(text, "", &family);
			text_puts(text, "{pool=");
			text_label_value(text, pool->name);
			text_puts(text, ",key=");
			text_label_value(text, pool->meta[k].key);
			text_puts(text, ",value=");
			text_label_value(text, pool->meta[k].value);
			text_puts(text, "} 1\n");
		}
	}
}

static void
export_certificates(struct text *text, const struct config *config)
{
	static const struct family family = { "certificate_expiry_timestamp_seconds",
		"When a certificate ends, in Unix time.", true };

	if (config->certificate_count == 0)
		return;
	family_head(text, "", &family);
	for (size_t i = 0; i < config->certificate_count; i++) {
		const struct certificate_info *info = &config->certificates[i];

		family_name(text, "", &family);
		text_puts(text, "{certificate=");
		text_label_value(text, info->id);
		text_puts(text, ",key=");
		text_label_value(text, info->key);
		text_puts(text, "}");
		family_sample_end(text, info->not_after > 0 ? (uint64_t)info->not_after : 0);
	}
}

static struct slice
keep_labels(struct stats *stats, const struct text *text)
{
	return (struct slice){ arena_strndup(stats->arena, text->data, text->len), text->len };
}

/* {listener="a"}, {pool="b"} */
static struct slice
make_label(struct stats *stats, const char *key, const char *name)
{
	struct text text = { 0 };
	struct slice labels;

	text_printf(&text, "{%s=", key);
	text_label_value(&text, name);
	text_puts(&text, "}");
	labels = keep_labels(stats, &text);
	text_fini(&text);
	return labels;
}

/* {listener="a",route="api.example.com/v1"} */
static void
make_route_labels(struct stats *stats, struct route_stats *route)
{
	struct text text = { 0 };

	text_puts(&text, "{listener=");
	text_label_value(&text, route->conf->listener->name);
	text_puts(&text, ",route=");
	text_label_value(&text, route->conf->name);
	text_puts(&text, "}");
	route->labels = keep_labels(stats, &text);
	text_fini(&text);
}

/* {pool="default/api:80",server="a"} */
static void
make_server_labels(struct stats *stats, struct pool_stats *pool)
{
	struct text text = { 0 };
	size_t prefix;

	text_puts(&text, "{pool=");
	text_label_value(&text, pool->conf->name);
	text_puts(&text, ",server=");
	prefix = text.len;
	for (size_t i = 0; i < pool->conf->server_count; i++) {
		text.len = prefix;
		text_label_value(&text, pool->servers[i].conf->name);
		text_puts(&text, "}");
		pool->servers[i].labels = keep_labels(stats, &text);
	}
	text_fini(&text);
}

static void
make_labels(struct stats *stats)
{
	const struct config *config = stats->config;

	for (size_t i = 0; i < config->listener_count; i++)
		stats->listeners[i].labels =
		    make_label(stats, "listener", config->listeners[i].name);
	for (size_t i = 0; i < config->pool_count; i++) {
		stats->pools[i].labels = make_label(stats, "pool", config->pools[i].name);
		make_server_labels(stats, &stats->pools[i]);
	}
	for (size_t i = 0; i < config->route_series_count; i++)
		make_route_labels(stats, &stats->routes[i]);
}

void
export_prometheus(struct text *text, struct stats *stats)
{
	make_labels(stats);
	export_prometheus_process(text, &stats->process);
	for (enum tally_field field = 0; field < TALLY_FIELDS; field++)
		export_tally(text, stats, field);
	export_prometheus_latency(text, stats);
	export_pools(text, stats);
	export_servers(text, stats);
	export_ends(text, stats);
	export_certificates(text, stats->config);
	export_meta(text, stats->config);
}
