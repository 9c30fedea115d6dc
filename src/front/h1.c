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

#include "h1_priv.h"
#include "weir/clock.h"
#include "weir/h1_parse.h"
#include "weir/h2.h"
#include "weir/log.h"

enum {
	/* How long a client may still send to a connection that we ended: in silence, and in all. */
	LINGER_MS = 2000,
	LINGER_MAX_MS = 30 * 1000,
	LINGER_READS = 16,         /* in one go */
	DRAIN_IDLE_MS = 1000,      /* an idle client of a worker that stops for good */
	TURNS_MAX = 64,            /* states run in one go, so that a client cannot starve others */
	HANDSHAKE_MS = 30 * 1000
};

/* ---- the ways out ---- */

enum step
h1_close(struct h1_client *c, bool reset)
{
	assert(c->x == NULL && c->tunnel == NULL);
	buf_give(c->in);
	buf_give(c->out);
	buf_give(c->body);
	c->in = c->out = c->body = NULL;
	client_close(&c->client, &h1_worker(c)->http_clients, reset);
	return STEP_GONE;
}

/*
 * Answer `end` without an exchange, and close: the position of the next request, if there is one,
 * is not known.
 */
static enum step
h1_refuse(struct h1_client *c, enum end end)
{
	struct refusal refusal = { .end = end, .close = true };

	if (c->in != NULL)
		refusal.head = (struct slice){ buf_head(c->in), buf_len(c->in) };
	if (end == END_REQUEST_MALFORMED || end == END_VERSION)
		refusal.reason = h1_fault(&refusal.position);
	c->out = client_refuse(&c->client, &refusal);
	c->keep_alive = false;
	c->client_closes = false;
	c->state = H1_FLUSH;
	timer_clear(&c->client.timer);
	return STEP_NEXT;
}

/* ---- HTTP/2 ---- */

/*
 * Closing with unread bytes would send a reset, which may destroy what we said on its way: end our
 * side and wait until the client has seen it.
 */
static enum step
linger(struct h1_client *c)
{
	transport_shutdown(&c->client.transport);
	buf_give(c->in);
	buf_give(c->body);
	c->in = c->body = NULL;
	c->lingers_since = (uint32_t)now_ms;
	c->state = H1_LINGER;
	timer_set(&c->client.timer, LINGER_MS);
	return STEP_NEXT;
}

/* h2.c has said everything, or cannot go on. */
static void
h2_ended(struct client *client, bool reset)
{
	struct h1_client *c = OF_CLIENT(client);

	h2_free(c->h2);
	c->h2 = NULL;
	if (reset) {
		h1_close(c, true);
		return;
	}
	linger(c);
	if (!c->is_running)
		h1_run(c);
}

/* The bytes in c->in, if there are any, are the first of it. */
static enum step
turn_to_h2(struct h1_client *c)
{
	timer_set(&c->client.timer, h1_timeouts(c)->client_head);
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
	return result == H2_RESET ? STEP_GONE : STEP_NEXT;
}

/* Prior knowledge (RFC 9113 section 3.3), where the listener allows it: H2_PREFACE_LEN bytes
 * decide. */
static bool
is_preface(const struct h1_client *c)
{
	return c->is_first && c->client.listener->conf->http2.cleartext &&
	       c->client.transport.ssl == NULL && buf_len(c->in) > 0 &&
	       h2_is_preface(buf_head(c->in), buf_len(c->in));
}

/* ---- the states ---- */

