/*
 * h1: clients that speak HTTP/1, and those that turn to HTTP/2 (see h2.c).
 *
 * The connection goes round: idle (owns no buffer) - head - exchange - flush - idle.  Bytes that
 * belong to the head stay in `in` until the exchange is over, since the exchange refers to them; a
 * body that did not come with the head flows through `body`.
 */
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "front_priv.h"
#include "weir/buf.h"
#include "weir/chunked.h"
#include "weir/exchange.h"
#include "weir/h1_parse.h"
#include "weir/h2.h"
#include "weir/log.h"
#include "weir/outv.h"
#include "weir/reply.h"
#include "weir/rewrite.h"
#include "weir/tunnel.h"
#include "weir/upstream.h"

enum {
	LINGER_MS = 2000, /* how long a client may still send to a connection that we ended */
	DRAIN_IDLE_MS = 1000,      /* an idle client of a worker that stops for good */
	LINGER_BYTES = 256 * 1024, /* and how much */
	TURNS_MAX = 64,            /* states run in one go, so that a client cannot starve others */
	HANDSHAKE_MS = 30 * 1000
};

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
	uint32_t scanned;    /* of the request head; H1_LINGER: bytes thrown away */
	uint8_t state;       /* enum h1_state */
	uint8_t framing;     /* enum framing of the request */
	bool keep_alive;     /* go on after this exchange */
	bool client_closes;  /* the client itself said that it sends nothing more */
	bool is_first;       /* no request was served yet */
	bool is_running;     /* h1_run() is on the stack */
};

/* Too large, and too seldom needed, to stand in each client. */
struct h1_tunnel {
	struct tunnel tunnel;
	struct upstream *upstream; /* owned */
	struct server *server;     /* counted as active */
	struct tally *pool;
};

enum step {
	STEP_NEXT = 0, /* run the state that c->state now names */
	STEP_WAIT,     /* the next event runs this state again */
	STEP_GONE      /* c was freed: do not touch it */
};

#define OF_CLIENT(c) ((struct h1_client *)(void *)(c))

static void h1_run(struct h1_client *c);

static const struct timeouts_config *
timeouts(const struct h1_client *c)
{
	return &c->client.listener->conf->timeouts;
}

static struct worker *
worker_of(const struct h1_client *c)
{
	return c->client.listener->worker;
}

/* ---- the ways out ---- */

static enum step
h1_close(struct h1_client *c, bool reset)
{
	assert(c->x == NULL && c->tunnel == NULL);
	buf_give(c->in);
	buf_give(c->out);
	buf_give(c->body);
	c->in = c->out = c->body = NULL;
	client_close(&c->client, &worker_of(c)->http_clients, reset);
	return STEP_GONE;
}

/* The client is not to wait for the stall timer twice: only progress starts it anew. */
static void
watch_stall(struct h1_client *c)
{
	if (c->client.timer.deadline_ms == 0)
		timer_set(&c->client.timer, timeouts(c)->client_body);
}

/* Keep what was wrong with a head for `weirctl errors`. */
static void
report_head(const struct h1_client *c, enum end end)
{
	struct fault_report report = { .kind = FAULT_REQUEST,
		.client = &c->client.address,
		.listener = c->client.listener->conf->name,
		.reason = end_table[end].sentence,
		.data = buf_head(c->in),
		.len = buf_len(c->in) };

	report.position = report.len;
	if (end == END_REQUEST_MALFORMED || end == END_VERSION)
		report.reason = h1_fault(&report.position);
	faults_add(shm_faults(worker_of(c)->shm, worker_of(c)->slot), &report);
}

/*
 * Answer `end` without an exchange, and close: the position of the next request, if there is one,
 * is not known.
 */
static enum step
h1_refuse(struct h1_client *c, enum end end)
{
	struct worker *worker = worker_of(c);
	struct tally *tally = c->client.listener->tally;

	if (end == END_REQUEST_MALFORMED || end == END_REQUEST_TOO_LARGE ||
	    end == END_TARGET_TOO_LONG || end == END_VERSION) {
		tally_add(tally, TALLY_BAD_REQUESTS, 1);
		if (c->in != NULL)
			report_head(c, end);
	}
	tally_add(tally, tally_of_status(end_table[end].status), 1);
	c->out = reply_error(end, NULL, worker->request_ids++, true);
	tally_add(tally, TALLY_BYTES_OUT, buf_len(c->out));
	c->keep_alive = false;
	c->client_closes = false;
	c->state = H1_FLUSH;
	timer_clear(&c->client.timer);
	return STEP_NEXT;
}

