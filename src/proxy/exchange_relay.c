/* The response of an exchange on its way: head and body from the server to the client. */
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
	HEAD_ROOM = 64    /* before a response head, for a line that is added at its beginning */
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
	server_count_error(x->server, TALLY_RESPONSE_ERRORS, end);
	eject_count_failure(x->server, end);
	x->reset_code = upstream_reset_code(x->upstream);
	return exchange_end(x, end);
}

/* Keep what was wrong with a response for `weirctl errors`. */
static void
note_fault(const struct exchange *x, const char *reason, size_t position, const struct buf *in)
{
	faults_add(shm_faults(x->worker->shm, x->worker->slot),
	    &(struct fault_report){ .kind = FAULT_RESPONSE,
		.client = x->client,
		.listener = x->listener->conf->name,
		.pool = x->pool->conf->name,
		.server = x->server->conf->name,
		.reason = reason,
		.position = position,
		.data = in != NULL ? in->data + in->start : NULL,
		.len = in != NULL ? buf_len(in) : 0 });
}

/*
 * A stream of HTTP/2 failed before the response began.  What the server says it has not looked at
 * may go to another one (RFC 9113 section 8.7), whatever the method.
 */
static enum step
leg_failed(struct exchange *x, enum end end)
{
	if (end == END_RESPONSE_MALFORMED && h2_leg_reason(x->upstream->leg) != NULL)
		note_fault(x, h2_leg_reason(x->upstream->leg), FAULT_NOWHERE, NULL);
	if (end == END_SERVER_REFUSED && !x->body_begun && x->interim_count == 0) {
		x->reset_code = upstream_reset_code(x->upstream);
		return exchange_connect_failed(x, end);
	}
	if (end == END_SERVER_UPGRADE)
		return exchange_end(x, end); /* and nothing is wrong with the server */
	return response_failed(x, end);
}

/*
 * The server closed before it answered.  A kept connection may have been dead all along: then a
 * request that is safe to repeat, and can be, goes out once more on a new one (RFC 9110
 * section 9.2.2).
 */
enum step
exchange_server_closed(struct exchange *x)
{
	if (x->upstream->leg != NULL && !h2_leg_was_cut(x->upstream->leg))
		return leg_failed(x, h2_leg_fault(x->upstream->leg));
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
 * The message says that the response is over.  HTTP/2 may have trailers then, too, or say that it
 * is not so.
 */
static bool
may_end(struct exchange *x)
{
	if (!upstream_may_end(x->upstream))
		return false;
	if (x->upstream->leg != NULL && x->wants_trailers && x->trailers == NULL)
		x->trailers = h2_leg_take_trailers(x->upstream->leg);
	return true;
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
		x->response_complete = may_end(x);
		return 0;
	case FRAMING_LENGTH:
		if (fresh > x->body_left)
			fresh = (size_t)x->body_left;
		x->ready += fresh;
		x->body_left -= fresh;
		x->response_complete = x->body_left == 0 && may_end(x);
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
		.room = head != NULL && in != NULL ? (size_t)(head->base - in->data) : 0,
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

/* RFC 9110 section 7.8: a server must not switch to a protocol that the client did not name. */
static bool
was_offered(const struct exchange *x)
{
	for (unsigned i = 0; i < response.field_count; i++) {
		struct slice rest = message_value(&response, &response.fields[i]), protocol;

		while (response.fields[i].id == FIELD_UPGRADE && list_next(&rest, &protocol))
			if (!message_has_element(&x->request, FIELD_UPGRADE, protocol))
				return false;
	}
	return true;
}

static enum step
interim_response(struct exchange *x)
{
	struct response_piece piece = { .head = &response };
	size_t taken;

	if (response.status == 101) {
		if (!x->request.upgrade || !response.upgrade || !was_offered(x))
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

static enum step
bad_head(struct exchange *x, enum end end)
{
	const struct buf *in = x->upstream->in;
	const char *reason = end_table[end].sentence;
	size_t position = buf_len(in);

	if (end == END_RESPONSE_MALFORMED)
		reason = h1_fault(&position);
	note_fault(x, reason, position, in);
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

	if (in == NULL) {
		in = up->in = buf_take(BUF_LARGE);
		in->start = in->end = HEAD_ROOM;
	}
	if (buf_room(in) == 0)
		buf_pack(in);
	return in;
}

enum step
exchange_await(struct exchange *x)
{
	struct upstream *up = x->upstream;
	enum step step = exchange_push_body(x);

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
		n = upstream_read(up, in->data + in->end, buf_room(in));
		if (n == IO_WAIT)
			break;
		if (n < 0)
			return buf_len(in) > 0 ? response_failed(x, END_SERVER_CLOSED)
					       : exchange_server_closed(x);
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
	enum step step = exchange_push_body(x);

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
			upstream_yield(up);
			return STEP_WAIT;
		}
		if (up->in == NULL)
			up->in = buf_take(BUF_LARGE);
		in = up->in;
		n = upstream_read(up, in->data + in->end, buf_room(in));
		if (n == IO_WAIT)
			break;
		if (n == IO_CLOSED && x->framing == FRAMING_CLOSE) {
			x->response_complete = true;
			continue;
		}
		/* HTTP/2: the end came behind the last byte that the length counts. */
		if (n == IO_CLOSED && up->leg != NULL && frame(x) == 0 && x->response_complete)
			continue;
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
