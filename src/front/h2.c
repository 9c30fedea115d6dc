#include "weir/h2.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>

#include "h2_priv.h"
#include "weir/arena.h"
#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/h2_codes.h"
#include "weir/h2_frames.h"
#include "weir/log.h"

enum {
	READS_MAX = 8,        /* in one go, so that one busy client cannot starve the others */
	QUEUE_MAX = 256,      /* frames of nghttp2's own that wait to be made */
	HEAD_MAX = 256 * 1024 /* of a response, counted as nghttp2 does: no bound of its own */
};

static nghttp2_session_callbacks *callbacks; /* live as long as the process */
static nghttp2_option *option;

static const struct http2_config *
config_of(const struct h2 *h2)
{
	return &h2->client->listener->conf->http2;
}

void
h2_wait(struct h2_stream *s)
{
	if (s->is_waiting)
		return;
	s->is_waiting = true;
	TAILQ_INSERT_TAIL(&s->h2->todo, s, waiting);
}

void
h2_stream_free(struct h2_stream *s)
{
	struct h2 *h2 = s->h2;

	if (s->is_waiting)
		TAILQ_REMOVE(&h2->todo, s, waiting);
	TAILQ_REMOVE(&h2->streams, s, link);
	if (--h2->stream_count == 0) {
		h2->idle_since_ms = now_ms;
		if (h2->client->listener->conf->timeouts.client_idle == 0 && !h2->is_broken)
			h2_say_goodbye(h2);
	}
	h2_tunnel_free(s);
	h2_request_free(s);
	buf_give(s->reply);
	buf_give(s->trailers_out);
	slab_give(&h2->worker->h2_streams, s);
}

/* ---- nghttp2's callbacks ---- */

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	int result = h2_watch_received(h2, frame);

	if (result != 0)
		return result;
	if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) &&
	    h2->drain_since_ms != 0)
		h2_say_goodbye(h2);
	if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_SETTINGS)
		h2->head_since_ms = 0;
	if (s == NULL)
		return 0;
	if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		h2_request_ended(s);
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		h2_request_complete(s);
	return 0;
}

/* A response that is complete while the client still sends its body: it may stop (RFC 9113 section
 * 8.1). */
static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (s != NULL && !s->is_ended && s->tunnel == NULL &&
	    (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
	h2_watch_sent(h2, frame);
	h2_fault_sent(h2, frame);
	return 0;
}

/* A field that no HTTP/2 message may have makes the stream's request malformed (section 8.2.1);
 * nghttp2 alone would leave it out. */
static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
    nghttp2_rcbuf *value, uint8_t flags, void *user)
{
	(void)flags;
	h2_fault_field(
	    user, nghttp2_session_get_stream_user_data(session, frame->hd.stream_id), name, value);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)user;
	if (s == NULL)
		return 0;
	s->reset_code = error;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	s->is_closed = true;
	s->h2->open_count--;
	h2_wait(s); /* nothing may be freed here: nghttp2 and an exchange may be on the stack */
	return 0;
}

static int
set_up(void)
{
	if (callbacks != NULL)
		return 0;
	if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
		return -1;
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, h2_on_begin_headers);
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, h2_on_begin_frame);
	nghttp2_session_callbacks_set_on_header_callback2(callbacks, h2_on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_outbound_ack(option, 100);
	nghttp2_option_set_max_send_header_block_length(option, HEAD_MAX);
	return 0;
}

/* ---- frames out ---- */

void
h2_make_output(struct h2 *h2)
{
	if (h2->is_broken || h2->is_receiving)
		return;
	if (h2_frames_fill(h2->session, &h2->out) < 0)
		h2->is_broken = true;
}

/* Returns 0 when the client took everything, IO_WAIT or IO_ERROR. */
static int
write_output(struct h2 *h2)
{
	struct transport *t = &h2->client->transport;

	for (;;) {
		int result;

		h2_make_output(h2);
		if (h2->out == NULL)
			return transport_flush(t);
		result = transport_write_buf(t, &h2->out);
		if (result < 0)
			return result;
		h2->out_stalled_ms = 0;
	}
}

