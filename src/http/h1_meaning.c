/*
 * h1_meaning: what the fields and the target of a head say together.
 */
#include <arpa/inet.h>
#include <string.h>

#include "h1_parse_priv.h"

enum { MAX_FORWARDS = 1000 };

/* RFC 9112 section 6.2: digits only; a second Content-Length, even an equal one, is refused. */
static enum h1_result
read_content_length(struct message *m, const struct field *f)
{
	struct slice text = message_value(m, f);
	uint64_t value = 0;

	if (m->has_length)
		return h1_bad("repeated Content-Length", f->name);
	if (text.len == 0 || text.len > 18)
		return h1_bad("malformed Content-Length", f->value);
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return h1_bad("malformed Content-Length", f->value + i);
		value = value * 10 + (uint64_t)(text.ptr[i] - '0');
	}
	m->has_length = true;
	m->content_length = value;
	return H1_DONE;
}

/* RFC 9110 section 7.6.2, for the methods that it is about. */
static enum h1_result
read_max_forwards(struct message *m, const struct field *f)
{
	struct slice text = message_value(m, f);

	if (m->max_forwards != -1)
		return h1_bad("repeated Max-Forwards", f->name);
	if (text.len == 0)
		return h1_bad("malformed Max-Forwards", f->value);
	m->max_forwards = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return h1_bad("malformed Max-Forwards", f->value + i);
		/* More than anybody needs is as good as the most that is supported. */
		if (m->max_forwards < MAX_FORWARDS)
			m->max_forwards = m->max_forwards * 10 + (text.ptr[i] - '0');
	}
	if (m->max_forwards > MAX_FORWARDS)
		m->max_forwards = MAX_FORWARDS;
	return H1_DONE;
}

/* Fields that a Connection option may not take away: they decide about framing, routing, identity
 * or trust. */
static bool
may_be_nominated(const struct message *m, const struct field *f)
{
	static const struct slice kept[] = { SLICE("authorization"), SLICE("cache-control"),
		SLICE("content-type"), SLICE("content-encoding"), SLICE("forwarded"), SLICE("via"),
		SLICE("x-real-ip"), SLICE("x-request-id"), SLICE("set-cookie"), SLICE("location"),
		SLICE("strict-transport-security") };
	struct slice name = message_name(m, f), x_forwarded = SLICE("x-forwarded-");

	switch ((enum field_id)f->id) {
	case FIELD_HOST:
	case FIELD_CONTENT_LENGTH:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_COOKIE:
	case FIELD_DATE:
	case FIELD_EXPECT:
	case FIELD_MAX_FORWARDS:
	case FIELD_X_FORWARDED_FOR:
	case FIELD_X_FORWARDED_PROTO:
		return false;
	default:
		break;
	}
	if (name.len > x_forwarded.len &&
	    strncasecmp(name.ptr, x_forwarded.ptr, x_forwarded.len) == 0)
		return false;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (slice_equal_nocase(name, kept[i]))
			return false;
	return true;
}

static void
drop_named(struct message *m, struct slice option)
{
	for (unsigned i = 0; i < m->field_count; i++) {
		struct field *f = &m->fields[i];

		if (slice_equal_nocase(message_name(m, f), option) && may_be_nominated(m, f))
			f->dropped = true;
	}
}

struct connection_options {
	bool close, keep_alive, upgrade;
	unsigned count;
};

/* Each option is looked for among all fields and trailers: a message could be full of both. */
enum { OPTIONS_MAX = 32 };

static enum h1_result
read_connection(struct message *m, const struct field *f, struct connection_options *options)
{
	struct slice rest = message_value(m, f), option;

	while (list_next(&rest, &option)) {
		if (options->count++ == OPTIONS_MAX)
			return h1_bad(
			    "too many connection options", (size_t)(option.ptr - m->base));
		if (slice_equal_nocase(option, SLICE("close")))
			options->close = true;
		else if (slice_equal_nocase(option, SLICE("keep-alive")))
			options->keep_alive = true;
		else if (slice_equal_nocase(option, SLICE("upgrade")))
			options->upgrade = true;
		else
			drop_named(m, option);
	}
	return H1_DONE;
}

