#include "weir/client_hello.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	RECORD_HEADER = 5,
	RECORD_HANDSHAKE = 22,
	RECORD_MAX = 16384,
	MESSAGE_HEADER = 4,
	MESSAGE_CLIENT_HELLO = 1,
	RANDOM_SIZE = 32,
	SESSION_ID_MAX = 32,
	EXTENSION_SERVER_NAME = 0,
	NAME_HOST = 0,
	NAME_MAX = 255
};

/* The message may lie in pieces in several records; here it is put together. */
static uint8_t message[CLIENT_HELLO_MAX];

/* What is left of a part of the message. */
struct part {
	const uint8_t *at, *end;
};

static bool
take(struct part *part, size_t len, struct part *taken)
{
	if ((size_t)(part->end - part->at) < len)
		return false;
	*taken = (struct part){ part->at, part->at + len };
	part->at += len;
	return true;
}

/* A number of `width` bytes, most significant first. */
static bool
take_number(struct part *part, unsigned width, size_t *number)
{
	struct part bytes;

	if (!take(part, width, &bytes))
		return false;
	*number = 0;
	for (unsigned i = 0; i < width; i++)
		*number = *number << 8 | bytes.at[i];
	return true;
}

/* A vector: its length in `width` bytes, and as many more. */
static bool
take_vector(struct part *part, unsigned width, struct part *vector)
{
	size_t len;

	return take_number(part, width, &len) && take(part, len, vector);
}

static bool
is_empty(const struct part *part)
{
	return part->at == part->end;
}

static size_t
part_len(const struct part *part)
{
	return (size_t)(part->end - part->at);
}

/* A list of names of which only the type host_name exists, once (RFC 6066 §3). */
static bool
parse_names(struct part extension, struct slice *name)
{
	struct part list, host;
	size_t type;

	if (!take_vector(&extension, 2, &list) || !is_empty(&extension) ||
	    !take_number(&list, 1, &type) || type != NAME_HOST || !take_vector(&list, 2, &host) ||
	    !is_empty(&list))
		return false;
	if (is_empty(&host) || part_len(&host) > NAME_MAX ||
	    memchr(host.at, '\0', part_len(&host)) != NULL)
		return false;
	*name = (struct slice){ (const char *)host.at, part_len(&host) };
	return true;
}

static bool
parse_extensions(struct part extensions, struct slice *name)
{
	bool has_name = false;

	while (!is_empty(&extensions)) {
		struct part extension;
		size_t type;

		if (!take_number(&extensions, 2, &type) || !take_vector(&extensions, 2, &extension))
			return false;
		if (type != EXTENSION_SERVER_NAME)
			continue;
		if (has_name || !parse_names(extension, name))
			return false;
		has_name = true;
	}
	return true;
}

/*
 *	| version (2) | random (32) | session id <0..32> | cipher suites <2..2^16-2>
 *	| compression methods <1..255> | extensions <0..2^16-1> |
 */
static bool
parse_body(struct part body, struct slice *name)
{
	struct part random, session, suites, methods, extensions;
	size_t version;

	if (!take_number(&body, 2, &version) || version >> 8 != 3 ||
	    !take(&body, RANDOM_SIZE, &random) || !take_vector(&body, 1, &session) ||
	    part_len(&session) > SESSION_ID_MAX || !take_vector(&body, 2, &suites) ||
	    part_len(&suites) < 2 || part_len(&suites) % 2 != 0 ||
	    !take_vector(&body, 1, &methods) || is_empty(&methods))
		return false;
	if (is_empty(&body)) /* before TLS 1.2 there need be none */
		return true;
	return take_vector(&body, 2, &extensions) && is_empty(&body) &&
	       parse_extensions(extensions, name);
}

/* The message so far, and how long it says that it is. */
static enum hello_result
parse_message(size_t len, struct slice *name)
{
	struct part all = { message, message + len }, body;
	size_t type, body_len;

	if (len == 0)
		return HELLO_MORE;
	if (!take_number(&all, 1, &type) || type != MESSAGE_CLIENT_HELLO)
		return HELLO_BAD;
	if (!take_number(&all, 3, &body_len))
		return HELLO_MORE;
	if (body_len > CLIENT_HELLO_MAX - MESSAGE_HEADER)
		return HELLO_BAD;
	if (!take(&all, body_len, &body))
		return HELLO_MORE;
	/* Nothing may follow it in its record: the client waits for an answer. */
	return is_empty(&all) && parse_body(body, name) ? HELLO_DONE : HELLO_BAD;
}

/* Returns the length that the record's header tells; 0: it is none of a handshake. */
static size_t
record_len(const uint8_t *header, size_t len)
{
	size_t body_len;

	if (header[0] != RECORD_HANDSHAKE || (len > 1 && header[1] != 3))
		return 0;
	if (len < RECORD_HEADER)
		return 1;
	body_len = (size_t)header[3] << 8 | header[4];
	return body_len <= RECORD_MAX ? body_len : 0;
}

enum hello_result
client_hello_parse(const void *data, size_t len, struct slice *name)
{
	const uint8_t *bytes = data;
	size_t at = 0, filled = 0;

	*name = (struct slice){ NULL, 0 };
	if (len > CLIENT_HELLO_MAX)
		len = CLIENT_HELLO_MAX;
	while (at < len) {
		size_t left = len - at, body_len = record_len(bytes + at, left), n;
		enum hello_result result;

		if (body_len == 0)
			return HELLO_BAD;
		if (left < RECORD_HEADER)
			break;
		at += RECORD_HEADER;
		n = body_len < len - at ? body_len : len - at;
		memcpy(message + filled, bytes + at, n);
		filled += n;
		at += n;
		result = parse_message(filled, name);
		/* With more of the record to come, something could still follow the message. */
		if (result != HELLO_MORE)
			return result == HELLO_DONE && n < body_len ? HELLO_BAD : result;
	}
	return len < CLIENT_HELLO_MAX ? HELLO_MORE : HELLO_BAD;
}
