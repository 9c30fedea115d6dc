/*
 * What the configuration changes in the heads of an exchange, and the answers that it gives without
 * a server.
 */
#include <stdio.h>

#include "exchange_priv.h"
#include "weir/buf.h"
#include "weir/compress.h"
#include "weir/edits.h"
#include "weir/reply.h"
#include "weir/route.h"
#include "weir/sticky.h"

enum { ID_LEN_MAX = 128 };

/* One worker, one thread, one head at a time. */
static struct field_edits edits;

/* With its question mark; at the end of the path when there is none. */
static struct slice
query_of(const struct message *request)
{
	struct slice path = request->path;
	const char *query = memchr(path.ptr, '?', path.len);
	size_t len = query != NULL ? (size_t)(query - path.ptr) : path.len;

	return (struct slice){ path.ptr + len, path.len - len };
}

/* An absolute target may have none, which is "/" (RFC 9110 section 4.2.3). */
static struct slice
path_of(const struct message *request)
{
	size_t len = request->path.len - query_of(request).len;

	return len > 0 ? (struct slice){ request->path.ptr, len } : SLICE("/");
}

/* ---- request ID ---- */

static bool
is_id(struct slice text)
{
	if (text.len == 0 || text.len > ID_LEN_MAX)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			(c != '\0' && strchr("-_.~+/=:@", c) != NULL)))
			return false;
	}
	return true;
}

void
exchange_find_id(struct exchange *x)
{
	struct slice name = slice_of(x->listener->conf->request_id.header), found = { NULL, 0 };
	unsigned count = 0;

	for (unsigned i = 0; i < x->request.field_count; i++)
		if (slice_equal_nocase(message_name(&x->request, &x->request.fields[i]), name)) {
			found = message_value(&x->request, &x->request.fields[i]);
			count++;
		}
	if (count == 1 && is_id(found))
		x->client_id = found;
}

struct slice
exchange_id(const struct exchange *x, char text[static EXCHANGE_ID_SIZE])
{
	if (x->client_id.len > 0)
		return x->client_id;
	snprintf(text, EXCHANGE_ID_SIZE, "%016llx", (unsigned long long)x->id);
	return (struct slice){ text, EXCHANGE_ID_SIZE - 1 };
}

/* ---- texts ---- */

static void
write_forwarded(const struct exchange *x)
{
	char ip[ADDR_TEXT_SIZE];
	bool is_ip6;

	addr_print_ip(x->client, ip);
	is_ip6 = strchr(ip, ':') != NULL;
	edits_write(&edits, is_ip6 ? SLICE("for=\"[") : SLICE("for="));
	edits_write(&edits, slice_of(ip));
	edits_write(&edits, is_ip6 ? SLICE("]\"") : SLICE(""));
	if (x->request.host.len > 0 &&
	    memchr(x->request.host.ptr, '"', x->request.host.len) == NULL &&
	    memchr(x->request.host.ptr, '\\', x->request.host.len) == NULL) {
		edits_write(&edits, SLICE(";host=\""));
		edits_write(&edits, x->request.host);
		edits_write(&edits, SLICE("\""));
	}
	edits_write(&edits, x->is_tls ? SLICE(";proto=https") : SLICE(";proto=http"));
}

static void
write_number(unsigned number)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	edits_write(&edits, slice_of(text));
}

/* Which page asks (RFC 6454 section 7). */
static struct slice
origin_of(const struct message *request)
{
	for (unsigned i = 0; i < request->field_count; i++)
		if (slice_equal_nocase(
			message_name(request, &request->fields[i]), SLICE("origin")))
			return message_value(request, &request->fields[i]);
	return (struct slice){ request->base, 0 };
}

static void
write_part(const struct exchange *x, const struct text_part *part, const struct slice *groups)
{
	const struct message *request = &x->request;
	char text[ADDR_TEXT_SIZE], id[EXCHANGE_ID_SIZE];

	switch (part->what) {
	case TEXT_LITERAL:
		edits_write(&edits, (struct slice){ part->literal, part->len });
		break;
	case TEXT_GROUP:
		if (groups != NULL)
			edits_write(&edits, groups[part->group]);
		break;
	case TEXT_CLIENT_IP:
		addr_print_ip(x->client, text);
		edits_write(&edits, slice_of(text));
		break;
	case TEXT_CLIENT_PORT:
		write_number(addr_port(x->client));
		break;
	case TEXT_LISTEN_PORT:
		write_number(
		    addr_port(x->local.len > 0 ? &x->local : &x->listener->conf->listen[0]));
		break;
	case TEXT_SCHEME:
		edits_write(&edits, x->is_tls ? SLICE("https") : SLICE("http"));
		break;
	case TEXT_HOST:
		edits_write(&edits, request->host);
		break;
	case TEXT_METHOD:
		edits_write(&edits, (struct slice){ request->base, request->method_len });
		break;
	case TEXT_PATH:
		edits_write(&edits, path_of(request));
		break;
	case TEXT_QUERY:
		edits_write(&edits, query_of(request));
		break;
	case TEXT_REQUEST_ID:
		edits_write(&edits, exchange_id(x, id));
		break;
	case TEXT_ORIGIN:
		edits_write(&edits, origin_of(request));
		break;
	case TEXT_FORWARDED:
		write_forwarded(x);
		break;
	}
}

