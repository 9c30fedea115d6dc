/*
 * h2_watch: what a client must not do to us: floods of frames, and being slow for ever.
 */
#include "h2_priv.h"
#include "weir/h2.h"

enum {
	FLOOD_WINDOW_MS = 10 * 1000,
	/*
	 * Of one header block: 16 KiB each, and the largest head that weir takes is 64 KiB.
	 */
	CONTINUATIONS_MAX = 7,
	SMALL_INCREMENT = 1024,   /* a WINDOW_UPDATE below is not worth its frame, ... */
	SMALL_WINDOW = 16 * 1024, /* ... where it lets a response trickle */
	UPDATES_PER_DATA = 4,     /* for the stream and the connection, and some that come late */
	UPDATES_MAX = 64 * 1024,  /* saved up */
	NOTICE_MS = 3000          /* between the two GOAWAYs, for clients that do not answer PING */
};

static const struct http2_config *
config_of(const struct h2 *h2)
{
	return &h2->client->listener->conf->http2;
}

static const struct timeouts_config *
timeouts(const struct h2 *h2)
{
	return &h2->client->listener->conf->timeouts;
}

/* ---- floods ---- */

static int
flooded(struct h2 *h2)
{
	if (!h2->is_flooding)
		tally_add(h2->client->listener->tally, TALLY_FLOODS, 1);
	h2->is_flooding = true;
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/*
 * Frames that cost us something and the client nothing: published attacks (rapid reset,
 * made-you-reset, PING, SETTINGS, empty DATA, tiny WINDOW_UPDATE) all consist of such.  Returns 0;
 * when there were too many the error that makes nghttp2 stop at once.
 */
static int
count_flood(struct h2 *h2, uint32_t *counter, uint32_t limit)
{
	if (now_ms - h2->window_start_ms >= FLOOD_WINDOW_MS) {
		h2->window_start_ms = now_ms;
		h2->resets = h2->cheap_frames = 0;
	}
	return ++*counter <= limit ? 0 : flooded(h2);
}

static int
count_cheap(struct h2 *h2)
{
	return count_flood(h2, &h2->cheap_frames, config_of(h2)->control_frames);
}

/* ---- frames of streams that are over ---- */

size_t
h2_scan(struct h2 *h2, const char *bytes, size_t len)
{
	struct h2_scan *scan = &h2->scan;
	size_t at = 0;
	ptrdiff_t begin;

	while ((begin = h2_scan_next(scan, bytes, len, &at)) >= 0) {
		uint8_t type = h2_scan_type(scan);

		if (type == NGHTTP2_RST_STREAM)
			h2->has_reset = true;
		if (type > NGHTTP2_CONTINUATION)
			count_cheap(h2); /* nghttp2 ignores those it does not know */
		if (type == NGHTTP2_DATA &&
		    (h2->has_reset ||
			nghttp2_session_find_stream(h2->session, h2_scan_id(scan)) == NULL)) {
			h2->has_reset = false;
			scan->left += (uint32_t)(at - (size_t)begin);
			return (size_t)begin;
		}
	}
	h2->has_reset = false;
	return len;
}

/* Is this stream over, and not because we ended it?  Then the client knows (section 5.1). */
static bool
is_over(struct h2 *h2, int32_t id)
{
	if (id == 0 || id > h2->last_id || id % 2 == 0 ||
	    nghttp2_session_find_stream(h2->session, id) != NULL)
		return false;
	for (unsigned i = 0; i < H2_RESETS_KEPT; i++)
		if (h2->reset_ids[i] == id)
			return false;
	return true;
}

/*
 * HEADERS of a stream that is over.  nghttp2, which forgets such streams, would let them pass.
 */
static int
check_headers(struct h2 *h2, int32_t id)
{
	if (is_over(h2, id)) {
		h2->error = NGHTTP2_STREAM_CLOSED;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	if (id > h2->last_id && id % 2 == 1)
		h2->last_id = id;
	return 0;
}

/*
 * The same for DATA, of which nghttp2 does not even tell.  They cost the stream alone: we remember
 * only some of those that we ended, and to reset one more is harmless, and counted.
 */
void
h2_check_data(struct h2 *h2)
{
	int32_t id = h2_scan_id(&h2->scan);

	if (is_over(h2, id))
		nghttp2_submit_rst_stream(
		    h2->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_STREAM_CLOSED);
}

/*
 * The header of a frame has come.  Frames that nghttp2 does not tell us about later, as their
 * streams are closed, are counted here, too.
 */
int
h2_on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
	struct h2 *h2 = user;

	(void)session;
	switch (hd->type) {
	case NGHTTP2_HEADERS:
		h2->continuations = 0;
		return check_headers(h2, hd->stream_id);
	case NGHTTP2_CONTINUATION:
		return ++h2->continuations > CONTINUATIONS_MAX ? flooded(h2) : count_cheap(h2);
	case NGHTTP2_RST_STREAM:
		return 0;
	case NGHTTP2_DATA:
		return hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM) ? 0
									       : count_cheap(h2);
	case NGHTTP2_WINDOW_UPDATE:
	case NGHTTP2_PING: /* gRPC measures the way with them */
		/* Those that answer data are welcome. */
		if (h2->updates_welcome == 0)
			return count_cheap(h2);
		h2->updates_welcome--;
		return 0;
	default:
		return count_cheap(h2);
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
h2_watch_received(struct h2 *h2, const nghttp2_frame *frame)
{
	bool is_cheap = false;

	if (frame->hd.type == NGHTTP2_RST_STREAM)
		return count_flood(h2, &h2->resets, config_of(h2)->resets);
	if (frame->hd.type == NGHTTP2_WINDOW_UPDATE)
		is_cheap = frame->window_update.window_size_increment < SMALL_INCREMENT &&
			   window_of(h2->session, frame->hd.stream_id) < SMALL_WINDOW;
	else if (frame->hd.type == NGHTTP2_DATA) /* all of it padding */
		is_cheap = frame->hd.length > 0 && frame->hd.length == frame->data.padlen &&
			   !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
	return is_cheap ? count_cheap(h2) : 0;
}

static bool
is_servers_fault(const struct h2 *h2, const nghttp2_frame *frame)
{
	const struct h2_stream *s =
	    nghttp2_session_get_stream_user_data(h2->session, frame->hd.stream_id);

	return s != NULL && s->is_servers_fault;
}

/*
 * Resets that a client provokes cost as much as those it sends, unless a server is to blame.
 * Clients that give up often, as browsers and RPC deadlines do, also let as
 * much be done: each response that was sent to its end makes good for one reset.
 */
void
h2_watch_sent(struct h2 *h2, const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_DATA && h2->updates_welcome < UPDATES_MAX)
		h2->updates_welcome += UPDATES_PER_DATA;
	if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && h2->resets > 0)
		h2->resets--;
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		h2->reset_ids[h2->reset_at++ % H2_RESETS_KEPT] = frame->hd.stream_id;
	if (frame->hd.type == NGHTTP2_RST_STREAM &&
	    frame->rst_stream.error_code != NGHTTP2_NO_ERROR && !is_servers_fault(h2, frame))
		count_flood(h2, &h2->resets, config_of(h2)->resets);
}