/* ---- what the exchange asks of its client ---- */

/* The request body that came with the head; len 0: all of it was handed on. */
static struct slice
body_in_head(const struct h1_client *c)
{
	return (struct slice){ c->in->data + c->body_at, c->in->end - c->body_at };
}

/* Bytes that have come behind those handed on, reading if there are none.  Returns their number or
 * IO_*. */
static ssize_t
body_bytes(struct h1_client *c, const char **bytes)
{
	struct transport *t = &c->client.transport;
	struct slice first = body_in_head(c);
	ssize_t n;

	if (first.len > 0) {
		*bytes = first.ptr;
		return (ssize_t)first.len;
	}
	if (c->body == NULL) {
		if (!t->readable) {
			watch_stall(c);
			return IO_WAIT;
		}
		c->body = buf_take(BUF_LARGE);
		n = transport_read(t, c->body->data, c->body->size);
		if (n <= 0) {
			buf_give(c->body);
			c->body = NULL;
			if (n == IO_WAIT)
				watch_stall(c);
			return n == IO_WAIT ? IO_WAIT : IO_CLOSED;
		}
		timer_clear(&c->client.timer);
		c->body->end = (uint32_t)n;
	}
	*bytes = buf_head(c->body);
	return (ssize_t)buf_len(c->body);
}

static bool
body_is_over(const struct h1_client *c)
{
	switch ((enum framing)c->framing) {
	case FRAMING_LENGTH:
		return c->body_left == 0;
	case FRAMING_CHUNKED:
		return c->body_ready == 0 && chunked_is_end(&c->chunked);
	case FRAMING_NONE:
	case FRAMING_CLOSE:
		break;
	}
	return true;
}

static ssize_t
h1_peek_body(struct exchange *x, const char **bytes)
{
	struct h1_client *c = x->front;
	ssize_t len;

	if (body_is_over(c))
		return 0;
	len = body_bytes(c, bytes);
	if (len < 0)
		return len;
	if (c->framing == FRAMING_LENGTH)
		return (uint64_t)len < c->body_left ? len : (ssize_t)c->body_left;
	if (c->body_ready == 0) {
		ptrdiff_t n = chunked_skim(&c->chunked, *bytes, (size_t)len);

		if (n < 0) {
			tally_add(c->client.listener->tally, TALLY_BAD_REQUESTS, 1);
			return IO_ERROR;
		}
		c->body_ready = (uint32_t)n;
	}
	return (ssize_t)c->body_ready;
}

static void
h1_consume_body(struct exchange *x, size_t len)
{
	struct h1_client *c = x->front;

	if (c->framing == FRAMING_LENGTH)
		c->body_left -= len;
	else
		c->body_ready -= (uint32_t)len;
	if (body_in_head(c).len > 0) {
		c->body_at += (uint32_t)len;
		return;
	}
	buf_consume(c->body, len);
	if (buf_len(c->body) == 0) {
		buf_give(c->body);
		c->body = NULL;
	}
}

/* Write c->out.  Returns 0 when nothing of it is left. */
static int
write_out(struct h1_client *c)
{
	struct transport *t = &c->client.transport;

	while (c->out != NULL) {
		struct iovec iov = { buf_head(c->out), buf_len(c->out) };
		ssize_t n = t->writable ? transport_writev(t, &iov, 1) : IO_WAIT;

		if (n < 0)
			return (int)n;
		timer_clear(&c->client.timer);
		buf_consume(c->out, (size_t)n);
		if (buf_len(c->out) == 0) {
			buf_give(c->out);
			c->out = NULL;
		}
	}
	return 0;
}

/* Keep what the client did not take of a head. */
static int
keep_rest(struct h1_client *c, const struct outv *out, size_t written)
{
	struct buf *rest = outv_rest(out, written);

	if (c->out == NULL) {
		c->out = rest;
		return 0;
	}
	if (rest != NULL && buf_room(c->out) < buf_len(rest)) {
		buf_give(rest);
		return -1;
	}
	if (rest != NULL) {
		memcpy(c->out->data + c->out->end, buf_head(rest), buf_len(rest));
		c->out->end += (uint32_t)buf_len(rest);
		buf_give(rest);
	}
	return 0;
}

