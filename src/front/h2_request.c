/*
 * h2_request: the fields and data of HTTP/2 streams as HTTP/1.1 requests.
 */
#include <stdio.h>

#include "h2_priv.h"
#include "weir/buf.h"
#include "weir/h1_parse.h"

enum {
	SEAL_ROOM = 16, /* in front of a body buffer, for the chunk size */
	SEAL_TAIL = 2   /* behind it, for CR LF */
};

/* ---- the head ---- */

static void
refuse(struct h2_stream *s, enum end end)
{
	if (!s->is_refused)
		s->refusal = end;
	s->is_refused = true;
}

static void
append(struct h2_stream *s, struct buf **buf, const void *bytes, size_t len)
{
	if (buf_append(buf, bytes, len) < 0)
		refuse(s, END_REQUEST_TOO_LARGE);
}

static void
append_text(struct h2_stream *s, const char *text)
{
	append(s, &s->head, text, strlen(text));
}

static struct slice
text_of(nghttp2_rcbuf *rcbuf)
{
	nghttp2_vec vec = { NULL, 0 };

	if (rcbuf != NULL)
		vec = nghttp2_rcbuf_get_buf(rcbuf);
	return (struct slice){ (const char *)vec.base, vec.len };
}

static void
append_line(struct h2_stream *s, struct buf **buf, struct slice name, struct slice value)
{
	append(s, buf, name.ptr, name.len);
	append(s, buf, ": ", 2);
	append(s, buf, value.ptr, value.len);
	append(s, buf, "\r\n", 2);
}

/* RFC 8441 section 5.1.  Returns -1 for all other protocols. */
static int
begin_websocket(struct h2_stream *s)
{
	if (!slice_equal(text_of(s->pseudo[H2_PSEUDO_PROTOCOL]), SLICE("websocket")) ||
	    websocket_new_key(s->websocket_key) < 0)
		return -1;
	append_text(s, "connection: upgrade\r\nupgrade: websocket\r\n");
	append_line(s, &s->head, SLICE("sec-websocket-key"), slice_of(s->websocket_key));
	return 0;
}

/* The pseudo-fields stand before all others (section 8.3); nghttp2 has checked that. */
static void
begin_head(struct h2_stream *s)
{
	struct slice method = text_of(s->pseudo[H2_PSEUDO_METHOD]),
		     path = text_of(s->pseudo[H2_PSEUDO_PATH]);
	struct slice authority = text_of(s->pseudo[H2_PSEUDO_AUTHORITY]);
	static const struct slice connect = SLICE("CONNECT");

	s->is_head_begun = true;
	s->is_connect = s->pseudo[H2_PSEUDO_PROTOCOL] != NULL && slice_equal(method, connect);
	if (s->is_connect)
		method = SLICE("GET");
	append(s, &s->head, method.ptr, method.len);
	append_text(s, " ");
	append(s, &s->head, path.ptr, path.len);
	append_text(s, " HTTP/1.1\r\n");
	if (s->pseudo[H2_PSEUDO_AUTHORITY] != NULL) {
		append_line(s, &s->head, SLICE("host"), authority);
		s->has_host = true;
	}
	/* CONNECT has no path; the other forms that HTTP/1 knows have no place here. */
	if (slice_equal(method, connect) || (s->is_connect && begin_websocket(s) < 0))
		refuse(s, END_METHOD);
	else if (path.len == 0 || (path.ptr[0] != '/' && !slice_equal(path, SLICE("*"))))
		refuse(s, END_REQUEST_MALFORMED);
}

static void
add_cookie(struct h2_stream *s, struct slice value)
{
	if (s->cookies != NULL)
		append(s, &s->cookies, "; ", 2);
	append(s, &s->cookies, value.ptr, value.len);
}

