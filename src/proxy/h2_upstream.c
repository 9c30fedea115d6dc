#include "h2_upstream_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"
#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/h2_frames.h"
#include "weir/log.h"
#include "weir/upstream.h"

enum {
	READS_MAX = 8,         /* in one go, so that one busy server cannot starve the others */
	QUEUE_MAX = 256,       /* frames of nghttp2's own that wait to be made */
	HEAD_MAX = 256 * 1024, /* of a request, counted as nghttp2 does: no bound of its own */
	ACKS_MAX = 100,
	WINDOW_MAX = 16 * 1024 * 1024
};

static nghttp2_session_callbacks *callbacks; /* live as long as the process */
static nghttp2_option *option;

static const struct server_http2_config *
config_of(const struct h2_upstream *conn)
{
	return &conn->server->pool->conf->http2;
}

static void
complain(const struct h2_upstream *conn, const char *what)
{
	static struct log_limit early, later; /* who speaks no HTTP/2 at all is not drowned */

	if (log_allowed(conn->phase < H2_OPEN ? &early : &later, 10, 10000))
		log_warnx("pool %s server %s: HTTP/2: %s", conn->server->pool->conf->name,
		    conn->server->conf->name, what);
}

unsigned
h2_upstream_limit(const struct h2_upstream *conn)
{
	uint32_t ours = config_of(conn)->streams, theirs = ours;

	if (conn->phase == H2_OPEN)
		theirs = nghttp2_session_get_remote_settings(
		    conn->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	return theirs < ours ? theirs : ours;
}

void
h2_upstream_flush_later(struct h2_upstream *conn)
{
	if (conn->phase != H2_DEAD)
		worker_defer(conn->worker, &conn->deferred);
}

void
h2_upstream_leave(struct h2_upstream *conn)
{
	if (conn->phase == H2_OPEN) {
		conn->phase = H2_LEAVING;
		h2_upstream_flush_later(conn);
	}
}

void
h2_upstream_break(struct h2_upstream *conn, enum end fault, const char *reason)
{
	if (!conn->is_broken) {
		conn->fault = (uint8_t)fault;
		conn->reason = reason;
	}
	conn->is_broken = true;
	h2_upstream_flush_later(conn);
}

/* ---- nghttp2's callbacks ---- */

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2_upstream *conn = user;
	struct h2_leg *leg = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	int result = h2_upstream_watch_received(conn, frame);

	if (result != 0)
		return result;
	switch (frame->hd.type) {
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK) && conn->phase == H2_GREETING)
			conn->phase = H2_OPEN;
		break;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			conn->pinged_ms = 0;
		break;
	case NGHTTP2_GOAWAY:
		h2_upstream_leave(conn);
		break;
	case NGHTTP2_HEADERS:
		if (leg != NULL)
			h2_leg_on_headers_end(leg, is_end);
		break;
	case NGHTTP2_DATA:
		if (leg != NULL && is_end)
			h2_leg_on_end(leg);
		break;
	default:
		break;
	}
	return 0;
}

/* nghttp2 resets streams by itself when what came is malformed; resets of ours have no leg any
 * more. */
static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2_upstream *conn = user;
	struct h2_leg *leg = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (frame->hd.type == NGHTTP2_RST_STREAM && leg != NULL)
		h2_leg_fail(leg, END_RESPONSE_MALFORMED, "malformed HTTP/2 message");
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR &&
	    conn->fault == END_OK) {
		conn->fault =
		    conn->phase == H2_GREETING ? END_SERVER_PROTOCOL : END_RESPONSE_MALFORMED;
		complain(conn, conn->phase == H2_GREETING
				   ? "the server does not speak it"
				   : nghttp2_http2_strerror(frame->goaway.error_code));
		conn->reason = "the HTTP/2 connection broke";
	}
	h2_upstream_watch_sent(conn, frame);
	return 0;
}