static void
build_response(struct h1_client *c, const struct response_piece *piece, struct outv *out)
{
	struct exchange *x = c->x;
	const struct message *head = piece->head;
	bool is_interim = head->status < 200;
	bool drop_coding = head->framing == FRAMING_CHUNKED && x->wants_decoded;
	struct response_edits edits = { .drop_coding = drop_coding,
		.add_coding = piece->is_coded && !x->wants_decoded,
		.fields = piece->edits,
		.upgrade = head->status == 101 };

	if (!is_interim) {
		c->keep_alive = x->request.keep_alive && !worker_of(c)->draining && x->body_done &&
				head->framing != FRAMING_CLOSE && !drop_coding;
		edits.close = !c->keep_alive;
		edits.keep_alive = c->keep_alive && x->request.minor == 0;
		edits.set_cookie = (struct slice){ x->set_cookie, x->set_cookie_len };
	}
	/* HTTP/1.0 does not know the field: neither with a body nor without (HEAD, 304). */
	edits.drop_coding = x->wants_decoded;
	outv_init(out, NULL, 0);
	rewrite_response(out, head, &edits);
}

static int
h1_send(struct exchange *x, const struct response_piece *piece, size_t *taken)
{
	struct h1_client *c = x->front;
	struct transport *t = &c->client.transport;
	size_t head_len = 0, written = 0;
	struct outv out;
	ssize_t n;
	int waiting;

	*taken = 0;
	/* HTTP/1.0 knows no interim responses (RFC 9110 section 15.2). */
	if (piece->head != NULL && piece->head->status < 200 && piece->head->status != 101 &&
	    x->request.minor == 0)
		return 0;
	waiting = write_out(c);
	if (waiting == IO_ERROR)
		return IO_ERROR;
	if (piece->head != NULL) {
		build_response(c, piece, &out);
		if (out.failed) {
			outv_fini(&out);
			return IO_ERROR;
		}
		head_len = out.len;
	} else {
		outv_init(&out, NULL, 0);
	}
	if (waiting == 0 && head_len + piece->len > 0) {
		int count = outv_behind(&out, piece->body, piece->len);

		n = t->writable ? transport_writev(t, out.v, count) : IO_WAIT;
		if (n != IO_WAIT && n < 0) {
			outv_fini(&out);
			return IO_ERROR;
		}
		written = n > 0 ? (size_t)n : 0;
	}
	x->bytes_out += (written > head_len ? written : head_len);
	if (written < head_len && keep_rest(c, &out, written) < 0) {
		outv_fini(&out);
		return IO_ERROR;
	}
	outv_fini(&out);
	*taken = written > head_len ? written - head_len : 0;
	if (written > 0)
		timer_clear(&c->client.timer);
	if (written < head_len + piece->len) {
		t->writable = false;
		watch_stall(c);
	}
	return 0;
}

/* Only the coding of a body can be malformed once the exchange is under way. */
static void
report_body(const struct h1_client *c)
{
	struct slice bytes = body_in_head(c);

	if (bytes.len == 0 && c->body != NULL)
		bytes = (struct slice){ buf_head(c->body), buf_len(c->body) };
	faults_add(shm_faults(worker_of(c)->shm, worker_of(c)->slot),
	    &(struct fault_report){ .kind = FAULT_REQUEST,
		.client = &c->client.address,
		.listener = c->client.listener->conf->name,
		.reason = "malformed chunked coding of the body",
		.position = FAULT_NOWHERE,
		.data = bytes.ptr,
		.len = bytes.len });
}

/* The exchange is over with `end`: what does the client get? */
static void
answer_end(struct h1_client *c, struct exchange *x, enum end end)
{
	bool close = !x->request.keep_alive || !x->body_done || worker_of(c)->draining;

	c->out = exchange_answer(x, end, &close);
	c->keep_alive = !close;
}

static void
h1_done(struct exchange *x, enum end end)
{
	struct h1_client *c = x->front;
	bool cut = end != END_OK && (x->head_sent || !exchange_has_answer(end));

	timer_clear(&c->client.timer);
	if (end == END_REQUEST_MALFORMED)
		report_body(c);
	if (!cut && end != END_OK)
		answer_end(c, x, end);
	else if (end == END_OK && !x->body_done)
		c->keep_alive = false; /* the rest of the body would be taken for a request */
	exchange_free(x, end);
	c->x = NULL;
	c->state = H1_FLUSH;
	if (cut) {
		/* Not the end that the head promised: the client must see that. */
		c->keep_alive = false;
		h1_close(c, true);
		return;
	}
	if (!c->is_running)
		h1_run(c);
}