static int
pseudo_of(struct slice name)
{
	static const struct slice names[H2_PSEUDOS] = {
		[H2_PSEUDO_METHOD] = SLICE(":method"),
		[H2_PSEUDO_SCHEME] = SLICE(":scheme"),
		[H2_PSEUDO_AUTHORITY] = SLICE(":authority"),
		[H2_PSEUDO_PATH] = SLICE(":path"),
		[H2_PSEUDO_PROTOCOL] = SLICE(":protocol"),
	};

	for (int i = 0; i < H2_PSEUDOS; i++)
		if (slice_equal(name, names[i]))
			return i;
	return -1;
}

static void
add_field(struct h2_stream *s, struct slice name, struct slice value)
{
	if (!s->is_head_begun)
		begin_head(s);
	switch (field_identify(name.ptr, name.len)) {
	case FIELD_HOST:
		/* Section 8.3.1: beside :authority it may only repeat it. */
		if (s->pseudo[H2_PSEUDO_AUTHORITY] != NULL) {
			if (!slice_equal_nocase(value, text_of(s->pseudo[H2_PSEUDO_AUTHORITY])))
				refuse(s, END_REQUEST_MALFORMED);
			return;
		}
		s->has_host = true;
		break;
	case FIELD_COOKIE:
		add_cookie(s, value);
		return;
	case FIELD_CONTENT_LENGTH:
		s->has_length = true;
		break;
	case FIELD_TRANSFER_ENCODING:
	case FIELD_CONNECTION:
	case FIELD_UPGRADE:
		refuse(s, END_REQUEST_MALFORMED);
		return;
	default:
		if (s->is_connect && slice_equal_nocase(name, SLICE("sec-websocket-key")))
			return; /* ours is the server's */
		break;
	}
	append_line(s, &s->head, name, value);
}

/* Too many: the server must not take what there is for all of it. */
static void
add_trailer(
    struct h2_stream *s, struct slice name, struct slice value, const struct limits_config *limits)
{
	size_t used = s->trailers != NULL ? buf_len(s->trailers) : 0;

	if (s->has_bad_trailers || !field_may_trail(name))
		return;
	if (++s->field_count > limits->headers || name.len > limits->request_head ||
	    value.len > limits->request_head ||
	    used + name.len + value.len + 4 > limits->request_head) {
		s->has_bad_trailers = true;
		nghttp2_submit_rst_stream(
		    s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_ENHANCE_YOUR_CALM);
		return;
	}
	append_line(s, &s->trailers, name, value);
}

int
h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	h2->head_since_ms = now_ms;
	if (h2->open_count >= h2->client->listener->conf->http2.streams) {
		nghttp2_submit_rst_stream(
		    session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
		return 0;
	}
	s = slab_take(&h2->worker->h2_streams);
	memset(s, 0, sizeof(*s));
	s->h2 = h2;
	s->id = frame->hd.stream_id;
	TAILQ_INSERT_TAIL(&h2->streams, s, link);
	h2->stream_count++;
	h2->open_count++;
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

int
h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name_buf,
    nghttp2_rcbuf *value_buf, uint8_t flags, void *user)
{
	struct h2 *h2 = user;
	const struct limits_config *limits = &h2->worker->config->global.limits;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct slice name = text_of(name_buf), value = text_of(value_buf);
	int pseudo;

	(void)flags;
	if (s == NULL || s->is_refused)
		return 0;
	if (s->is_complete) {
		add_trailer(s, name, value, limits);
		return 0;
	}
	pseudo = name.len > 0 && name.ptr[0] == ':' ? pseudo_of(name) : -1;
	if (pseudo >= 0 && s->pseudo[pseudo] == NULL) {
		nghttp2_rcbuf_incref(value_buf);
		s->pseudo[pseudo] = value_buf;
		return 0;
	}
	if (++s->field_count > limits->headers)
		refuse(s, END_REQUEST_TOO_LARGE);
	else
		add_field(s, name, value);
	if (s->head != NULL && s->head->end > limits->request_head)
		refuse(s, END_REQUEST_TOO_LARGE);
	return 0;
}