static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct h2_leg *leg = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)name;
	(void)name_len;
	(void)value;
	(void)value_len;
	(void)flags;
	(void)user;
	if (leg != NULL)
		leg->reason = "invalid HTTP/2 field";
	/* Section 8.2.1: the response is malformed; nghttp2 alone would leave the field out. */
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct h2_leg *leg = nghttp2_session_get_stream_user_data(session, id);

	(void)user;
	if (leg == NULL)
		return 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	leg->id = 0;
	h2_leg_lost(leg, leg->is_unsent ? NGHTTP2_REFUSED_STREAM : error);
	return 0;
}

/* After GOAWAY nghttp2 opens no stream, also not those that waited for the end of this turn. */
static int
on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct h2_leg *leg = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)error;
	(void)user;
	if (leg != NULL && frame->hd.type == NGHTTP2_HEADERS)
		leg->is_unsent = true;
	return 0;
}

static int
set_up(void)
{
	if (callbacks != NULL)
		return 0;
	if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
		return -1;
	nghttp2_session_callbacks_set_on_begin_frame_callback(
	    callbacks, h2_upstream_on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, h2_leg_on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_leg_on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_leg_on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
	nghttp2_option_set_max_send_header_block_length(option, HEAD_MAX);
	return 0;
}

/* ---- frames out ---- */

static void
make_output(struct h2_upstream *conn)
{
	int result;

	if (conn->is_broken || conn->is_in_callback)
		return;
	conn->is_in_callback = true;
	result = h2_frames_fill(conn->session, &conn->out);
	conn->is_in_callback = false;
	if (result < 0)
		h2_upstream_break(conn, END_INTERNAL, NULL);
}

/* Returns 0 when the server took everything, IO_WAIT or IO_ERROR. */
static int
write_output(struct h2_upstream *conn)
{
	struct transport *t = &conn->socket->transport;

	for (;;) {
		int result;

		make_output(conn);
		if (conn->out == NULL)
			return transport_flush(t);
		result = transport_write_buf(t, &conn->out);
		if (result < 0)
			return result;
		conn->stuck_ms = 0;
	}
}

/* ---- frames in ---- */

static void
take_bytes(struct h2_upstream *conn, const char *bytes, size_t len)
{
	bool was_open = conn->phase >= H2_OPEN;
	ssize_t n;

	conn->heard_ms = now_ms;
	conn->heard_count++;
	conn->is_suspect = false;
	h2_upstream_scan(conn, bytes, len);
	if (conn->is_broken)
		return;
	conn->is_in_callback = true;
	n = nghttp2_session_mem_recv(conn->session, (const uint8_t *)bytes, len);
	conn->is_in_callback = false;
	if (n == NGHTTP2_ERR_FLOODED) {
		h2_upstream_flooded(conn);
	} else if (n < 0) {
		if (!conn->is_broken)
			complain(conn, nghttp2_strerror((int)n));
		h2_upstream_break(conn, was_open ? END_RESPONSE_MALFORMED : END_SERVER_PROTOCOL,
		    nghttp2_strerror((int)n));
	} else if (!was_open && conn->phase >= H2_OPEN) {
		h2_leg_place_all(conn);
	}
}

/* Returns 0; IO_CLOSED or IO_ERROR when nothing will follow. */
static int
read_input(struct h2_upstream *conn)
{
	static char bytes[32 * 1024]; /* what is read is parsed at once */
	struct transport *t = &conn->socket->transport;

	for (int reads = 0; t->readable && !conn->is_broken; reads++) {
		ssize_t n;

		if (reads == READS_MAX) {
			transport_yield(t);
			break;
		}
		n = transport_read(t, bytes, sizeof(bytes));
		if (n == IO_WAIT)
			break;
		if (n < 0)
			return (int)n;
		take_bytes(conn, bytes, (size_t)n);
		/* Answers to what is wrong are counted when they are made. */
		if (nghttp2_session_get_outbound_queue_size(conn->session) > QUEUE_MAX)
			make_output(conn);
	}
	return 0;
}

bool
h2_upstream_refresh(struct h2_upstream *conn)
{
	int result;

	conn->socket->transport.readable = true;
	result = read_input(conn);
	if (result != 0)
		h2_upstream_break(conn, END_SERVER_CLOSED, NULL);
	h2_upstream_flush_later(conn);
	return !conn->is_broken && conn->phase == H2_OPEN;
}

/* ---- life ---- */

static int
begin_session(struct h2_upstream *conn)
{
	const struct limits_config *limits = &conn->worker->config->global.limits;
	uint32_t window = config_of(conn)->window;
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->response_head },
	};

	if (set_up() == -1 ||
	    nghttp2_session_client_new2(&conn->session, callbacks, conn, option) != 0)
		return -1;
	/* Each stream is bounded by its own window; the connection's must not make them wait for
	 * the slowest. */
	if (nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings,
		sizeof(settings) / sizeof(settings[0])) != 0 ||
	    nghttp2_session_set_local_window_size(
		conn->session, NGHTTP2_FLAG_NONE, 0, WINDOW_MAX) != 0)
		return -1;
	conn->phase = H2_GREETING;
	conn->heard_ms = now_ms;
	h2_upstream_flush_later(conn);
	return 0;
}