/* The stream is over, for the client; frees it. */
static void
give_up(struct h2_stream *s)
{
	s->is_closed = true;
	if (s->x != NULL) {
		s->x->reset_code = h2_codes_give_up(s->reset_code);
		exchange_fail(s->x, END_CLIENT_CLOSED); /* frees the stream */
	} else {
		h2_stream_free(s);
	}
}

/* What the callbacks put off: requests that came, bodies that go on, streams that ended. */
static void
advance(struct h2 *h2)
{
	struct h2_stream *s;

	while ((s = TAILQ_FIRST(&h2->todo)) != NULL) {
		TAILQ_REMOVE(&h2->todo, s, waiting);
		s->is_waiting = false;
		if (s->is_closed && !h2_tunnel_lingers(s)) {
			give_up(s);
		} else if (s->is_complete && !s->is_begun && !h2->is_deaf) {
			s->is_begun = true;
			h2_begin(s);
		} else if (s->x != NULL) {
			exchange_run(s->x);
		} else if (s->tunnel != NULL) {
			h2_tunnel_run(s);
		}
	}
}

/*
 * nghttp2 wants no more: after an error, or GOAWAY and the last stream.  What is left of streams
 * has no one to talk to.
 */
static bool
is_over(const struct h2 *h2)
{
	return h2->out == NULL && !nghttp2_session_want_read(h2->session) &&
	       !nghttp2_session_want_write(h2->session);
}

void
h2_terminate(struct h2 *h2, uint32_t error)
{
	h2->is_deaf = true;
	nghttp2_session_terminate_session(h2->session, error);
	worker_defer(h2->worker, &h2->deferred);
}

static enum h2_result
flush(struct h2 *h2)
{
	int result;

	advance(h2);
	result = write_output(h2);
	/* Writing made room: streams that waited for it are told, and may have more to write. */
	while (result == 0 && !TAILQ_EMPTY(&h2->todo)) {
		advance(h2);
		result = write_output(h2);
	}
	if (h2->is_flooding && !h2->is_deaf) {
		h2_terminate(h2, NGHTTP2_ENHANCE_YOUR_CALM);
		result = write_output(h2);
	}
	if (result == IO_ERROR || h2->is_broken)
		return H2_RESET;
	if (result == 0 && is_over(h2))
		return H2_CLOSE;
	if (result == IO_WAIT && h2->out_stalled_ms == 0)
		h2->out_stalled_ms = now_ms;
	else if (result == 0)
		h2->out_stalled_ms = 0;
	return H2_WAIT;
}

static ssize_t
feed(struct h2 *h2, const char *bytes, size_t len)
{
	ssize_t n;

	h2->is_receiving = true;
	n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes, len);
	h2->is_receiving = false;
	return n;
}

static void
receive(struct h2 *h2, const char *bytes, size_t len)
{
	size_t part = len;
	ssize_t n = 0;

	if (h2->is_deaf)
		return;
	do {
		part = h2_scan(h2, bytes, len);
		if (part > 0)
			n = feed(h2, bytes, part);
		if (n >= 0 && part < len)
			h2_check_data(h2);
		bytes += part;
		len -= part;
	} while (n >= 0 && len > 0);
	if (n >= 0)
		return;
	if (n == NGHTTP2_ERR_FLOODED && !h2->is_flooding) {
		h2->is_flooding = true;
		tally_add(h2->client->listener->tally, TALLY_FLOODS, 1);
	}
	h2_terminate(h2, h2->is_flooding  ? NGHTTP2_ENHANCE_YOUR_CALM
			 : h2->error != 0 ? h2->error
					  : NGHTTP2_PROTOCOL_ERROR);
}

static void
on_turn_end(struct deferred *deferred)
{
	struct h2 *h2 = (struct h2 *)(void *)deferred;
	enum h2_result result = flush(h2);

	if (result != H2_WAIT)
		h2->end(h2->client, result == H2_RESET);
}

