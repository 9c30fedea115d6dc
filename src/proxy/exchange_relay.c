/*
 * The messages of an exchange on their way: request head and body to the server, response head and
 * body from it.
 */
#include <assert.h>

#include "exchange_priv.h"
#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/edits.h"
#include "weir/eject.h"
#include "weir/h1_parse.h"
#include "weir/outv.h"
#include "weir/rewrite.h"
#include "weir/route.h"
#include "weir/upstream.h"

enum {
	GZIP_READS = 4,   /* what a read counts when its bytes are compressed */
	READS_MAX = 16,   /* in one go, so that a fast server cannot starve other connections */
	INTERIM_MAX = 16, /* 1xx responses to one request */
	TARGET_SIZE = 48 * 1024
};

/* The head of the moment; a head is handed on in the call that parsed it.  One worker, one thread.
 */
static struct message response;

/*
 * Is there more to read?  A reset that came with the bytes before has no edge of its own: libevent
 * tells of it as it does of bytes.  One more read finds it, if more must come.
 */
static bool
can_read(struct exchange *x)
{
	if (!x->upstream->transport.readable && x->may_be_reset)
		x->upstream->transport.readable = true;
	x->may_be_reset = false;
	return x->upstream->transport.readable;
}

static enum step
response_failed(struct exchange *x, enum end end)
{
	tally_add(x->server->tally, TALLY_RESPONSE_ERRORS, 1);
	eject_count_failure(x->server, end);
	return exchange_end(x, end);
}

/*
 * The server closed before it answered.  A kept connection may have been dead all along: then a
 * request that is safe to repeat, and can be, goes out once more on a new one (RFC 9110
 * section 9.2.2).
 */
static enum step
server_closed(struct exchange *x)
{
	if (!x->upstream->is_reused || x->body_begun || x->interim_count > 0 ||
	    !method_is_idempotent(x->request.method))
		return response_failed(x, END_SERVER_CLOSED);
	upstream_close(x->upstream, false);
	x->attempts++;
	tally_add(x->pool->tally, TALLY_RETRIES, 1);
	buf_give(x->head_rest);
	x->head_rest = NULL;
	x->body_failed = false;
	return exchange_connect_anew(x);
}

static void
build_head(struct exchange *x, struct outv *out)
{
	static char target[TARGET_SIZE]; /* copied below */
	struct request_edits edits = {
		.client = x->client,
		.server = &x->server->conf->address,
		.forwarded = &x->listener->conf->forwarded,
		.is_tls = x->is_tls,
		.upgrade = x->request.upgrade,
		.cookie_cut = x->cookie_cut,
	};

	outv_init(out, x->tail, x->tail_room);
	if (x->route != NULL && x->route->conf->rewrite != NULL) {
		edits.target = exchange_target(x, target, sizeof(target));
		out->failed = edits.target.ptr == NULL;
	}
	edits.fields = exchange_edit_request(x);
	if (edits.fields != NULL && edits.fields->failed)
		out->failed = true;
	if (!out->failed)
		rewrite_request(out, &x->request, &edits);
}

/* What the server did not take of the head at once. */
static enum step
send_rest(struct exchange *x)
{
	struct transport *t = &x->upstream->transport;

	while (buf_len(x->head_rest) > 0) {
		struct iovec iov = { buf_head(x->head_rest), buf_len(x->head_rest) };
		ssize_t n = t->writable ? transport_writev(t, &iov, 1) : IO_WAIT;

		if (n == IO_WAIT)
			return STEP_WAIT;
		if (n < 0)
			return server_closed(x);
		buf_consume(x->head_rest, (size_t)n);
	}
	buf_give(x->head_rest);
	x->head_rest = NULL;
	x->state = EXCHANGE_AWAIT;
	return STEP_NEXT;
}

/* The request body will not come to its end. */
static enum step
body_ended(struct exchange *x, ssize_t why)
{
	return exchange_end(x, why == IO_CLOSED ? END_CLIENT_CLOSED : END_REQUEST_MALFORMED);
}

