/*
 * h1_exchange: what an exchange asks of an HTTP/1 client: the bytes of its request's body, room for
 * the response, and what to do at the end.
 */
#include "h1_priv.h"
#include "weir/outv.h"
#include "weir/reply.h"
#include "weir/rewrite.h"

ssize_t
h1_wait_for_body(struct h1_client *c)
{
	if (!exchange_awaits_continue(c->x))
		h1_watch_stall(c);
	return IO_WAIT;
}

/* Bytes that have come behind those handed on, reading if there are none.  Returns their number or
 * IO_*. */
static ssize_t
body_bytes(struct h1_client *c, const char **bytes)
{
	struct transport *t = &c->client.transport;
	struct slice first = h1_body_in_head(c);
	ssize_t n;

	if (first.len > 0) {
		*bytes = first.ptr;
		return (ssize_t)first.len;
	}
	if (c->body == NULL) {
		if (!t->readable)
			return h1_wait_for_body(c);
		c->body = buf_take(BUF_LARGE);
		n = transport_read(t, c->body->data, c->body->size);
		if (n <= 0) {
			buf_give(c->body);
			c->body = NULL;
			return n == IO_WAIT ? h1_wait_for_body(c) : IO_CLOSED;
		}
		timer_clear(&c->client.timer);
		c->body->end = (uint32_t)n;
		/* A reset that came with these bytes has no edge of its own. */
		if (c->framing != FRAMING_LENGTH || (uint64_t)n < c->body_left)
			t->readable = true;
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
	if (c->body_ready == 0 && chunked_is_behind_data(&c->chunked))
		return h1_take_trailers(c, bytes);
	if (c->body_ready == 0) {
		ptrdiff_t n = chunked_skim_data(&c->chunked, *bytes, (size_t)len);

		if (n < 0)
			return IO_ERROR;
		if (n == 0)
			return h1_take_trailers(c, bytes);
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
	if (h1_body_in_head(c).len > 0) {
		c->body_at += (uint32_t)len;
		return;
	}
	buf_consume(c->body, len);
	if (buf_len(c->body) == 0) {
		buf_give(c->body);
		c->body = NULL;
	}
}

int
h1_write_out(struct h1_client *c)
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

/* May another request follow on this connection, for all that is known before the response? */
static bool
may_keep(const struct h1_client *c, const struct exchange *x)
{
	return x->request.keep_alive && x->body_done && !h1_worker(c)->draining &&
	       h1_timeouts(c)->client_idle != 0;
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
		/* RFC 9110 section 15.5.22: 426 must say which protocol is asked for. */
		.upgrade = head->status == 101 ||
			   (head->status == 426 && message_find(head, FIELD_UPGRADE) != NULL) };

	if (!is_interim) {
		c->keep_alive = may_keep(c, x) && head->framing != FRAMING_CLOSE && !drop_coding;
		edits.close = !c->keep_alive;
		edits.keep_alive = c->keep_alive && x->request.minor == 0;
		edits.set_cookie = (struct slice){ x->set_cookie, x->set_cookie_len };
		/* RFC 9110 section 6.6.1. */
		if (!head->has_date && !edits_hide(piece->edits, SLICE("Date")))
			edits.date = reply_date_line();
		edits.room = piece->room;
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
	waiting = h1_write_out(c);
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
		h1_watch_stall(c);
	}
	return 0;
}

/* Only the coding of a body can be malformed once the exchange is under way. */
static void
report_body(const struct h1_client *c)
{
	struct slice bytes = h1_body_in_head(c);

	if (bytes.len == 0 && c->body != NULL)
		bytes = (struct slice){ buf_head(c->body), buf_len(c->body) };
	client_report(&c->client, "malformed chunked coding of the body", FAULT_NOWHERE, bytes.ptr,
	    bytes.len);
}

/* The exchange is over with `end`: what does the client get? */
static void
answer_end(struct h1_client *c, struct exchange *x, enum end end)
{
	bool close = !may_keep(c, x);

	c->out = exchange_answer(x, end, &close);
	c->keep_alive = !close;
}

static void
h1_done(struct exchange *x, enum end end)
{
	struct h1_client *c = x->front;
	bool cut = end != END_OK && (x->head_sent || !exchange_has_answer(end));

	timer_clear(&c->client.timer);
	if (end == END_REQUEST_MALFORMED && c->chunked.state == CHUNKED_BROKEN)
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

const struct exchange_ops h1_exchange_ops = {
	.peek_body = h1_peek_body,
	.consume_body = h1_consume_body,
	.send = h1_send,
	.done = h1_done,
	.switched = h1_switched,
};
