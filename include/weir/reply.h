/*
 * reply: responses that weir makes itself: errors and redirects.
 *
 * Runs in: worker.
 */
#ifndef WEIR_REPLY_H
#define WEIR_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/conf.h"
#include "weir/ends.h"
#include "weir/message.h"

struct buf;

/* "Not Found" for 404. */
const char *reply_reason(unsigned status);
/* The value of a Date field for now; borrowed until the next second. */
const char *reply_date(void);

/*
 * A whole HTTP/1.1 error response in a buffer that the caller owns.
 * end      says status, sentence and Proxy-Status
 * request  the request; its head may be unknown: NULL
 * id       request ID, as in the access log
 * close    say Connection: close
 */
struct buf *reply_error(enum end end, const struct message *request, uint64_t id, bool close);

/*
 * A redirect to the same host, path and query elsewhere.
 * Returns NULL when the request has no host to redirect to (HTTP/1.0 without Host), or is too long.
 */
struct buf *reply_redirect(const struct redirect_config *redirect, const struct message *request, bool close);

#endif
