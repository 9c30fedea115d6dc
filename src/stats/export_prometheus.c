/*
 * The text format wants all samples of a family together under its HELP and TYPE, so each family is
 * one pass over the objects.
 */
#include "export_priv.h"

#include <stdio.h>
#include <string.h>

#include "weir/arena.h"
#include "weir/ends.h"

typedef uint64_t server_value_fn(const struct server_stats *server);
typedef uint64_t pool_value_fn(const struct pool_stats *pool);

struct family {
	const char *name; /* without "weir_" */
	const char *help;
	bool is_gauge; /* else a counter, and its name ends in _total */
};

static void
family_head(struct text *text, const char *object, const struct family *family)
{
	const char *suffix = family->is_gauge ? "" : "_total";

	text_printf(text, "# HELP weir_%s%s%s %s\n", object, family->name, suffix, family->help);
	text_printf(text, "# TYPE weir_%s%s%s %s\n", object, family->name, suffix,
	    family->is_gauge ? "gauge" : "counter");
}

/* The name as samples of the family have it; for thousands of them, so it is made once. */
struct sample_name {
	char text[128];
	size_t len;
};

static void
name_init(struct sample_name *name, const char *object, const struct family *family)
{
	int len = snprintf(name->text, sizeof(name->text), "weir_%s%s%s", object, family->name,
	    family->is_gauge ? "" : "_total");

	name->len = len > 0 && (size_t)len < sizeof(name->text) ? (size_t)len : 0;
}

static void
family_name(struct text *text, const char *object, const struct family *family)
{
	struct sample_name name;

	name_init(&name, object, family);
	text_add(text, name.text, name.len);
}

static void
sample_end(struct text *text, uint64_t value)
{
	text_add(text, " ", 1);
	text_uint(text, value);
	text_add(text, "\n", 1);
}

/* name{labels} value: one call, as most of the answer is made here. */
static void
sample_server(struct text *text, const struct sample_name *name,
    const struct server_stats *server, uint64_t value)
{
	char *p = text_room(text, name->len + server->labels.len + 32);

	memcpy(p, name->text, name->len);
	p += name->len;
	memcpy(p, server->labels.ptr, server->labels.len);
	p += server->labels.len;
	*p++ = ' ';
	p += text_print_uint(p, value);
	*p++ = '\n';
	text_advance(text, p);
}

static void
sample_plain(struct text *text, const struct family *family, uint64_t value)
{
	family_head(text, "", family);
	family_name(text, "", family);
	sample_end(text, value);
}

static void
sample_listener(struct text *text, const struct family *family,
    const struct listener_stats *listener, uint64_t value)
{
	family_name(text, "listener_", family);
	text_puts(text, "{listener=");
	text_label_value(text, listener->conf->name);
	text_puts(text, "}");
	sample_end(text, value);
}

static void
sample_pool(
    struct text *text, const struct family *family, const struct pool_stats *pool, uint64_t value)
{
	family_name(text, "pool_", family);
	text_puts(text, "{pool=");
	text_label_value(text, pool->conf->name);
	text_puts(text, "}");
	sample_end(text, value);
}

/* Is this counted for servers of such a pool at all? */
static bool
is_counted(enum tally_field field, enum pool_protocol protocol)
{
	bool is_http = protocol == POOL_HTTP || protocol == POOL_HTTPS;

	if (field >= TALLY_STATUS_1XX && field <= TALLY_STATUS_5XX)
		return is_http;
	if (field == TALLY_DATAGRAMS_IN || field == TALLY_DATAGRAMS_OUT)
		return protocol == POOL_UDP;
	return true;
}

static void
export_servers_tally(struct text *text, const struct stats *stats, enum tally_field field,
    const struct family *family)
{
	struct sample_name name;

	name_init(&name, "server_", family);
	family_head(text, "server_", family);
	for (size_t i = 0; i < stats->config->pool_count; i++) {
		const struct pool_stats *pool = &stats->pools[i];

		if (!is_counted(field, pool->conf->protocol))
			continue;
		for (size_t k = 0; k < pool->conf->server_count; k++)
			sample_server(
			    text, &name, &pool->servers[k], pool->servers[k].sums[field]);
	}
}

