#include "weir/reply.h"

#include <stdio.h>
#include <time.h>

#include "weir/accept.h"
#include "weir/buf.h"
#include "weir/clock.h"

static const struct {
	unsigned status;
	const char *reason;
} reasons[] = {
	{ 100, "Continue" },
	{ 102, "Processing" },
	{ 103, "Early Hints" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 203, "Non-Authoritative Information" },
	{ 204, "No Content" },
	{ 205, "Reset Content" },
	{ 206, "Partial Content" },
	{ 207, "Multi-Status" },
	{ 300, "Multiple Choices" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 418, "I'm a teapot" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 423, "Locked" },
	{ 424, "Failed Dependency" },
	{ 425, "Too Early" },
	{ 426, "Upgrade Required" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 451, "Unavailable For Legal Reasons" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
	{ 511, "Network Authentication Required" },
};

const char *
reply_reason(unsigned status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

struct slice
reply_date_line(void)
{
	static time_t made_for;
	static char text[48];
	static size_t len;
	struct tm tm;

	if (now_wall_s != made_for || len == 0) {
		gmtime_r(&now_wall_s, &tm);
		len = strftime(text, sizeof(text), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
		made_for = now_wall_s;
	}
	return (struct slice){ text, len };
}

struct slice
reply_date(void)
{
	struct slice line = reply_date_line();

	return (struct slice){ line.ptr + 6, line.len - 8 };
}

static const struct error_pages *pages;

void
reply_use_pages(const struct error_pages *of_config)
{
	pages = of_config;
}

/* What does not fit makes the whole reply void. */
static void
append(struct buf *out, struct slice text)
{
	if (text.len >= buf_room(out)) {
		out->end = out->size;
		return;
	}
	if (text.len > 0)
		memcpy(out->data + out->end, text.ptr, text.len);
	out->end += (uint32_t)text.len;
}

static void
append_field(
    struct buf *out, const struct field_edits *edits, struct slice name, struct slice value)
{
	if (edits_hide(edits, name))
		return;
	append(out, name);
	append(out, SLICE(": "));
	append(out, value);
	append(out, SLICE("\r\n"));
}

static void
append_fields(struct buf *out, const struct reply *reply)
{
	const struct field_edits *edits = reply->edits;
	const char *proxy_error = end_table[reply->end].proxy_error;
	bool is_error = reply->end != END_OK;
	char text[16];

	append_field(out, edits, SLICE("Date"), reply_date());
	if (reply->location.ptr != NULL)
		append_field(out, edits, SLICE("Location"), reply->location);
	if (reply->content_type.ptr != NULL && reply->body.len > 0)
		append_field(out, edits, SLICE("Content-Type"), reply->content_type);
	if (is_error)
		append_field(out, edits, SLICE("Cache-Control"), SLICE("no-store"));
	if (is_error)
		append_field(out, edits, SLICE("X-Request-ID"), reply->id);
	if (reply->retry_after_s > 0) {
		snprintf(text, sizeof(text), "%u", (unsigned)reply->retry_after_s);
		append_field(out, edits, SLICE("Retry-After"), slice_of(text));
	}
	if (is_error && proxy_error != NULL && !edits_hide(edits, SLICE("Proxy-Status"))) {
		append(out, SLICE("Proxy-Status: weir; error="));
		append(out, slice_of(proxy_error));
		append(out, SLICE("\r\n"));
	}
	for (unsigned i = 0; edits != NULL && i < edits->count; i++)
		if (edits->v[i].op != EDIT_REMOVE) {
			append(out, edits->v[i].name);
			append(out, SLICE(": "));
			append(out, edits->v[i].value);
			append(out, SLICE("\r\n"));
		}
}

struct buf *
reply_print(const struct reply *reply)
{
	struct buf *out = buf_take(BUF_LARGE);
	bool has_length = reply->status != 204 && reply->status != 304;
	char text[64];

	snprintf(text, sizeof(text), "HTTP/1.1 %u ", reply->status);
	append(out, slice_of(text));
	append(out, slice_of(reply_reason(reply->status)));
	append(out, SLICE("\r\n"));
	append_fields(out, reply);
	snprintf(text, sizeof(text), "Content-Length: %zu\r\n", reply->body.len);
	if (has_length)
		append(out, slice_of(text));
	if (reply->close)
		append(out, SLICE("Connection: close\r\n"));
	else if (reply->request != NULL && reply->request->minor == 0)
		append(out, SLICE("Connection: keep-alive\r\n"));
	append(out, SLICE("\r\n"));
	if (has_length && (reply->request == NULL || reply->request->method != METHOD_HEAD))
		append(out, reply->body);
	if (out->end < out->size)
		return out;
	buf_give(out);
	return NULL;
}

/* ---- errors ---- */

/* HTML unless the client wants JSON more. */
static bool
wants_json(const struct message *request)
{
	return request != NULL && accept_media(request, SLICE("application"), SLICE("json")) >
				      accept_media(request, SLICE("text"), SLICE("html"));
}

/* A page of the configuration, with the request ID in its places.  Returns its length. */
static size_t
print_page(const struct text_config *page, struct slice id, char *body, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < page->count; i++) {
		const struct text_part *part = &page->parts[i];
		struct slice text = { part->literal, part->len };

		if (part->what == TEXT_REQUEST_ID)
			text = id;
		if (text.len > size - len)
			break;
		memcpy(body + len, text.ptr, text.len);
		len += text.len;
	}
	return len;
}

static size_t
print_own(const struct reply *reply, bool is_json, char *body, size_t size)
{
	const char *reason = reply_reason(reply->status);
	const char *sentence = end_table[reply->end].sentence;
	int len;

	if (is_json)
		len = snprintf(body, size,
		    "{\"status\":%u,\"error\":\"%s\",\"message\":\"%s\",\"request_id\":\"%.*s\"}\n",
		    reply->status, reason, sentence, (int)reply->id.len, reply->id.ptr);
	else
		len = snprintf(body, size,
		    "<!DOCTYPE html>\n<html lang=\"en\"><head><title>%u %s</title></head>\n"
		    "<body><h1>%u %s</h1><p>%s</p><p><small>Request "
		    "%.*s</small></p></body></html>\n",
		    reply->status, reason, reply->status, reason, sentence, (int)reply->id.len,
		    reply->id.ptr);
	return len > 0 && (size_t)len < size ? (size_t)len : 0;
}

struct buf *
reply_print_error(struct reply *reply)
{
	static char body[ERROR_PAGE_SIZE + 1024]; /* one worker, one thread */
	bool is_json = wants_json(reply->request);
	const struct text_config *page;
	struct buf *out;

	reply->status = end_table[reply->end].status;
	page = pages != NULL ? error_page(pages, reply->status, is_json) : NULL;
	reply->content_type =
	    is_json ? SLICE("application/json") : SLICE("text/html; charset=utf-8");
	reply->body.ptr = body;
	reply->body.len = page != NULL ? print_page(page, reply->id, body, sizeof(body))
				       : print_own(reply, is_json, body, sizeof(body));
	out = reply_print(reply);
	if (out != NULL)
		return out;
	/* Rules that add that much are for other answers. */
	reply->edits = NULL;
	return reply_print(reply);
}

struct buf *
reply_error(enum end end, const struct message *request, uint64_t id, bool close)
{
	char text[20];
	struct reply reply = { .end = end, .request = request, .close = close };

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)id);
	reply.id = slice_of(text);
	return reply_print_error(&reply);
}