/* The text as it is for this exchange, in `edits`. */
static struct slice
resolve(const struct exchange *x, const struct text_config *text, const struct slice *groups)
{
	size_t at = edits.used;

	for (size_t i = 0; i < text->count; i++)
		write_part(x, &text->parts[i], groups);
	return (struct slice){ edits.text + at, edits.used - at };
}

static void
apply_rules(const struct exchange *x, const struct field_rules *rules)
{
	for (size_t i = 0; rules != NULL && i < rules->count; i++) {
		const struct field_rule *rule = &rules->rules[i];

		if (rule->op != EDIT_ADD)
			edits_forget(&edits, slice_of(rule->name));
		edits_put(&edits, rule->op, slice_of(rule->name), resolve(x, &rule->value, NULL));
	}
}

/* ---- cookies of the application that name the server (sticky by cookie_prefix) ---- */

static bool
has_prefixes(const struct exchange *x)
{
	return x->pool != NULL && x->pool->conf->sticky.by == STICKY_COOKIE_PREFIX;
}

/* Its value without what weir wrote before values; the number of those goes to `count`. */
static struct slice
write_cookies(const struct exchange *x, struct slice rest, unsigned *count)
{
	struct slice name = slice_of(x->pool->conf->sticky.name), value, cut, prefix;
	size_t at = edits.used;

	while (sticky_find_in_field(rest, name, &value, &cut)) {
		const char *end = value.ptr + value.len;

		sticky_find_prefix(x->pool, value, &prefix);
		edits_write(&edits, (struct slice){ rest.ptr, (size_t)(value.ptr - rest.ptr) });
		edits_write(
		    &edits, (struct slice){ value.ptr + prefix.len, value.len - prefix.len });
		*count += prefix.len > 0;
		rest = (struct slice){ end, (size_t)(rest.ptr + rest.len - end) };
	}
	edits_write(&edits, rest);
	return (struct slice){ edits.text + at, edits.used - at };
}

/*
 * One is cut out where the head is written.  A client may have several cookies of that name, for
 * several paths: then all Cookie fields are written anew.
 */
static bool
unprefix_cookies(const struct exchange *x)
{
	unsigned count = 0;

	for (unsigned i = 0; i < x->request.field_count; i++)
		if (x->request.fields[i].id == FIELD_COOKIE)
			edits_put(&edits, EDIT_SET, SLICE("Cookie"),
			    write_cookies(
				x, message_value(&x->request, &x->request.fields[i]), &count));
	if (count <= 1)
		edits_init(&edits);
	return count > 1;
}

/* Write the server's name before the value of each such cookie; the others stay as they are. */
static bool
prefix_cookies(const struct exchange *x, const struct message *response)
{
	struct slice name = slice_of(x->pool->conf->sticky.name);
	bool is_there = false;

	for (unsigned i = 0; i < response->field_count; i++) {
		const struct field *f = &response->fields[i];
		struct slice value = message_value(response, f);
		const char *at;
		size_t start = edits.used, before;

		if (!slice_equal_nocase(message_name(response, f), SLICE("Set-Cookie")))
			continue;
		at = sticky_find_set(value, name);
		before = at != NULL ? (size_t)(at - value.ptr) : value.len;
		edits_write(&edits, (struct slice){ value.ptr, before });
		if (at != NULL) {
			edits_write(&edits, slice_of(x->server->conf->cookie));
			edits_write(&edits, SLICE("~"));
			edits_write(&edits, (struct slice){ at, value.len - before });
			is_there = true;
		}
		edits_put(&edits, EDIT_SET, SLICE("Set-Cookie"),
		    (struct slice){ edits.text + start, edits.used - start });
	}
	if (!is_there)
		edits_init(&edits);
	return is_there;
}

/* ---- heads ---- */

struct field_edits *
exchange_edit_request(const struct exchange *x)
{
	const struct field_rules *rules =
	    x->route != NULL ? x->route->conf->request_rules : x->listener->conf->request_rules;

	bool is_edited = false;

	edits_init(&edits);
	if (has_prefixes(x))
		is_edited = unprefix_cookies(x);
	is_edited = exchange_drop_forged(x, &edits) || is_edited;
	if (rules == NULL && !is_edited && x->client_cert == NULL && !exchange_is_traced(x))
		return NULL;
	apply_rules(x, rules);
	if (exchange_is_traced(x))
		exchange_edit_trace(x, &edits);
	if (x->client_cert != NULL)
		exchange_tell_client(x, &edits);
	return &edits;
}