/* One family per row of tally_table and kind of object. */
static void
export_tally(struct text *text, const struct stats *stats, enum tally_field field)
{
	const struct tally_info *info = &tally_table[field];
	const struct family family = { info->name, info->help, info->is_gauge };

	if ((info->of & TALLY_OF_LISTENER) != 0) {
		family_head(text, "listener_", &family);
		for (size_t i = 0; i < stats->config->listener_count; i++)
			sample_listener(
			    text, &family, &stats->listeners[i], stats->listeners[i].sums[field]);
	}
	if ((info->of & TALLY_OF_POOL) != 0) {
		family_head(text, "pool_", &family);
		for (size_t i = 0; i < stats->config->pool_count; i++)
			sample_pool(text, &family, &stats->pools[i], stats->pools[i].sums[field]);
	}
	if ((info->of & TALLY_OF_SERVER) != 0)
		export_servers_tally(text, stats, field, &family);
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
		family_head(text, "pool_", &rows[row].family);
		for (size_t i = 0; i < stats->config->pool_count; i++)
			sample_pool(text, &rows[row].family, &stats->pools[i],
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

		name_init(&name, "server_", &rows[row].family);
		family_head(text, "server_", &rows[row].family);
		for (size_t i = 0; i < stats->config->pool_count; i++)
			for (size_t k = 0; k < stats->pools[i].conf->server_count; k++)
				sample_server(text, &name, &stats->pools[i].servers[k],
				    rows[row].value(&stats->pools[i].servers[k]));
	}
}

static void
export_workers(struct text *text, const struct process_stats *process)
{
	static const struct family family = { "process_workers", "Worker processes by state.",
		true };
	static const enum slot_state states[] = { SLOT_RUNNING, SLOT_DRAINING };

	family_head(text, "", &family);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		uint64_t count = 0;

		for (size_t k = 0; k < process->worker_count; k++)
			count += process->workers[k].state == states[i];
		family_name(text, "", &family);
		text_printf(text, "{state=\"%s\"}", collect_slot_name(states[i]));
		sample_end(text, count);
	}
}