static void
on_tunnel_upstream(void *user, struct upstream *up)
{
	(void)up;
	h1_run(user);
}

static void
on_tunnel_upstream_timeout(void *user, struct upstream *up)
{
	(void)user;
	(void)up; /* the client's timer counts */
}

static void
h1_switched(struct exchange *x)
{
	static const struct upstream_user ops = { on_tunnel_upstream, on_tunnel_upstream_timeout };
	struct h1_client *c = x->front;
	struct h1_tunnel *t = slab_take(&worker_of(c)->tunnels);

	t->upstream = x->upstream;
	t->server = x->server;
	t->pool = x->pool->tally;
	x->upstream = NULL;
	x->server = NULL;
	t->upstream->user_ops = &ops;
	t->upstream->user = c;
	timer_clear(&t->upstream->timer);
	exchange_free(x, END_OK);
	c->x = NULL;

	tunnel_init(&t->tunnel, &c->client.transport, &t->upstream->transport);
	tunnel_take_pending(&t->tunnel.out, t->upstream->in);
	t->upstream->in = NULL;
	/* Bytes that the client sent right behind its head are the tunnel's first. */
	c->in->start = c->body_at;
	tunnel_take_pending(&t->tunnel.in, c->in);
	c->in = NULL;
	c->tunnel = t;
	c->state = H1_TUNNEL;
	timer_set(&c->client.timer, timeouts(c)->tunnel);
	if (!c->is_running)
		h1_run(c);
}

static const struct exchange_ops h1_exchange_ops = {
	.peek_body = h1_peek_body,
	.consume_body = h1_consume_body,
	.send = h1_send,
	.done = h1_done,
	.switched = h1_switched,
};

/* ---- HTTP/2 ---- */

/* h2.c has said everything, or cannot go on. */
static void
h2_ended(struct client *client, bool reset)
{
	struct h1_client *c = OF_CLIENT(client);

	h2_free(c->h2);
	c->h2 = NULL;
	h1_close(c, reset);
}

/* The bytes in c->in, if there are any, are the first of it. */
static enum step
turn_to_h2(struct h1_client *c)
{
	timer_set(&c->client.timer, timeouts(c)->client_head);
	c->h2 = h2_new(&c->client, c->in, h2_ended);
	c->in = NULL;
	if (c->h2 == NULL)
		return h1_close(c, true);
	c->state = H1_HTTP2;
	return STEP_NEXT;
}

static enum step
h1_http2(struct h1_client *c)
{
	enum h2_result result = h2_run(c->h2);

	if (result == H2_WAIT)
		return STEP_WAIT;
	h2_ended(&c->client, result == H2_RESET);
	return STEP_GONE;
}

/* Prior knowledge (RFC 9113 section 3.3), where the listener allows it: H2_PREFACE_LEN bytes decide. */
static bool
is_preface(const struct h1_client *c)
{
	return c->is_first && c->client.listener->conf->http2.cleartext && c->client.transport.ssl == NULL &&
	       buf_len(c->in) > 0 && h2_is_preface(buf_head(c->in), buf_len(c->in));
}

/* ---- the states ---- */

static enum step
h1_handshake(struct h1_client *c)
{
	struct tally *tally = c->client.listener->tally;

	switch (transport_handshake(&c->client.transport)) {
	case 0:
		tally_add(tally, TALLY_TLS_HANDSHAKES, 1);
		if (transport_is_h2(&c->client.transport))
			return turn_to_h2(c);
		c->state = H1_IDLE;
		timer_set(&c->client.timer, timeouts(c)->client_head);
		return STEP_NEXT;
	case IO_WAIT:
		return STEP_WAIT;
	default:
		tally_add(tally, TALLY_TLS_FAILURES, 1);
		log_debug("listener %s: TLS handshake: %s", c->client.listener->conf->name,
		    transport_tls_error());
		return h1_close(c, false);
	}
}

