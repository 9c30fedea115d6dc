/*
 * reply: responses that weir makes itself: errors, redirects, fixed ones.
 *
 * Runs in: worker.
 */
#ifndef WEIR_REPLY_H
#define WEIR_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/conf.h"
#include "weir/edits.h"
#include "weir/ends.h"
#include "weir/message.h"

struct buf;

/* "Not Found" for 404. */
const char *reply_reason(unsigned status);
/* The value of a Date field for now, and the whole line with its CR LF; borrowed until the next second. */
struct slice reply_date(void);
struct slice reply_date_line(void);
/* The pages of errors from now on; NULL: weir's own.  They must outlive their use. */
void reply_use_pages(const struct error_pages *pages);

struct reply {
	unsigned status;
	enum end end;                    /* errors: says status, sentence and Proxy-Status; END_OK otherwise */
	const struct message *request;   /* NULL: could not be read */
	const struct field_edits *edits; /* changes of the fields; NULL: none */
	struct slice id;                 /* request ID, as in the access log */
	struct slice location, content_type, body; /* ptr NULL: none */
	uint32_t retry_after_s;          /* 0: nothing is said */
	bool close;                      /* say Connection: close */
};

/*
 * A whole HTTP/1.1 response in a buffer that the caller owns, without its body when the request was HEAD.
 * Returns NULL when it is too long.
 */
struct buf *reply_print(const struct reply *reply);
/* The same for `end`: fills in the rest, with a body that the request accepts.  Never NULL. */
struct buf *reply_print_error(struct reply *reply);
/* An error without an exchange: nothing is known about the request. */
struct buf *reply_error(enum end end, const struct message *request, uint64_t id, bool close);
/*
 * Write the location of a redirect to the same host, path and query elsewhere; nothing when the request has no host to
 * redirect to (HTTP/1.0 without Host).
 */
void reply_locate(struct field_edits *out, const struct redirect_config *redirect, const struct message *request);

#endif
