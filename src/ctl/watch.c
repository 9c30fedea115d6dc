#include "watch_priv.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "exchange_priv.h"
#include "table_priv.h"
#include "view_priv.h"
#include "weir/arena.h"

enum { ASK_TIMEOUT_S = 30, DRAIN_POLL_MS = 200, ROWS_DEFAULT = 24 };

json_t *
watch_ask(const char *socket, const char *line, unsigned timeout_s)
{
	char *text = exchange_ask(socket, line, timeout_s);
	json_t *answer, *result;
	const char *error;

	if (text == NULL)
		return NULL;
	answer = json_loads(text, 0, NULL);
	result = json_object_get(answer, "result");
	error = json_string_value(json_object_get(answer, "error"));
	if (json_is_true(json_object_get(answer, "ok")) && result != NULL)
		json_incref(result);
	else
		result = NULL;
	if (result == NULL && error != NULL)
		fprintf(stderr, "weirctl: %s\n", error);
	else if (result == NULL)
		fprintf(stderr, "weirctl: %s does not speak weir's protocol\n", socket);
	json_decref(answer);
	free(text);
	return result;
}

static uint64_t
number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static const char *
name_of(const json_t *object)
{
	const char *name = json_string_value(json_object_get(object, "name"));

	return name != NULL ? name : "-";
}

static double
seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
sleep_s(double seconds)
{
	struct timespec rest = { .tv_sec = (time_t)seconds };

	rest.tv_nsec = (long)((seconds - (double)rest.tv_sec) * 1e9);
	nanosleep(&rest, NULL);
}

/* ---- top ---- */

struct look {
	double at; /* seconds, monotonic */
	json_t *status, *listeners, *pools, *servers; /* owned */
};

static void
look_free(struct look *look)
{
	json_decref(look->status);
	json_decref(look->listeners);
	json_decref(look->pools);
	json_decref(look->servers);
	*look = (struct look){ 0 };
}

static int
look_take(struct look *look, const char *socket)
{
	const struct {
		const char *command;
		json_t **place;
	} parts[] = {
		{ "status", &look->status },
		{ "listeners", &look->listeners },
		{ "pools", &look->pools },
		{ "servers", &look->servers },
	};

	*look = (struct look){ .at = seconds_now() };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		*parts[i].place = watch_ask(socket, parts[i].command, ASK_TIMEOUT_S);
		if (*parts[i].place == NULL) {
			look_free(look);
			return -1;
		}
	}
	return 0;
}

/* The object of the same name in the look before; they nearly always stand in the same place. */
static const json_t *
find_before(const json_t *list, const json_t *object, size_t index)
{
	const json_t *other = json_array_get(list, index);

	if (other != NULL && strcmp(name_of(other), name_of(object)) == 0)
		return other;
	json_array_foreach(list, index, other) if (strcmp(name_of(other), name_of(object)) == 0)
		return other;
	return NULL;
}

static double
rate(const json_t *now, const json_t *before, const char *key, double seconds)
{
	uint64_t a = before != NULL ? number(before, key) : number(now, key), b = number(now, key);

	return b > a && seconds > 0 ? (double)(b - a) / seconds : 0;
}

static void
add_rate(struct table *table, double value)
{
	char *text = xprintf(value < 100 ? "%.1f" : "%.0f", value);

	table_add(table, text);
	free(text);
}

static void
add_byte_rate(struct table *table, double value)
{
	char text[32];

	table_add(table, view_bytes((uint64_t)value, text));
}

static void
add_count(struct table *table, uint64_t value)
{
	char *text = xprintf("%" PRIu64, value);

	table_add(table, text);
	free(text);
}

/* Milliseconds with what precision is worth seeing. */
static void
add_percentile(struct table *table, const json_t *object, const char *key)
{
	const json_t *total = json_object_get(json_object_get(object, "latency"), "total");
	const json_t *value = json_object_get(total, key);
	double ms = (double)json_integer_value(value) / 1000;
	char *text = json_is_integer(value) ? xprintf(ms < 10 ? "%.2f" : "%.0f", ms) : xstrdup("-");

	table_add(table, text);
	free(text);
}

static void
add_row(struct table *table, const json_t *now, const json_t *before, double seconds, bool is_pool)
{
	char *usable;

	table_add(table, name_of(now));
	if (is_pool) {
		usable = xprintf("%" PRIu64 "/%" PRIu64, number(now, "servers_usable"),
		    number(now, "servers_total"));
		table_add(table, usable);
		free(usable);
	} else {
		add_rate(table, rate(now, before, "connections", seconds));
	}
	add_count(table, number(now, "active"));
	add_rate(table, rate(now, before, "requests", seconds));
	add_rate(table, rate(now, before, "status_4xx", seconds));
	add_rate(table, rate(now, before, "status_5xx", seconds));
	add_byte_rate(table, rate(now, before, "bytes_in", seconds));
	add_byte_rate(table, rate(now, before, "bytes_out", seconds));
	add_percentile(table, now, "p50_us");
	add_percentile(table, now, "p99_us");
}

