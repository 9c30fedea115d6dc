#include "weir/accesslog.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/log.h"

enum {
	BATCH_SIZE = 64 * 1024,
	LINE_MAX_SIZE = 8 * 1024, /* one line; long texts are cut */
	TEXT_MAX = 2 * 1024       /* one text taken from the request */
};

struct accesslog {
	int fd; /* borrowed */
	enum log_format format;
	const struct global_config *global; /* borrowed */
	unsigned skipped; /* good requests since the last one that was written */
	uint64_t first_ms; /* when the oldest line came */
	size_t filled;
	uint64_t lost;  /* lines */
	unsigned lines; /* in the batch */
	char batch[BATCH_SIZE];
};

struct accesslog *
accesslog_new(int fd, const struct global_config *global)
{
	struct accesslog *log = xmalloc(sizeof(*log));

	log->fd = fd;
	log->format = global->access_format;
	log->global = global;
	log->skipped = 0;
	log->filled = 0;
	log->lost = 0;
	log->lines = 0;
	log->first_ms = 0;
	return log;
}

static void
write_out(struct accesslog *log)
{
	static struct log_limit limit;
	size_t done = 0;

	while (done < log->filled) {
		ssize_t n = write(log->fd, log->batch + done, log->filled - done);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			log->lost += log->lines;
			if (log_allowed(&limit, 1, 60000))
				log_warn(
				    "access log: %llu lines lost", (unsigned long long)log->lost);
			break;
		}
		done += (size_t)n;
	}
	log->filled = 0;
	log->lines = 0;
}

void
accesslog_set_fd(struct accesslog *log, int fd)
{
	write_out(log);
	log->fd = fd;
}

void
accesslog_flush(struct accesslog *log, uint32_t max_age_ms)
{
	if (log->filled > 0 && now_ms - log->first_ms >= max_age_ms)
		write_out(log);
}

void
accesslog_free(struct accesslog *log)
{
	if (log == NULL)
		return;
	write_out(log);
	free(log);
}

static void __attribute__((format(printf, 2, 3)))
add(struct accesslog *log, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(log->batch + log->filled, BATCH_SIZE - log->filled, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < BATCH_SIZE - log->filled)
		log->filled += (size_t)n;
}

/* Text from outside: quotes, control and non-ASCII bytes are escaped so that neither JSON nor a
 * terminal minds. */
static void
add_escaped(struct accesslog *log, struct slice text)
{
	size_t len = text.len < TEXT_MAX ? text.len : TEXT_MAX;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c != '"' && c != '\\' && c >= 0x20 && c < 0x7f)
			log->batch[log->filled++] = (char)c;
		else if (log->format == LOG_FORMAT_JSON)
			add(log, "\\u%04x", c);
		else
			add(log, "\\x%02x", c);
	}
}

static void
add_text(struct accesslog *log, const char *key, struct slice text)
{
	add(log, ",\"%s\":\"", key);
	add_escaped(log, text);
	add(log, "\"");
}

static struct slice
request_slice(const struct message *m, size_t at, size_t len)
{
	return m != NULL ? (struct slice){ m->base + at, len } : (struct slice){ NULL, 0 };
}

static struct slice
find_other(const struct message *m, struct slice name)
{
	for (unsigned i = 0; m != NULL && i < m->field_count; i++)
		if (m->fields[i].id == FIELD_OTHER &&
		    slice_equal_nocase(message_name(m, &m->fields[i]), name))
			return message_value(m, &m->fields[i]);
	return (struct slice){ NULL, 0 };
}

/* What the client spoke; `request` is known. */
static const char *
protocol_of(const struct accesslog_entry *e)
{
	if (e->is_h2)
		return "HTTP/2";
	return e->request->minor == 0 ? "HTTP/1.0" : "HTTP/1.1";
}

static void
write_json(struct accesslog *log, const struct accesslog_entry *e)
{
	const struct message *m = e->request;
	char text[ADDR_TEXT_SIZE];
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	add(log, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\"",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    now.tv_nsec / 1000000);
	if (e->client_id.len > 0)
		add_text(log, "id", e->client_id);
	else
		add(log, ",\"id\":\"%016llx\"", (unsigned long long)e->id);
	add_text(log, "listener", slice_of(e->listener->name));
	add(log, ",\"client\":\"%s\"", addr_print(e->client, text));
	if (m != NULL) {
		add_text(log, "method", request_slice(m, 0, m->method_len));
		add_text(log, "host", m->host);
		add_text(log, "target", request_slice(m, m->target, m->target_len));
		add(log, ",\"protocol\":\"%s\"", protocol_of(e));
	}
	if (e->status != 0)
		add(log, ",\"status\":%u", e->status);
	if (e->pool != NULL)
		add_text(log, "pool", slice_of(e->pool->name));
	if (e->server != NULL)
		add_text(log, "server", slice_of(e->server->name));
	add(log,
	    ",\"bytes_in\":%llu,\"bytes_out\":%llu,\"retries\":%u,\"connect_ms\":%.3f,\"first_byte_"
	    "ms\":%.3f,"
	    "\"total_ms\":%.3f,\"end\":\"%s\"}\n",
	    (unsigned long long)e->bytes_in, (unsigned long long)e->bytes_out, e->retries,
	    (double)e->connect_us / 1e3, (double)e->first_byte_us / 1e3, (double)e->total_us / 1e3,
	    end_table[e->end].word);
}