struct field_edits *
exchange_edit_response(const struct exchange *x, struct message *response)
{
	const struct field_rules *rules =
	    x->route != NULL ? x->route->conf->response_rules : x->listener->conf->response_rules;

	bool is_edited = false;

	edits_init(&edits);
	if (has_prefixes(x) && x->server != NULL)
		is_edited = prefix_cookies(x, response);
	if (rules == NULL && x->compress == COMPRESS_NO && !is_edited)
		return NULL;
	if (x->compress != COMPRESS_NO)
		compress_edit(response, (enum compress)x->compress, &edits);
	apply_rules(x, rules);
	return &edits;
}

/* Of a prefix the rest of the path follows. */
static struct slice
rest_of_path(const struct route_config *route, struct slice path)
{
	size_t len = path.len;

	if (route->match == PATH_PREFIX || route->match == PATH_STARTS_WITH)
		len = strlen(route->path);
	while (route->match == PATH_PREFIX && len > 0 && route->path[len - 1] == '/')
		len--; /* "/a/" matches "/a" */
	return (struct slice){ path.ptr + len, path.len - len };
}

struct slice
exchange_target(const struct exchange *x, char *text, size_t size)
{
	const struct route_config *route = x->route->conf;
	struct slice path = path_of(&x->request), groups[REGEX_GROUPS], parts[3];
	size_t len = 0;

	/* OPTIONS of the server as a whole. */
	if (x->request.method == METHOD_OPTIONS &&
	    (x->request.path.len == 0 || slice_equal(path, SLICE("*"))))
		return SLICE("*");
	if (x->route->regex != NULL && regex_match(x->route->regex, path, groups) != REGEX_YES)
		return (struct slice){ NULL, 0 };
	edits_init(&edits);
	parts[0] = resolve(x, &route->rewrite_text, x->route->regex != NULL ? groups : NULL);
	parts[1] = rest_of_path(route, path);
	parts[2] = query_of(&x->request);
	/* Of two slashes that meet one is enough. */
	if (parts[0].len > 0 && parts[0].ptr[parts[0].len - 1] == '/' && parts[1].len > 0 &&
	    parts[1].ptr[0] == '/')
		parts[0].len--;
	for (int i = 0; i < 3; i++) {
		if (parts[i].len > size - len || edits.failed)
			return (struct slice){ NULL, 0 };
		if (parts[i].len > 0)
			memcpy(text + len, parts[i].ptr, parts[i].len);
		len += parts[i].len;
	}
	return (struct slice){ text, len };
}

/* ---- answers ---- */

static const struct redirect_config *
redirect_of(const struct exchange *x)
{
	return x->route != NULL ? &x->route->conf->redirect : &x->listener->conf->redirect;
}

static struct slice
location_of(const struct exchange *x, const struct redirect_config *redirect)
{
	struct slice groups[REGEX_GROUPS];
	bool has_groups = x->route != NULL && x->route->regex != NULL &&
			  regex_match(x->route->regex, path_of(&x->request), groups) == REGEX_YES;
	size_t at = edits.used;

	if (redirect->url == NULL)
		reply_locate(&edits, redirect, &x->request);
	else
		resolve(x, &redirect->location, has_groups ? groups : NULL);
	return (struct slice){ edits.text + at, edits.used - at };
}

struct buf *
exchange_answer(struct exchange *x, enum end end, bool *close)
{
	char id[EXCHANGE_ID_SIZE];
	const struct redirect_config *redirect = redirect_of(x);
	struct reply reply = { .request = &x->request,
		.id = exchange_id(x, id),
		.edits = &edits,
		.retry_after_s = x->retry_after_s };
	struct buf *out = NULL;

	edits_init(&edits);
	apply_rules(x,
	    x->route != NULL ? x->route->conf->response_rules : x->listener->conf->response_rules);
	if (edits.failed)
		edits_init(&edits);
	if (end == END_REDIRECTED) {
		reply.status = redirect->status;
		reply.location = location_of(x, redirect);
		if (reply.location.len == 0 || edits.failed)
			end = END_REQUEST_MALFORMED;
	} else if (end == END_RESPONDED) {
		const struct respond_config *respond = &x->route->conf->respond;

		reply.status = respond->status;
		reply.content_type = slice_of(respond->content_type);
		reply.body = slice_of(respond->body);
	} else if (end == END_LAST_HOP) {
		reply.status = 200;
	}
	*close = *close || end == END_REQUEST_MALFORMED;
	reply.close = *close;
	if (exchange_is_answered(end))
		out = reply_print(&reply);
	if (out == NULL) {
		reply.location = (struct slice){ NULL, 0 };
		reply.end = end_table[end].status != 0 ? end : END_INTERNAL;
		out = reply_print_error(&reply);
	}
	exchange_account_reply(x, reply.status, buf_len(out));
	return out;
}
