/*
 * h2_upstream_watch: what a server must not do to us: floods of frames, and being silent for ever.
 */
#include "h2_upstream_priv.h"
#include "weir/clock.h"
#include "weir/log.h"
#include "weir/tally.h"
#include "weir/upstream.h"

enum {
	FLOOD_WINDOW_MS = 10 * 1000,
	CONTINUATIONS_MAX = 7,  /* of one header block: 16 KiB each, and the largest head that weir
				   takes is 64 KiB */
	SMALL_INCREMENT = 1024, /* a WINDOW_UPDATE below is not worth its frame, ... */
	SMALL_WINDOW = 16 * 1024, /* ... where it lets a request trickle */
	UPDATES_PER_DATA = 4,     /* for the stream and the connection, and some that come late */
	UPDATES_MAX = 64 * 1024,  /* saved up */
	STUCK_MS = 30 * 1000,     /* a server that reads nothing for so long is given up */
	SUSPECT_MS = 1000,        /* younger requests say nothing about the server */
	IDLE_MS = 60 * 1000       /* a connection that nobody needed for so long is closed */
};

/* ---- floods ---- */

int
h2_upstream_flooded(struct h2_upstream *conn)
{
	static struct log_limit limit;

	if (!conn->is_broken && log_allowed(&limit, 1, 10000))
		log_warnx("pool %s server %s: HTTP/2: too many frames that carry nothing; the "
			  "connection is closed",
		    conn->server->pool->conf->name, conn->server->conf->name);
	if (!conn->is_broken)
		tally_add(conn->server->tally, TALLY_FLOODS, 1);
	h2_upstream_break(conn, END_RESPONSE_MALFORMED, "flood of HTTP/2 frames");
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* Frames that cost us something and carry nothing.  Returns as a callback. */
static int
count_cheap(struct h2_upstream *conn)
{
	if (now_ms - conn->window_start_ms >= FLOOD_WINDOW_MS) {
		conn->window_start_ms = now_ms;
		conn->cheap_frames = 0;
	}
	return ++conn->cheap_frames <= conn->server->pool->conf->http2.control_frames
		   ? 0
		   : h2_upstream_flooded(conn);
}

/*
 * nghttp2 reads frames of streams that are over, and of types that it does not know, without a
 * word.  A few come late, as they were under way when we reset their stream.
 */
void
h2_upstream_scan(struct h2_upstream *conn, const char *bytes, size_t len)
{
	struct h2_scan *scan = &conn->scan;
	size_t at = 0;

	while (h2_scan_next(scan, bytes, len, &at) >= 0) {
		uint8_t type = h2_scan_type(scan);

		if (type > NGHTTP2_CONTINUATION ||
		    ((type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION ||
			 type == NGHTTP2_RST_STREAM) &&
			nghttp2_session_find_stream(conn->session, h2_scan_id(scan)) == NULL))
			count_cheap(conn);
	}
}

/* The header of a frame has come. */
int
h2_upstream_on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
	struct h2_upstream *conn = user;

	(void)session;
	switch (hd->type) {
	case NGHTTP2_HEADERS:
		conn->continuations = 0;
		return 0;
	case NGHTTP2_CONTINUATION:
		return ++conn->continuations > CONTINUATIONS_MAX ? h2_upstream_flooded(conn) : 0;
	case NGHTTP2_RST_STREAM:
		/* Each ends a stream that we opened; others are errors. */
		return 0;
	case NGHTTP2_DATA:
		return hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM) ? 0
									       : count_cheap(conn);
	case NGHTTP2_WINDOW_UPDATE:
	case NGHTTP2_PING:
		/* Those that answer data are welcome. */
		if (conn->updates_welcome == 0)
			return count_cheap(conn);
		conn->updates_welcome--;
		return 0;
	default:
		return count_cheap(conn);
	}
}

/* What we may send. */
static int32_t
window_of(nghttp2_session *session, int32_t id)
{
	return id == 0 ? nghttp2_session_get_remote_window_size(session)
		       : nghttp2_session_get_stream_remote_window_size(session, id);
}

int
h2_upstream_watch_received(struct h2_upstream *conn, const nghttp2_frame *frame)
{
	bool is_cheap = false;

	if (frame->hd.type == NGHTTP2_WINDOW_UPDATE)
		is_cheap = frame->window_update.window_size_increment < SMALL_INCREMENT &&
			   window_of(conn->session, frame->hd.stream_id) < SMALL_WINDOW;
	else if (frame->hd.type == NGHTTP2_DATA) /* all of it padding */
		is_cheap = frame->hd.length > 0 && frame->hd.length == frame->data.padlen &&
			   !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
	return is_cheap ? count_cheap(conn) : 0;
}

void
h2_upstream_watch_sent(struct h2_upstream *conn, const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_DATA && conn->updates_welcome < UPDATES_MAX)
		conn->updates_welcome += UPDATES_PER_DATA;
}

/* ---- silence ---- */

static void
ping(struct h2_upstream *conn)
{
	if (conn->pinged_ms != 0)
		return;
	conn->pinged_ms = now_ms;
	nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL);
	h2_upstream_flush_later(conn);
}

void
h2_upstream_suspect(struct h2_upstream *conn)
{
	if (conn->session == NULL || conn->phase == H2_DEAD)
		return;
	conn->is_suspect = true;
	ping(conn);
}

/* Milliseconds until `since` is so long ago; 0: it is. */
static uint32_t
left_of(uint64_t since, uint32_t limit)
{
	uint64_t waited = now_ms - since;

	return waited >= limit ? 0 : (uint32_t)(limit - waited);
}

static uint32_t
sooner(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/*
 * What is to be done about silence.  Returns milliseconds until the next look; 0: the connection is
 * to be closed.
 */
static uint32_t
look(struct h2_upstream *conn)
{
	uint32_t limit = conn->server->pool->conf->http2.ping_ms, left = IDLE_MS;
	/* Any byte that comes is as good as the answer. */
	uint64_t silent_since = conn->pinged_ms > conn->heard_ms ? conn->pinged_ms : conn->heard_ms;

	if (conn->stuck_ms != 0)
		left = sooner(left, left_of(conn->stuck_ms, STUCK_MS));
	if (conn->leg_count == 0 && !conn->is_suspect)
		return sooner(left, left_of(conn->idle_ms, IDLE_MS));
	if (left_of(silent_since, limit) > 0)
		return sooner(left, left_of(silent_since, limit));
	if (conn->pinged_ms > conn->heard_ms)
		return 0;
	conn->pinged_ms = 0;
	ping(conn);
	return sooner(left, limit);
}

void
h2_upstream_arm(struct h2_upstream *conn)
{
	struct timer *timer = &conn->socket->timer;

	/* One that runs finds out by itself what is due. */
	if (timer->deadline_ms == 0)
		timer_set(timer, sooner(conn->server->pool->conf->http2.ping_ms, IDLE_MS));
}

void
h2_upstream_on_timeout(void *user, struct upstream *socket)
{
	struct h2_upstream *conn = user;
	uint32_t left = conn->session != NULL ? look(conn) : IDLE_MS;

	if (left > 0)
		timer_set(&socket->timer, left);
	else
		h2_upstream_fail(
		    conn, conn->leg_count > 0 ? END_RESPONSE_TIMEOUT : END_TIMEOUT_IDLE);
}