static enum step
h1_idle(struct h1_client *c)
{
	ssize_t n;

	if (!c->client.transport.readable)
		return STEP_WAIT;
	c->in = buf_take(BUF_SMALL);
	n = transport_read(&c->client.transport, c->in->data, c->in->size);
	if (n > 0) {
		c->in->end = (uint32_t)n;
		c->scanned = 0;
		c->state = H1_HEAD;
		if (!c->is_first)
			timer_set(&c->client.timer, timeouts(c)->client_head);
		return STEP_NEXT;
	}
	buf_give(c->in);
	c->in = NULL;
	return n == IO_WAIT ? STEP_WAIT : h1_close(c, false);
}

/* Moves a head that outgrows its buffer; returns false when even a large one is full. */
static bool
make_room(struct h1_client *c)
{
	struct buf *larger;

	if (buf_room(c->in) > 0)
		return true;
	if (c->in->size_class == BUF_LARGE && c->in->start == 0)
		return false;
	larger = buf_take(BUF_LARGE);
	memcpy(larger->data, buf_head(c->in), buf_len(c->in));
	larger->end = (uint32_t)buf_len(c->in);
	buf_give(c->in);
	c->in = larger;
	return true;
}

static enum step
start_exchange(struct h1_client *c, struct exchange *x)
{
	struct message *request = &x->request;
	uint32_t head_end = c->in->start + request->head_len;

	c->x = x;
	c->state = H1_EXCHANGE;
	c->is_first = false;
	c->framing = request->framing;
	c->body_left = request->content_length;
	c->body_at = head_end;
	c->body_ready = 0;
	c->client_closes =
	    !request->keep_alive && request->framing == FRAMING_NONE && c->in->end == head_end;
	chunked_init(&c->chunked);
	timer_clear(&c->client.timer);
	x->is_tls = c->client.transport.ssl != NULL;
	x->wants_decoded = request->minor == 0;
	if (c->in->end == head_end) {
		/* Nothing follows the head: lines may be added over its last CR LF. */
		x->tail = c->in->data + head_end - 2;
		x->tail_room = buf_room(c->in) + 2;
	}
	client_local_address(&c->client, &x->local);
	exchange_start(x, c->client.listener, &c->client.address);
	return STEP_NEXT;
}

static enum step
h1_head(struct h1_client *c)
{
	const struct limits_config *limits = &worker_of(c)->config->global.limits;
	const struct h1_limits h1_limits = { limits->request_head, limits->headers };
	struct exchange *x;
	enum h1_result result;
	ssize_t n;

	for (;;) {
		/* RFC 9112 section 2.2: an empty line before the request is left over from the one
		 * before. */
		while (c->scanned == 0 && buf_len(c->in) >= 2 &&
		       memcmp(buf_head(c->in), "\r\n", 2) == 0)
			c->in->start += 2;
		if (is_preface(c)) {
			if (buf_len(c->in) >= H2_PREFACE_LEN)
				return turn_to_h2(c);
		} else if (buf_len(c->in) > c->scanned) {
			x = exchange_new(worker_of(c), &h1_exchange_ops, c);
			result = h1_parse_request(
			    &x->request, buf_head(c->in), buf_len(c->in), &c->scanned, &h1_limits);
			if (result == H1_DONE && x->request.method != METHOD_CONNECT)
				return start_exchange(c, x);
			slab_give(&worker_of(c)->exchanges, x);
			switch (result) {
			case H1_DONE:
				return h1_refuse(c, END_METHOD);
			case H1_MORE:
				break;
			case H1_BAD:
				return h1_refuse(c, END_REQUEST_MALFORMED);
			case H1_TOO_LARGE:
				return h1_refuse(c, END_REQUEST_TOO_LARGE);
			case H1_TARGET_TOO_LONG:
				return h1_refuse(c, END_TARGET_TOO_LONG);
			case H1_VERSION:
				return h1_refuse(c, END_VERSION);
			}
		}
		if (!c->client.transport.readable)
			return STEP_WAIT;
		if (!make_room(c))
			return h1_refuse(c, END_REQUEST_TOO_LARGE);
		n = transport_read(&c->client.transport, c->in->data + c->in->end, buf_room(c->in));
		if (n == IO_WAIT)
			return STEP_WAIT;
		if (n < 0)
			return h1_close(c, n == IO_ERROR);
		c->in->end += (uint32_t)n;
	}
}

static enum step
h1_exchange(struct h1_client *c)
{
	exchange_run(c->x);
	return STEP_NEXT;
}

