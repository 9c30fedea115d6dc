#include "weir/h1_parse.h"

#include <llhttp.h>

/*
 * Octets allowed in: a token (RFC 9110 section 5.6.2), a field value (section 5.5: visible, space,
 * tab, obs-text), a request target (visible ASCII), a host (RFC 3986 section 3.2.2 with port, no
 * userinfo).
 */
enum { IN_TOKEN = 1, IN_VALUE = 2, IN_TARGET = 4, IN_HOST = 8 };

/* clang-format off */
#define V (IN_VALUE)
#define P (IN_VALUE | IN_TARGET)
#define T (IN_VALUE | IN_TARGET | IN_TOKEN)
#define H (IN_VALUE | IN_TARGET | IN_TOKEN | IN_HOST)
#define Q (IN_VALUE | IN_TARGET | IN_HOST)
#define N (IN_VALUE | IN_TOKEN)
static const uint8_t octets[256] = {
	/* 00 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0,
	/* 10 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	/* 20 */ V, H, P, N, H, H, H, H, Q, Q, H, H, Q, H, H, P,
	/* 30 */ H, H, H, H, H, H, H, H, H, H, Q, Q, P, Q, P, P,
	/* 40 */ P, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H,
	/* 50 */ H, H, H, H, H, H, H, H, H, H, H, Q, P, Q, T, H,
	/* 60 */ T, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H,
	/* 70 */ H, H, H, H, H, H, H, H, H, H, H, P, T, P, H, 0,
	/* 80 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	/* 90 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	/* a0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	/* b0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	/* c0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	/* d0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	/* e0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	/* f0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
};
#undef V
#undef P
#undef T
#undef H
#undef Q
#undef N
/* clang-format on */

static const char *fault_text = "";
static size_t fault_position;

const char *
h1_fault(size_t *position)
{
	if (position != NULL)
		*position = fault_position;
	return fault_text;
}

static enum h1_result
bad(const char *text, size_t position)
{
	fault_text = text;
	fault_position = position;
	return H1_BAD;
}

/* Bytes from data[from] on that are all of `kind`; returns the position of the first that is not,
 * at most `end`. */
static size_t
span(const char *data, size_t from, size_t end, unsigned kind)
{
	while (from < end && (octets[(unsigned char)data[from]] & kind))
		from++;
	return from;
}

/*
 * Find the empty line.  Every LF on the way must follow a CR.
 * Returns H1_DONE with *head_len, H1_MORE or H1_BAD.
 */
static enum h1_result
find_end(const char *data, size_t len, uint32_t *scanned, uint32_t *head_len)
{
	size_t at = *scanned;
	const char *lf;

	while ((lf = memchr(data + at, '\n', len - at)) != NULL) {
		size_t i = (size_t)(lf - data);

		if (i == 0 || data[i - 1] != '\r')
			return bad("line feed without carriage return", i);
		if (i >= 3 && data[i - 2] == '\n') {
			*head_len = (uint32_t)(i + 1);
			return H1_DONE;
		}
		at = i + 1;
	}
	*scanned = (uint32_t)len;
	return H1_MORE;
}

/* The second opinion: llhttp's spans, collected while it runs over a complete head. */
struct opinion {
	llhttp_t parser;
	const char *names[FIELDS_MAX + 1], *values[FIELDS_MAX + 1];
	uint32_t name_lens[FIELDS_MAX + 1], value_lens[FIELDS_MAX + 1];
	unsigned names_seen, values_seen, max;
	const char *url;
	size_t url_len;
};

static int
on_url(llhttp_t *parser, const char *at, size_t len)
{
	struct opinion *o = parser->data;

	o->url = at;
	o->url_len = len;
	return 0;
}

static int
on_name(llhttp_t *parser, const char *at, size_t len)
{
	struct opinion *o = parser->data;

	if (o->names_seen >= o->max || o->names_seen != o->values_seen)
		return -1;
	o->names[o->names_seen] = at;
	o->name_lens[o->names_seen++] = (uint32_t)len;
	return 0;
}

/* An empty value may come without a span, so a value belongs to the last name. */
static int
on_value(llhttp_t *parser, const char *at, size_t len)
{
	struct opinion *o = parser->data;

	if (o->values_seen >= o->names_seen)
		return -1; /* a folded line */
	o->values[o->values_seen] = at;
	o->value_lens[o->values_seen++] = (uint32_t)len;
	return 0;
}

static int
on_value_complete(llhttp_t *parser)
{
	struct opinion *o = parser->data;

	while (o->values_seen < o->names_seen) {
		o->values[o->values_seen] = NULL;
		o->value_lens[o->values_seen++] = 0;
	}
	return 0;
}

static int
on_headers_complete(llhttp_t *parser)
{
	(void)parser;
	return 1; /* the body is not llhttp's business */
}

static struct opinion opinion; /* one worker, one thread; no state between two heads */

static llhttp_settings_t settings;

static bool
second_opinion_agrees(const struct message *m, bool is_request)
{
	struct opinion *o = &opinion;
	struct slice method = m->method == METHOD_CONNECT ? SLICE("CONNECT") : SLICE("GET");
	size_t skip = is_request ? m->method_len : 0;
	llhttp_errno_t error;

	if (settings.on_headers_complete == NULL) {
		llhttp_settings_init(&settings);
		settings.on_url = on_url;
		settings.on_header_field = on_name;
		settings.on_header_value = on_value;
		settings.on_header_value_complete = on_value_complete;
		settings.on_headers_complete = on_headers_complete;
	}
	llhttp_init(&o->parser, is_request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	o->parser.data = o;
	o->names_seen = o->values_seen = 0;
	o->max = m->field_count;
	/* llhttp knows a fixed list of methods, HTTP does not: the method, checked already, is
	 * shown as GET (or CONNECT, which has a target of its own kind). */
	if (is_request && llhttp_execute(&o->parser, method.ptr, method.len) != HPE_OK)
		return false;
	error = llhttp_execute(&o->parser, m->base + skip, m->head_len - skip);
	/* It stops behind the head of a message that changes the protocol. */
	if (error == HPE_PAUSED_UPGRADE &&
	    llhttp_get_error_pos(&o->parser) == m->base + m->head_len)
		error = HPE_OK;
	if (error != HPE_OK)
		return false;
	on_value_complete(&o->parser);
	if (o->names_seen != m->field_count || o->values_seen != m->field_count)
		return false;
	if (is_request && (o->url != m->base + m->target || o->url_len != m->target_len))
		return false;
	for (unsigned i = 0; i < m->field_count; i++) {
		const struct field *f = &m->fields[i];
		struct slice value = { o->values[i], o->value_lens[i] };

		value = slice_trim(value);
		if (o->names[i] != m->base + f->name || o->name_lens[i] != f->name_len)
			return false;
		if (value.len != f->value_len || (value.len > 0 && value.ptr != m->base + f->value))
			return false;
	}
	return true;
}

/* All lines "name: value CRLF" from `at` to the empty line. */
static enum h1_result
parse_fields(struct message *m, size_t at, const struct h1_limits *limits)
{
	const char *data = m->base;
	size_t end = m->head_len - 2; /* the empty line */

	m->field_count = 0;
	while (at < end) {
		struct field *f = &m->fields[m->field_count];
		size_t colon = span(data, at, end, IN_TOKEN), value, stop;

		if (colon == at || data[colon] != ':')
			return bad("malformed field name", colon);
		if (m->field_count >= limits->headers) {
			fault_text = "too many fields";
			fault_position = at;
			return H1_TOO_LARGE;
		}
		for (value = colon + 1; data[value] == ' ' || data[value] == '\t'; value++)
			;
		stop = span(data, value, end, IN_VALUE);
		if (data[stop] != '\r' || data[stop + 1] != '\n')
			return bad("invalid character in a field value", stop);
		f->name = (uint32_t)at;
		f->name_len = (uint16_t)(colon - at);
		f->id = (uint8_t)field_identify(data + at, colon - at);
		f->dropped = false;
		f->value = (uint32_t)value;
		at = stop + 2;
		while (stop > value && (data[stop - 1] == ' ' || data[stop - 1] == '\t'))
			stop--;
		f->value_len = (uint32_t)(stop - value);
		m->field_count++;
	}
	return H1_DONE;
}

/* RFC 9112 section 6.2: digits only; a second Content-Length, even an equal one, is refused. */
static enum h1_result
read_content_length(struct message *m, const struct field *f)
{
	struct slice text = message_value(m, f);
	uint64_t value = 0;

	if (m->has_length)
		return bad("repeated Content-Length", f->name);
	if (text.len == 0 || text.len > 18)
		return bad("malformed Content-Length", f->value);
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return bad("malformed Content-Length", f->value + i);
		value = value * 10 + (uint64_t)(text.ptr[i] - '0');
	}
	m->has_length = true;
	m->content_length = value;
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
	case FIELD_EXPECT:
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
};

static void
read_connection(struct message *m, const struct field *f, struct connection_options *options)
{
	struct slice rest = message_value(m, f), option;

	while (list_next(&rest, &option)) {
		if (slice_equal_nocase(option, SLICE("close")))
			options->close = true;
		else if (slice_equal_nocase(option, SLICE("keep-alive")))
			options->keep_alive = true;
		else if (slice_equal_nocase(option, SLICE("upgrade")))
			options->upgrade = true;
		else
			drop_named(m, option);
	}
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
static enum h1_result
read_fields(struct message *m, bool is_request)
{
	struct connection_options options = { false, false, false };
	const struct field *coding = NULL, *host = NULL, *upgrade = NULL;
	bool may_upgrade = false;
	enum h1_result result;

	m->has_length = m->upgrade = m->expect_continue = false;
	m->content_length = 0;
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
				return bad("unknown or repeated transfer coding", f->value);
			coding = f;
			break;
		case FIELD_HOST:
			if (host != NULL && is_request)
				return bad("repeated Host", f->name);
			host = f;
			break;
		case FIELD_CONNECTION:
			read_connection(m, f, &options);
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
			m->expect_continue =
			    slice_equal_nocase(message_value(m, f), SLICE("100-continue"));
			break;
		}
	}
	if (coding != NULL && m->has_length)
		return bad("both Transfer-Encoding and Content-Length", coding->name);
	if (coding != NULL && m->minor == 0)
		return bad("Transfer-Encoding in an HTTP/1.0 message", coding->name);
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

static bool
is_ip6_octet(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
	       c == ':' || c == '.';
}

/* host [ ":" port ], RFC 3986 section 3.2.2.  `host` may be empty (RFC 9112 section 3.2). */
static bool
host_is_valid(struct slice host)
{
	size_t at = 0;

	if (span(host.ptr, 0, host.len, IN_HOST) != host.len)
		return false;
	if (host.len > 0 && host.ptr[0] == '[') {
		for (at = 1; at < host.len && is_ip6_octet(host.ptr[at]); at++)
			;
		if (at == host.len || host.ptr[at++] != ']')
			return false;
	} else {
		while (at < host.len && host.ptr[at] != ':')
			if (host.ptr[at] == '[' || host.ptr[at] == ']' || host.ptr[at++] == ',')
				return false;
	}
	if (at < host.len && host.ptr[at++] != ':')
		return false;
	for (; at < host.len; at++)
		if (host.ptr[at] < '0' || host.ptr[at] > '9')
			return false;
	return true;
}

/* RFC 9112 section 3.2: origin-form, absolute-form, asterisk-form; CONNECT's authority-form is kept
 * for the caller. */
static enum h1_result
read_target(struct message *m)
{
	struct slice target = { m->base + m->target, m->target_len };
	const struct field *host = message_find(m, FIELD_HOST);
	size_t scheme = 0, authority;

	if (host == NULL && m->minor >= 1)
		return bad("no Host", 0);
	if (!host_is_valid(m->host))
		return bad("malformed Host", host != NULL ? host->value : 0);
	m->path = target;
	if (target.ptr[0] == '/')
		return H1_DONE;
	if (m->method == METHOD_CONNECT)
		return host_is_valid(target) ? H1_DONE : bad("malformed request target", m->target);
	if (target.len == 1 && target.ptr[0] == '*')
		return m->method == METHOD_OPTIONS ? H1_DONE
						   : bad("asterisk-form is for OPTIONS", m->target);
	if (target.len > 7 && strncasecmp(target.ptr, "http://", 7) == 0)
		scheme = 7;
	else if (target.len > 8 && strncasecmp(target.ptr, "https://", 8) == 0)
		scheme = 8;
	if (scheme == 0)
		return bad("malformed request target", m->target);
	for (authority = scheme; authority < target.len; authority++)
		if (target.ptr[authority] == '/' || target.ptr[authority] == '?')
			break;
	/* Section 3.2.2: the target's authority is the host, whatever Host says. */
	m->host = (struct slice){ target.ptr + scheme, authority - scheme };
	m->path = (struct slice){ target.ptr + authority, target.len - authority };
	if (m->host.len == 0 || !host_is_valid(m->host))
		return bad("malformed request target", m->target);
	return H1_DONE;
}

/* method SP request-target SP HTTP-version CRLF.  *next: the position after it. */
static enum h1_result
parse_request_line(struct message *m, size_t *next)
{
	const char *data = m->base;
	size_t end = m->head_len, at = span(data, 0, end, IN_TOKEN);

	if (at == 0 || at > 64 || data[at] != ' ')
		return bad("malformed method", at);
	m->method_len = (uint16_t)at;
	m->method = (uint8_t)method_identify(data, at);
	m->target = (uint32_t)++at;
	at = span(data, at, end, IN_TARGET);
	m->target_len = (uint32_t)(at - m->target);
	if (m->target_len == 0 || data[at] != ' ')
		return bad("malformed request target", at);
	at++;
	if (end - at < 10 || memcmp(data + at, "HTTP/", 5) != 0)
		return bad("malformed HTTP version", at);
	if (data[at + 6] != '.' || data[at + 8] != '\r' || data[at + 9] != '\n' ||
	    data[at + 5] < '0' || data[at + 5] > '9' || data[at + 7] < '0' || data[at + 7] > '9')
		return bad("malformed HTTP version", at);
	if (data[at + 5] != '1' || data[at + 7] > '1') {
		bad("unsupported HTTP version", at);
		return H1_VERSION;
	}
	m->minor = (uint8_t)(data[at + 7] - '0');
	m->status = 0;
	*next = at + 10;
	return H1_DONE;
}

/* HTTP-version SP status-code SP [ reason-phrase ] CRLF; the second space may be missing, as many
 * servers do. */
static enum h1_result
parse_status_line(struct message *m, size_t *next)
{
	const char *data = m->base;
	size_t end = m->head_len, at = 9;

	if (end < 14 || memcmp(data, "HTTP/1.", 7) != 0 || data[7] < '0' || data[7] > '1' ||
	    data[8] != ' ')
		return bad("malformed HTTP version", 0);
	m->minor = (uint8_t)(data[7] - '0');
	m->status = 0;
	for (; at < 12; at++) {
		if (data[at] < '0' || data[at] > '9')
			return bad("malformed status code", at);
		m->status = (uint16_t)(m->status * 10 + (data[at] - '0'));
	}
	if (m->status < 100 || m->status > 599)
		return bad("malformed status code", 9);
	if (data[at] == ' ')
		at++;
	else if (data[at] != '\r')
		return bad("malformed status code", at);
	m->target = (uint32_t)at;
	at = span(data, at, end, IN_VALUE);
	m->target_len = (uint32_t)at - m->target;
	if (data[at] != '\r' || data[at + 1] != '\n')
		return bad("invalid character in the reason phrase", at);
	m->method_len = 0;
	m->method = METHOD_OTHER;
	*next = at + 2;
	return H1_DONE;
}

/* An incomplete head that can never become valid is refused at once, not when the client loses
 * patience. */
static enum h1_result
check_incomplete(const char *data, size_t len, bool is_request, const struct h1_limits *limits)
{
	static const char version[] = "HTTP/1.";
	size_t at;

	if (is_request) {
		at = span(data, 0, len, IN_TOKEN);
		if (at < len && (at == 0 || data[at] != ' '))
			return bad("malformed method", at);
		if (at > 64)
			return bad("malformed method", at);
	} else {
		at = len < sizeof(version) - 1 ? len : sizeof(version) - 1;
		if (memcmp(data, version, at) != 0)
			return bad("malformed HTTP version", 0);
	}
	if (len < limits->head)
		return H1_MORE;
	bad("head too large", len);
	return memchr(data, '\n', len) == NULL && is_request ? H1_TARGET_TOO_LONG : H1_TOO_LARGE;
}

static enum h1_result
parse(struct message *m, const char *data, size_t len, uint32_t *scanned,
    const struct h1_limits *limits, bool is_request)
{
	enum h1_result result = find_end(data, len, scanned, &m->head_len);
	size_t at = 0;

	if (result == H1_MORE)
		return check_incomplete(data, len, is_request, limits);
	if (result != H1_DONE)
		return result;
	m->base = data;
	if (m->head_len > limits->head) {
		const char *line_end = memchr(data, '\n', m->head_len);

		bad("head too large", limits->head);
		return is_request && line_end - data >= (ptrdiff_t)limits->head ? H1_TARGET_TOO_LONG
										: H1_TOO_LARGE;
	}
	result = is_request ? parse_request_line(m, &at) : parse_status_line(m, &at);
	if (result == H1_DONE)
		result = parse_fields(m, at, limits);
	if (result == H1_DONE)
		result = read_fields(m, is_request);
	if (result == H1_DONE && is_request)
		result = read_target(m);
	if (result == H1_DONE && !second_opinion_agrees(m, is_request))
		return bad("ambiguous message", 0);
	return result;
}

enum h1_result
h1_parse_request(struct message *m, const char *data, size_t len, uint32_t *scanned,
    const struct h1_limits *limits)
{
	/* Half of an empty line before the request: the caller skips it when it is whole. */
	if (len == 1 && data[0] == '\r')
		return H1_MORE;
	return parse(m, data, len, scanned, limits, true);
}

enum h1_result
h1_parse_response(struct message *m, const char *data, size_t len, uint32_t *scanned,
    const struct h1_limits *limits, bool to_head)
{
	enum h1_result result = parse(m, data, len, scanned, limits, false);

	if (result != H1_DONE)
		return result;
	/* RFC 9112 section 6.3, rules 1 to 8. */
	if (to_head || m->status < 200 || m->status == 204 || m->status == 304)
		m->framing = FRAMING_NONE;
	else if (m->framing == FRAMING_NONE && !m->has_length)
		m->framing = FRAMING_CLOSE;
	return H1_DONE;
}
