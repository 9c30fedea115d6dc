/*
 * What the files of the exchange share: exchange.c (choosing a server, beginning and end), exchange_request.c and
 * exchange_relay.c (the messages on their way).
 */
#ifndef WEIR_EXCHANGE_PRIV_H
#define WEIR_EXCHANGE_PRIV_H

#include "weir/exchange.h"

enum step {
	STEP_NEXT = 0, /* run the state that x->state now names */
	STEP_WAIT,     /* the next event runs this state again */
	STEP_GONE      /* x has ended: do not touch it */
};

enum step exchange_end(struct exchange *x, enum end end);
/* The server switched protocols: the front takes the connection over. */
enum step exchange_switch(struct exchange *x);
/* A kept connection to x->server if there is one, else a new one. */
enum step exchange_connect_to(struct exchange *x);
/* A new one in any case. */
enum step exchange_connect_anew(struct exchange *x);
enum step exchange_connect_failed(struct exchange *x, enum end end);

/* exchange_edits.c: changes of the head that is about to be built, until the next one; NULL: none. */
struct field_edits *exchange_edit_request(const struct exchange *x);
struct field_edits *exchange_edit_response(const struct exchange *x, struct message *response);
/* The path and query of a route with `rewrite`, in `text`; ptr NULL: too long. */
struct slice exchange_target(const struct exchange *x, char *text, size_t size);
/* Take the request ID that a client brought, if it is one. */
void exchange_find_id(struct exchange *x);

/* exchange_log.c: the lines that it is worth when it ends by `end`. */
void exchange_log(const struct exchange *x, enum end end, uint64_t total_us);
/* Take the trace that a client brought, or begin one. */
void exchange_find_trace(struct exchange *x);
static inline bool
exchange_is_traced(const struct exchange *x)
{
	return (x->trace.trace[0] | x->trace.trace[1]) != 0;
}
/* Tell the server of it. */
void exchange_edit_trace(const struct exchange *x, struct field_edits *edits);

/* exchange_client.c: leave out what a client says of its certificate, where some listener verifies them; was there any? */
bool exchange_drop_forged(const struct exchange *x, struct field_edits *edits);
/* What was verified; x->client_cert is not NULL. */
void exchange_tell_client(const struct exchange *x, struct field_edits *edits);

/* exchange_gzip.c: is the response of this head compressed?  Sets x->compress and x->gzip. */
void exchange_choose_coding(struct exchange *x, struct message *response);
void exchange_drop_coding(struct exchange *x);
/* As deliver() in exchange_relay.c.  flush: the client is to have all that came. */
enum step exchange_deliver_coded(
    struct exchange *x, const struct message *head, const struct field_edits *edits, bool flush);
/* exchange_relay.c: more of what was read becomes x->ready.  Returns 0, or -1 when the framing is broken. */
int exchange_frame(struct exchange *x);
/* The front did not take a piece of the response: what its send() said. */
enum step exchange_send_failed(struct exchange *x, int result);
enum step exchange_response_failed(struct exchange *x, enum end end);

/*
 * exchange_request.c: move the request body on as far as it goes.
 * Returns STEP_NEXT when the caller may go on with the response, STEP_GONE when the exchange ended.
 */
enum step exchange_push_body(struct exchange *x);
/* exchange_relay.c: the server closed before it answered. */
enum step exchange_server_closed(struct exchange *x);

enum step exchange_send(struct exchange *x);
enum step exchange_await(struct exchange *x);
enum step exchange_relay(struct exchange *x);

#endif
