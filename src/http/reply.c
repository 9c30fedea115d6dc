#include "weir/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "weir/buf.h"
#include "weir/clock.h"

static const struct {
	unsigned status;
	const char *reason;
} reasons[] = {
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 404, "Not Found" },
	{ 408, "Request Timeout" },
	{ 414, "URI Too Long" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

const char *
reply_reason(unsigned status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

const char *
reply_date(void)
{
	static time_t made_for;
	static char text[32];
	time_t now = time(NULL);
	struct tm tm;

	if (now != made_for) {
		gmtime_r(&now, &tm);
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		made_for = now;
	}
	return text;
}

static void __attribute__((format(printf, 2, 3))) append(struct buf *out, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out->data + out->end, buf_room(out), format, args);
	va_end(args);
	if (n > 0 && (size_t)n < buf_room(out))
		out->end += (uint32_t)n;
}

struct buf *
reply_error(enum end end, const struct message *request, uint64_t id, bool close)
{
	const struct end_info *info = &end_table[end];
	const char *reason = reply_reason(info->status);
	struct buf *out = buf_take(BUF_SMALL);
	char body[512];
	int len = snprintf(body, sizeof(body),
	    "<!DOCTYPE html>\n<html lang=\"en\"><head><title>%u %s</title></head>\n"
	    "<body><h1>%u %s</h1><p>%s</p><p><small>Request %016llx</small></p></body></html>\n",
	    info->status, reason, info->status, reason, info->sentence, (unsigned long long)id);

	append(out,
	    "HTTP/1.1 %u %s\r\nDate: %s\r\nContent-Type: text/html; "
	    "charset=utf-8\r\nContent-Length: %d\r\n"
	    "Cache-Control: no-store\r\nX-Request-ID: %016llx\r\n",
	    info->status, reason, reply_date(), len, (unsigned long long)id);
	if (info->proxy_error != NULL)
		append(out, "Proxy-Status: weir; error=%s\r\n", info->proxy_error);
	append(out, close ? "Connection: close\r\n\r\n" : "\r\n");
	if (request == NULL || request->method != METHOD_HEAD)
		append(out, "%s", body);
	return out;
}

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

struct buf *
reply_redirect(const struct redirect_config *redirect, const struct message *request, bool close)
{
	static const char body[] =
	    "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Moved</title></head>"
	    "<body><h1>Moved</h1></body></html>\n";
	uint16_t own_port = strcmp(redirect->scheme, "https") == 0 ? 443 : 80;
	struct slice host = host_only(request->host), path = request->path;
	bool add_slash = path.len == 0 || path.ptr[0] == '?';
	struct buf *out;
	char port[8] = "";

	if (host.len == 0)
		return NULL;
	if (redirect->port != own_port)
		snprintf(port, sizeof(port), ":%u", redirect->port);
	if (path.len == 1 && path.ptr[0] == '*')
		path.len = 0;
	out = buf_take(BUF_LARGE);
	if (host.len + path.len + 1024 > buf_room(out)) {
		buf_give(out);
		return NULL;
	}
	append(out,
	    "HTTP/1.1 %u %s\r\nDate: %s\r\nLocation: %s://%.*s%s%s%.*s\r\nContent-Type: "
	    "text/html\r\n"
	    "Content-Length: %zu\r\n%s\r\n",
	    redirect->status, reply_reason(redirect->status), reply_date(), redirect->scheme,
	    (int)host.len, host.ptr, port, add_slash ? "/" : "", (int)path.len, path.ptr,
	    sizeof(body) - 1, close ? "Connection: close\r\n" : "");
	if (request->method != METHOD_HEAD)
		append(out, "%s", body);
	return out;
}
