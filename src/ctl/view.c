#include "view_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "table_priv.h"
#include "weir/arena.h"

enum view_kind {
	VIEW_TEXT = 0,
	VIEW_LIST,    /* a list of texts, joined by commas */
	VIEW_COUNT,   /* a number; several keys with '+' between them are added up */
	VIEW_BYTES,   /* likewise, as 1.5k, 2.0M... */
	VIEW_SECONDS, /* a duration, as 5s, 3m, 2h, 4d */
	VIEW_OF,      /* two numbers as "2/3" */
	VIEW_US,      /* a duration in microseconds, as 1.25ms; dots in the key lead into objects */
};

struct view_column {
	const char *title, *key;
	enum view_kind kind;
};

struct view_layout {
	const struct view_column *columns;
	size_t count;
};

#define VIEW_LAYOUT(columns)                                                                       \
	((struct view_layout){ (columns), sizeof(columns) / sizeof((columns)[0]) })

/* clang-format off */
static const struct view_column listener_columns[] = {
	{ "LISTENER", "name", VIEW_TEXT },
	{ "PROTOCOL", "protocol", VIEW_TEXT },
	{ "ADDRESSES", "addresses", VIEW_LIST },
	{ "OPEN", "active", VIEW_COUNT },
	{ "CONNECTIONS", "connections", VIEW_COUNT },
	{ "REQUESTS", "requests", VIEW_COUNT },
	{ "2XX", "status_2xx", VIEW_COUNT },
	{ "3XX", "status_3xx", VIEW_COUNT },
	{ "4XX", "status_4xx", VIEW_COUNT },
	{ "5XX", "status_5xx", VIEW_COUNT },
	{ "BAD", "bad_requests", VIEW_COUNT },
	{ "REFUSED", "refused", VIEW_COUNT },
	{ "IN", "bytes_in", VIEW_BYTES },
	{ "OUT", "bytes_out", VIEW_BYTES },
};
static const struct view_column pool_columns[] = {
	{ "POOL", "name", VIEW_TEXT },
	{ "PROTOCOL", "protocol", VIEW_TEXT },
	{ "BALANCE", "balance", VIEW_TEXT },
	{ "CHECKS", "checks", VIEW_TEXT },
	{ "USABLE", "servers_usable/servers_total", VIEW_OF },
	{ "ACTIVE", "active", VIEW_COUNT },
	{ "REQUESTS", "requests", VIEW_COUNT },
	{ "2XX", "status_2xx", VIEW_COUNT },
	{ "4XX", "status_4xx", VIEW_COUNT },
	{ "5XX", "status_5xx", VIEW_COUNT },
	{ "QUEUED", "queued", VIEW_COUNT },
	{ "RETRIES", "retries", VIEW_COUNT },
	{ "NO SERVER", "no_server", VIEW_COUNT },
	{ "IN", "bytes_in", VIEW_BYTES },
	{ "OUT", "bytes_out", VIEW_BYTES },
};
static const struct view_column server_columns[] = {
	{ "POOL", "pool", VIEW_TEXT },
	{ "SERVER", "name", VIEW_TEXT },
	{ "ADDRESS", "address", VIEW_TEXT },
	{ "WEIGHT", "weight", VIEW_COUNT },
	{ "ADMIN", "admin", VIEW_TEXT },
	{ "HEALTH", "health", VIEW_TEXT },
	{ "SINCE", "since_s", VIEW_SECONDS },
	{ "LAST CHECK", "last_check", VIEW_TEXT },
	{ "LEFT OUT", "ejected_s", VIEW_SECONDS },
	{ "ACTIVE", "active", VIEW_COUNT },
	{ "REQUESTS", "requests", VIEW_COUNT },
	{ "5XX", "status_5xx", VIEW_COUNT },
	{ "ERRORS", "connect_errors+response_errors", VIEW_COUNT },
	{ "IN", "bytes_in", VIEW_BYTES },
	{ "OUT", "bytes_out", VIEW_BYTES },
};
static const struct view_column route_columns[] = {
	{ "LISTENER", "listener", VIEW_TEXT },
	{ "ROUTE", "name", VIEW_TEXT },
	{ "ACTIVE", "active", VIEW_COUNT },
	{ "REQUESTS", "requests", VIEW_COUNT },
	{ "2XX", "status_2xx", VIEW_COUNT },
	{ "3XX", "status_3xx", VIEW_COUNT },
	{ "4XX", "status_4xx", VIEW_COUNT },
	{ "5XX", "status_5xx", VIEW_COUNT },
	{ "LIMITED", "over_limit", VIEW_COUNT },
	{ "RETRIES", "retries", VIEW_COUNT },
	{ "MEDIAN", "latency.total.p50_us", VIEW_US },
	{ "99 %", "latency.total.p99_us", VIEW_US },
	{ "IN", "bytes_in", VIEW_BYTES },
	{ "OUT", "bytes_out", VIEW_BYTES },
};
static const struct view_column cert_columns[] = {
	{ "CERTIFICATE", "id", VIEW_TEXT },
	{ "KEY", "key", VIEW_TEXT },
	{ "NAMES", "names", VIEW_TEXT },
	{ "ENDS", "not_after", VIEW_TEXT },
	{ "LEFT", "expires_in_s", VIEW_SECONDS },
	{ "LISTENERS", "listeners", VIEW_LIST },
	{ "HANDSHAKES", "tls_handshakes", VIEW_COUNT },
	{ "RESUMED", "tls_resumed", VIEW_COUNT },
	{ "FAILED", "tls_failures", VIEW_COUNT },
};
static const struct view_column sticky_columns[] = {
	{ "POOL", "pool", VIEW_TEXT },
	{ "BY", "by", VIEW_TEXT },
	{ "COOKIE", "cookie", VIEW_TEXT },
	{ "TIMEOUT", "timeout_s", VIEW_SECONDS },
	{ "SERVER", "server", VIEW_TEXT },
	{ "VALUE", "value", VIEW_TEXT },
	{ "CLIENTS", "entries", VIEW_COUNT },
	{ "LAST USED", "last_used_s", VIEW_SECONDS },
	{ "POOL HITS", "pool_hits", VIEW_COUNT },
};
static const struct view_column worker_columns[] = {
	{ "WORKER", "slot", VIEW_COUNT },
	{ "PID", "pid", VIEW_COUNT },
	{ "STATE", "state", VIEW_TEXT },
	{ "GENERATION", "generation", VIEW_COUNT },
};
static const struct view_column command_columns[] = {
	{ "COMMAND", "command", VIEW_TEXT },
	{ "ARGUMENTS", "arguments", VIEW_TEXT },
	{ "WHAT IT DOES", "help", VIEW_TEXT },
};
/* clang-format on */