enum step
exchange_send(struct exchange *x)
{
	struct upstream *up = x->upstream;
	const char *body = NULL;
	ssize_t body_len = 0, n;
	size_t head_len;
	struct outv out;

	if (x->head_rest != NULL)
		return send_rest(x);
	if (!x->body_done)
		body_len = x->ops->peek_body(x, &body);
	if (body_len == IO_CLOSED || body_len == IO_ERROR)
		return body_ended(x, body_len); /* the server need not see the head either */
	timer_set(&up->timer, x->listener->conf->timeouts.response);
	build_head(x, &out);
	if (out.failed) {
		outv_fini(&out);
		return exchange_end(x, END_REQUEST_TOO_LARGE);
	}
	head_len = out.len;
	n = transport_writev(
	    &up->transport, out.v, outv_behind(&out, body, body_len > 0 ? (size_t)body_len : 0));
	if (n == IO_WAIT)
		n = 0;
	if (n >= 0 && (size_t)n < head_len) {
		up->transport.writable = false;
		x->head_rest = outv_rest(&out, (size_t)n);
	} else if ((size_t)n > head_len && n >= 0) {
		size_t taken = (size_t)n - head_len;

		x->ops->consume_body(x, taken);
		x->body_begun = true;
		x->bytes_in += taken;
	}
	outv_fini(&out);
	if (n < 0)
		return server_closed(x);
	if (x->head_rest != NULL)
		return STEP_WAIT;
	x->state = EXCHANGE_AWAIT;
	return STEP_NEXT;
}

/*
 * Move the request body on as far as it goes.
 * Returns STEP_NEXT when the caller may go on with the response, STEP_GONE when the exchange ended.
 */
static enum step
push_body(struct exchange *x)
{
	struct transport *t = &x->upstream->transport;
	uint32_t timeout = x->listener->conf->timeouts.response;

	while (!x->body_done && !x->body_failed) {
		const char *bytes;
		ssize_t len = x->ops->peek_body(x, &bytes), n;
		struct iovec iov;

		if (len == 0) {
			x->body_done = true;
			if (!x->head_sent)
				timer_set(&x->upstream->timer, timeout);
			break;
		}
		if (len == IO_WAIT) {
			timer_clear(&x->upstream->timer); /* the front watches over its client */
			break;
		}
		if (len < 0)
			return body_ended(x, len);
		iov = (struct iovec){ (char *)(uintptr_t)bytes, (size_t)len };
		n = t->writable ? transport_writev(t, &iov, 1) : IO_WAIT;
		if (n == IO_WAIT) {
			timer_set(&x->upstream->timer, timeout);
			break;
		}
		if (n < 0) {
			/* It may have answered before it hung up: that answer counts. */
			x->body_failed = true;
			t->readable = true;
			break;
		}
		x->body_begun = true;
		x->ops->consume_body(x, (size_t)n);
		x->bytes_in += (uint64_t)n;
	}
	return STEP_NEXT;
}

/* Trailers go to the client behind the last data.  Returns -1 when there are too many. */
static int
keep_trailers(struct exchange *x, const char *bytes, size_t len)
{
	if (!x->wants_trailers || (x->trailers == NULL && bytes[0] == '\r'))
		return 0; /* the empty line: there are none */
	if (x->trailers == NULL)
		x->trailers = buf_take(BUF_SMALL);
	if (len > buf_room(x->trailers))
		return -1;
	memcpy(x->trailers->data + x->trailers->end, bytes, len);
	x->trailers->end += (uint32_t)len;
	return 0;
}

/*
 * How many more of the bytes that were read belong to the body: counts them into x->ready.
 * Returns 0, or -1 when the coding is broken.
 */
static int
frame(struct exchange *x)
{
	struct buf *in = x->upstream->in;
	size_t fresh = in != NULL ? buf_len(in) - x->ready : 0, at, len;
	bool decode = x->wants_decoded || x->gzip != NULL;
	ptrdiff_t n;

	switch ((enum framing)x->framing) {
	case FRAMING_NONE:
		x->response_complete = true;
		return 0;
	case FRAMING_LENGTH:
		if (fresh > x->body_left)
			fresh = (size_t)x->body_left;
		x->ready += fresh;
		x->body_left -= fresh;
		x->response_complete = x->body_left == 0;
		return 0;
	case FRAMING_CLOSE:
		x->ready += fresh;
		return 0;
	case FRAMING_CHUNKED:
		break;
	}
	if (fresh == 0)
		return 0;
	if (!decode) {
		n = chunked_skim(&x->chunked, buf_head(in) + x->ready, fresh);
		if (n < 0)
			return -1;
		x->ready += (size_t)n;
	}
	while (decode && x->ready == 0 && buf_len(in) > 0 && !chunked_is_end(&x->chunked)) {
		bool is_trailer = chunked_is_in_trailers(&x->chunked);

		n = chunked_next(&x->chunked, buf_head(in), buf_len(in), &at, &len);
		if (n < 0 || (is_trailer && keep_trailers(x, buf_head(in), (size_t)n) < 0))
			return -1;
		buf_consume(in, (size_t)n - len); /* the data stands at the end of what was taken */
		x->ready = len;
	}
	x->response_complete = chunked_is_end(&x->chunked);
	return 0;
}

