#include "weir/h2.h"

#include <stdlib.h>

#include "h2_priv.h"
#include "weir/arena.h"
#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/log.h"

enum {
	FRAME_MAX = 16 * 1024 + 9, /* we allow no larger ones, and send none */
	READS_MAX = 8,             /* in one go, so that one busy client cannot starve the others */
	FLOOD_WINDOW_MS = 10 * 1000,
	SMALL_INCREMENT = 1024 /* a WINDOW_UPDATE below is not worth its frame */
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
	h2->stream_count--;
	h2_request_free(s);
	buf_give(s->reply);
	slab_give(&h2->worker->h2_streams, s);
}

/* ---- floods ---- */

/*
 * Frames that cost us something and the client nothing: published attacks (rapid reset,
 * made-you-reset, PING, SETTINGS, empty DATA, tiny WINDOW_UPDATE) all consist of such.  Returns -1
 * when there were too many.
 */
static int
count_flood(struct h2 *h2, uint32_t *counter, uint32_t limit)
{
	if (now_ms - h2->window_start_ms >= FLOOD_WINDOW_MS) {
		h2->window_start_ms = now_ms;
		h2->resets = h2->cheap_frames = 0;
	}
	if (++*counter <= limit)
		return 0;
	if (!h2->is_broken) {
		tally_add(h2->client->listener->tally, TALLY_FLOODS, 1);
		nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
	}
	return -1;
}

static int
watch_frame(struct h2 *h2, const nghttp2_frame *frame)
{
	const struct http2_config *conf = config_of(h2);
	bool is_cheap = false;

	switch (frame->hd.type) {
	case NGHTTP2_RST_STREAM:
		return count_flood(h2, &h2->resets, conf->resets);
	case NGHTTP2_PING:
	case NGHTTP2_SETTINGS:
	case NGHTTP2_PRIORITY:
		is_cheap = true;
		break;
	case NGHTTP2_WINDOW_UPDATE:
		is_cheap = frame->window_update.window_size_increment < SMALL_INCREMENT;
		break;
	case NGHTTP2_DATA:
		is_cheap = frame->hd.length == 0 && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
		break;
	default:
		break;
	}
	return is_cheap ? count_flood(h2, &h2->cheap_frames, conf->control_frames) : 0;
}

/* ---- nghttp2's callbacks ---- */

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (watch_frame(h2, frame) < 0)
		return 0;
	if (s == NULL)
		return 0;
	if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		h2_request_ended(s);
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		h2_request_complete(s);
	return 0;
}

/*
 * Resets that a client provokes cost as much as those it sends.  A response that is complete while
 * the client still sends its body: it may stop (RFC 9113 section 8.1).
 */
