/*
 * h2_leg_request: the text of a request as a stream of HTTP/2.
 *
 * The text is what rewrite.c made of a request that was parsed strictly: it has no surprises, but
 * is not trusted to frame its body as it says.  What was sent is kept until the server begins to
 * answer, as far as it fits into one buffer: a server that refuses the stream has not looked at it,
 * and it can be sent again.
 */
#include "h2_upstream_priv.h"

#include <errno.h>
#include <string.h>

#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/h2_fields.h"
#include "weir/upstream.h"

/* ---- the head ---- */

/* Section 8.2.2: what is about the connection does not exist here.  Host is the authority. */
static bool
is_passed(const struct h2_leg *leg, struct slice name, struct slice value)
{
	switch (field_identify(name.ptr, name.len)) {
	case FIELD_HOST:
	case FIELD_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_UPGRADE:
		return false;
	case FIELD_TE:
		return slice_equal_nocase(value, SLICE("trailers"));
	case FIELD_OTHER: /* RFC 8441 section 5.1: HTTP/2 has no use for it */
		return !leg->is_connect || !slice_equal_nocase(name, WEBSOCKET_KEY);
	default:
		return true;
	}
}

static struct slice
cut_word(struct slice *rest)
{
	const char *end = memchr(rest->ptr, ' ', rest->len);
	struct slice word = { rest->ptr, end != NULL ? (size_t)(end - rest->ptr) : rest->len };
	size_t skip = end != NULL ? word.len + 1 : word.len;

	rest->ptr += skip;
	rest->len -= skip;
	return word;
}

/* Returns the host; how the text frames the body is noted, when it is read for the first time. */
static struct slice
read_head(struct h2_leg *leg, struct slice lines)
{
	struct slice name, value, host = { "", 0 };

	while (h2_fields_next_line(&lines, &name, &value)) {
		switch (field_identify(name.ptr, name.len)) {
		case FIELD_HOST:
			host = value;
			break;
		case FIELD_TRANSFER_ENCODING:
			leg->is_chunked = leg->has_body = true;
			break;
		case FIELD_UPGRADE: /* to WebSocket: no other is passed on */
			leg->is_connect = leg->has_body = true;
			break;
		case FIELD_CONTENT_LENGTH:
			if (leg->has_body)
				break;
			for (size_t i = 0; i < value.len; i++)
				leg->body_left =
				    leg->body_left * 10 + (uint64_t)(value.ptr[i] - '0');
			leg->has_body = leg->body_left > 0;
			break;
		case FIELD_OTHER:
			if (slice_equal_nocase(name, WEBSOCKET_KEY))
				websocket_accept(value, leg->accept);
			break;
		default:
			break;
		}
	}
	return host;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t size,
    uint32_t *flags, nghttp2_data_source *source, void *user);

static int
submit_failed(struct h2_leg *leg, enum end fault)
{
	h2_leg_fail(leg, fault, NULL);
	return -1;
}

int
h2_leg_submit(struct h2_leg *leg)
{
	static struct h2_fields f; /* one worker, one thread */
	nghttp2_data_provider provider = { .source.ptr = leg, .read_callback = read_body };
	nghttp2_session *session = leg->conn->session;
	struct slice text = { buf_head(leg->head), buf_len(leg->head) }, lines = text;
	const char *line_end = memchr(text.ptr, '\n', text.len);
	struct slice method = cut_word(&text), path = cut_word(&text), host, name, value;

	lines.ptr = line_end + 1;
	lines.len -= (size_t)(lines.ptr - buf_head(leg->head));
	host = read_head(leg, lines);
	leg->is_to_head = slice_equal(method, SLICE("HEAD"));
	/* RFC 8441 section 3: only where the server has said that it may be. */
	if (leg->is_connect && nghttp2_session_get_remote_settings(
				   session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) != 1)
		return submit_failed(leg, END_SERVER_UPGRADE);
	h2_fields_init(&f);
	h2_fields_add(&f, SLICE(":method"), leg->is_connect ? SLICE("CONNECT") : method);
	if (leg->is_connect)
		h2_fields_add(&f, SLICE(":protocol"), SLICE("websocket"));
	h2_fields_add(&f, SLICE(":scheme"),
	    pool_is_tls(leg->up->server->pool->conf) ? SLICE("https") : SLICE("http"));
	if (host.len > 0)
		h2_fields_add(&f, SLICE(":authority"), host);
	h2_fields_add(&f, SLICE(":path"), path);
	while (h2_fields_next_line(&lines, &name, &value))
		if (is_passed(leg, name, value))
			h2_fields_add(&f, name, value);
	if (f.failed)
		return submit_failed(leg, END_REQUEST_TOO_LARGE);
	leg->id = nghttp2_submit_request(
	    session, NULL, f.v, f.count, leg->has_body ? &provider : NULL, leg);
	if (leg->id < 0) {
		leg->id = 0;
		return submit_failed(leg, END_INTERNAL);
	}
	leg->begun_ms = now_ms;
	leg->heard_before = leg->conn->heard_count;
	h2_upstream_flush_later(leg->conn);
	return 0;
}

