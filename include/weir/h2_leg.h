/*
 * h2_leg: one request and its response on an HTTP/2 connection to a server (RFC 9113), which it shares with others.
 *
 * Runs in: worker.  To its user a leg looks like a connection of HTTP/1.1: it takes the text of a request and gives that
 * of the response, which passes the same strict parser as those of HTTP/1 servers.  Between them and the stream it
 * translates both ways.  A request for a WebSocket becomes an extended CONNECT (RFC 8441), and its 2xx a 101, behind which
 * bytes go both ways as they are.  struct upstream hides whether it is a leg or a socket (upstream.h).
 */
#ifndef WEIR_H2_LEG_H
#define WEIR_H2_LEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "weir/ends.h"

struct buf;
struct h2_leg;
struct server;
struct upstream;

/*
 * Give `up`, which has no connection of its own, a place on one to its server.
 * name      that the server is asked for with TLS; NULL: none
 * may_open  if there is none with room, wait for a new one; else there must be one that is ready
 * Returns   owned by `up`; NULL: none is ready, or with errno that none can be opened.
 */
struct h2_leg *h2_leg_new(struct upstream *up, const char *name, bool may_open);
/* The request is over, or not wanted any more.  NULL is allowed and does nothing. */
void h2_leg_free(struct h2_leg *leg);

/* Is there a connection?  Returns 0, IO_WAIT, or IO_ERROR: see h2_leg_fault(). */
int h2_leg_check(const struct h2_leg *leg);
/* Why the leg failed. */
enum end h2_leg_fault(const struct h2_leg *leg);
/* The connection was lost, without a word about this request. */
bool h2_leg_was_cut(const struct h2_leg *leg);
/* With what a client of HTTP/2 may be told that the server reset its stream; 0 (NO_ERROR): it did not. */
uint32_t h2_leg_reset_code(const struct h2_leg *leg);
/* If the leg is freed before the response has ended: what the server is told instead of CANCEL. */
void h2_leg_give_up(struct h2_leg *leg, uint32_t code);
/* What was wrong with the response, for people; NULL: not known.  A literal. */
const char *h2_leg_reason(const struct h2_leg *leg);

/*
 * Send a request.
 * head_len  of the bytes, the request head; what follows is its body, as its head frames it
 * Returns   the bytes taken, with all of the head; IO_ERROR.
 */
ssize_t h2_leg_begin(struct h2_leg *leg, const struct iovec *iov, int count, size_t head_len);
/* More of the body.  Returns the bytes taken; IO_WAIT; IO_ERROR: the server takes no more. */
ssize_t h2_leg_write(struct h2_leg *leg, const char *bytes, size_t len);
/*
 * After the server has switched to WebSocket: nothing follows.  Returns 0 once that is on its way; IO_WAIT: call again;
 * IO_ERROR.
 */
int h2_leg_finish(struct h2_leg *leg);
/* Returns the bytes read, above 0; IO_WAIT; IO_CLOSED: the response has come to its end; IO_ERROR: it will not. */
ssize_t h2_leg_read(struct h2_leg *leg, char *to, size_t size);
/* Has the server ended its side, and was all of it read but trailers? */
bool h2_leg_has_ended(const struct h2_leg *leg);
/* The lines of trailers that were not read as text; the caller's then.  NULL: none. */
struct buf *h2_leg_take_trailers(struct h2_leg *leg);
/* Call on_ready of the user in the next turn of the loop. */
void h2_leg_yield(struct h2_leg *leg);

/* Close connections of a server that have no requests; the others follow with their last one. */
void h2_close_kept(struct server *server);

/* For the slabs. */
size_t h2_leg_size(void);
size_t h2_upstream_size(void);

#endif