/* ---- redirects ---- */

/* The host without its port; IPv6 literals keep their brackets. */
static struct slice
host_only(struct slice host)
{
	const char *end =
	    host.len > 0 && host.ptr[0] == '[' ? memchr(host.ptr, ']', host.len) : NULL;
	const char *colon = end == NULL ? memchr(host.ptr, ':', host.len) : NULL;

	if (end != NULL)
		host.len = (size_t)(end - host.ptr) + 1;
	else if (colon != NULL)
		host.len = (size_t)(colon - host.ptr);
	return host;
}

void
reply_locate(
    struct field_edits *out, const struct redirect_config *redirect, const struct message *request)
{
	uint16_t own_port = strcmp(redirect->scheme, "https") == 0 ? 443 : 80;
	struct slice host = host_only(request->host), path = request->path;
	char port[8] = "";

	if (host.len == 0)
		return;
	if (redirect->port != own_port)
		snprintf(port, sizeof(port), ":%u", redirect->port);
	edits_write(out, slice_of(redirect->scheme));
	edits_write(out, SLICE("://"));
	edits_write(out, host);
	edits_write(out, slice_of(port));
	if (path.len == 1 && path.ptr[0] == '*')
		return;
	if (path.len == 0 || path.ptr[0] == '?')
		edits_write(out, SLICE("/"));
	edits_write(out, path);
}
