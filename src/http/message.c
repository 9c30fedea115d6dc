#include "weir/message.h"

const struct field *
message_find(const struct message *m, enum field_id id)
{
	for (unsigned i = 0; i < m->field_count; i++)
		if (m->fields[i].id == id)
			return &m->fields[i];
	return NULL;
}

bool
message_has_element(const struct message *m, enum field_id id, struct slice wanted)
{
	for (unsigned i = 0; i < m->field_count; i++) {
		struct slice rest = message_value(m, &m->fields[i]), element;

		while (m->fields[i].id == id && list_next(&rest, &element))
			if (slice_equal_nocase(element, wanted))
				return true;
	}
	return false;
}

struct known_name {
	const char *name; /* lower case */
	uint8_t len, id;
};

#define KNOWN(name, id)                                                                            \
	{                                                                                          \
		name, sizeof(name) - 1, id                                                         \
	}

/* Names of equal length stand together, so that one name costs at most a few comparisons. */
static const struct known_name known_fields[] = {
	KNOWN("te", FIELD_TE),
	KNOWN("date", FIELD_DATE),
	KNOWN("host", FIELD_HOST),
	KNOWN("cookie", FIELD_COOKIE),
	KNOWN("expect", FIELD_EXPECT),
	KNOWN("trailer", FIELD_TRAILER),
	KNOWN("upgrade", FIELD_UPGRADE),
	KNOWN("connection", FIELD_CONNECTION),
	KNOWN("keep-alive", FIELD_KEEP_ALIVE),
	KNOWN("max-forwards", FIELD_MAX_FORWARDS),
	KNOWN("content-length", FIELD_CONTENT_LENGTH),
	KNOWN("x-forwarded-for", FIELD_X_FORWARDED_FOR),
	KNOWN("proxy-connection", FIELD_PROXY_CONNECTION),
	KNOWN("transfer-encoding", FIELD_TRANSFER_ENCODING),
	KNOWN("x-forwarded-proto", FIELD_X_FORWARDED_PROTO),
	KNOWN("proxy-authenticate", FIELD_PROXY_AUTHENTICATE),
	KNOWN("proxy-authorization", FIELD_PROXY_AUTHORIZATION),
};

enum { KNOWN_COUNT = sizeof(known_fields) / sizeof(known_fields[0]), KNOWN_LEN_MAX = 19 };

/* By length: where its names begin in known_fields. */
static const uint8_t known_first[KNOWN_LEN_MAX + 2] = {
	[0] = 0,
	0,
	0,
	1,
	1,
	3,
	3,
	5,
	7,
	7,
	7,
	9,
	9,
	10,
	10,
	11,
	12,
	13,
	15,
	16,
	17,
};

static bool
equal_lower(const char *name, const char *lower, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		/* Only letters and '-' occur in known names; 0x20 is set in '-' already. */
		if ((name[i] | 0x20) != lower[i])
			return false;
	}
	return true;
}

enum field_id
field_identify(const char *name, size_t len)
{
	if (len > KNOWN_LEN_MAX)
		return FIELD_OTHER;
	for (unsigned i = known_first[len]; i < known_first[len + 1]; i++)
		if (equal_lower(name, known_fields[i].name, len))
			return known_fields[i].id;
	return FIELD_OTHER;
}

bool
field_may_trail(struct slice name)
{
	static const struct slice none[] = { SLICE("authorization"), SLICE("cache-control"),
		SLICE("content-encoding"), SLICE("content-range"), SLICE("content-type"),
		SLICE("forwarded"), SLICE("location"), SLICE("pragma"),
		SLICE("proxy-authentication-info"), SLICE("range"), SLICE("retry-after"),
		SLICE("set-cookie"), SLICE("vary"), SLICE("via"), SLICE("www-authenticate"),
		SLICE("x-real-ip"), SLICE("x-request-id") };
	static const struct slice prefixes[] = { SLICE("client-cert"), SLICE("if-"),
		SLICE("x-client-"), SLICE("x-forwarded-") };

	if (name.len == 0 || field_identify(name.ptr, name.len) != FIELD_OTHER)
		return false; /* all that weir knows are about the message as a whole */
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (slice_equal_nocase(name, none[i]))
			return false;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (name.len >= prefixes[i].len &&
		    strncasecmp(name.ptr, prefixes[i].ptr, prefixes[i].len) == 0)
			return false;
	return true;
}

static const struct known_name methods[] = {
	KNOWN("GET", METHOD_GET),
	KNOWN("HEAD", METHOD_HEAD),
	KNOWN("POST", METHOD_POST),
	KNOWN("PUT", METHOD_PUT),
	KNOWN("DELETE", METHOD_DELETE),
	KNOWN("OPTIONS", METHOD_OPTIONS),
	KNOWN("TRACE", METHOD_TRACE),
	KNOWN("CONNECT", METHOD_CONNECT),
};

enum method
method_identify(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].len == len && memcmp(methods[i].name, name, len) == 0)
			return methods[i].id;
	return METHOD_OTHER;
}

bool
method_is_idempotent(enum method method)
{
	switch (method) {
	case METHOD_GET:
	case METHOD_HEAD:
	case METHOD_PUT:
	case METHOD_DELETE:
	case METHOD_OPTIONS:
	case METHOD_TRACE:
		return true;
	case METHOD_POST:
	case METHOD_CONNECT:
	case METHOD_OTHER:
		return false;
	}
	return false;
}

bool
list_next(struct slice *rest, struct slice *element)
{
	while (rest->len > 0) {
		const char *comma = memchr(rest->ptr, ',', rest->len);
		size_t len = comma != NULL ? (size_t)(comma - rest->ptr) : rest->len;

		*element = slice_trim((struct slice){ rest->ptr, len });
		len += comma != NULL;
		rest->ptr += len;
		rest->len -= len;
		if (element->len > 0)
			return true;
	}
	return false;
}
