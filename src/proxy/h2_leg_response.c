/*
 * h2_leg_response: what a server sends on a stream of HTTP/2, as the text of an HTTP/1.1 response.
 *
 * A body without a length becomes a chunked one, so that its end is known to everybody, and the
 * trailers with it.  nghttp2 has checked what RFC 9113 section 8 demands (pseudo-fields, names and
 * values, content-length against data); the text then passes the parser that all responses pass.
 */
#include "h2_upstream_priv.h"

#include <stdio.h>
#include <string.h>

#include "weir/buf.h"
#include "weir/message.h"
#include "weir/reply.h"
#include "weir/slice.h"
#include "weir/upstream.h"

enum {
	CHUNK_BEFORE = 12, /* the largest size of a chunk in hex, CR LF */
	CHUNK_ROOM = 64    /* in less than that no chunk is begun */
};

/* ---- heads ---- */

static void
too_large(struct h2_leg *leg)
{
	h2_leg_reset(leg, END_RESPONSE_TOO_LARGE, NULL, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void
append(struct h2_leg *leg, struct buf **buf, const void *bytes, size_t len)
{
	if (buf_append(buf, bytes, len) < 0)
		too_large(leg);
}

static void
append_text(struct h2_leg *leg, const char *text)
{
	append(leg, &leg->lines, text, strlen(text));
}

static void
append_line(struct h2_leg *leg, struct buf **buf, struct slice name, struct slice value)
{
	append(leg, buf, name.ptr, name.len);
	append(leg, buf, ": ", 2);
	append(leg, buf, value.ptr, value.len);
	append(leg, buf, "\r\n", 2);
}

int
h2_leg_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2_leg *leg = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)user;
	if (leg == NULL || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	leg->field_count = leg->field_bytes = 0;
	leg->has_length = false;
	leg->status = 0;
	return 0;
}

/* What is 101 in HTTP/1.1 (RFC 8441 section 5). */
static void
begin_switch(struct h2_leg *leg)
{
	leg->is_switched = true;
	append_text(leg, "HTTP/1.1 101 Switching Protocols\r\n"
			 "connection: upgrade\r\nupgrade: websocket\r\n");
	append_line(leg, &leg->lines, WEBSOCKET_ACCEPT, slice_of(leg->accept));
}

static void
begin_head(struct h2_leg *leg, struct slice status)
{
	for (size_t i = 0; i < status.len && i < 3; i++)
		leg->status = (uint16_t)(leg->status * 10 + (status.ptr[i] - '0'));
	if (leg->is_connect && leg->status / 100 == 2) {
		begin_switch(leg);
		return;
	}
	append_text(leg, "HTTP/1.1 ");
	append(leg, &leg->lines, status.ptr, status.len);
	append_text(leg, " ");
	append_text(leg, reply_reason(leg->status)); /* some clients want one */
	append_text(leg, "\r\n");
}

static void
add_trailer(struct h2_leg *leg, struct slice name, struct slice value)
{
	size_t used = leg->trailers != NULL ? buf_len(leg->trailers) : 0;

	if (!field_may_trail(name))
		return;
	/* As chunked.c reads them. */
	if (used + name.len + value.len + 4 > CHUNKED_TRAILERS_MAX)
		too_large(leg);
	else
		append_line(leg, &leg->trailers, name, value);
}

static void
add_field(struct h2_leg *leg, struct slice name, struct slice value)
{
	switch (field_identify(name.ptr, name.len)) {
	case FIELD_CONTENT_LENGTH:
		if (leg->is_switched)
			return; /* RFC 9110 section 9.3.6: ignored in a 2xx to CONNECT */
		leg->has_length = true;
		break;
	case FIELD_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_UPGRADE:
		/* Section 8.2.2: malformed, and what would frame the text is ours alone. */
		h2_leg_reset(leg, END_RESPONSE_MALFORMED, "connection-specific field in HTTP/2",
		    NGHTTP2_PROTOCOL_ERROR);
		return;
	case FIELD_OTHER:
		if (leg->is_switched && slice_equal(name, WEBSOCKET_ACCEPT))
			return; /* the client needs ours */
		break;
	default:
		break;
	}
	append_line(leg, &leg->lines, name, value);
}

int
h2_leg_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_bytes,
    size_t name_len, const uint8_t *value_bytes, size_t value_len, uint8_t flags, void *user)
{
	struct h2_leg *leg = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct slice name = { (const char *)name_bytes, name_len };
	struct slice value = { (const char *)value_bytes, value_len };
	const struct limits_config *limits;

	(void)flags;
	(void)user;
	if (leg == NULL || leg->fault != END_OK)
		return 0;
	limits = &leg->up->worker->config->global.limits;
	/* The same bounds as for text, and no addition that overflows. */
	if (name.len > limits->response_head || value.len > limits->response_head ||
	    (leg->field_bytes += (uint32_t)(name.len + value.len + 4)) > limits->response_head ||
	    (name.ptr[0] != ':' && ++leg->field_count > limits->headers)) {
		too_large(leg);
		return 0;
	}
	if (leg->has_head)
		add_trailer(leg, name, value);
	else if (slice_equal(name, SLICE(":status")))
		begin_head(leg, value);
	else
		add_field(leg, name, value);
	return 0;
}

static bool
has_no_body(const struct h2_leg *leg)
{
	return leg->is_to_head || leg->is_switched || leg->status == 204 || leg->status == 304;
}

static void
tell(struct h2_leg *leg)
{
	leg->up->transport.readable = true;
	h2_leg_wake(leg);
}