/* The head, as the text that it is. */
static void
keep_head(struct h2_leg *leg, const struct iovec *iov, int count, size_t head_len)
{
	leg->head = buf_take(head_len <= 15 * 1024 ? BUF_SMALL : BUF_LARGE);
	for (int i = 0; i < count && buf_len(leg->head) < head_len; i++) {
		size_t left = head_len - buf_len(leg->head);
		size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;

		memcpy(leg->head->data + leg->head->end, iov[i].iov_base, n);
		leg->head->end += (uint32_t)n;
	}
}

ssize_t
h2_leg_begin(struct h2_leg *leg, const struct iovec *iov, int count, size_t head_len)
{
	size_t before = 0, taken = head_len;

	leg->is_begun = true;
	if (leg->fault != END_OK || leg->conn == NULL)
		return IO_ERROR;
	keep_head(leg, iov, count, head_len);
	chunked_init(&leg->chunked);
	if (h2_leg_submit(leg) < 0)
		return IO_ERROR;
	for (int i = 0; i < count; before += iov[i].iov_len, i++) {
		const char *bytes = iov[i].iov_base;
		size_t skip = before < head_len ? head_len - before : 0;
		ssize_t n;

		if (skip >= iov[i].iov_len)
			continue;
		n = h2_leg_write(leg, bytes + skip, iov[i].iov_len - skip);
		if (n < 0)
			break; /* the head was taken; what fails now is told with the next call */
		taken += (size_t)n;
		if ((size_t)n < iov[i].iov_len - skip)
			break;
	}
	return (ssize_t)taken;
}

void
h2_leg_forget_request(struct h2_leg *leg)
{
	leg->may_repeat = false;
	buf_give(leg->head);
	leg->head = NULL;
}

/* ---- the body ---- */

static size_t
unsent(const struct h2_leg *leg)
{
	return leg->body != NULL ? leg->body->end - leg->sent : 0;
}

/* Room for more data, if need be instead of what was sent already. */
static size_t
make_room(struct h2_leg *leg)
{
	struct buf *body = leg->body;

	if (body == NULL)
		body = leg->body = buf_take(BUF_LARGE);
	if (buf_room(body) == 0 && leg->sent > 0) {
		leg->may_repeat = false;
		memmove(body->data, body->data + leg->sent, body->end - leg->sent);
		body->end -= leg->sent;
		leg->sent = 0;
	}
	return buf_room(body);
}

static void
keep(struct h2_leg *leg, const char *bytes, size_t len)
{
	memcpy(leg->body->data + leg->body->end, bytes, len);
	leg->body->end += (uint32_t)len;
}

static int
keep_trailers(struct h2_leg *leg, const char *bytes, size_t len)
{
	if (leg->trailers_out == NULL && bytes[0] == '\r')
		return 0; /* the empty line: there are none */
	if (leg->trailers_out == NULL)
		leg->trailers_out = buf_take(BUF_SMALL);
	if (len > buf_room(leg->trailers_out))
		return -1;
	memcpy(leg->trailers_out->data + leg->trailers_out->end, bytes, len);
	leg->trailers_out->end += (uint32_t)len;
	return 0;
}

/* Returns the bytes taken, or IO_ERROR: the client's framing is not what the front said. */
static ssize_t
take_chunked(struct h2_leg *leg, const char *bytes, size_t len)
{
	size_t taken = 0, at, data;

	while (taken < len && !chunked_is_end(&leg->chunked)) {
		size_t room = make_room(leg), part = len - taken < room ? len - taken : room;
		bool is_trailer = chunked_is_in_trailers(&leg->chunked);
		ptrdiff_t n;

		if (room == 0)
			break;
		n = chunked_next(&leg->chunked, bytes + taken, part, &at, &data);
		if (n < 0 || (is_trailer && keep_trailers(leg, bytes + taken, (size_t)n) < 0))
			return IO_ERROR;
		keep(leg, bytes + taken + at, data);
		taken += (size_t)n;
	}
	leg->is_body_complete = chunked_is_end(&leg->chunked);
	return (ssize_t)taken;
}