enum h2_result
h2_run(struct h2 *h2)
{
	static char bytes[32 * 1024]; /* what is read is parsed at once */
	struct transport *t = &h2->client->transport;

	for (int reads = 0; t->readable && (h2->out == NULL || buf_len(h2->out) < H2_FRAME_MAX);
	     reads++) {
		ssize_t n;

		if (reads == READS_MAX) {
			transport_yield(t);
			break;
		}
		n = transport_read(t, bytes, sizeof(bytes));
		if (n == IO_WAIT)
			break;
		if (n < 0)
			return n == IO_CLOSED && h2->stream_count == 0 ? H2_CLOSE : H2_RESET;
		receive(h2, bytes, (size_t)n);
		/* Answers to what is wrong are counted when they are made. */
		if (nghttp2_session_get_outbound_queue_size(h2->session) > QUEUE_MAX)
			h2_make_output(h2);
	}
	/* Frames leave at the end of the turn: then those of all streams that this turn moved go
	 * together. */
	advance(h2);
	worker_defer(h2->worker, &h2->deferred);
	return h2->is_broken ? H2_RESET : H2_WAIT;
}

/* ---- life ---- */

/*
 * Our SETTINGS go out first of all.  nghttp2 would end the connection of a client that opens more
 * streams than it knows it may; section 5.1.2 lets us refuse that stream alone, as
 * h2_on_begin_headers() does.  So nghttp2 is told of no limit, and the frame that it made of one.
 */
static int
announce(struct h2 *h2)
{
	enum { SETTINGS_COUNT = 4, FRAME_HEAD = 9, ID_LEN = 2 };
	const struct http2_config *conf = config_of(h2);
	nghttp2_settings_entry settings[SETTINGS_COUNT] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, UINT32_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conf->window },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
		    h2->worker->config->global.limits.request_head },
		{ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
	};
	uint32_t streams = htonl(conf->streams);
	char *entry;

	if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, SETTINGS_COUNT) !=
		0 ||
	    nghttp2_session_set_local_window_size(
		h2->session, NGHTTP2_FLAG_NONE, 0, (int32_t)(conf->window * 4)) != 0)
		return -1;
	h2_make_output(h2);
	if (h2->is_broken || h2->out == NULL)
		return -1;
	entry = buf_head(h2->out) + FRAME_HEAD;
	assert(
	    entry[-6] == NGHTTP2_SETTINGS && entry[1] == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	memcpy(entry + ID_LEN, &streams, sizeof(streams));
	return 0;
}

struct h2 *
h2_new(struct client *client, struct buf *first, void (*end)(struct client *client, bool reset))
{
	struct h2 *h2 = xcalloc(1, sizeof(*h2));
	bool failed;

	h2->client = client;
	h2->end = end;
	h2->worker = client->listener->worker;
	h2->deferred.run = on_turn_end;
	h2->scan.left = H2_PREFACE_LEN;
	h2->head_since_ms = h2->idle_since_ms = now_ms;
	TAILQ_INIT(&h2->streams);
	TAILQ_INIT(&h2->todo);
	if (set_up() == -1 ||
	    nghttp2_session_server_new2(&h2->session, callbacks, h2, option) != 0) {
		buf_give(first);
		free(h2);
		return NULL;
	}
	failed = announce(h2) < 0;
	if (!failed && first != NULL)
		receive(h2, buf_head(first), buf_len(first));
	buf_give(first);
	if (failed) {
		h2_free(h2);
		return NULL;
	}
	h2_arm(h2);
	if (h2->worker->draining)
		h2_drain(h2);
	worker_defer(h2->worker, &h2->deferred);
	return h2;
}

void
h2_free(struct h2 *h2)
{
	h2->is_broken = true;
	worker_undefer(h2->worker, &h2->deferred);
	while (!TAILQ_EMPTY(&h2->streams))
		give_up(TAILQ_FIRST(&h2->streams));
	worker_undefer(h2->worker, &h2->deferred);
	nghttp2_session_del(h2->session);
	buf_give(h2->out);
	free(h2);
}

size_t
h2_stream_size(void)
{
	return sizeof(struct h2_stream);
}

bool
h2_is_preface(const char *bytes, size_t len)
{
	static const char preface[] = NGHTTP2_CLIENT_MAGIC;

	return memcmp(bytes, preface, len < H2_PREFACE_LEN ? len : H2_PREFACE_LEN) == 0;
}