/* Returns 0 when there is a session, IO_WAIT or IO_ERROR: conn->fault says why. */
static int
connect_further(struct h2_upstream *conn)
{
	int result = upstream_check(conn->socket);

	if (result == IO_WAIT)
		return result;
	if (result != 0) {
		conn->fault = (uint8_t)upstream_fault(conn->socket);
		return IO_ERROR;
	}
	if (conn->socket->transport.ssl != NULL && !transport_is_h2(&conn->socket->transport)) {
		complain(conn, "the server did not choose it in the TLS handshake (ALPN h2)");
		conn->fault = END_SERVER_PROTOCOL;
		return IO_ERROR;
	}
	if (begin_session(conn) == 0)
		return 0;
	conn->fault = END_INTERNAL;
	return IO_ERROR;
}

/* The server closed: what has come is still good.  Before its SETTINGS that is no HTTP/2. */
static void
hung_up(struct h2_upstream *conn)
{
	if (conn->phase == H2_GREETING)
		complain(conn, "the server closed the connection before its SETTINGS");
	h2_upstream_fail(
	    conn, conn->phase == H2_GREETING ? END_SERVER_PROTOCOL : END_SERVER_CLOSED);
}

static void
on_ready(void *user, struct upstream *socket)
{
	struct h2_upstream *conn = user;
	int result;

	(void)socket;
	if (conn->phase == H2_CONNECTING) {
		result = connect_further(conn);
		if (result == IO_ERROR)
			h2_upstream_fail(conn, (enum end)conn->fault);
		if (result != 0)
			return;
	}
	result = read_input(conn);
	h2_leg_wake_all(conn);
	/* A reset that came with these bytes has no edge of its own, and somebody still waits. */
	if (result == 0 && conn->leg_count > 0 && !conn->is_broken) {
		conn->socket->transport.readable = true;
		result = read_input(conn);
		h2_leg_wake_all(conn);
	}
	if (result != 0 && !conn->is_broken)
		hung_up(conn);
	else
		h2_upstream_flush_later(conn);
}

static bool
is_over(const struct h2_upstream *conn)
{
	if (conn->leg_count == 0 &&
	    (conn->phase == H2_LEAVING || conn->worker->draining || conn->server->is_leaving))
		return true;
	return conn->out == NULL && !nghttp2_session_want_read(conn->session) &&
	       !nghttp2_session_want_write(conn->session);
}