/*
 * Does an Upgrade field offer protocols, all of which may be tunnelled?  HTTP and TLS may not:
 * behind them requests would pass that no route, limit or log of weir has seen.
 */
static bool
offers_upgrade(const struct message *m, const struct field *f)
{
	struct slice rest = message_value(m, f), protocol;
	bool any = false;

	while (list_next(&rest, &protocol)) {
		if (protocol.len >= 2 && strncasecmp(protocol.ptr, "h2", 2) == 0)
			return false;
		if (protocol.len >= 4 && strncasecmp(protocol.ptr, "http", 4) == 0)
			return false;
		if (protocol.len >= 3 && strncasecmp(protocol.ptr, "tls", 3) == 0)
			return false;
		any = true;
	}
	return any;
}

/* What all fields say together, for requests and responses alike. */
enum h1_result
h1_read_fields(struct message *m, bool is_request)
{
	struct connection_options options = { .count = 0 };
	const struct field *coding = NULL, *host = NULL, *upgrade = NULL;
	bool may_upgrade = false;
	enum h1_result result;

	m->has_length = m->upgrade = m->expect_continue = m->has_date = false;
	m->content_length = 0;
	m->max_forwards = -1;
	m->host = (struct slice){ m->base, 0 }; /* empty, not NULL, for those that search it */
	for (unsigned i = 0; i < m->field_count; i++) {
		struct field *f = &m->fields[i];

		switch ((enum field_id)f->id) {
		case FIELD_OTHER:
		case FIELD_COOKIE:
		case FIELD_PROXY_AUTHENTICATE:
		case FIELD_PROXY_AUTHORIZATION:
		case FIELD_TRAILER:
		case FIELD_X_FORWARDED_FOR:
		case FIELD_X_FORWARDED_PROTO:
		case FIELD_IDS:
			break;
		case FIELD_CONTENT_LENGTH:
			result = read_content_length(m, f);
			if (result != H1_DONE)
				return result;
			break;
		case FIELD_TRANSFER_ENCODING:
			if (coding != NULL ||
			    !slice_equal_nocase(message_value(m, f), SLICE("chunked")))
				return h1_bad("unknown or repeated transfer coding", f->value);
			coding = f;
			break;
		case FIELD_DATE:
			m->has_date = true;
			break;
		case FIELD_HOST:
			if (host != NULL && is_request)
				return h1_bad("repeated Host", f->name);
			host = f;
			break;
		case FIELD_CONNECTION:
			result = read_connection(m, f, &options);
			if (result != H1_DONE)
				return result;
			f->dropped = true;
			break;
		case FIELD_KEEP_ALIVE:
		case FIELD_PROXY_CONNECTION:
		case FIELD_TE:
			f->dropped = true;
			break;
		case FIELD_UPGRADE:
			may_upgrade = offers_upgrade(m, f) && (upgrade == NULL || may_upgrade);
			upgrade = f;
			f->dropped = true;
			break;
		case FIELD_EXPECT:
			/* RFC 9110 section 10.1.1: HTTP/1.0 does not know it. */
			m->expect_continue =
			    m->minor >= 1 &&
			    slice_equal_nocase(message_value(m, f), SLICE("100-continue"));
			f->dropped = m->minor == 0;
			break;
		case FIELD_MAX_FORWARDS:
			if (m->method != METHOD_OPTIONS && m->method != METHOD_TRACE)
				break;
			result = read_max_forwards(m, f);
			if (result != H1_DONE)
				return result;
			break;
		}
	}
	if (coding != NULL && m->has_length)
		return h1_bad("both Transfer-Encoding and Content-Length", coding->name);
	if (coding != NULL && m->minor == 0)
		return h1_bad("Transfer-Encoding in an HTTP/1.0 message", coding->name);
	if (host != NULL)
		m->host = message_value(m, host);
	m->framing = coding != NULL  ? FRAMING_CHUNKED
		     : m->has_length ? FRAMING_LENGTH
				     : FRAMING_NONE;
	if (m->framing == FRAMING_LENGTH && m->content_length == 0)
		m->framing = FRAMING_NONE;
	m->keep_alive = !options.close && (m->minor >= 1 || options.keep_alive);
	/* With a body in front, the bytes of the new protocol would have no certain beginning. */
	m->upgrade = options.upgrade && may_upgrade && m->minor >= 1 && m->framing == FRAMING_NONE;
	return H1_DONE;
}

