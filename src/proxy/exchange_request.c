/* The request of an exchange on its way: head and body from the client to the server. */
#include "exchange_priv.h"
#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/edits.h"
#include "weir/outv.h"
#include "weir/rewrite.h"
#include "weir/route.h"
#include "weir/upstream.h"
#include "weir/websocket.h"

enum { TARGET_SIZE = 48 * 1024 };

/* HTTP/2 knows no switch but to WebSocket. */
static bool
passes_upgrade(const struct exchange *x)
{
	return x->upstream->leg == NULL ? x->request.upgrade : websocket_is_asked(&x->request);
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
		.upgrade = passes_upgrade(x),
		/* Does the client say that it takes them (RFC 9110 section 10.1.4)?  gRPC demands it. */
		.te_trailers = x->upstream->leg != NULL &&
			       message_has_element(&x->request, FIELD_TE, SLICE("trailers")),
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
		ssize_t n = t->writable ? transport_writev(t, &iov, 1) : IO_WAIT; /* no leg */

		if (n == IO_WAIT)
			return STEP_WAIT;
		if (n < 0)
			return exchange_server_closed(x);
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
	n = upstream_begin(
	    up, out.v, outv_behind(&out, body, body_len > 0 ? (size_t)body_len : 0), head_len);
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
		return exchange_server_closed(x);
	if (x->head_rest != NULL)
		return STEP_WAIT;
	x->state = EXCHANGE_AWAIT;
	return STEP_NEXT;
}

enum step
exchange_push_body(struct exchange *x)
{
	struct transport *t = &x->upstream->transport;
	uint32_t timeout = x->listener->conf->timeouts.response;

	while (!x->body_done && !x->body_failed) {
		const char *bytes;
		ssize_t len = x->ops->peek_body(x, &bytes), n;

		if (len == 0) {
			x->body_done = true;
			if (!x->head_sent)
				timer_set(&x->upstream->timer, timeout);
			break;
		}
		if (len == IO_WAIT) {
			if (!exchange_awaits_continue(x)) /* the front watches over its client */
				timer_clear(&x->upstream->timer);
			break;
		}
		if (len < 0)
			return body_ended(x, len);
		n = t->writable ? upstream_write(x->upstream, bytes, (size_t)len) : IO_WAIT;
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