int
exchange_frame(struct exchange *x)
{
	return frame(x);
}

enum step
exchange_response_failed(struct exchange *x, enum end end)
{
	return response_failed(x, end);
}

enum step
exchange_send_failed(struct exchange *x, int result)
{
	if (result != IO_CLOSED)
		return exchange_end(x, END_CLIENT_CLOSED);
	x->head_sent = false;
	return response_failed(x, END_RESPONSE_MALFORMED);
}

/* Offer the client what is ready.  STEP_NEXT: it took everything. */
static enum step
deliver(struct exchange *x, struct message *head)
{
	struct buf *in = x->upstream->in;
	const struct response_piece piece = {
		.head = head,
		.edits = head != NULL ? exchange_edit_response(x, head) : NULL,
		.body = in != NULL ? buf_head(in) : NULL,
		.len = x->ready,
		.is_last = x->response_complete,
	};
	size_t taken = 0;
	int sent;

	if (piece.edits != NULL && piece.edits->failed)
		return response_failed(x, END_RESPONSE_TOO_LARGE);
	if (x->gzip != NULL)
		return exchange_deliver_coded(x, head, piece.edits, false);
	sent = x->ops->send(x, &piece, &taken);
	if (sent < 0)
		return exchange_send_failed(x, sent);
	assert(taken <= x->ready && (in != NULL || taken == 0));
	x->ready -= taken;
	if (taken > 0)
		buf_consume(in, taken);
	if (x->ready == 0) {
		x->last_sent = piece.is_last;
		return STEP_NEXT;
	}
	timer_clear(
	    &x->upstream
		 ->timer); /* the server waits for the client; the front watches over that one */
	return STEP_WAIT;
}

/* A final head is parsed: what follows it, and may the connection be used again? */
static enum step
begin_relay(struct exchange *x)
{
	struct upstream *up = x->upstream;
	enum step step;

	x->status = response.status;
	x->framing = response.framing;
	x->body_left = response.content_length;
	chunked_init(&x->chunked);
	x->upstream_reusable = response.keep_alive && x->framing != FRAMING_CLOSE;
	x->first_byte_us = clock_us();
	eject_count_status(x->server, response.status);
	/*
	 * The head stays where it is until the front has taken it: buf_consume() only moves a
	 * position, but it resets an empty buffer, which does no harm before the next read.
	 */
	buf_consume(up->in, response.head_len);
	if (x->listener->conf->compression.gzip)
		exchange_choose_coding(x, &response);
	if (frame(x) < 0)
		return response_failed(x, END_RESPONSE_MALFORMED);
	x->state = EXCHANGE_RELAY;
	x->head_sent = true;
	step = deliver(x, &response);
	if (step == STEP_NEXT && x->response_complete)
		x->ended_us = x->first_byte_us;
	return step;
}

static enum step
interim_response(struct exchange *x)
{
	struct response_piece piece = { .head = &response };
	size_t taken;

	if (response.status == 101) {
		if (!x->request.upgrade || !response.upgrade)
			return response_failed(x, END_RESPONSE_MALFORMED);
		x->status = 101;
		eject_count_success(x->server);
		if (x->ops->send(x, &piece, &taken) < 0)
			return exchange_end(x, END_CLIENT_CLOSED);
		buf_consume(x->upstream->in, response.head_len);
		return exchange_switch(x);
	}
	if (++x->interim_count > INTERIM_MAX)
		return response_failed(x, END_RESPONSE_MALFORMED);
	if (x->ops->send(x, &piece, &taken) < 0)
		return exchange_end(x, END_CLIENT_CLOSED);
	buf_consume(x->upstream->in, response.head_len);
	x->scanned = 0;
	return STEP_NEXT;
}

/* Keep what was wrong with a head for `weirctl errors`. */
static enum step
bad_head(struct exchange *x, enum end end)
{
	struct buf *in = x->upstream->in;
	struct fault_report report = { .kind = FAULT_RESPONSE,
		.client = x->client,
		.listener = x->listener->conf->name,
		.pool = x->pool->conf->name,
		.server = x->server->conf->name,
		.reason = end_table[end].sentence,
		.data = buf_head(in),
		.len = buf_len(in) };

	report.position = report.len;
	if (end == END_RESPONSE_MALFORMED)
		report.reason = h1_fault(&report.position);
	faults_add(shm_faults(x->worker->shm, x->worker->slot), &report);
	return response_failed(x, end);
}