/* Nothing of this request is left; what came behind it is the next one. */
static enum step
next_request(struct h1_client *c)
{
	struct buf *rest = c->in;

	if (c->body != NULL) {
		buf_give(c->in);
		rest = c->body;
		c->body = NULL;
	} else if (rest != NULL) {
		rest->start = c->body_at;
	}
	c->in = NULL;
	if (rest != NULL && buf_len(rest) == 0) {
		buf_give(rest);
		rest = NULL;
	}
	c->in = rest;
	c->scanned = 0;
	c->state = rest != NULL ? H1_HEAD : H1_IDLE;
	timer_set(
	    &c->client.timer, rest != NULL ? timeouts(c)->client_head : timeouts(c)->client_idle);
	return STEP_NEXT;
}

static enum step
h1_flush(struct h1_client *c)
{
	int result = write_out(c);

	if (result == 0)
		result = transport_flush(&c->client.transport);
	if (result == IO_WAIT) {
		watch_stall(c);
		return STEP_WAIT;
	}
	if (result < 0)
		return h1_close(c, true);
	if (c->keep_alive)
		return next_request(c);
	if (c->client_closes)
		return h1_close(c, false);
	/*
	 * Closing with unread bytes would send a reset, which may destroy the response on its way:
	 * end our side and wait until the client has seen it.
	 */
	transport_shutdown(&c->client.transport);
	buf_give(c->in);
	buf_give(c->body);
	c->in = c->body = NULL;
	c->scanned = 0;
	c->state = H1_LINGER;
	timer_set(&c->client.timer, LINGER_MS);
	return STEP_NEXT;
}

static enum step
h1_linger(struct h1_client *c)
{
	static char sink[16 * 1024]; /* nobody reads it */

	while (c->client.transport.readable && c->scanned < LINGER_BYTES) {
		ssize_t n = transport_read(&c->client.transport, sink, sizeof(sink));

		if (n == IO_WAIT)
			return STEP_WAIT;
		if (n < 0)
			return h1_close(c, false);
		c->scanned += (uint32_t)n;
	}
	return c->scanned < LINGER_BYTES ? STEP_WAIT : h1_close(c, true);
}

static void
end_tunnel(struct h1_client *c)
{
	struct h1_tunnel *t = c->tunnel;
	struct tally *tally = c->client.listener->tally;

	tally_add(tally, TALLY_BYTES_IN, t->tunnel.in.bytes);
	tally_add(tally, TALLY_BYTES_OUT, t->tunnel.out.bytes);
	tally_add(t->pool, TALLY_BYTES_IN, t->tunnel.in.bytes);
	tally_add(t->pool, TALLY_BYTES_OUT, t->tunnel.out.bytes);
	tally_add(t->server->tally, TALLY_BYTES_IN, t->tunnel.in.bytes);
	tally_add(t->server->tally, TALLY_BYTES_OUT, t->tunnel.out.bytes);
	tunnel_fini(&t->tunnel);
	upstream_close(t->upstream, false);
	balance_release(t->server);
	slab_give(&worker_of(c)->tunnels, t);
	c->tunnel = NULL;
}

static enum step
h1_tunnel(struct h1_client *c)
{
	bool moved;
	int result;

	/* The rest of the 101 goes first. */
	result = write_out(c);
	if (result == IO_WAIT)
		return STEP_WAIT;
	if (result == 0)
		result = tunnel_run(&c->tunnel->tunnel, &moved);
	if (result == IO_WAIT) {
		if (moved)
			timer_set(&c->client.timer, timeouts(c)->tunnel);
		return STEP_WAIT;
	}
	end_tunnel(c);
	return h1_close(c, result < 0);
}

static const struct {
	const char *name;
	enum step (*run)(struct h1_client *c);
} h1_states[H1_STATES] = {
	[H1_HANDSHAKE] = { "handshake", h1_handshake },
	[H1_IDLE] = { "idle", h1_idle },
	[H1_HEAD] = { "head", h1_head },
	[H1_EXCHANGE] = { "exchange", h1_exchange },
	[H1_FLUSH] = { "flush", h1_flush },
	[H1_LINGER] = { "linger", h1_linger },
	[H1_TUNNEL] = { "tunnel", h1_tunnel },
	[H1_HTTP2] = { "http2", h1_http2 },
};

/*
 * Called for any event of c.  An exchange may end, and even c with it, inside its state: the grave
 * tells.  A state that comes back unchanged with STEP_NEXT from H1_EXCHANGE waits for its server.
 */
