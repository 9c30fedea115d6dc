/*
 * message: one parsed request or response head, as slices of the bytes that were received.
 *
 * Runs in: worker.  Knows no connections.  Positions are offsets from `base`, so that the bytes may move as a whole.
 */
#ifndef WEIR_MESSAGE_H
#define WEIR_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/slice.h"

/* Fields that weir acts on; all others are FIELD_OTHER. */
enum field_id {
	FIELD_OTHER = 0,
	FIELD_CONNECTION,
	FIELD_CONTENT_LENGTH,
	FIELD_COOKIE,
	FIELD_DATE,
	FIELD_EXPECT,
	FIELD_HOST,
	FIELD_KEEP_ALIVE,
	FIELD_MAX_FORWARDS,
	FIELD_PROXY_AUTHENTICATE,
	FIELD_PROXY_AUTHORIZATION,
	FIELD_PROXY_CONNECTION,
	FIELD_TE,
	FIELD_TRAILER,
	FIELD_TRANSFER_ENCODING,
	FIELD_UPGRADE,
	FIELD_X_FORWARDED_FOR,
	FIELD_X_FORWARDED_PROTO,
	FIELD_IDS
};

enum { FIELDS_MAX = 256 };

struct field {
	uint32_t name, value; /* offsets from message.base */
	uint32_t value_len;
	uint16_t name_len;
	uint8_t id;           /* enum field_id */
	bool dropped;         /* hop-by-hop: not forwarded */
};

/* How the end of the body is known (RFC 9112 section 6.3). */
enum framing {
	FRAMING_NONE = 0, /* no body */
	FRAMING_LENGTH,
	FRAMING_CHUNKED,
	FRAMING_CLOSE /* responses only */
};

enum method { METHOD_OTHER = 0, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_OPTIONS, METHOD_TRACE,
	METHOD_CONNECT };

struct message {
	const char *base;  /* borrowed; the first byte of the head */
	uint32_t head_len; /* bytes, with the empty line at the end */
	/* The start line. */
	uint32_t target, target_len; /* request: request-target; response: reason phrase */
	uint16_t method_len;         /* request: the method is at base */
	uint16_t status;             /* response */
	uint8_t method;              /* request: enum method */
	uint8_t minor;               /* HTTP/1.minor */
	/* What the fields say. */
	uint8_t framing;             /* enum framing */
	bool keep_alive;             /* the sender wants the connection to go on */
	bool upgrade;                /* Connection: upgrade with an Upgrade field */
	bool expect_continue;
	bool has_date;
	uint64_t content_length;     /* FRAMING_LENGTH; HEAD responses: as said, if has_length */
	bool has_length;
	int32_t max_forwards;        /* TRACE and OPTIONS: how often the request may be passed on; -1: not said */
	struct slice host;           /* request: Host, or the authority of an absolute-form target; may be empty */
	struct slice path;           /* request: path and query: origin-form of the target */
	unsigned field_count;
	struct field fields[FIELDS_MAX];
};

static inline struct slice
message_name(const struct message *m, const struct field *f)
{
	return (struct slice){ m->base + f->name, f->name_len };
}

static inline struct slice
message_value(const struct message *m, const struct field *f)
{
	return (struct slice){ m->base + f->value, f->value_len };
}

/* The first field with this id; NULL if there is none. */
const struct field *message_find(const struct message *m, enum field_id id);

/* Does one of the fields with this id, which are lists, have this element? */
bool message_has_element(const struct message *m, enum field_id id, struct slice wanted);

/* Which known field a name is. */
enum field_id field_identify(const char *name, size_t len);
/*
 * May a field of this name stand behind a body?  RFC 9110 section 6.5.1: none that frames, routes, authenticates or
 * changes what came before; receivers may take trailers for fields of the head.
 */
bool field_may_trail(struct slice name);
enum method method_identify(const char *name, size_t len);
/* Safe to send again when it is not known whether it was received (RFC 9110 section 9.2.2). */
bool method_is_idempotent(enum method method);

/* Take the next element of a comma-separated list from *rest; false when there is none. */
bool list_next(struct slice *rest, struct slice *element);

#endif