static enum step
h1_handshake(struct h1_client *c)
{
	switch (transport_handshake(&c->client.transport)) {
	case 0:
		client_count_handshake(&c->client);
		if (transport_is_h2(&c->client.transport))
			return turn_to_h2(c);
		c->state = H1_IDLE;
		timer_set(&c->client.timer, h1_timeouts(c)->client_head);
		return STEP_NEXT;
	case IO_WAIT:
		return STEP_WAIT;
	default:
		client_count_tls_failure(
		    &c->client, transport_handshake_fault(), transport_tls_error());
		if (transport_leave_tls(&c->client.transport))
			return h1_refuse(c, END_PLAIN_HTTP);
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
			timer_set(&c->client.timer, h1_timeouts(c)->client_head);
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
	c->scanned = 0;
	c->client_closes =
	    !request->keep_alive && request->framing == FRAMING_NONE && c->in->end == head_end;
	chunked_init(&c->chunked);
	timer_clear(&c->client.timer);
	x->transport = &c->client.transport;
	x->is_tls = c->client.transport.ssl != NULL;
	x->client_cert = transport_client_cert(&c->client.transport);
	x->shown = transport_shown(&c->client.transport);
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
	const struct limits_config *limits = &h1_worker(c)->config->global.limits;
	const struct h1_limits h1_limits = { limits->request_head, limits->headers };
	struct exchange *x;
	enum h1_result result;
	bool may_be_reset = true;
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
			x = exchange_new(h1_worker(c), &h1_exchange_ops, c);
			result = h1_parse_request(
			    &x->request, buf_head(c->in), buf_len(c->in), &c->scanned, &h1_limits);
			if (result == H1_DONE && x->request.method != METHOD_CONNECT)
				return start_exchange(c, x);
			slab_give(&h1_worker(c)->exchanges, x);
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
		/* A reset that came with half of a head has no edge of its own. */
		if (!c->client.transport.readable && !may_be_reset)
			return STEP_WAIT;
		c->client.transport.readable = true;
		may_be_reset = false;
		if (!make_room(c))
			return h1_refuse(c, END_REQUEST_TOO_LARGE);
		n = transport_read(&c->client.transport, c->in->data + c->in->end, buf_room(c->in));
		if (n == IO_WAIT)
			return STEP_WAIT;
		if (n < 0)
			return h1_close(c, n == IO_ERROR);
		c->in->end += (uint32_t)n;
		may_be_reset = true;
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
	timer_set(&c->client.timer,
	    rest != NULL ? h1_timeouts(c)->client_head : h1_timeouts(c)->client_idle);
	return STEP_NEXT;
}

static enum step
h1_flush(struct h1_client *c)
{
	int result = h1_write_out(c);

	if (result == 0)
		result = transport_flush(&c->client.transport);
	if (result == IO_WAIT) {
		h1_watch_stall(c);
		return STEP_WAIT;
	}
	if (result < 0)
		return h1_close(c, true);
	if (c->keep_alive)
		return next_request(c);
	if (c->client_closes)
		return h1_close(c, false);
	return linger(c);
}

/* Many clients look for the answer only when all of their body is gone, however large. */
static enum step
h1_linger(struct h1_client *c)
{
	static char sink[64 * 1024]; /* nobody reads it */

	for (int reads = 0; c->client.transport.readable; reads++) {
		ssize_t n;

		if ((uint32_t)now_ms - c->lingers_since > LINGER_MAX_MS)
			return h1_close(c, true);
		if (reads == LINGER_READS) {
			transport_yield(&c->client.transport);
			return STEP_WAIT;
		}
		n = transport_read(&c->client.transport, sink, sizeof(sink));
		if (n == IO_WAIT)
			return STEP_WAIT;
		if (n < 0)
			return h1_close(c, false);
		timer_set(&c->client.timer, LINGER_MS);
	}
	return STEP_WAIT;
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
void
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
	if (c->state == H1_EXCHANGE &&
	    ((transport->peer_closed && exchange_is_queued(c->x)) ||
		(transport->readable && c->x->body_done && has_reset(c))))
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
		h1_end_tunnel(c);
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
		client_count_tls_failure(&c->client, TLS_FAULT_TIMEOUT, "timeout");
		h1_cut(&c->client, END_TIMEOUT_IDLE);
		break;
	case H1_FLUSH:
		tally_add(c->client.listener->tally, TALLY_SLOW_CLIENTS, 1);
		h1_cut(&c->client, END_TIMEOUT_IDLE);
		break;
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
	else if (c->state == H1_IDLE && h1_worker(c)->stopping)
		timer_set(&client->timer, DRAIN_IDLE_MS);
	else if (c->state == H1_IDLE && c->is_first && h1_timeouts(c)->client_idle != 0)
		timer_set(&client->timer, h1_timeouts(c)->client_idle);
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

/* Of a tunnel; requests have theirs for a short time only. */
static struct server *
h1_server(const struct client *client)
{
	const struct h1_client *c = (const struct h1_client *)(const void *)client;

	return c->state == H1_TUNNEL ? c->tunnel->server : NULL;
}

void
h1_accept(struct front *front, const struct listener *listener, int fd, const struct addr *address)
{
	static const struct client_kind kind = { h1_drain, h1_cut, h1_server };
	struct slab *slab = &listener->worker->http_clients;
	struct h1_client *c = slab_take(slab);
	uint32_t limit_ms;

	memset(c, 0, sizeof(*c));
	c->is_first = true;
	if (client_open(&c->client, slab, &kind, front, listener, fd, address, on_ready, on_fire) ==
	    -1)
		return;
	c->state = c->client.transport.ssl != NULL ? H1_HANDSHAKE : H1_IDLE;
	limit_ms = h1_timeouts(c)->client_head;
	if (c->state == H1_HANDSHAKE && limit_ms > h1_timeouts(c)->handshake)
		limit_ms = h1_timeouts(c)->handshake;
	timer_set(&c->client.timer, limit_ms);
}