const char *
view_duration(uint64_t seconds, char text[static 32])
{
	if (seconds < 120)
		snprintf(text, 32, "%" PRIu64 "s", seconds);
	else if (seconds < 2 * 3600)
		snprintf(text, 32, "%" PRIu64 "m", seconds / 60);
	else if (seconds < 48 * 3600)
		snprintf(text, 32, "%" PRIu64 "h", seconds / 3600);
	else
		snprintf(text, 32, "%" PRIu64 "d", seconds / 86400);
	return text;
}

const char *
view_bytes(uint64_t bytes, char text[static 32])
{
	static const char units[] = "kMGTPE";
	double value = (double)bytes;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(text, 32, "%" PRIu64, bytes);
		return text;
	}
	for (value /= 1024; value >= 1023.95; value /= 1024)
		unit++;
	snprintf(text, 32, "%.1f%c", value, units[unit]);
	return text;
}

/* The sum of the numbers at "a+b"; false if none is there. */
static bool
view_sum(const json_t *object, const char *keys, uint64_t *sum)
{
	char *copy = xstrdup(keys), *save = NULL;
	bool found = false;

	*sum = 0;
	for (char *key = strtok_r(copy, "+", &save); key != NULL;
	     key = strtok_r(NULL, "+", &save)) {
		const json_t *value = json_object_get(object, key);

		if (!json_is_integer(value))
			continue;
		*sum += (uint64_t)json_integer_value(value);
		found = true;
	}
	free(copy);
	return found;
}

static void
view_add_list(struct table *table, const json_t *list)
{
	char *joined = xstrdup("");
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		char *longer = xprintf("%s%s%s", joined, i > 0 ? "," : "",
		    json_is_string(item) ? json_string_value(item) : "-");

		free(joined);
		joined = longer;
	}
	table_add(table, joined[0] != '\0' ? joined : "-");
	free(joined);
}

static void
view_add_text(struct table *table, const json_t *value)
{
	const char *text = json_string_value(value);

	table_add(table, text != NULL && text[0] != '\0' ? text : "-");
}

static void
view_add_number(struct table *table, const json_t *object, const struct view_column *column)
{
	char text[32];
	uint64_t value;

	if (!view_sum(object, column->key, &value)) {
		table_add(table, "-");
		return;
	}
	if (column->kind == VIEW_BYTES)
		view_bytes(value, text);
	else if (column->kind == VIEW_SECONDS)
		view_duration(value, text);
	else
		snprintf(text, sizeof(text), "%" PRIu64, value);
	table_add(table, text);
}

/* "a/b" */
static void
view_add_of(struct table *table, const json_t *object, const char *keys)
{
	char *copy = xstrdup(keys), *slash = strchr(copy, '/'), text[64];
	uint64_t part, whole;

	*slash = '\0';
	if (view_sum(object, copy, &part) && view_sum(object, slash + 1, &whole))
		snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu64, part, whole);
	else
		snprintf(text, sizeof(text), "-");
	table_add(table, text);
	free(copy);
}

/* "a.b.c" */
static void
view_add_us(struct table *table, const json_t *object, const char *keys)
{
	char *copy = xstrdup(keys), *save = NULL, text[32];

	for (char *key = strtok_r(copy, ".", &save); key != NULL; key = strtok_r(NULL, ".", &save))
		object = json_object_get(object, key);
	if (json_is_integer(object))
		snprintf(text, sizeof(text), "%.2fms", (double)json_integer_value(object) / 1e3);
	else
		snprintf(text, sizeof(text), "-");
	table_add(table, text);
	free(copy);
}

