/*
 * exchange: one request and its response, between a client and a server.
 *
 * Runs in: worker.  Does not know which HTTP version the client speaks: the front delivers a parsed request and a body
 * to pull from, and takes the response through struct exchange_ops.  All events, of either side, end in exchange_run().
 */
#ifndef WEIR_EXCHANGE_H
#define WEIR_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "weir/addr.h"
#include "weir/balance.h"
#include "weir/chunked.h"
#include "weir/ends.h"
#include "weir/listener.h"
#include "weir/message.h"
#include "weir/queue.h"
#include "weir/traceparent.h"
#include "weir/worker.h"

struct buf;
struct client_cert;
struct exchange;
struct field_edits;
struct gzip;
struct server_names;
struct route;
struct series;
struct transport;
struct upstream;

/* What a piece of the response is, for the front. */
struct response_piece {
	const struct message *head; /* set with the first piece (and with each 1xx); borrowed for the call */
	const struct field_edits *edits; /* changes of its fields; NULL: none; borrowed for the call */
	size_t room;                /* bytes before the head that the front may write over, and its start line; 0: none */
	const char *body;           /* bytes as the exchange was asked for them: verbatim, or without chunked coding */
	size_t len;
	bool is_last;               /* nothing follows */
	bool is_coded;              /* the body was compressed, and chunked anew unless wants_decoded: the head has no such field */
};

struct exchange_ops {
	/*
	 * Bytes of the request body that can be had now.
	 * Returns their number with *bytes set; 0 at the end of the body; IO_WAIT; IO_CLOSED: the client ended before
	 * its body did; IO_ERROR: the body is malformed.
	 */
	ssize_t (*peek_body)(struct exchange *x, const char **bytes);
	void (*consume_body)(struct exchange *x, size_t len);
	/*
	 * Take a piece of the response.  A head is always taken as a whole (and kept, if the client is slow).
	 * Returns 0 with *taken body bytes; when those are fewer than piece->len the front calls exchange_run() once
	 * there is room.  IO_ERROR: the client has gone.  IO_CLOSED: its protocol cannot say what this final head
	 * says (a 2xx to CONNECT), and nothing was sent: the server is to blame.
	 */
	int (*send)(struct exchange *x, const struct response_piece *piece, size_t *taken);
	/*
	 * The exchange is over; the front must call exchange_free() and not use it any more.  With an end other than
	 * END_OK: if no head was sent, answer as end_table says (see exchange_answer()); else
	 * break the connection, so that the client sees that something is missing.
	 */
	void (*done)(struct exchange *x, enum end end);
	/*
	 * The server agreed to switch protocols (101, already sent): take x->upstream and x->server over (they are the
	 * front's then, and NULL here) and call exchange_free().
	 */
	void (*switched)(struct exchange *x);
};

enum exchange_state {
	EXCHANGE_PICK = 0, /* needs a server */
	EXCHANGE_QUEUE,    /* all are busy: waits for one */
	EXCHANGE_CONNECT,  /* the connection to it is being made */
	EXCHANGE_SEND,     /* the request head is on its way */
	EXCHANGE_AWAIT,    /* the response head has not come; the request body may be under way */
	EXCHANGE_RELAY,    /* the response body flows */
	EXCHANGE_STATES
};

enum { SET_COOKIE_MAX = 384, EXCHANGE_ID_SIZE = 17 };

struct exchange {
	struct grave grave;
	const struct exchange_ops *ops;
	void *front;                   /* the client's side, which made it */
	struct worker *worker;
	const struct listener *listener;
	const struct addr *client;     /* borrowed from the front */
	const struct transport *transport; /* the client's; borrowed from the front */
	bool is_tls;                   /* the client's side */
	const struct client_cert *client_cert; /* borrowed from the front; NULL: the client was not asked for one */
	const struct server_names *shown; /* likewise: names of the certificate the client was shown; NULL: any host will do */
	bool is_h2;                    /* the client speaks HTTP/2 */
	bool wants_decoded;            /* response bodies without chunked coding */
	bool wants_trailers;           /* of such bodies */
	uint8_t state;                 /* enum exchange_state */

	const struct route *route;     /* borrowed from the listener's router; NULL: none */
	struct series *series;         /* the route as it is counted; NULL: it is not */
	struct pool *pool;             /* NULL: no route */
	struct server *server;         /* counted as active; NULL: none */
	struct upstream *upstream;     /* owned; NULL: none */
	struct balance_request balance;
	struct waiter waiter;
	struct addr local;             /* the address the client spoke to */
	unsigned attempts;
	uint8_t connect_end;           /* enum end: why the last servers could not be used */