static void
export_process(struct text *text, const struct process_stats *process)
{
	const struct {
		struct family family;
		uint64_t value;
	} rows[] = {
		{ { "process_start_time_seconds", "When weir was started, in Unix time.", true },
		    process->started_wall_s },
		{ { "process_config_load_time_seconds",
		      "When the configuration was loaded, in Unix time.", true },
		    process->loaded_wall_s },
		{ { "process_config_generation", "Number of the loaded configuration.", true },
		    process->generation },
		{ { "process_reloads", "Configurations loaded after the first.", false },
		    process->reloads },
		{ { "process_reload_failures", "Configurations refused by a reload.", false },
		    process->reload_failures },
		{ { "process_server_changes",
		      "Changes of the servers of pools without new workers.", false },
		    process->server_changes },
		{ { "process_worker_deaths", "Workers that died and were replaced.", false },
		    process->worker_deaths },
		{ { "log_lines_lost", "Lines of access logs and spans that could not be written.",
		      false },
		    process->log_lines_lost },
	};
	static const struct family build = { "build_info", "The version that runs; always 1.",
		true };

	family_head(text, "", &build);
	family_name(text, "", &build);
	text_puts(text, "{version=");
	text_label_value(text, WEIR_VERSION);
	text_puts(text, "} 1\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		sample_plain(text, &rows[i].family, rows[i].value);
	export_workers(text, process);
}

static uint64_t
use_resident(const struct process_use *use)
{
	return use->resident;
}

static uint64_t
use_cpu_ms(const struct process_use *use)
{
	return use->cpu_ms;
}

static void
sample_use(struct text *text, const struct family *family, const struct process_use *use,
    const char *labels, bool is_ms, uint64_t value)
{
	if (use->resident == 0)
		return;
	family_name(text, "", family);
	text_puts(text, labels);
	if (is_ms)
		text_printf(text, " %llu.%03u\n", (unsigned long long)(value / 1000),
		    (unsigned)(value % 1000));
	else
		sample_end(text, value);
}

/* What the processes take, and what each worker has; a worker is called by its slot, as process IDs come and go. */
static void
export_each_process(struct text *text, const struct process_stats *process)
{
	static const struct {
		struct family family;
		uint64_t (*value)(const struct process_use *use);
		bool is_ms;
	} rows[] = {
		{ { "process_cpu_seconds", "Processor time of a process.", false }, use_cpu_ms, true },
		{ { "process_resident_memory_bytes",
		      "Memory of a process; what is shared counts in each.", true },
		    use_resident, false },
	};
	static const struct family active = { "worker_active", "Connections open in a worker.", true },
				   requests = { "worker_requests",
					   "Requests and sessions of a worker, since it began.",
					   false };
	char labels[64];

	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		family_head(text, "", &rows[row].family);
		sample_use(text, &rows[row].family, &process->control, "{process=\"control\"}",
		    rows[row].is_ms, rows[row].value(&process->control));
		for (size_t i = 0; i < process->worker_count; i++) {
			const struct worker_stats *worker = &process->workers[i];

			snprintf(labels, sizeof(labels), "{process=\"worker\",worker=\"%d\"}",
			    worker->slot);
			sample_use(text, &rows[row].family, &worker->use, labels, rows[row].is_ms,
			    rows[row].value(&worker->use));
		}
	}
	family_head(text, "", &active);
	for (size_t i = 0; i < process->worker_count; i++)
		text_printf(text, "weir_worker_active{worker=\"%d\"} %llu\n",
		    process->workers[i].slot, (unsigned long long)process->workers[i].active);
	family_head(text, "", &requests);
	for (size_t i = 0; i < process->worker_count; i++)
		text_printf(text, "weir_worker_requests_total{worker=\"%d\"} %llu\n",
		    process->workers[i].slot, (unsigned long long)process->workers[i].requests);
}

/* Only what happened: most of the reasons never do. */
static void
export_ends(struct text *text, const struct stats *stats)
{
	static const struct family family = { "ends",
		"Requests and sessions by the reason why they ended, as the access log has it.", false };

	family_head(text, "listener_", &family);
	for (size_t i = 0; i < stats->config->listener_count; i++)
		for (size_t end = 0; end < ENDS; end++) {
			if (stats->listeners[i].ends[end] == 0)
				continue;
			text_puts(text, "weir_listener_ends_total{listener=");
			text_label_value(text, stats->listeners[i].conf->name);
			text_printf(text, ",end=\"%s\"}", end_table[end].word);
			sample_end(text, stats->listeners[i].ends[end]);
		}
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
		sample_end(text, info->not_after > 0 ? (uint64_t)info->not_after : 0);
	}
}

/* {pool="default/api:80",server="a"} */
static void
make_labels(struct stats *stats, struct pool_stats *pool)
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
		pool->servers[i].labels = (struct slice){
			arena_strndup(stats->arena, text.data, text.len), text.len };
	}
	text_fini(&text);
}

void
export_prometheus(struct text *text, struct stats *stats)
{
	for (size_t i = 0; i < stats->config->pool_count; i++)
		make_labels(stats, &stats->pools[i]);
	export_process(text, &stats->process);
	export_each_process(text, &stats->process);
	for (enum tally_field field = 0; field < TALLY_FIELDS; field++)
		export_tally(text, stats, field);
	export_prometheus_latency(text, stats);
	export_pools(text, stats);
	export_servers(text, stats);
	export_ends(text, stats);
	export_certificates(text, stats->config);
	export_meta(text, stats->config);
}
