/*
 * What the files of an HTTP/1 client share: h1.c (its states), h1_exchange.c (what an exchange asks
 * of it) and h1_tunnel.c (after Upgrade).
 */
#ifndef WEIR_H1_PRIV_H
#define WEIR_H1_PRIV_H

#include "front_priv.h"
#include "weir/buf.h"
#include "weir/chunked.h"
#include "weir/exchange.h"
#include "weir/slice.h"
#include "weir/tunnel.h"

struct h2;
struct upstream;

enum h1_state {
	H1_HANDSHAKE = 0, /* TLS */
	H1_IDLE,          /* no byte of the next request yet; owns no buffer */
	H1_HEAD,          /* request head incomplete in c->in */
	H1_EXCHANGE,      /* c->x is under way */
	H1_FLUSH,         /* the exchange is over; the client has not read everything yet */
	H1_LINGER,        /* we said that we close; what still comes is thrown away */
	H1_TUNNEL,        /* after Upgrade */
	H1_HTTP2,         /* it speaks HTTP/2: h2.c has the say */
	H1_STATES
};

struct h1_client {
	struct client client; /* first: front.c counts and ends it */
	struct buf *in;       /* owned; NULL while idle */
	struct buf *out;      /* owned; goes to the client before anything else; NULL: nothing */
	struct buf *body;     /* owned; body bytes that came after the head; NULL while empty */
	struct exchange *x;   /* owned; NULL: none */
	struct h1_tunnel *tunnel; /* owned; H1_TUNNEL only */
	struct h2 *h2;            /* owned; H1_HTTP2 only */
	uint64_t body_left;       /* FRAMING_LENGTH: bytes not yet handed on */
	struct chunked chunked;
	uint32_t body_at;    /* position in c->in of the body bytes not yet handed on */
	uint32_t body_ready; /* FRAMING_CHUNKED: checked bytes not yet handed on */
	union {
		uint32_t scanned;       /* of the request head, or of its trailers */
		uint32_t lingers_since; /* H1_LINGER: ms of the clock */
	};
	uint8_t state;      /* enum h1_state */
	uint8_t framing;    /* enum framing of the request */
	bool keep_alive;    /* go on after this exchange */
	bool client_closes; /* the client itself said that it sends nothing more */
	bool is_first;      /* no request was served yet */
	bool is_running;    /* h1_run() is on the stack */
};

/* Too large, and too seldom needed, to stand in each client. */
struct h1_tunnel {
	struct tunnel tunnel;
	struct upstream *upstream; /* owned */
	struct server *server;     /* counted as active */
	struct tally *pool;
	struct series *series;     /* counted as active there; NULL: none */
};

enum step {
	STEP_NEXT = 0, /* run the state that c->state now names */
	STEP_WAIT,     /* the next event runs this state again */
	STEP_GONE      /* c was freed: do not touch it */
};

#define OF_CLIENT(c) ((struct h1_client *)(void *)(c))

static inline const struct timeouts_config *
h1_timeouts(const struct h1_client *c)
{
	return &c->client.listener->conf->timeouts;
}

static inline struct worker *
h1_worker(const struct h1_client *c)
{
	return c->client.listener->worker;
}

/* The client is not to wait for the stall timer twice: only progress starts it anew. */
static inline void
h1_watch_stall(struct h1_client *c)
{
	if (c->client.timer.deadline_ms == 0)
		timer_set(&c->client.timer, h1_timeouts(c)->client_body);
}

/* The request body that came with the head; len 0: all of it was handed on. */
static inline struct slice
h1_body_in_head(const struct h1_client *c)
{
	return (struct slice){ c->in->data + c->body_at, c->in->end - c->body_at };
}

/* h1.c */
/* Called for any event of c. */
void h1_run(struct h1_client *c);
enum step h1_close(struct h1_client *c, bool reset);

/* h1_exchange.c */
extern const struct exchange_ops h1_exchange_ops;
/* Write c->out.  Returns 0 when nothing of it is left, IO_WAIT or IO_ERROR. */
int h1_write_out(struct h1_client *c);

/* No bytes of the body can be had: somebody must be waited for.  Returns IO_WAIT. */
ssize_t h1_wait_for_body(struct h1_client *c);

/*
 * h1_trailers.c: what stands behind the last chunk, once it is there as a whole, without the fields
 * that may not be passed on.  As peek_body() of struct exchange_ops.
 */
ssize_t h1_take_trailers(struct h1_client *c, const char **bytes);

/* h1_tunnel.c */
void h1_switched(struct exchange *x);
enum step h1_tunnel(struct h1_client *c);
void h1_end_tunnel(struct h1_client *c);

#endif