/* ---- slow clients ---- */

void
h2_stall(struct h2_stream *s)
{
	if (s->stalled_ms == 0)
		s->stalled_ms = now_ms;
}

void
h2_move(struct h2_stream *s)
{
	s->stalled_ms = 0;
}

/* Where none is kept for a next request, one without a first one yet has the time of a head. */
static uint32_t
idle_limit(const struct timeouts_config *t)
{
	return t->client_idle != 0 ? t->client_idle : t->client_head;
}

/* The largest time that cannot be too late for any of the deadlines that begin meanwhile. */
static uint32_t
period(const struct h2 *h2)
{
	const struct timeouts_config *t = timeouts(h2);
	uint32_t ms = idle_limit(t);

	if (t->client_head < ms)
		ms = t->client_head;
	if (t->client_body < ms)
		ms = t->client_body;
	if (t->tunnel < ms)
		ms = t->tunnel;
	return ms;
}

void
h2_arm(struct h2 *h2)
{
	timer_set(&h2->client->timer, period(h2));
}

/* Is `since` (0: nothing waits) so long ago?  If not, *left is at most what is left of it. */
static bool
is_late(uint64_t since, uint32_t limit, uint32_t *left)
{
	uint64_t waited = now_ms - since;

	if (since == 0)
		return false;
	if (waited >= limit)
		return true;
	if (limit - waited < *left)
		*left = (uint32_t)(limit - waited);
	return false;
}