static void
end_broken(struct h2_upstream *conn)
{
	/* Tell the server what was wrong, if it cares to read it. */
	if (conn->session != NULL && conn->fault == END_RESPONSE_MALFORMED) {
		conn->is_broken = false;
		nghttp2_session_terminate_session(conn->session, NGHTTP2_PROTOCOL_ERROR);
		write_output(conn);
	}
	h2_upstream_fail(conn, (enum end)conn->fault);
}

static void
on_turn_end(struct deferred *deferred)
{
	struct h2_upstream *conn =
	    (struct h2_upstream *)(void *)((char *)deferred -
					   offsetof(struct h2_upstream, deferred));
	int result;

	if (conn->session == NULL) {
		/* Nobody waits for the connection any more. */
		if (conn->leg_count == 0 || conn->is_broken)
			h2_upstream_fail(conn, END_CLIENT_CLOSED);
		return;
	}
	/* Writing makes room: legs that waited for it are told, and may have more to write. */
	do {
		result = write_output(conn);
		h2_leg_wake_all(conn);
	} while (result == 0 && !TAILQ_EMPTY(&conn->todo));
	if (conn->is_broken) {
		end_broken(conn);
	} else if (result == IO_ERROR) {
		/* It may have said something before it hung up. */
		conn->socket->transport.readable = true;
		read_input(conn);
		h2_leg_wake_all(conn);
		hung_up(conn);
	} else if (is_over(conn)) {
		h2_upstream_fail(
		    conn, conn->fault != END_OK ? (enum end)conn->fault : END_SERVER_CLOSED);
	} else {
		if (result == 0 || conn->stuck_ms == 0)
			conn->stuck_ms = result == 0 ? 0 : now_ms;
		h2_upstream_arm(conn);
	}
}

struct h2_upstream *
h2_upstream_open(const struct upstream *up, const char *name)
{
	static const struct upstream_user ops = { on_ready, h2_upstream_on_timeout };
	struct h2_upstream *conn = slab_take(&up->worker->h2_upstreams);

	*conn = (struct h2_upstream){
		.worker = up->worker,
		.server = up->server,
		.deferred.run = on_turn_end,
		.heard_ms = now_ms,
		.idle_ms = now_ms,
	};
	TAILQ_INIT(&conn->legs);
	TAILQ_INIT(&conn->todo);
	conn->socket = upstream_dial(up->worker, up->server, name, &ops, conn);
	if (conn->socket == NULL) {
		int saved = errno;

		slab_give(&up->worker->h2_upstreams, conn);
		errno = saved;
		return NULL;
	}
	conn->name = name != NULL ? xstrdup(name) : NULL;
	TAILQ_INSERT_HEAD(&up->server->h2, conn, link);
	return conn;
}

void
h2_upstream_fail(struct h2_upstream *conn, enum end fault)
{
	struct h2_leg *leg;

	if (conn->phase == H2_DEAD)
		return;
	conn->phase = H2_DEAD;
	TAILQ_REMOVE(&conn->server->h2, conn, link);
	conn->server->idle_count -= conn->is_idle;
	conn->is_idle = false;
	worker_undefer(conn->worker, &conn->deferred);
	upstream_close(conn->socket, false);
	conn->socket = NULL;
	nghttp2_session_del(conn->session);
	conn->session = NULL;
	buf_give(conn->out);
	conn->out = NULL;
	while ((leg = TAILQ_FIRST(&conn->legs)) != NULL)
		h2_leg_detach(leg, fault, conn->reason);
	free(conn->name);
	conn->name = NULL;
	worker_bury(conn->worker, &conn->grave, &conn->worker->h2_upstreams);
}

void
h2_close_kept(struct server *server)
{
	struct h2_upstream *conn, *next;

	for (conn = TAILQ_FIRST(&server->h2); conn != NULL; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (conn->leg_count == 0)
			h2_upstream_fail(conn, END_DRAINED);
		else
			h2_upstream_leave(conn);
	}
}

size_t
h2_upstream_size(void)
{
	return sizeof(struct h2_upstream);
}