/* Bytes of the IPv6 literal, with its brackets, that `host` begins with; 0: it is none. */
static size_t
ip6_len(struct slice host)
{
	const char *end = memchr(host.ptr, ']', host.len);
	size_t len = end != NULL ? (size_t)(end - host.ptr) - 1 : 0;
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (len == 0 || len >= sizeof(text))
		return 0;
	memcpy(text, host.ptr + 1, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1 ? len + 2 : 0;
}

/* host [ ":" port ], RFC 3986 section 3.2.2.  `host` may be empty (RFC 9112 section 3.2). */
static bool
host_is_valid(struct slice host)
{
	size_t at = 0;
	unsigned port = 0;

	if (h1_span(host.ptr, 0, host.len, IN_HOST) != host.len)
		return false;
	if (host.len > 0 && host.ptr[0] == '[') {
		at = ip6_len(host);
		if (at == 0)
			return false;
	} else {
		while (at < host.len && host.ptr[at] != ':')
			if (host.ptr[at] == '[' || host.ptr[at] == ']' || host.ptr[at++] == ',')
				return false;
	}
	if (at < host.len && host.ptr[at++] != ':')
		return false;
	for (; at < host.len; at++) {
		if (host.ptr[at] < '0' || host.ptr[at] > '9')
			return false;
		port = port * 10 + (unsigned)(host.ptr[at] - '0');
		if (port > UINT16_MAX)
			return false;
	}
	return true;
}

/* RFC 9112 section 3.2: origin-form, absolute-form, asterisk-form; CONNECT's authority-form is kept
 * for the caller. */
enum h1_result
h1_read_target(struct message *m)
{
	struct slice target = { m->base + m->target, m->target_len };
	const struct field *host = message_find(m, FIELD_HOST);
	size_t scheme = 0, authority;

	if (host == NULL && m->minor >= 1)
		return h1_bad("no Host", 0);
	if (!host_is_valid(m->host))
		return h1_bad("malformed Host", host != NULL ? host->value : 0);
	m->path = target;
	if (target.ptr[0] == '/')
		return H1_DONE;
	if (m->method == METHOD_CONNECT)
		return host_is_valid(target) ? H1_DONE
					     : h1_bad("malformed request target", m->target);
	if (target.len == 1 && target.ptr[0] == '*')
		return m->method == METHOD_OPTIONS
			   ? H1_DONE
			   : h1_bad("asterisk-form is for OPTIONS", m->target);
	if (target.len > 7 && strncasecmp(target.ptr, "http://", 7) == 0)
		scheme = 7;
	else if (target.len > 8 && strncasecmp(target.ptr, "https://", 8) == 0)
		scheme = 8;
	if (scheme == 0)
		return h1_bad("malformed request target", m->target);
	for (authority = scheme; authority < target.len; authority++)
		if (target.ptr[authority] == '/' || target.ptr[authority] == '?')
			break;
	/* Section 3.2.2: the target's authority is the host, whatever Host says. */
	m->host = (struct slice){ target.ptr + scheme, authority - scheme };
	m->path = (struct slice){ target.ptr + authority, target.len - authority };
	if (m->host.len == 0 || !host_is_valid(m->host))
		return h1_bad("malformed request target", m->target);
	return H1_DONE;
}