static void
release_pseudo(struct h2_stream *s)
{
	for (int i = 0; i < H2_PSEUDOS; i++) {
		if (s->pseudo[i] != NULL)
			nghttp2_rcbuf_decref(s->pseudo[i]);
		s->pseudo[i] = NULL;
	}
}

void
h2_request_complete(struct h2_stream *s)
{
	if (!s->is_head_begun)
		begin_head(s);
	if (s->cookies != NULL)
		append_line(s, &s->head, SLICE("cookie"),
		    (struct slice){ buf_head(s->cookies), buf_len(s->cookies) });
	if (s->is_connect && s->has_length)
		refuse(s, END_REQUEST_MALFORMED); /* what follows is no body */
	if (!s->is_ended && !s->has_length && !s->is_connect)
		append_text(s, "transfer-encoding: chunked\r\n");
	append_text(s, "\r\n");
	release_pseudo(s);
	buf_give(s->cookies);
	s->cookies = NULL;
	s->is_complete = true;
	h2_wait(s);
}

void
h2_begin(struct h2_stream *s)
{
	struct worker *worker = s->h2->worker;
	const struct limits_config *limits = &worker->config->global.limits;
	const struct h1_limits h1_limits = { limits->request_head, limits->headers };
	uint32_t scanned = 0;
	struct exchange *x;

	if (s->is_refused) {
		h2_refuse(s, s->refusal, false);
		return;
	}
	x = exchange_new(worker, &h2_exchange_ops, s);
	switch (
	    h1_parse_request(&x->request, s->head->data, buf_len(s->head), &scanned, &h1_limits)) {
	case H1_DONE:
		break;
	case H1_TOO_LARGE:
		slab_give(&worker->exchanges, x);
		h2_refuse(s, END_REQUEST_TOO_LARGE, false);
		return;
	case H1_TARGET_TOO_LONG:
		slab_give(&worker->exchanges, x);
		h2_refuse(s, END_TARGET_TOO_LONG, false);
		return;
	case H1_MORE:
	case H1_BAD:
	case H1_VERSION:
		slab_give(&worker->exchanges, x);
		h2_refuse(s, END_REQUEST_MALFORMED, true);
		return;
	}
	s->x = x;
	x->transport = &s->h2->client->transport;
	x->is_tls = s->h2->client->transport.ssl != NULL;
	x->client_cert = transport_client_cert(&s->h2->client->transport);
	x->shown = transport_shown(&s->h2->client->transport);
	x->is_h2 = true;
	x->wants_decoded = true;
	x->wants_trailers = true;
	x->request.upgrade = x->request.upgrade && s->is_connect;
	x->tail = s->head->data + s->head->end - 2;
	x->tail_room = buf_room(s->head) + 2;
	client_local_address(s->h2->client, &x->local);
	exchange_start(x, s->h2->client->listener, &s->h2->client->address);
}

/* ---- the body ---- */

int
h2_on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
    size_t len, void *user)
{
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, stream_id);

	(void)flags;
	(void)user;
	if (s == NULL || s->is_refused || (s->is_begun && s->x == NULL && s->tunnel == NULL)) {
		/* Nobody wants it any more; the connection's window must not suffer. */
		nghttp2_session_consume(session, stream_id, len);
		return 0;
	}
	while (len > 0) {
		struct buf *last = s->body_last;
		size_t room = last != NULL ? buf_room(last) : 0, n;

		if (room <= SEAL_TAIL || (s->is_sealed && last == s->body_first)) {
			struct buf *fresh = buf_take(BUF_SMALL);

			fresh->start = fresh->end = SEAL_ROOM;
			fresh->next = NULL;
			if (last != NULL)
				last->next = fresh;
			else
				s->body_first = fresh;
			s->body_last = fresh;
			continue;
		}
		room -= SEAL_TAIL;
		n = len < room ? len : room;
		memcpy(last->data + last->end, data, n);
		last->end += (uint32_t)n;
		data += n;
		len -= n;
	}
	h2_move(s);
	h2_wait(s);
	return 0;
}