	/* Towards the server. */
	struct buf *head_rest;         /* owned; what the server did not take of the head yet */
	bool body_done;                /* the request body is with the server, as a whole */
	bool body_failed;              /* the server takes no more; its response may still come */
	bool body_begun;               /* the request cannot be sent again */
	struct slice cookie_cut;       /* our sticky cookie in the request */
	char *tail;                    /* set by the front: where the head ends in its buffer, if nothing follows, ... */
	size_t tail_room;              /* ... and how much may be written there; NULL, 0: nothing may */

	/* Towards the client. */
	bool head_sent;                /* a final response head was handed to the front */
	bool response_complete;        /* its last byte was read from the server, ... */
	bool last_sent;                /* ... and handed to the front */
	bool upstream_reusable;
	bool may_be_reset;             /* bytes came, and nobody has looked behind them */
	uint8_t interim_count;         /* 1xx responses so far */
	uint8_t framing;               /* enum framing of the response */
	uint16_t status;
	uint32_t reset_code;           /* one side reset its stream of HTTP/2: what the other is told; 0: none did */
	uint64_t body_left;            /* FRAMING_LENGTH: bytes to be read */
	uint8_t compress;              /* enum compress */
	bool coding_holds;             /* the compressor holds bytes back, ... */
	bool coding_ended;             /* ... or has made its last one */
	struct gzip *gzip;             /* owned; NULL: the body is passed as it comes */
	struct buf *coded;             /* owned; compressed bytes for the client; NULL: none */
	struct chunked chunked;
	struct buf *trailers;          /* owned; lines of the response's trailers; NULL: none (yet) */
	size_t ready;                  /* bytes at the start of upstream->in that may go to the client */
	uint32_t scanned;              /* of the response head */
	uint16_t set_cookie_len;
	uint32_t retry_after_s;        /* END_TOO_OFTEN: when the client may come back */
	char set_cookie[SET_COOKIE_MAX];

	/* For the log. */
	struct slice client_id;        /* the request ID that a trusted client brought; len 0: it is `id` */
	struct trace_context trace;    /* none unless traces are propagated */
	uint64_t id, bytes_in, bytes_out;
	uint64_t started_us;
	uint64_t connected_us;         /* to a server, for this request; 0: a kept connection, or nobody logs */
	uint64_t first_byte_us;        /* of the final response; 0: none came */
	uint64_t ended_us;             /* 0: now */

	struct message request;        /* points into the front's buffer; last, as it is large and mostly unused */
};

/*
 * Does it wait for a place with a server?  A client that ends its side then is taken as gone, as nobody else would notice
 * for as long as it waits.
 */
static inline bool
exchange_is_queued(const struct exchange *x)
{
	return x->state == EXCHANGE_QUEUE;
}

/* Does the client hold its body back until the server asks for it?  Then the server is waited for, not the client. */
static inline bool
exchange_awaits_continue(const struct exchange *x)
{
	return x->request.expect_continue && !x->body_begun && x->interim_count == 0;
}

/* Are there bytes of the response that the client did not take yet? */
static inline bool
exchange_has_more(const struct exchange *x)
{
	return x->ready > 0 || x->coded != NULL;
}

/*
 * A new exchange for a request that the front parsed into x->request (slab memory: all but .request is initialised).
 * Pair: exchange_free().
 */
struct exchange *exchange_new(struct worker *worker, const struct exchange_ops *ops, void *front);
/* Fill in the rest and go: chooses pool and server, and runs. */
void exchange_start(struct exchange *x, const struct listener *listener, const struct addr *client);
/* Go on: the client has room, or bytes of its body.  May call ops->done(). */
void exchange_run(struct exchange *x);
/* The front cannot go on (a client that stalls, a listener that ends): calls ops->done(). */
void exchange_fail(struct exchange *x, enum end end);
/* Count and log it as ended by `end`, and give back all it holds. */
void exchange_free(struct exchange *x, enum end end);
/*
 * The whole HTTP/1.1 response to give the client for `end` (one of exchange_has_answer()) in a buffer that the caller owns; accounted already.
 * close  in: say Connection: close; out: the connection must be closed.
 */
struct buf *exchange_answer(struct exchange *x, enum end end, bool *close);
/* Is `end` no error, though no server was asked? */
static inline bool
exchange_is_answered(enum end end)
{
	return end == END_REDIRECTED || end == END_RESPONDED || end == END_LAST_HOP;
}
/* Is there an answer for `end`? */
static inline bool
exchange_has_answer(enum end end)
{
	return end_table[end].status != 0 || exchange_is_answered(end);
}
/* The request ID; text: room for one of ours. */
struct slice exchange_id(const struct exchange *x, char text[static EXCHANGE_ID_SIZE]);
/* Bytes were given to the client by the front itself (an error reply): for the log. */
void exchange_account_reply(struct exchange *x, unsigned status, size_t bytes);

#endif