static void
show_list(const json_t *now, const json_t *before, double seconds, bool is_pool, FILE *out)
{
	static const char *const titles[] = { NULL, NULL, "ACTIVE", "REQ/S", "4XX/S", "5XX/S",
		"IN/S", "OUT/S", "P50 MS", "P99 MS" };
	enum { COLUMNS = sizeof(titles) / sizeof(titles[0]) };
	const json_t *object;
	struct table table;
	size_t i;

	table_init(&table, COLUMNS);
	table_add(&table, is_pool ? "POOL" : "LISTENER");
	table_add(&table, is_pool ? "USABLE" : "CONN/S");
	for (i = 2; i < COLUMNS; i++)
		table_add(&table, titles[i]);
	for (i = 1; i < COLUMNS; i++)
		table.right[i] = true;
	json_array_foreach(now, i, object)
	    add_row(&table, object, find_before(before, object, i), seconds, is_pool);
	table_print(&table, out);
	table_fini(&table);
}

/* What is wrong, first. */
static void
show_troubles(const struct look *look, FILE *out)
{
	const json_t *server;
	size_t i, shown = 0;

	json_array_foreach(look->servers, i, server)
	{
		const char *health = json_string_value(json_object_get(server, "health"));
		const char *pool = json_string_value(json_object_get(server, "pool"));
		const char *check = json_string_value(json_object_get(server, "last_check"));

		if (health == NULL || strcmp(health, "down") != 0)
			continue;
		if (shown++ < 5)
			fprintf(out, "down: %s/%s: %s\n", pool != NULL ? pool : "-",
			    name_of(server), check != NULL ? check : "-");
	}
	if (shown > 5)
		fprintf(out, "down: %zu more\n", shown - 5);
}

static void
show(const struct look *now, const struct look *before, FILE *out)
{
	double seconds = now->at - before->at;
	time_t wall = time(NULL);
	char clock[16] = "", uptime[32];
	struct tm tm;

	if (localtime_r(&wall, &tm) != NULL)
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(out,
	    "weir  %s  up %s  configuration %" PRIu64 "  workers %zu  servers %" PRIu64
	    ", %" PRIu64 " down\n",
	    clock, view_duration(number(now->status, "uptime_s"), uptime),
	    number(now->status, "generation"),
	    json_array_size(json_object_get(now->status, "workers")),
	    number(now->status, "servers"), number(now->status, "servers_down"));
	show_troubles(now, out);
	putc('\n', out);
	show_list(now->listeners, before->listeners, seconds, false, out);
	putc('\n', out);
	show_list(now->pools, before->pools, seconds, true, out);
}

/* On a terminal: over what was there, and no more lines than it has. */
static void
show_in_place(const char *text)
{
	struct winsize size = { .ws_row = ROWS_DEFAULT };
	unsigned rows = 1;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1 || size.ws_row == 0)
		size.ws_row = ROWS_DEFAULT;
	fputs("\033[H", stdout);
	for (; *text != '\0' && rows < size.ws_row; rows++) {
		size_t len = strcspn(text, "\n");

		printf("%.*s\033[K\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
	fputs("\033[J", stdout);
}

int
watch_top(const char *socket, double interval_s, unsigned count)
{
	bool in_place = isatty(STDOUT_FILENO) == 1;
	struct look before, now;

	if (look_take(&before, socket) == -1)
		return EXIT_FAILURE;
	if (in_place)
		fputs("\033[2J", stdout);
	for (unsigned shown = 0; count == 0 || shown < count; shown++) {
		char *text = NULL;
		size_t len = 0;
		FILE *out;

		sleep_s(interval_s);
		if (look_take(&now, socket) == -1) {
			look_free(&before);
			return EXIT_FAILURE;
		}
		out = open_memstream(&text, &len);
		if (out == NULL)
			abort(); /* no memory, as xmalloc() does */
		show(&now, &before, out);
		fclose(out);
		if (in_place)
			show_in_place(text);
		else
			printf("%s%s", shown > 0 ? "\n" : "", text);
		free(text);
		look_free(&before);
		before = now;
		if (fflush(stdout) != 0) {
			perror("weirctl: standard output");
			look_free(&before);
			return EXIT_FAILURE;
		}
	}
	look_free(&before);
	return EXIT_SUCCESS;
}

/* ---- drain ---- */

/* Returns false when the pool has no such server any more. */
static bool
find_active(const json_t *servers, const char *name, uint64_t *active)
{
	const json_t *server;
	size_t i;

	json_array_foreach(servers, i, server)
	{
		if (strcmp(name_of(server), name) != 0)
			continue;
		*active = number(server, "active");
		return true;
	}
	return false;
}

int
watch_drained(const char *socket, const json_t *server, unsigned limit_s)
{
	const char *pool = json_string_value(json_object_get(server, "pool"));
	double end = seconds_now() + limit_s;
	char *line = xprintf("servers %s", pool != NULL ? pool : "");
	int status = -1;

	while (status == -1) {
		json_t *servers = watch_ask(socket, line, ASK_TIMEOUT_S);
		uint64_t active = 0;

		if (servers == NULL) {
			status = EXIT_FAILURE;
		} else if (!find_active(servers, name_of(server), &active) || active == 0) {
			status = EXIT_SUCCESS; /* one that a reload took away has ended too */
		} else if (limit_s > 0 && seconds_now() >= end) {
			fprintf(stderr,
			    "weirctl: after %u seconds %" PRIu64 " still in progress on %s/%s\n",
			    limit_s, active, pool != NULL ? pool : "", name_of(server));
			status = EXIT_FAILURE;
		} else {
			sleep_s(DRAIN_POLL_MS / 1e3);
		}
		json_decref(servers);
	}
	free(line);
	return status;
}