/* Try the bytes that are there as a response head. */
static enum step
parse_head(struct exchange *x)
{
	const struct limits_config *limits = &x->worker->config->global.limits;
	const struct h1_limits h1_limits = { limits->response_head, limits->headers };
	struct buf *in = x->upstream->in;

	switch (h1_parse_response(&response, buf_head(in), buf_len(in), &x->scanned, &h1_limits,
	    x->request.method == METHOD_HEAD)) {
	case H1_DONE:
		return response.status < 200 ? interim_response(x) : begin_relay(x);
	case H1_MORE:
		return STEP_WAIT;
	case H1_TOO_LARGE:
	case H1_TARGET_TOO_LONG:
		return bad_head(x, END_RESPONSE_TOO_LARGE);
	case H1_BAD:
	case H1_VERSION:
		break;
	}
	return bad_head(x, END_RESPONSE_MALFORMED);
}

/* Large from the start: head and body of most responses come in one read, and the pages not reached
 * cost nothing. */
static struct buf *
room_for_head(struct upstream *up)
{
	struct buf *in = up->in;

	if (in == NULL)
		in = up->in = buf_take(BUF_LARGE);
	if (buf_room(in) == 0 && in->start > 0) {
		memmove(in->data, buf_head(in), buf_len(in));
		in->end -= in->start;
		in->start = 0;
	}
	return in;
}

enum step
exchange_await(struct exchange *x)
{
	struct upstream *up = x->upstream;
	enum step step = push_body(x);

	if (step == STEP_GONE)
		return step;
	for (;;) {
		struct buf *in;
		ssize_t n;

		/* Behind a 1xx the next head may be there already. */
		if (up->in != NULL && buf_len(up->in) > x->scanned) {
			step = parse_head(x);
			if (step != STEP_WAIT || x->state != EXCHANGE_AWAIT)
				return step;
		}
		if (!can_read(x))
			break;
		in = room_for_head(up);
		if (buf_room(in) == 0)
			return response_failed(x, END_RESPONSE_TOO_LARGE);
		n = transport_read(&up->transport, in->data + in->end, buf_room(in));
		if (n == IO_WAIT)
			break;
		if (n < 0)
			return buf_len(in) > 0 ? response_failed(x, END_SERVER_CLOSED)
					       : server_closed(x);
		in->end += (uint32_t)n;
		x->may_be_reset = true;
	}
	if (up->in != NULL && buf_len(up->in) == 0) {
		buf_give(up->in);
		up->in = NULL;
	}
	return STEP_WAIT;
}

enum step
exchange_relay(struct exchange *x)
{
	struct upstream *up = x->upstream;
	enum step step = push_body(x);

	if (step == STEP_GONE)
		return step;
	for (int reads = 0;;) {
		struct buf *in;
		ssize_t n;

		if (exchange_has_more(x) || (x->response_complete && !x->last_sent)) {
			step = deliver(x, NULL);
			if (step != STEP_NEXT)
				return step;
		}
		if (x->response_complete) {
			/* Bytes behind the end: whose response would they be? */
			if (up->in != NULL && buf_len(up->in) > 0)
				x->upstream_reusable = false;
			return exchange_end(x, END_OK);
		}
		if ((x->wants_decoded || x->gzip != NULL) && up->in != NULL &&
		    buf_len(up->in) > 0) {
			if (frame(x) < 0)
				return response_failed(x, END_RESPONSE_TRUNCATED);
			if (x->ready > 0 || x->response_complete)
				continue;
		}
		if (!can_read(x))
			break;
		reads += x->gzip != NULL ? GZIP_READS : 1;
		if (reads > READS_MAX) {
			transport_yield(&up->transport);
			return STEP_WAIT;
		}
		if (up->in == NULL)
			up->in = buf_take(BUF_LARGE);
		in = up->in;
		n = transport_read(&up->transport, in->data + in->end, buf_room(in));
		if (n == IO_WAIT)
			break;
		if (n == IO_CLOSED && x->framing == FRAMING_CLOSE) {
			x->response_complete = true;
			continue;
		}
		if (n < 0)
			return response_failed(x, END_RESPONSE_TRUNCATED);
		in->end += (uint32_t)n;
		x->may_be_reset = true;
		if (frame(x) < 0)
			return response_failed(x, END_RESPONSE_TRUNCATED);
	}
	/* The server pauses: the client is to have what came before. */
	if (x->coding_holds) {
		step = exchange_deliver_coded(x, NULL, NULL, true);
		if (step != STEP_NEXT)
			return step;
	}
	if (up->in != NULL && buf_len(up->in) == 0) {
		buf_give(up->in);
		up->in = NULL;
	}
	timer_set(&up->timer, x->listener->conf->timeouts.response);
	return STEP_WAIT;
}
