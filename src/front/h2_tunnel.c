/*
 * h2_tunnel: WebSocket over HTTP/2 (RFC 8441): CONNECT with :protocol becomes an Upgrade of
 * HTTP/1.1 for the exchange, and the stream's DATA the bytes behind it.
 */
#include <stdlib.h>

#include "h2_priv.h"
#include "weir/arena.h"
#include "weir/buf.h"
#include "weir/h2_codes.h"
#include "weir/series.h"
#include "weir/upstream.h"

enum { READS_MAX = 8 };

struct h2_tunnel {
	struct upstream *upstream; /* owned */
	struct server *server;     /* counted as active */
	struct tally *pool;
	struct series *series;     /* counted as active there; NULL: none */
	uint64_t bytes_in, bytes_out;
	bool has_ended; /* the server */
	bool is_told;   /* the server knows that the client has */
};

/* ---- the handshake of RFC 6455, which HTTP/2 clients do not make ---- */

/* Did the server that switched protocols answer this key (RFC 6455 section 4.1)? */
static bool
is_accepted(const char *key, const struct message *head)
{
	char expected[WEBSOCKET_ACCEPT_SIZE];

	if (websocket_accept(slice_of(key), expected) < 0)
		return false;
	for (unsigned i = 0; i < head->field_count; i++) {
		const struct field *f = &head->fields[i];

		if (slice_equal_nocase(message_name(head, f), WEBSOCKET_ACCEPT))
			return slice_equal(message_value(head, f), slice_of(expected));
	}
	return false;
}

int
h2_check_switch(struct h2_stream *s, const struct message *head)
{
	s->is_switch_bad = !is_accepted(s->websocket_key, head);
	return s->is_switch_bad ? -1 : 0;
}

/* ---- bytes both ways ---- */

static void
on_upstream(void *user, struct upstream *up)
{
	struct h2_stream *s = user;

	(void)up;
	h2_wait(s);
	worker_defer(s->h2->worker, &s->h2->deferred);
}

static void
on_upstream_timeout(void *user, struct upstream *up)
{
	(void)user;
	(void)up; /* the connection's timer counts */
}