static void
h1_run(struct h1_client *c)
{
	enum step step;
	uint8_t before;

	c->is_running = true;
	for (int turns = TURNS_MAX;; turns--) {
		before = c->state;
		step = h1_states[before].run(c);
		if (is_buried(&c->client.grave))
			return;
		if (step != STEP_NEXT || (c->state == H1_EXCHANGE && before == H1_EXCHANGE))
			break;
		if (turns == 0) {
			transport_yield(&c->client.transport);
			break;
		}
	}
	c->is_running = false;
}

/* A client that has reset its connection wants no answer; one that only ended its own side does. */
static bool
has_reset(const struct h1_client *c)
{
	char byte;

	return recv(c->client.transport.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1 &&
	       errno != EAGAIN;
}

static void
on_ready(struct transport *transport)
{
	struct h1_client *c = OF_CLIENT(CLIENT_OF_TRANSPORT(transport));

	/* While a request is served nothing is read, so only a look tells a reset from bytes. */
	if (c->state == H1_EXCHANGE && transport->readable && c->x->body_done && has_reset(c))
		exchange_fail(c->x, END_CLIENT_CLOSED);
	else
		h1_run(c);
}

static void
h1_cut(struct client *client, enum end end)
{
	struct h1_client *c = OF_CLIENT(client);

	c->is_running = true; /* nothing is to go on */
	if (c->x != NULL)
		exchange_fail(c->x, end);
	if (is_buried(&client->grave))
		return;
	if (c->tunnel != NULL)
		end_tunnel(c);
	if (c->h2 != NULL)
		h2_free(c->h2);
	c->h2 = NULL;
	h1_close(c, true);
}

static void
on_fire(struct timer *timer)
{
	struct h1_client *c = OF_CLIENT(CLIENT_OF_TIMER(timer));

	switch ((enum h1_state)c->state) {
	case H1_HEAD:
		h1_refuse(c, END_CLIENT_TIMEOUT_HEAD);
		h1_run(c);
		break;
	case H1_EXCHANGE:
		exchange_fail(c->x, END_CLIENT_TIMEOUT_BODY);
		break;
	case H1_IDLE:
	case H1_LINGER:
		h1_close(c, false);
		break;
	case H1_HTTP2:
		switch (h2_timeout(c->h2)) {
		case H2_WAIT:
			break;
		case H2_CLOSE:
			h2_ended(&c->client, false);
			break;
		case H2_RESET:
			h2_ended(&c->client, true);
			break;
		}
		break;
	case H1_HANDSHAKE:
	case H1_FLUSH:
	case H1_TUNNEL:
	case H1_STATES:
		h1_cut(&c->client, END_TIMEOUT_IDLE);
		break;
	}
}

/*
 * A worker that ends answers each next request with Connection: close; clients that have nothing to
 * ask keep their connection until its idle time is over, so that no request meets a closed door.
 * When weir stops for good there is no point in waiting so long.
 */
static void
h1_drain(struct client *client)
{
	struct h1_client *c = OF_CLIENT(client);

	if (c->state == H1_HTTP2)
		h2_drain(c->h2);
	else if (c->state == H1_IDLE && worker_of(c)->stopping)
		timer_set(&client->timer, DRAIN_IDLE_MS);
	else if (c->state == H1_IDLE && c->is_first)
		timer_set(&client->timer, timeouts(c)->client_idle);
}

size_t
h1_client_size(void)
{
	return sizeof(struct h1_client);
}

size_t
h1_tunnel_size(void)
{
	return sizeof(struct h1_tunnel);
}

void
h1_accept(struct front *front, const struct listener *listener, int fd, const struct addr *address)
{
	static const struct client_kind kind = { h1_drain, h1_cut };
	struct slab *slab = &listener->worker->http_clients;
	struct h1_client *c = slab_take(slab);
	uint32_t limit_ms;

	memset(c, 0, sizeof(*c));
	c->is_first = true;
	if (client_open(&c->client, slab, &kind, front, listener, fd, address, on_ready, on_fire) ==
	    -1)
		return;
	c->state = c->client.transport.ssl != NULL ? H1_HANDSHAKE : H1_IDLE;
	limit_ms = timeouts(c)->client_head;
	if (c->state == H1_HANDSHAKE && limit_ms > (uint32_t)HANDSHAKE_MS)
		limit_ms = HANDSHAKE_MS;
	timer_set(&c->client.timer, limit_ms);
}
