#include "weir/spans.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "weir/log_writer.h"

enum { TEXT_MAX = 2 * 1024, SPAN_KIND_SERVER = 2 };

static void
begin_attribute(struct log_writer *w, const char *key)
{
	log_line_add(w, ",{\"key\":\"%s\",\"value\":{", key);
}

static void
add_text(struct log_writer *w, const char *key, struct slice text)
{
	if (text.len == 0)
		return;
	begin_attribute(w, key);
	log_line_add(w, "\"stringValue\":\"");
	log_line_text(w, text, TEXT_MAX, LOG_ESCAPE_JSON);
	log_line_add(w, "\"}}");
}

/* 64-bit numbers are texts in OTLP/JSON. */
static void
add_number(struct log_writer *w, const char *key, uint64_t number)
{
	begin_attribute(w, key);
	log_line_add(w, "\"intValue\":\"%llu\"}}", (unsigned long long)number);
}

static void
add_address(struct log_writer *w, const char *key, const struct addr *addr)
{
	char text[ADDR_TEXT_SIZE];

	add_text(w, key, slice_of(addr_print_ip(addr, text)));
}

/* Leaves in `text` what stands before `separator`; returns what stands behind it. */
static struct slice
split(struct slice *text, char separator)
{
	const char *at = text->len > 0 ? memchr(text->ptr, separator, text->len) : NULL;
	struct slice rest = { NULL, 0 };

	if (at != NULL) {
		rest = (struct slice){ at + 1, text->len - (size_t)(at + 1 - text->ptr) };
		text->len = (size_t)(at - text->ptr);
	}
	return rest;
}

/* "host:port", "[2001:db8::1]:port": the parser has seen that the port is a number. */
static void
add_host(struct log_writer *w, struct slice host)
{
	struct slice port, rest;
	uint64_t number = 0;

	if (host.len > 0 && host.ptr[0] == '[') {
		host = (struct slice){ host.ptr + 1, host.len - 1 };
		rest = split(&host, ']');
		port = split(&rest, ':');
	} else {
		port = split(&host, ':');
	}
	for (size_t i = 0; i < port.len && i < 5 && port.ptr[i] >= '0' && port.ptr[i] <= '9'; i++)
		number = number * 10 + (uint64_t)(port.ptr[i] - '0');
	add_text(w, "server.address", host);
	if (number > 0)
		add_number(w, "server.port", number);
}

/* The names of OpenTelemetry's semantic conventions where they have one. */
static void
add_attributes(struct log_writer *w, const struct accesslog_entry *e)
{
	const struct message *m = e->request;
	struct slice target = { m->base + m->target, m->target_len }, query;

	query = split(&target, '?');
	log_line_add(
	    w, "{\"key\":\"weir.end\",\"value\":{\"stringValue\":\"%s\"}}", end_table[e->end].word);
	add_text(w, "http.request.method", (struct slice){ m->base, m->method_len });
	add_text(w, "url.path", target);
	add_text(w, "url.query", query);
	add_text(w, "url.scheme", e->tls_version != NULL ? SLICE("https") : SLICE("http"));
	add_host(w, m->host);
	add_text(w, "network.protocol.version",
	    e->is_h2        ? SLICE("2")
	    : m->minor == 0 ? SLICE("1.0")
			    : SLICE("1.1"));
	add_address(w, "client.address", e->client);
	if (e->status != 0)
		add_number(w, "http.response.status_code", e->status);
	add_text(w, "weir.listener", slice_of(e->listener->name));
	if (e->route != NULL)
		add_text(w, "weir.route", slice_of(e->route));
	if (e->pool != NULL)
		add_text(w, "weir.pool", slice_of(e->pool->name));
	if (e->server != NULL)
		add_text(w, "weir.server", slice_of(e->server->name));
	if (e->retries > 0)
		add_number(w, "http.request.resend_count", e->retries);
	add_number(w, "http.request.size", e->bytes_in);
	add_number(w, "http.response.size", e->bytes_out);
}

static void
add_event(struct log_writer *w, const char *comma, const char *name, uint64_t ns)
{
	log_line_add(w, "%s{\"timeUnixNano\":\"%llu\",\"name\":\"%s\"}", comma,
	    (unsigned long long)ns, name);
}

void
span_write(
    struct log_writer *w, const struct trace_context *context, const struct accesslog_entry *e)
{
	char trace[TRACE_ID_SIZE];
	struct timespec now;
	uint64_t end, start;

	clock_gettime(CLOCK_REALTIME, &now);
	end = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	start = end - e->total_us * 1000;
	trace_id_print(context, trace);
	log_line_begin(w, "span");
	log_line_add(w,
	    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\","
	    "\"value\":{\"stringValue\":\"weir\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"weir\","
	    "\"version\":\"" WEIR_VERSION
	    "\"},\"spans\":[{\"traceId\":\"%s\",\"spanId\":\"%016llx\",",
	    trace, (unsigned long long)e->id);
	if (context->parent != 0)
		log_line_add(
		    w, "\"parentSpanId\":\"%016llx\",", (unsigned long long)context->parent);
	log_line_add(w,
	    "\"kind\":%d,\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\",\"name\":\"",
	    SPAN_KIND_SERVER, (unsigned long long)start, (unsigned long long)end);
	log_line_text(
	    w, (struct slice){ e->request->base, e->request->method_len }, 32, LOG_ESCAPE_JSON);
	log_line_add(w, "\",\"attributes\":[");
	add_attributes(w, e);
	log_line_add(w, "],\"events\":[");
	if (e->connect_us != 0)
		add_event(w, "", "connected", start + e->connect_us * 1000);
	if (e->first_byte_us != 0)
		add_event(w, e->connect_us != 0 ? "," : "", "first_byte",
		    start + e->first_byte_us * 1000);
	log_line_add(w, "],\"status\":{%s}}]}]}]}",
	    e->status >= 500 || (e->end != END_OK && e->status == 0) ? "\"code\":2" : "");
	log_line_end(w);
}