void
h2_switched(struct exchange *x)
{
	static const struct upstream_user ops = { on_upstream, on_upstream_timeout };
	struct h2_stream *s = x->front;
	struct h2_tunnel *t;

	if (!s->is_connect || s->is_switch_bad) {
		h2_done(x, END_RESPONSE_MALFORMED);
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->upstream = x->upstream;
	t->server = x->server;
	t->pool = x->pool->tally;
	t->series = series_share(x->series);
	x->upstream = NULL;
	x->server = NULL;
	t->upstream->user_ops = &ops;
	t->upstream->user = s;
	timer_clear(&t->upstream->timer);
	/* An end, or a reset, that came with the head has no edge of its own. */
	t->upstream->transport.readable = true;
	exchange_free(x, END_OK);
	s->x = NULL;
	s->tunnel = t;
	s->stalled_ms = now_ms;
	on_upstream(s, t->upstream);
}

void
h2_tunnel_free(struct h2_stream *s)
{
	struct h2_tunnel *t = s->tunnel;
	struct tally *tally = s->h2->client->listener->tally;

	if (t == NULL)
		return;
	tally_add(tally, TALLY_BYTES_IN, t->bytes_in);
	tally_add(tally, TALLY_BYTES_OUT, t->bytes_out);
	tally_add(t->pool, TALLY_BYTES_IN, t->bytes_in);
	tally_add(t->pool, TALLY_BYTES_OUT, t->bytes_out);
	tally_add(t->server->tally, TALLY_BYTES_IN, t->bytes_in);
	tally_add(t->server->tally, TALLY_BYTES_OUT, t->bytes_out);
	if (s->is_closed)
		upstream_give_up(t->upstream, h2_codes_give_up(s->reset_code));
	series_add_bytes(t->series, t->bytes_in, t->bytes_out);
	series_end(t->series);
	upstream_close(t->upstream, false);
	balance_release(t->server);
	free(t);
	s->tunnel = NULL;
}

/* Client to server.  Returns 0 or IO_ERROR. */
static int
run_in(struct h2_stream *s)
{
	struct h2_tunnel *t = s->tunnel;
	struct transport *to = &t->upstream->transport;

	while (s->body_first != NULL) {
		ssize_t n = to->writable ? upstream_write(t->upstream, buf_head(s->body_first),
					       buf_len(s->body_first))
					 : IO_WAIT;

		if (n == IO_WAIT)
			return 0;
		if (n < 0)
			return IO_ERROR;
		t->bytes_in += (uint64_t)n;
		h2_consume(s, (size_t)n);
		s->stalled_ms = now_ms;
	}
	if (s->is_ended && !t->is_told) {
		int result = upstream_finish(t->upstream);

		if (result != 0)
			return result == IO_WAIT ? 0 : IO_ERROR;
		t->is_told = true;
	}
	return 0;
}

/* Hand what has come to nghttp2.  Returns whether all of it was taken. */
static bool
offer(struct h2_stream *s)
{
	struct h2_tunnel *t = s->tunnel;
	struct buf *in = t->upstream->in;
	size_t len = in != NULL ? buf_len(in) : 0, taken;

	s->piece = len > 0 ? buf_head(in) : NULL;
	s->piece_len = len;
	s->piece_taken = 0;
	s->piece_is_last = t->has_ended;
	if (s->is_deferred) {
		s->is_deferred = false;
		nghttp2_session_resume_data(s->h2->session, s->id);
	}
	h2_make_output(s->h2);
	taken = s->piece_taken;
	s->piece = NULL;
	s->piece_len = s->piece_taken = 0;
	if (taken > 0) {
		t->bytes_out += taken;
		s->stalled_ms = now_ms;
		buf_consume(in, taken);
	}
	if (taken < len) {
		s->piece_is_last = false;
		return false;
	}
	buf_give(in);
	t->upstream->in = NULL;
	return true;
}

/* Server to client.  Returns 0 or IO_ERROR. */
static int
run_out(struct h2_stream *s)
{
	struct h2_tunnel *t = s->tunnel;
	struct transport *from = &t->upstream->transport;

	for (int reads = 0; !t->has_ended || t->upstream->in != NULL; reads++) {
		ssize_t n;

		if (t->upstream->in != NULL && !offer(s))
			return 0;
		if (t->has_ended || !from->readable)
			return 0;
		if (reads == READS_MAX) {
			upstream_yield(t->upstream);
			return 0;
		}
		t->upstream->in = buf_take(BUF_LARGE);
		n = upstream_read(t->upstream, t->upstream->in->data, buf_room(t->upstream->in));
		if (n > 0) {
			t->upstream->in->end = (uint32_t)n;
			/* A reset that came with these bytes has no edge of its own. */
			from->readable = true;
			continue;
		}
		buf_give(t->upstream->in);
		t->upstream->in = NULL;
		if (n == IO_WAIT)
			return 0;
		if (n != IO_CLOSED)
			return IO_ERROR;
		t->has_ended = true;
		offer(s);
	}
	return 0;
}

bool
h2_tunnel_lingers(const struct h2_stream *s)
{
	return s->tunnel != NULL && s->is_ended && !s->tunnel->is_told &&
	       s->reset_code == NGHTTP2_NO_ERROR;
}

/* The server broke off (RFC 8441 section 5), or said why. */
static void
break_off(struct h2_stream *s)
{
	uint32_t code = upstream_reset_code(s->tunnel->upstream);

	h2_reset(s, code != 0 ? code : NGHTTP2_CANCEL);
}

void
h2_tunnel_run(struct h2_stream *s)
{
	int in = run_in(s), out;

	if (s->is_closed) {
		if (in == IO_ERROR || s->tunnel->is_told)
			h2_stream_free(s);
		return;
	}
	out = run_out(s); /* also when the other failed: what has come is still handed on */
	if (in == IO_ERROR || out == IO_ERROR)
		break_off(s);
	worker_defer(s->h2->worker, &s->h2->deferred);
}
