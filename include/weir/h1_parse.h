/*
 * h1_parse: HTTP/1 heads, strictly.
 *
 * Runs in: worker.  A head is parsed once it is there as a whole, in place.  Two parsers read it: this one, which
 * accounts for every byte, and llhttp in strict mode; what they do not agree on is refused (RFC 9112 section 2.2:
 * refuse, never repair).  Stateless between calls, so that a waiting connection keeps no parser.
 */
#ifndef WEIR_H1_PARSE_H
#define WEIR_H1_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/message.h"

enum h1_result {
	H1_DONE = 0,        /* the message is filled in */
	H1_MORE,            /* incomplete; what is there is not wrong yet */
	H1_BAD,             /* malformed; h1_fault() says how */
	H1_TOO_LARGE,       /* over the limits: 431 or 502 */
	H1_TARGET_TOO_LONG, /* the request line alone is over the limit: 414 */
	H1_VERSION          /* neither HTTP/1.0 nor HTTP/1.1: 505 */
};

struct h1_limits {
	uint32_t head;    /* bytes */
	uint32_t headers; /* fields; at most FIELDS_MAX */
};

/*
 * Parse the request head at `data` (no leading empty lines).
 * scanned  bytes seen by earlier calls for this head; 0 at first; kept by the caller.
 * message  filled in for H1_DONE; it points into `data`.
 */
enum h1_result h1_parse_request(struct message *message, const char *data, size_t len, uint32_t *scanned,
    const struct h1_limits *limits);
/*
 * The same for a response.
 * to_head  the request was HEAD: there is no body whatever the fields say.
 */
enum h1_result h1_parse_response(struct message *message, const char *data, size_t len, uint32_t *scanned,
    const struct h1_limits *limits, bool to_head);

/* What was wrong with the last message that was not H1_DONE, and at which byte; borrowed. */
const char *h1_fault(size_t *position);

#endif