void
h2_leg_on_headers_end(struct h2_leg *leg, bool is_end)
{
	if (leg->fault == END_OK && !leg->has_head) {
		h2_leg_forget_request(leg);
		leg->has_head = leg->status >= 200;
		leg->is_response_chunked = leg->has_head && !leg->has_length && !has_no_body(leg);
		append_text(
		    leg, leg->is_response_chunked ? "transfer-encoding: chunked\r\n\r\n" : "\r\n");
		leg->lines_ready = (uint32_t)buf_len(leg->lines);
	}
	if (is_end)
		h2_leg_on_end(leg);
	else
		tell(leg);
}

void
h2_leg_on_end(struct h2_leg *leg)
{
	if (leg->fault == END_OK)
		leg->has_ended = true;
	tell(leg);
}

/* ---- the body ---- */

int
h2_leg_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
    void *user)
{
	struct h2_leg *leg = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	(void)user;
	/* What is kept is bounded by the stream's window; the connection's is for the others. */
	nghttp2_session_consume_connection(session, len);
	if (leg == NULL || leg->fault != END_OK)
		return 0;
	while (len > 0) {
		struct buf *last = leg->data_last;
		size_t room = last != NULL ? buf_room(last) : 0, n = len < room ? len : room;

		if (room == 0) {
			struct buf *fresh = buf_take(BUF_LARGE);

			fresh->next = NULL;
			if (last != NULL)
				last->next = fresh;
			else
				leg->data_first = fresh;
			leg->data_last = fresh;
			continue;
		}
		memcpy(last->data + last->end, data, n);
		last->end += (uint32_t)n;
		data += n;
		len -= n;
	}
	tell(leg);
	return 0;
}

/* The bytes of the first data buffer up to `len` were read: the server may send as much again. */
static void
consume_data(struct h2_leg *leg, size_t len)
{
	struct buf *first = leg->data_first;

	if (leg->id > 0 && !leg->has_ended) {
		nghttp2_session_consume_stream(leg->conn->session, leg->id, len);
		h2_upstream_flush_later(leg->conn);
	}
	if (len < buf_len(first)) {
		first->start += (uint32_t)len;
		return;
	}
	leg->data_first = first->next;
	if (leg->data_first == NULL)
		leg->data_last = NULL;
	buf_give(first);
}

static size_t
read_lines(struct h2_leg *leg, char *to, size_t size)
{
	size_t n = leg->lines_ready < size ? leg->lines_ready : size;

	memcpy(to, buf_head(leg->lines), n);
	buf_consume(leg->lines, n);
	leg->lines_ready -= (uint32_t)n;
	if (buf_len(leg->lines) == 0) {
		buf_give(leg->lines);
		leg->lines = NULL;
	}
	return n;
}

static size_t
read_data(struct h2_leg *leg, char *to, size_t size)
{
	size_t len = buf_len(leg->data_first), before = 0;

	if (leg->is_response_chunked) {
		if (size < CHUNK_ROOM)
			return 0;
		size -= CHUNK_BEFORE + 2;
		len = len < size ? len : size;
		before = (size_t)snprintf(to, CHUNK_BEFORE, "%zx\r\n", len);
		memcpy(to + before + len, "\r\n", 2);
	}
	len = len < size ? len : size;
	memcpy(to + before, buf_head(leg->data_first), len);
	consume_data(leg, len);
	return leg->is_response_chunked ? before + len + 2 : len;
}

/* The last chunk and the trailers, as a whole. */
static size_t
read_end(struct h2_leg *leg, char *to, size_t size)
{
	size_t trailers = leg->trailers != NULL ? buf_len(leg->trailers) : 0;

	if (size < trailers + 5)
		return 0;
	memcpy(to, "0\r\n", 3);
	if (trailers > 0)
		memcpy(to + 3, buf_head(leg->trailers), trailers);
	memcpy(to + 3 + trailers, "\r\n", 2);
	leg->is_end_read = true;
	return trailers + 5;
}

static size_t
read_some(struct h2_leg *leg, char *to, size_t size)
{
	if (leg->lines_ready > 0)
		return read_lines(leg, to, size);
	if (leg->data_first != NULL)
		return read_data(leg, to, size);
	if (leg->has_ended && leg->is_response_chunked && !leg->is_end_read)
		return read_end(leg, to, size);
	return 0;
}

ssize_t
h2_leg_read(struct h2_leg *leg, char *to, size_t size)
{
	size_t len = 0, n;

	do {
		n = read_some(leg, to + len, size - len);
		len += n;
	} while (n > 0 && len < size);
	if (len > 0)
		return (
		    ssize_t)len; /* and `readable` stays: what follows, if anything, is asked for */
	if (leg->has_ended && leg->data_first == NULL)
		return IO_CLOSED;
	if (leg->fault == END_OK && leg->data_first != NULL)
		h2_leg_reset(
		    leg, END_RESPONSE_TOO_LARGE, NULL, NGHTTP2_CANCEL); /* a head without end */
	if (leg->fault != END_OK)
		return IO_ERROR;
	leg->up->transport.readable = false;
	return IO_WAIT;
}

bool
h2_leg_has_ended(const struct h2_leg *leg)
{
	return leg->has_ended && leg->lines == NULL && leg->data_first == NULL;
}

struct buf *
h2_leg_take_trailers(struct h2_leg *leg)
{
	struct buf *trailers = leg->trailers;

	leg->trailers = NULL;
	return trailers;
}

void
h2_leg_free_response(struct h2_leg *leg)
{
	while (leg->data_first != NULL) {
		struct buf *first = leg->data_first;

		leg->data_first = first->next;
		buf_give(first);
	}
	leg->data_last = NULL;
	buf_give(leg->lines);
	buf_give(leg->trailers);
	leg->lines = leg->trailers = NULL;
}