void
h2_request_ended(struct h2_stream *s)
{
	if (s->has_bad_trailers)
		return;
	s->is_ended = true;
	if (s->is_complete)
		h2_wait(s);
}

/* Frame the first buffer as one chunk, in place. */
static void
seal(struct h2_stream *s)
{
	struct buf *first = s->body_first;
	char size[SEAL_ROOM + 1];
	int n = snprintf(size, sizeof(size), "%x\r\n", (unsigned)buf_len(first));

	s->sealed_data = (uint32_t)buf_len(first);
	s->is_sealed = true;
	first->start -= (uint32_t)n;
	memcpy(buf_head(first), size, (size_t)n);
	memcpy(first->data + first->end, "\r\n", 2);
	first->end += 2;
}

/* The last chunk, with the trailers. */
static void
frame_end(struct h2_stream *s)
{
	struct buf *end = buf_take(BUF_LARGE);

	end->next = NULL;
	memcpy(end->data, "0\r\n", 3);
	end->end = 3;
	if (s->trailers != NULL && buf_len(s->trailers) + 5 <= buf_room(end)) {
		memcpy(end->data + end->end, buf_head(s->trailers), buf_len(s->trailers));
		end->end += (uint32_t)buf_len(s->trailers);
	}
	memcpy(end->data + end->end, "\r\n", 2);
	end->end += 2;
	s->body_first = s->body_last = end;
	s->is_sealed = true;
	s->sealed_data = 0;
	s->is_end_framed = true;
}

ssize_t
h2_peek_body(struct exchange *x, const char **bytes)
{
	struct h2_stream *s = x->front;

	if (s->body_first == NULL) {
		if (s->is_closed && !s->is_ended)
			return IO_CLOSED;
		if (!s->is_ended) {
			h2_stall(s);
			return IO_WAIT;
		}
		if (x->request.framing != FRAMING_CHUNKED || s->is_end_framed)
			return 0;
		frame_end(s);
	}
	if (x->request.framing == FRAMING_CHUNKED && !s->is_sealed)
		seal(s);
	*bytes = buf_head(s->body_first);
	return (ssize_t)buf_len(s->body_first);
}

void
h2_consume_body(struct exchange *x, size_t len)
{
	h2_consume(x->front, len);
}

void
h2_consume(struct h2_stream *s, size_t len)
{
	struct buf *first = s->body_first;
	bool is_last_byte = len == buf_len(first);
	size_t data = s->is_sealed ? (is_last_byte ? s->sealed_data : 0) : len;

	/* The client may send as much again. */
	if (data > 0) {
		if (!s->is_closed)
			nghttp2_session_consume(s->h2->session, s->id, data);
		else
			nghttp2_session_consume_connection(s->h2->session, data);
		worker_defer(s->h2->worker, &s->h2->deferred);
	}
	h2_move(s);
	if (!is_last_byte) {
		first->start += (uint32_t)len;
		return;
	}
	s->body_first = first->next;
	if (s->body_first == NULL)
		s->body_last = NULL;
	s->is_sealed = false;
	first->start = first->end;
	buf_give(first);
}

void
h2_request_free(struct h2_stream *s)
{
	size_t unread = 0;

	while (s->body_first != NULL) {
		struct buf *first = s->body_first;

		unread += s->is_sealed ? s->sealed_data : buf_len(first);
		s->is_sealed = false;
		s->body_first = first->next;
		buf_give(first);
	}
	s->body_last = NULL;
	if (unread > 0 && s->h2->session != NULL)
		nghttp2_session_consume_connection(s->h2->session, unread);
	release_pseudo(s);
	buf_give(s->head);
	buf_give(s->cookies);
	buf_give(s->trailers);
	s->head = s->cookies = s->trailers = NULL;
}