static ssize_t
take_length(struct h2_leg *leg, const char *bytes, size_t len)
{
	size_t room = make_room(leg), n = len < room ? len : room;

	if (n > leg->body_left)
		n = (size_t)leg->body_left;
	keep(leg, bytes, n);
	leg->body_left -= n;
	leg->is_body_complete = leg->body_left == 0;
	return (ssize_t)n;
}

/* What goes through a tunnel has no end of its own: h2_leg_finish(). */
static ssize_t
take_all(struct h2_leg *leg, const char *bytes, size_t len)
{
	size_t room = make_room(leg), n = len < room ? len : room;

	keep(leg, bytes, n);
	return (ssize_t)n;
}

static void
resume(struct h2_leg *leg)
{
	if (!leg->is_deferred || leg->id == 0 || (unsent(leg) == 0 && !leg->is_body_complete))
		return;
	leg->is_deferred = false;
	nghttp2_session_resume_data(leg->conn->session, leg->id);
	h2_upstream_flush_later(leg->conn);
}

ssize_t
h2_leg_write(struct h2_leg *leg, const char *bytes, size_t len)
{
	ssize_t n;

	/* A stream that is over (and not about to begin anew) takes no more. */
	if (leg->fault != END_OK || leg->conn == NULL || !leg->has_body ||
	    (leg->id == 0 && !leg->may_repeat))
		return IO_ERROR;
	n = leg->is_connect   ? take_all(leg, bytes, len)
	    : leg->is_chunked ? take_chunked(leg, bytes, len)
			      : take_length(leg, bytes, len);
	if (n < 0) {
		h2_leg_reset(leg, END_REQUEST_MALFORMED, NULL, NGHTTP2_CANCEL);
		return n;
	}
	resume(leg);
	if (n > 0)
		return n;
	leg->up->transport.writable = false;
	return IO_WAIT;
}

int
h2_leg_finish(struct h2_leg *leg)
{
	if (leg->is_body_sent)
		return 0;
	if (leg->fault != END_OK || leg->id == 0)
		return IO_ERROR;
	leg->is_body_complete = true;
	resume(leg);
	return IO_WAIT;
}

/* Returns -1 when there are none. */
static int
submit_trailers(struct h2_leg *leg)
{
	static struct h2_fields f; /* one worker, one thread */

	if (leg->trailers_out == NULL)
		return -1;
	h2_fields_init(&f);
	h2_fields_add_trailers(
	    &f, (struct slice){ buf_head(leg->trailers_out), buf_len(leg->trailers_out) });
	if (f.count == 0)
		return -1;
	return nghttp2_submit_trailer(leg->conn->session, leg->id, f.v, f.count) == 0 ? 0 : -1;
}

static ssize_t
read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
    nghttp2_data_source *source, void *user)
{
	struct h2_leg *leg = nghttp2_session_get_stream_user_data(session, id);
	size_t n;

	(void)source; /* the leg may be gone */
	(void)user;
	if (leg == NULL)
		return NGHTTP2_ERR_DEFERRED; /* the stream is being reset */
	n = unsent(leg) < size ? unsent(leg) : size;
	if (n > 0)
		memcpy(to, leg->body->data + leg->sent, n);
	leg->sent += (uint32_t)n;
	/* There is room, now or with make_room(). */
	if (n > 0 && !leg->up->transport.writable) {
		leg->up->transport.writable = true;
		h2_leg_wake(leg);
	}
	if (leg->is_body_complete && unsent(leg) == 0) {
		leg->is_body_sent = true;
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (leg->is_connect)
			h2_leg_wake(leg); /* h2_leg_finish() waits for it */
		if (submit_trailers(leg) == 0)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		return (ssize_t)n;
	}
	if (n > 0)
		return (ssize_t)n;
	leg->is_deferred = true;
	return NGHTTP2_ERR_DEFERRED;
}

void
h2_leg_rewind(struct h2_leg *leg)
{
	/* What the user gave stands in leg->body from its start; how far it was decoded stays. */
	leg->sent = 0;
	leg->is_deferred = leg->is_unsent = leg->is_body_sent = false;
}