/* The "combined" format of many web servers. */
static void
write_combined(struct accesslog *log, const struct accesslog_entry *e)
{
	const struct message *m = e->request;
	char text[ADDR_TEXT_SIZE], date[40];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S +0000", &tm);
	add(log, "%s - - [%s] \"", addr_print_ip(e->client, text), date);
	if (m != NULL) {
		add_escaped(log, request_slice(m, 0, m->method_len));
		add(log, " ");
		add_escaped(log, request_slice(m, m->target, m->target_len));
		add(log, " %s", protocol_of(e));
	} else {
		add(log, "-");
	}
	add(log, "\" %u %llu \"", e->status, (unsigned long long)e->bytes_out);
	add_escaped(log, find_other(m, SLICE("referer")));
	add(log, "\" \"");
	add_escaped(log, find_other(m, SLICE("user-agent")));
	add(log, "\"\n");
}

static void
add_slice(struct accesslog *log, struct slice text)
{
	if (text.len == 0)
		add(log, "-");
	else
		add_escaped(log, text);
}

static void
add_time(struct accesslog *log)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	add(log, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000);
}

static struct slice
find_header(const struct message *m, struct slice name)
{
	for (unsigned i = 0; m != NULL && i < m->field_count; i++)
		if (slice_equal_nocase(message_name(m, &m->fields[i]), name))
			return message_value(m, &m->fields[i]);
	return (struct slice){ NULL, 0 };
}

static void
add_ms(struct accesslog *log, uint64_t us)
{
	add(log, "%.3f", (double)us / 1e3);
}

static void
add_number(struct accesslog *log, uint64_t number)
{
	add(log, "%llu", (unsigned long long)number);
}

static void
add_part(struct accesslog *log, const struct log_part *part, const struct accesslog_entry *e)
{
	const struct message *m = e->request;
	char text[ADDR_TEXT_SIZE];

	switch (part->field) {
	case LOG_TEXT:
		add(log, "%.*s", (int)part->len, part->text);
		return;
	case LOG_TIME:
		add_time(log);
		return;
	case LOG_ID:
		if (e->client_id.len > 0)
			add_escaped(log, e->client_id);
		else
			add(log, "%016llx", (unsigned long long)e->id);
		return;
	case LOG_LISTENER:
		add_slice(log, slice_of(e->listener->name));
		return;
	case LOG_CLIENT:
		add(log, "%s", addr_print(e->client, text));
		return;
	case LOG_CLIENT_IP:
		add(log, "%s", addr_print_ip(e->client, text));
		return;
	case LOG_METHOD:
		add_slice(log, request_slice(m, 0, m != NULL ? m->method_len : 0));
		return;
	case LOG_HOST:
		add_slice(log, m != NULL ? m->host : (struct slice){ NULL, 0 });
		return;
	case LOG_TARGET:
		add_slice(log, m != NULL ? request_slice(m, m->target, m->target_len)
					 : (struct slice){ NULL, 0 });
		return;
	case LOG_PROTOCOL:
		if (m != NULL)
			add(log, "%s", protocol_of(e));
		else
			add(log, "-");
		return;
	case LOG_STATUS:
		if (e->status != 0)
			add_number(log, e->status);
		else
			add(log, "-");
		return;
	case LOG_POOL:
		add_slice(log, slice_of(e->pool != NULL ? e->pool->name : ""));
		return;
	case LOG_SERVER:
		add_slice(log, slice_of(e->server != NULL ? e->server->name : ""));
		return;
	case LOG_BYTES_IN:
		add_number(log, e->bytes_in);
		return;
	case LOG_BYTES_OUT:
		add_number(log, e->bytes_out);
		return;
	case LOG_RETRIES:
		add_number(log, e->retries);
		return;
	case LOG_CONNECT_MS:
		add_ms(log, e->connect_us);
		return;
	case LOG_FIRST_BYTE_MS:
		add_ms(log, e->first_byte_us);
		return;
	case LOG_TOTAL_MS:
		add_ms(log, e->total_us);
		return;
	case LOG_END:
		add(log, "%s", end_table[e->end].word);
		return;
	case LOG_HEADER:
		add_slice(log, find_header(m, (struct slice){ part->text, part->len }));
		return;
	case LOG_FIELDS:
		return;
	}
}

/* A line that would be longer than the batch is cut. */
static void
write_custom(struct accesslog *log, const struct accesslog_entry *e)
{
	const struct global_config *global = log->global;

	for (size_t i = 0; i < global->log_part_count; i++) {
		if (BATCH_SIZE - log->filled < 6 * TEXT_MAX + LINE_MAX_SIZE / 4)
			break;
		add_part(log, &global->log_parts[i], e);
	}
	add(log, "\n");
}

/* Of what went well one of `sample` is written. */
static bool
is_left_out(struct accesslog *log, const struct accesslog_entry *e)
{
	bool is_good = e->end == END_OK || e->end == END_REDIRECTED;

	if (log->global->log_sample <= 1 || !is_good || e->status >= 500)
		return false;
	if (++log->skipped < log->global->log_sample)
		return true;
	log->skipped = 0;
	return false;
}

/* Six bytes for each escaped one, three texts at most. */
_Static_assert(
    BATCH_SIZE > 4 * 6 * TEXT_MAX + LINE_MAX_SIZE, "a line must fit into an empty batch");

void
accesslog_write(struct accesslog *log, const struct accesslog_entry *entry)
{
	if (is_left_out(log, entry))
		return;
	if (BATCH_SIZE - log->filled < 4 * 6 * TEXT_MAX + LINE_MAX_SIZE / 2)
		write_out(log);
	if (log->filled == 0)
		log->first_ms = now_ms;
	log->lines++;
	switch (log->format) {
	case LOG_FORMAT_JSON:
		write_json(log, entry);
		break;
	case LOG_FORMAT_COMBINED:
		write_combined(log, entry);
		break;
	case LOG_FORMAT_CUSTOM:
		write_custom(log, entry);
		break;
	}
}
