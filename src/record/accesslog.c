#include "weir/accesslog.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "weir/arena.h"
#include "weir/log_writer.h"

enum { TEXT_MAX = 2 * 1024 /* one text taken from the request */ };

struct accesslog {
	struct log_writer *writer;            /* borrowed */
	const struct access_log_config *conf; /* borrowed */
	unsigned skipped; /* good requests since the last one that was written */
};

struct accesslog *
accesslog_new(struct log_writer *writer, const struct access_log_config *conf)
{
	struct accesslog *log = xmalloc(sizeof(*log));

	*log = (struct accesslog){ .writer = writer, .conf = conf };
	return log;
}

void
accesslog_free(struct accesslog *log)
{
	free(log);
}

static void
add_json(struct log_writer *w, const char *key, struct slice text)
{
	log_line_add(w, ",\"%s\":\"", key);
	log_line_text(w, text, TEXT_MAX, LOG_ESCAPE_JSON);
	log_line_add(w, "\"");
}

static void
add_hex(struct log_writer *w, struct slice text)
{
	log_line_text(w, text, TEXT_MAX, LOG_ESCAPE_HEX);
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
write_json(struct log_writer *w, const struct accesslog_entry *e)
{
	const struct message *m = e->request;
	char text[ADDR_TEXT_SIZE];
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	log_line_add(w, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\"", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000);
	if (e->client_id.len > 0)
		add_json(w, "id", e->client_id);
	else
		log_line_add(w, ",\"id\":\"%016llx\"", (unsigned long long)e->id);
	add_json(w, "listener", slice_of(e->listener->name));
	log_line_add(w, ",\"client\":\"%s\"", addr_print(e->client, text));
	if (m != NULL) {
		add_json(w, "method", request_slice(m, 0, m->method_len));
		add_json(w, "host", m->host);
		add_json(w, "target", request_slice(m, m->target, m->target_len));
		log_line_add(w, ",\"protocol\":\"%s\"", protocol_of(e));
	}
	if (e->tls_version != NULL)
		log_line_add(w, ",\"tls_version\":\"%s\",\"tls_cipher\":\"%s\"", e->tls_version,
		    e->tls_cipher);
	if (e->trace_id != NULL)
		log_line_add(w, ",\"trace_id\":\"%s\"", e->trace_id);
	if (e->status != 0)
		log_line_add(w, ",\"status\":%u", e->status);
	if (e->route != NULL)
		add_json(w, "route", slice_of(e->route));
	if (e->pool != NULL)
		add_json(w, "pool", slice_of(e->pool->name));
	if (e->server != NULL)
		add_json(w, "server", slice_of(e->server->name));
	log_line_add(w,
	    ",\"bytes_in\":%llu,\"bytes_out\":%llu,\"retries\":%u,\"connect_ms\":%.3f,\"first_byte_"
	    "ms\":%.3f,"
	    "\"total_ms\":%.3f,\"end\":\"%s\"}",
	    (unsigned long long)e->bytes_in, (unsigned long long)e->bytes_out, e->retries,
	    (double)e->connect_us / 1e3, (double)e->first_byte_us / 1e3, (double)e->total_us / 1e3,
	    end_table[e->end].word);
}

/* The "combined" format of many web servers. */
static void
write_combined(struct log_writer *w, const struct accesslog_entry *e)
{
	const struct message *m = e->request;
	char text[ADDR_TEXT_SIZE], date[40];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S +0000", &tm);
	log_line_add(w, "%s - - [%s] \"", addr_print_ip(e->client, text), date);
	if (m != NULL) {
		add_hex(w, request_slice(m, 0, m->method_len));
		log_line_add(w, " ");
		add_hex(w, request_slice(m, m->target, m->target_len));
		log_line_add(w, " %s", protocol_of(e));
	} else {
		log_line_add(w, "-");
	}
	log_line_add(w, "\" %u %llu \"", e->status, (unsigned long long)e->bytes_out);
	add_hex(w, find_other(m, SLICE("referer")));
	log_line_add(w, "\" \"");
	add_hex(w, find_other(m, SLICE("user-agent")));
	log_line_add(w, "\"");
}

static void
add_slice(struct log_writer *w, struct slice text)
{
	if (text.len == 0)
		log_line_add(w, "-");
	else
		add_hex(w, text);
}

static void
add_time(struct log_writer *w)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	log_line_add(w, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", tm.tm_year + 1900, tm.tm_mon + 1,
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
add_ms(struct log_writer *w, uint64_t us)
{
	log_line_add(w, "%.3f", (double)us / 1e3);
}

static void
add_number(struct log_writer *w, uint64_t number)
{
	log_line_add(w, "%llu", (unsigned long long)number);
}

static void
add_part(struct log_writer *w, const struct log_part *part, const struct accesslog_entry *e)
{
	const struct message *m = e->request;
	char text[ADDR_TEXT_SIZE];

	switch (part->field) {
	case LOG_TEXT:
		log_line_add(w, "%.*s", (int)part->len, part->text);
		return;
	case LOG_TIME:
		add_time(w);
		return;
	case LOG_ID:
		if (e->client_id.len > 0)
			add_hex(w, e->client_id);
		else
			log_line_add(w, "%016llx", (unsigned long long)e->id);
		return;
	case LOG_LISTENER:
		add_slice(w, slice_of(e->listener->name));
		return;
	case LOG_CLIENT:
		log_line_add(w, "%s", addr_print(e->client, text));
		return;
	case LOG_CLIENT_IP:
		log_line_add(w, "%s", addr_print_ip(e->client, text));
		return;
	case LOG_METHOD:
		add_slice(w, request_slice(m, 0, m != NULL ? m->method_len : 0));
		return;
	case LOG_HOST:
		add_slice(w, m != NULL ? m->host : (struct slice){ NULL, 0 });
		return;
	case LOG_TARGET:
		add_slice(w, m != NULL ? request_slice(m, m->target, m->target_len)
				       : (struct slice){ NULL, 0 });
		return;
	case LOG_PROTOCOL:
		if (m != NULL)
			log_line_add(w, "%s", protocol_of(e));
		else
			log_line_add(w, "-");
		return;
	case LOG_STATUS:
		if (e->status != 0)
			add_number(w, e->status);
		else
			log_line_add(w, "-");
		return;
	case LOG_POOL:
		add_slice(w, slice_of(e->pool != NULL ? e->pool->name : ""));
		return;
	case LOG_SERVER:
		add_slice(w, slice_of(e->server != NULL ? e->server->name : ""));
		return;
	case LOG_BYTES_IN:
		add_number(w, e->bytes_in);
		return;
	case LOG_BYTES_OUT:
		add_number(w, e->bytes_out);
		return;
	case LOG_RETRIES:
		add_number(w, e->retries);
		return;
	case LOG_CONNECT_MS:
		add_ms(w, e->connect_us);
		return;
	case LOG_FIRST_BYTE_MS:
		add_ms(w, e->first_byte_us);
		return;
	case LOG_TOTAL_MS:
		add_ms(w, e->total_us);
		return;
	case LOG_END:
		log_line_add(w, "%s", end_table[e->end].word);
		return;
	case LOG_TLS_VERSION:
		add_slice(w, slice_of(e->tls_version != NULL ? e->tls_version : ""));
		return;
	case LOG_TLS_CIPHER:
		add_slice(w, slice_of(e->tls_cipher != NULL ? e->tls_cipher : ""));
		return;
	case LOG_TRACE_ID:
		add_slice(w, slice_of(e->trace_id != NULL ? e->trace_id : ""));
		return;
	case LOG_ROUTE:
		add_slice(w, slice_of(e->route != NULL ? e->route : ""));
		return;
	case LOG_HEADER:
		add_slice(w, find_header(m, (struct slice){ part->text, part->len }));
		return;
	case LOG_FIELDS:
		return;
	}
}

/* Of what went well one of `sample` is written. */
static bool
is_left_out(struct accesslog *log, const struct accesslog_entry *e)
{
	bool is_good = e->end == END_OK || e->end == END_REDIRECTED;

	if (log->conf->sample <= 1 || !is_good || e->status >= 500)
		return false;
	if (++log->skipped < log->conf->sample)
		return true;
	log->skipped = 0;
	return false;
}

void
accesslog_write(struct accesslog *log, const struct accesslog_entry *entry)
{
	const struct access_log_config *conf = log->conf;

	if (is_left_out(log, entry))
		return;
	log_line_begin(log->writer, "access");
	switch (conf->format) {
	case LOG_FORMAT_INHERIT: /* resolved when the configuration was read */
	case LOG_FORMAT_JSON:
		write_json(log->writer, entry);
		break;
	case LOG_FORMAT_COMBINED:
		write_combined(log->writer, entry);
		break;
	case LOG_FORMAT_CUSTOM:
		for (size_t i = 0; i < conf->part_count; i++)
			add_part(log->writer, &conf->parts[i], entry);
		break;
	}
	log_line_end(log->writer);
}