static void
view_add_cell(struct table *table, const json_t *object, const struct view_column *column)
{
	switch (column->kind) {
	case VIEW_TEXT:
		view_add_text(table, json_object_get(object, column->key));
		return;
	case VIEW_LIST:
		view_add_list(table, json_object_get(object, column->key));
		return;
	case VIEW_COUNT:
	case VIEW_BYTES:
	case VIEW_SECONDS:
		view_add_number(table, object, column);
		return;
	case VIEW_OF:
		view_add_of(table, object, column->key);
		return;
	case VIEW_US:
		view_add_us(table, object, column->key);
		return;
	}
}

/* rows: a list of objects, or one object. */
static void
view_table(const json_t *rows, struct view_layout layout, FILE *out)
{
	size_t count = json_is_array(rows) ? json_array_size(rows) : 1;
	struct table table;

	table_init(&table, layout.count);
	for (size_t i = 0; i < layout.count; i++) {
		table.right[i] = layout.columns[i].kind > VIEW_LIST;
		table_add(&table, layout.columns[i].title);
	}
	for (size_t row = 0; row < count; row++)
		for (size_t i = 0; i < layout.count; i++)
			view_add_cell(&table,
			    json_is_array(rows) ? json_array_get(rows, row) : rows,
			    &layout.columns[i]);
	table_print(&table, out);
	table_fini(&table);
}

static uint64_t
view_number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static const char *
view_date(uint64_t wall_s, char text[static 32])
{
	time_t when = (time_t)wall_s;
	struct tm tm;

	if (localtime_r(&when, &tm) == NULL || strftime(text, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(text, 32, "-");
	return text;
}

static void
view_status_rows(const json_t *status, struct table *table)
{
	char started[32], loaded[32], uptime[32];
	const char *version = json_string_value(json_object_get(status, "version"));
	const char *file = json_string_value(json_object_get(status, "configuration"));
	const char *kernel_tls = json_string_value(json_object_get(status, "kernel_tls"));
	/* clang-format off */
	const struct { const char *name; char *value; } rows[] = {
		{ "version", xstrdup(version != NULL ? version : "-") },
		{ "pid", xprintf("%" PRIu64, view_number(status, "pid")) },
		{ "started", xprintf("%s (%s ago)", view_date(view_number(status, "started"), started),
		    view_duration(view_number(status, "uptime_s"), uptime)) },
		{ "configuration", xprintf("%s, generation %" PRIu64, file != NULL ? file : "-",
		    view_number(status, "generation")) },
		{ "loaded", xstrdup(view_date(view_number(status, "loaded"), loaded)) },
		{ "reloads", xprintf("%" PRIu64 ", %" PRIu64 " refused", view_number(status, "reloads"),
		    view_number(status, "reload_failures")) },
		{ "server changes", xprintf("%" PRIu64, view_number(status, "server_changes")) },
		{ "worker deaths", xprintf("%" PRIu64, view_number(status, "worker_deaths")) },
		{ "kernel TLS", xstrdup(kernel_tls != NULL ? kernel_tls : "-") },
		{ "listeners", xprintf("%" PRIu64, view_number(status, "listeners")) },
		{ "pools", xprintf("%" PRIu64, view_number(status, "pools")) },
		{ "servers", xprintf("%" PRIu64 ", %" PRIu64 " down", view_number(status, "servers"),
		    view_number(status, "servers_down")) },
	};
	/* clang-format on */

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		table_add(table, rows[i].name);
		table_add(table, rows[i].value);
		free(rows[i].value);
	}
}

void
view_status(const json_t *result, FILE *out)
{
	struct table table;

	table_init(&table, 2);
	view_status_rows(result, &table);
	table_print(&table, out);
	table_fini(&table);
	putc('\n', out);
	view_table(json_object_get(result, "workers"), VIEW_LAYOUT(worker_columns), out);
}

void
view_listeners(const json_t *result, FILE *out)
{
	view_table(result, VIEW_LAYOUT(listener_columns), out);
}

void
view_pools(const json_t *result, FILE *out)
{
	view_table(result, VIEW_LAYOUT(pool_columns), out);
}

void
view_servers(const json_t *result, FILE *out)
{
	view_table(result, VIEW_LAYOUT(server_columns), out);
}

void
view_routes(const json_t *result, FILE *out)
{
	view_table(result, VIEW_LAYOUT(route_columns), out);
}

void
view_certs(const json_t *result, FILE *out)
{
	view_table(result, VIEW_LAYOUT(cert_columns), out);
}

void
view_sticky(const json_t *result, FILE *out)
{
	view_table(result, VIEW_LAYOUT(sticky_columns), out);
}

void
view_message(const json_t *result, FILE *out)
{
	const char *message = json_string_value(json_object_get(result, "message"));

	fprintf(out, "%s\n", message != NULL ? message : "done");
}

void
view_help(const json_t *result, FILE *out)
{
	view_table(result, VIEW_LAYOUT(command_columns), out);
}
