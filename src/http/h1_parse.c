#include "weir/h1_parse.h"

#include "h1_parse_priv.h"

/* clang-format off */
#define V (IN_VALUE)
#define P (IN_VALUE | IN_TARGET)
#define T (IN_VALUE | IN_TARGET | IN_TOKEN)
#define H (IN_VALUE | IN_TARGET | IN_TOKEN | IN_HOST)
#define Q (IN_VALUE | IN_TARGET | IN_HOST)
#define N (IN_VALUE | IN_TOKEN)
const uint8_t h1_octets[256] = {
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

enum h1_result
h1_bad(const char *text, size_t position)
{
	fault_text = text;
	fault_position = position;
	return H1_BAD;
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
			return h1_bad("line feed without carriage return", i);
		if (i >= 3 && data[i - 2] == '\n') {
			*head_len = (uint32_t)(i + 1);
			return H1_DONE;
		}
		at = i + 1;
	}
	*scanned = (uint32_t)len;
	return H1_MORE;
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
		size_t colon = h1_span(data, at, end, IN_TOKEN), value, stop;

		if (colon == at || data[colon] != ':')
			return h1_bad("malformed field name", colon);
		if (m->field_count >= limits->headers) {
			fault_text = "too many fields";
			fault_position = at;
			return H1_TOO_LARGE;
		}
		for (value = colon + 1; data[value] == ' ' || data[value] == '\t'; value++)
			;
		stop = h1_span(data, value, end, IN_VALUE);
		if (data[stop] != '\r' || data[stop + 1] != '\n')
			return h1_bad("invalid character in a field value", stop);
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

/* method SP request-target SP HTTP-version CRLF.  *next: the position after it. */
static enum h1_result
parse_request_line(struct message *m, size_t *next)
{
	const char *data = m->base;
	size_t end = m->head_len, at = h1_span(data, 0, end, IN_TOKEN);

	if (at == 0 || at > 64 || data[at] != ' ')
		return h1_bad("malformed method", at);
	m->method_len = (uint16_t)at;
	m->method = (uint8_t)method_identify(data, at);
	m->target = (uint32_t)++at;
	at = h1_span(data, at, end, IN_TARGET);
	m->target_len = (uint32_t)(at - m->target);
	if (m->target_len == 0 || data[at] != ' ')
		return h1_bad("malformed request target", at);
	at++;
	if (end - at < 10 || memcmp(data + at, "HTTP/", 5) != 0)
		return h1_bad("malformed HTTP version", at);
	if (data[at + 6] != '.' || data[at + 8] != '\r' || data[at + 9] != '\n' ||
	    data[at + 5] < '0' || data[at + 5] > '9' || data[at + 7] < '0' || data[at + 7] > '9')
		return h1_bad("malformed HTTP version", at);
	if (data[at + 5] != '1' || data[at + 7] > '1') {
		h1_bad("unsupported HTTP version", at);
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
		return h1_bad("malformed HTTP version", 0);
	m->minor = (uint8_t)(data[7] - '0');
	m->status = 0;
	for (; at < 12; at++) {
		if (data[at] < '0' || data[at] > '9')
			return h1_bad("malformed status code", at);
		m->status = (uint16_t)(m->status * 10 + (data[at] - '0'));
	}
	if (m->status < 100 || m->status > 599)
		return h1_bad("malformed status code", 9);
	if (data[at] == ' ')
		at++;
	else if (data[at] != '\r')
		return h1_bad("malformed status code", at);
	m->target = (uint32_t)at;
	at = h1_span(data, at, end, IN_VALUE);
	m->target_len = (uint32_t)at - m->target;
	if (data[at] != '\r' || data[at + 1] != '\n')
		return h1_bad("invalid character in the reason phrase", at);
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
		at = h1_span(data, 0, len, IN_TOKEN);
		if (at < len && (at == 0 || data[at] != ' '))
			return h1_bad("malformed method", at);
		if (at > 64)
			return h1_bad("malformed method", at);
	} else {
		at = len < sizeof(version) - 1 ? len : sizeof(version) - 1;
		if (memcmp(data, version, at) != 0)
			return h1_bad("malformed HTTP version", 0);
	}
	if (len < limits->head)
		return H1_MORE;
	h1_bad("head too large", len);
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

		h1_bad("head too large", limits->head);
		return is_request && line_end - data >= (ptrdiff_t)limits->head ? H1_TARGET_TOO_LONG
										: H1_TOO_LARGE;
	}
	result = is_request ? parse_request_line(m, &at) : parse_status_line(m, &at);
	if (result == H1_DONE)
		result = parse_fields(m, at, limits);
	if (result == H1_DONE)
		result = h1_read_fields(m, is_request);
	if (result == H1_DONE && is_request)
		result = h1_read_target(m);
	if (result == H1_DONE && !h1_opinion_agrees(m, is_request))
		return h1_bad("ambiguous message", 0);
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