static void
count_slow(const struct h2 *h2)
{
	tally_add(h2->client->listener->tally, TALLY_SLOW_CLIENTS, 1);
}

static void
end_late_streams(struct h2 *h2, uint32_t *left)
{
	struct h2_stream *s, *next;

	for (s = TAILQ_FIRST(&h2->streams); s != NULL; s = next) {
		uint32_t limit =
		    s->tunnel != NULL ? timeouts(h2)->tunnel : timeouts(h2)->client_body;

		next = TAILQ_NEXT(s, link);
		if (!is_late(s->stalled_ms, limit, left))
			continue;
		h2_move(s);
		if (s->x != NULL) {
			exchange_fail(s->x, END_CLIENT_TIMEOUT_BODY); /* may free s */
		} else if (s->is_closed) {
			h2_stream_free(s);
		} else {
			if (s->tunnel == NULL)
				count_slow(h2);
			nghttp2_submit_rst_stream(
			    h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
		}
	}
	worker_defer(h2->worker, &h2->deferred);
}

enum h2_result
h2_timeout(struct h2 *h2)
{
	const struct timeouts_config *t = timeouts(h2);
	uint32_t left = period(h2);

	if (is_late(h2->out_stalled_ms, t->client_body, &left)) {
		count_slow(h2);
		return H2_RESET; /* it does not read */
	}
	if (is_late(h2->head_since_ms, t->client_head, &left) ||
	    (h2->stream_count == 0 && is_late(h2->idle_since_ms, idle_limit(t), &left))) {
		/* A client that does not take this GOAWAY either is the next call's. */
		if (h2->is_deaf)
			return H2_RESET;
		if (h2->head_since_ms != 0)
			count_slow(h2);
		h2_terminate(h2, NGHTTP2_NO_ERROR);
	}
	if (h2->is_draining && is_late(h2->drain_since_ms, NOTICE_MS, &left))
		h2_say_goodbye(h2);
	end_late_streams(h2, &left);
	timer_set(&h2->client->timer, left > 0 ? left : 1);
	return H2_WAIT;
}

/* ---- draining ---- */

void
h2_say_goodbye(struct h2 *h2)
{
	if (h2->has_said_goodbye)
		return;
	h2->has_said_goodbye = true;
	h2->drain_since_ms = 0;
	/* The streams opened until now are served; the client opens further ones elsewhere
	 * (section 6.8). */
	nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(h2->session), NGHTTP2_NO_ERROR, NULL, 0);
	worker_defer(h2->worker, &h2->deferred);
}

/*
 * Requests that are on their way to us now are still served: a first GOAWAY takes none away, and
 * the answer to a PING behind it shows that the client knows (section 6.8).
 */
void
h2_drain(struct h2 *h2)
{
	if (!h2->is_draining && !h2->worker->stopping) {
		nghttp2_submit_shutdown_notice(h2->session);
		nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
		h2->drain_since_ms = now_ms;
		timer_set(&h2->client->timer, NOTICE_MS);
	}
	h2->is_draining = true;
	if (h2->worker->stopping)
		h2_say_goodbye(h2);
	worker_defer(h2->worker, &h2->deferred);
}