static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (s != NULL && !s->is_ended &&
	    (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
	if (frame->hd.type == NGHTTP2_RST_STREAM &&
	    frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
		count_flood(h2, &h2->resets, config_of(h2)->resets);
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)error;
	(void)user;
	if (s == NULL)
		return 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	s->is_closed = true;
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
	nghttp2_session_callbacks_set_on_header_callback2(callbacks, h2_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_outbound_ack(option, 100);
	return 0;
}

/* ---- frames out ---- */

void
h2_make_output(struct h2 *h2)
{
	while (!h2->is_broken && !h2->is_receiving) {
		const uint8_t *data;
		ssize_t n;

		if (h2->out != NULL && buf_room(h2->out) < FRAME_MAX) {
			if (h2->out->start == 0)
				return; /* the client must read first */
			memmove(h2->out->data, buf_head(h2->out), buf_len(h2->out));
			h2->out->end -= h2->out->start;
			h2->out->start = 0;
			continue;
		}
		n = nghttp2_session_mem_send(h2->session, &data);
		if (n < 0)
			h2->is_broken = true;
		if (n <= 0)
			return;
		if (h2->out == NULL)
			h2->out = buf_take(BUF_LARGE);
		if ((size_t)n > buf_room(h2->out)) {
			h2->is_broken = true;
			return;
		}
		memcpy(h2->out->data + h2->out->end, data, (size_t)n);
		h2->out->end += (uint32_t)n;
	}
}

/* Returns 0 when the client took everything, IO_WAIT or IO_ERROR. */
static int
write_output(struct h2 *h2)
{
	struct transport *t = &h2->client->transport;

	for (;;) {
		struct iovec iov;
		ssize_t n;

		h2_make_output(h2);
		if (h2->out == NULL)
			return transport_flush(t);
		iov = (struct iovec){ buf_head(h2->out), buf_len(h2->out) };
		n = t->writable ? transport_writev(t, &iov, 1) : IO_WAIT;
		if (n < 0)
			return (int)n;
		timer_clear(&h2->client->timer);
		buf_consume(h2->out, (size_t)n);
		if (buf_len(h2->out) == 0) {
			buf_give(h2->out);
			h2->out = NULL;
		}
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
		if (s->is_closed) {
			if (s->x != NULL)
				exchange_fail(s->x, END_CLIENT_CLOSED); /* frees the stream */
			else
				h2_stream_free(s);
		} else if (s->is_complete && s->x == NULL && s->reply == NULL && !s->is_begun) {
			s->is_begun = true;
			h2_begin(s);
		} else if (s->x != NULL) {
			exchange_run(s->x);
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

static enum h2_result
flush(struct h2 *h2)
{
	const struct timeouts_config *timeouts = &h2->client->listener->conf->timeouts;
	int result;

	advance(h2);
	result = write_output(h2);
	/* Writing made room: streams that waited for it are told, and may have more to write. */
	while (result == 0 && !TAILQ_EMPTY(&h2->todo)) {
		advance(h2);
		result = write_output(h2);
	}
	if (result == IO_ERROR || h2->is_broken)
		return H2_RESET;
	if (result == 0 && is_over(h2))
		return H2_CLOSE;
	if (result == IO_WAIT && h2->client->timer.deadline_ms == 0)
		timer_set(&h2->client->timer, timeouts->client_body);
	if (h2->stream_count == 0 && result == 0 && h2->client->timer.deadline_ms == 0)
		timer_set(&h2->client->timer, timeouts->client_idle);
	return H2_WAIT;
}

static enum h2_result
receive(struct h2 *h2, const char *bytes, size_t len)
{
	ssize_t n;

	h2->is_receiving = true;
	n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes, len);
	h2->is_receiving = false;
	if (n < 0) {
		tally_add(h2->client->listener->tally, TALLY_BAD_REQUESTS, 1);
		/* nghttp2 has put a GOAWAY in the queue for all but a broken preface. */
		h2_make_output(h2);
		write_output(h2);
		return H2_RESET;
	}
	return H2_WAIT;
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

	for (int reads = 0; t->readable && (h2->out == NULL || buf_len(h2->out) < FRAME_MAX);
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
			return H2_RESET;
		if (h2->stream_count == 0)
			timer_clear(&h2->client->timer);
		if (receive(h2, bytes, (size_t)n) != H2_WAIT)
			return H2_RESET;
	}
	/* Frames leave at the end of the turn: then those of all streams that this turn moved go
	 * together. */
	advance(h2);
	worker_defer(h2->worker, &h2->deferred);
	return h2->is_broken ? H2_RESET : H2_WAIT;
}

/* ---- life ---- */

struct h2 *
h2_new(struct client *client, struct buf *first, void (*end)(struct client *client, bool reset))
{
	struct h2 *h2 = xcalloc(1, sizeof(*h2));
	nghttp2_settings_entry settings[3];
	bool failed;

	h2->client = client;
	h2->end = end;
	h2->worker = client->listener->worker;
	h2->deferred.run = on_turn_end;
	TAILQ_INIT(&h2->streams);
	TAILQ_INIT(&h2->todo);
	if (set_up() == -1 ||
	    nghttp2_session_server_new2(&h2->session, callbacks, h2, option) != 0) {
		buf_give(first);
		free(h2);
		return NULL;
	}
	settings[0] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		config_of(h2)->streams };
	settings[1] =
	    (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, config_of(h2)->window };
	settings[2] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
		h2->worker->config->global.limits.request_head };
	failed = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, 3) != 0 ||
		 nghttp2_session_set_local_window_size(
		     h2->session, NGHTTP2_FLAG_NONE, 0, (int32_t)(config_of(h2)->window * 4)) != 0;
	if (!failed && first != NULL)
		failed = receive(h2, buf_head(first), buf_len(first)) != H2_WAIT;
	buf_give(first);
	if (failed) {
		h2_free(h2);
		return NULL;
	}
	if (h2->worker->draining)
		h2_drain(h2);
	worker_defer(h2->worker, &h2->deferred);
	return h2;
}

void
h2_drain(struct h2 *h2)
{
	if (h2->is_draining)
		return;
	h2->is_draining = true;
	/* The streams opened until now are served; the client opens further ones elsewhere
	 * (section 6.8). */
	nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(h2->session), NGHTTP2_NO_ERROR, NULL, 0);
	worker_defer(h2->worker, &h2->deferred);
}

enum h2_result
h2_timeout(struct h2 *h2)
{
	struct h2_stream *s, *next;

	if (h2->stream_count == 0) {
		nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
		return flush(h2) == H2_WAIT ? H2_RESET : H2_CLOSE;
	}
	if (h2->out != NULL)
		return H2_RESET; /* it does not read */
	/* Those that wait for their client end; the others go on. */
	for (s = TAILQ_FIRST(&h2->streams); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		if (s->x != NULL && (exchange_has_more(s->x) || !s->x->body_done))
			exchange_fail(s->x, END_CLIENT_TIMEOUT_BODY);
	}
	return H2_WAIT;
}

void
h2_free(struct h2 *h2)
{
	h2->is_broken = true;
	worker_undefer(h2->worker, &h2->deferred);
	while (!TAILQ_EMPTY(&h2->streams)) {
		struct h2_stream *s = TAILQ_FIRST(&h2->streams);

		s->is_closed = true;
		if (s->x != NULL)
			exchange_fail(s->x, END_CLIENT_CLOSED); /* frees the stream */
		else
			h2_stream_free(s);
	}
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
