#include "weir/h2_leg.h"

#include "h2_upstream_priv.h"

#include <string.h>

#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/h2_codes.h"
#include "weir/tally.h"
#include "weir/upstream.h"

enum {
	MOVES_MAX = 3,  /* of one request to another connection */
	LOOKS_MAX = 64, /* among the connections to one server, for one with room */
	STALE_MS = 100, /* a connection that has rested so long may have been closed meanwhile */
	SILENT_MS =
	    1000 /* a request that was not answered so long says something about the server */
};

static int move(struct h2_leg *leg);

/* ---- waking ---- */

void
h2_leg_wake(struct h2_leg *leg)
{
	if (leg->is_waking || leg->conn == NULL)
		return;
	leg->is_waking = true;
	TAILQ_INSERT_TAIL(&leg->conn->todo, leg, waking);
}

void
h2_leg_wake_all(struct h2_upstream *conn)
{
	struct h2_leg *leg;

	while ((leg = TAILQ_FIRST(&conn->todo)) != NULL) {
		struct upstream *up = leg->up;

		TAILQ_REMOVE(&conn->todo, leg, waking);
		leg->is_waking = false;
		if (leg->must_move && move(leg) == 0)
			continue;
		if (leg->must_move)
			h2_leg_fail(leg, END_SERVER_REFUSED, NULL);
		leg->must_move = false;
		up->user_ops->on_ready(up->user, up); /* may free the leg, and others */
	}
}

void
h2_leg_yield(struct h2_leg *leg)
{
	h2_leg_wake(leg);
	if (leg->conn != NULL)
		transport_yield(&leg->conn->socket->transport);
}

/* ---- places ---- */

static bool
is_same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* One that has room, ready or (if may_wait) about to be. */
static struct h2_upstream *
find_conn(const struct upstream *up, const char *name, bool may_wait)
{
	struct h2_upstream *conn;
	int looks = 0;

	TAILQ_FOREACH (conn, &up->server->h2, link) {
		bool is_open = conn->phase == H2_OPEN && !conn->is_suspect &&
			       nghttp2_session_check_request_allowed(conn->session);

		if (looks++ == LOOKS_MAX)
			break;
		if (conn->is_broken || !(is_open || (may_wait && conn->phase < H2_OPEN)) ||
		    conn->leg_count >= h2_upstream_limit(conn) || !is_same(conn->name, name))
			continue;
		if (!is_open || conn->leg_count > 0 || now_ms - conn->idle_ms < STALE_MS ||
		    h2_upstream_refresh(conn))
			return conn;
	}
	return NULL;
}

/* Full ones stand behind those with room. */
static void
put_last(struct h2_upstream *conn)
{
	TAILQ_REMOVE(&conn->server->h2, conn, link);
	TAILQ_INSERT_TAIL(&conn->server->h2, conn, link);
}

static void
put_first(struct h2_upstream *conn)
{
	TAILQ_REMOVE(&conn->server->h2, conn, link);
	TAILQ_INSERT_HEAD(&conn->server->h2, conn, link);
}

/* Its last leg has gone: keep it for later ones, or let it go if there are enough. */
static void
rest(struct h2_upstream *conn)
{
	conn->idle_ms = now_ms;
	if (conn->server->idle_count >= conn->worker->config->global.limits.idle_upstream) {
		h2_upstream_leave(conn);
		return;
	}
	conn->is_idle = true;
	conn->server->idle_count++;
}

static void
attach(struct h2_leg *leg, struct h2_upstream *conn)
{
	leg->conn = conn;
	leg->is_placed = conn->phase == H2_OPEN;
	TAILQ_INSERT_TAIL(&conn->legs, leg, link);
	conn->leg_count++;
	conn->placed_count += leg->is_placed;
	conn->server->idle_count -= conn->is_idle;
	conn->is_idle = false;
	if (conn->leg_count >= h2_upstream_limit(conn))
		put_last(conn);
}

/* Off its connection, with the stream it may have. */
static void
leave(struct h2_leg *leg, uint32_t error)
{
	struct h2_upstream *conn = leg->conn;

	if (conn == NULL)
		return;
	if (leg->id > 0 && conn->session != NULL) {
		nghttp2_session_set_stream_user_data(conn->session, leg->id, NULL);
		nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, leg->id, error);
	}
	leg->id = 0;
	if (leg->is_waking)
		TAILQ_REMOVE(&conn->todo, leg, waking);
	TAILQ_REMOVE(&conn->legs, leg, link);
	conn->placed_count -= leg->is_placed;
	leg->is_waking = leg->is_placed = false;
	leg->conn = NULL;
	if (conn->phase != H2_DEAD && conn->leg_count == h2_upstream_limit(conn))
		put_first(conn);
	if (--conn->leg_count == 0 && conn->phase != H2_DEAD)
		rest(conn);
	h2_upstream_flush_later(conn);
}

static struct h2_upstream *
find_or_open(const struct upstream *up, const char *name)
{
	struct h2_upstream *conn = find_conn(up, name, true);

	return conn != NULL ? conn : h2_upstream_open(up, name);
}

struct h2_leg *
h2_leg_new(struct upstream *up, const char *name, bool may_open)
{
	struct h2_upstream *conn = may_open ? find_or_open(up, name) : find_conn(up, name, false);
	struct h2_leg *leg;

	if (conn == NULL)
		return NULL;
	leg = slab_take(&up->worker->h2_legs);
	*leg = (struct h2_leg){ .up = up, .may_repeat = true, .our_code = NGHTTP2_CANCEL };
	attach(leg, conn);
	return leg;
}

void
h2_leg_free(struct h2_leg *leg)
{
	struct worker *worker;

	if (leg == NULL)
		return;
	worker = leg->up->worker;
	/* No byte came since the request was sent, not of any other either. */
	if (leg->conn != NULL && leg->id > 0 && leg->conn->heard_count == leg->heard_before &&
	    now_ms - leg->begun_ms >= SILENT_MS)
		h2_upstream_suspect(leg->conn);
	leave(leg, leg->has_ended ? NGHTTP2_NO_ERROR : leg->our_code);
	buf_give(leg->head);
	buf_give(leg->body);
	buf_give(leg->trailers_out);
	h2_leg_free_response(leg);
	slab_give(&worker->h2_legs, leg);
}

/*
 * To another connection of the same server.  What the user gave it goes out there again, or will,
 * once that is open.  Returns -1 when there is none.
 */
static int
move(struct h2_leg *leg)
{
	const char *name = leg->conn->name; /* outlives the leg's leaving: the turn is not over */
	struct h2_upstream *to;

	leave(leg, NGHTTP2_CANCEL);
	if (leg->moves++ == MOVES_MAX)
		return -1;
	to = find_or_open(leg->up, name);
	if (to == NULL)
		return -1;
	leg->must_move = false;
	if (leg->is_begun) {
		tally_add(leg->up->server->pool->tally, TALLY_RETRIES, 1);
		h2_leg_rewind(leg);
	}
	attach(leg, to);
	if (leg->is_placed && leg->is_begun)
		return h2_leg_submit(leg);
	return 0;
}

void
h2_leg_place_all(struct h2_upstream *conn)
{
	struct h2_leg *leg, *next;

	for (leg = TAILQ_FIRST(&conn->legs); leg != NULL; leg = next) {
		next = TAILQ_NEXT(leg, link);
		if (leg->is_placed)
			continue;
		if (conn->phase == H2_OPEN && conn->placed_count < h2_upstream_limit(conn)) {
			leg->is_placed = true;
			conn->placed_count++;
			if (leg->is_begun)
				h2_leg_submit(leg);
			h2_leg_wake(leg);
		} else if (h2_upstream_limit(conn) == 0 || move(leg) < 0) {
			h2_leg_fail(leg, END_SERVER_REFUSED, NULL);
		}
	}
}

/* ---- failing ---- */

int
h2_leg_check(const struct h2_leg *leg)
{
	if (leg->fault != END_OK)
		return IO_ERROR;
	return leg->is_placed ? 0 : IO_WAIT;
}

enum end
h2_leg_fault(const struct h2_leg *leg)
{
	return leg->fault != END_OK ? (enum end)leg->fault : END_SERVER_CLOSED;
}

bool
h2_leg_was_cut(const struct h2_leg *leg)
{
	return h2_leg_fault(leg) == END_SERVER_CLOSED && !leg->was_reset;
}

uint32_t
h2_leg_reset_code(const struct h2_leg *leg)
{
	if (!leg->was_reset)
		return NGHTTP2_NO_ERROR;
	/* A server that has begun to answer cannot say that it has not looked at the request. */
	if (leg->its_code == NGHTTP2_REFUSED_STREAM && leg->head == NULL)
		return NGHTTP2_INTERNAL_ERROR;
	return h2_codes_pass(leg->its_code);
}

void
h2_leg_give_up(struct h2_leg *leg, uint32_t code)
{
	leg->our_code = code;
}

const char *
h2_leg_reason(const struct h2_leg *leg)
{
	return leg->reason;
}

void
h2_leg_fail(struct h2_leg *leg, enum end fault, const char *reason)
{
	if (leg->has_ended || leg->fault != END_OK)
		return; /* the response is there as a whole */
	leg->fault = (uint8_t)fault;
	if (leg->reason == NULL)
		leg->reason = reason;
	leg->up->transport.readable = leg->up->transport.writable = true;
	h2_leg_wake(leg);
}

void
h2_leg_reset(struct h2_leg *leg, enum end fault, const char *reason, uint32_t error)
{
	h2_leg_fail(leg, fault, reason);
	if (leg->id > 0)
		nghttp2_submit_rst_stream(leg->conn->session, NGHTTP2_FLAG_NONE, leg->id, error);
	h2_upstream_flush_later(leg->conn);
}

void
h2_leg_lost(struct h2_leg *leg, uint32_t error)
{
	leg->up->transport.writable = true; /* and finds that the server takes no more */
	if (leg->has_ended) {
		h2_leg_wake(leg);
		return;
	}
	/*
	 * Section 8.7: not looked at, nor will it be.  The move waits for the end of nghttp2's
	 * call.
	 */
	if (error == NGHTTP2_REFUSED_STREAM && leg->may_repeat && leg->moves < MOVES_MAX) {
		leg->must_move = true;
		h2_leg_wake(leg);
		return;
	}
	if (leg->fault == END_OK) {
		leg->was_reset = true;
		leg->its_code = error;
	}
	h2_leg_fail(
	    leg, error == NGHTTP2_REFUSED_STREAM ? END_SERVER_REFUSED : END_SERVER_CLOSED, NULL);
}

void
h2_leg_detach(struct h2_leg *leg, enum end fault, const char *reason)
{
	struct upstream *up = leg->up;

	if (leg->must_move && move(leg) == 0)
		return;
	if (leg->must_move)
		fault = END_SERVER_REFUSED;
	leave(leg, NGHTTP2_CANCEL);
	h2_leg_fail(leg, fault, reason);
	up->transport.readable = up->transport.writable = true;
	up->user_ops->on_ready(up->user, up); /* may free the leg */
}

size_t
h2_leg_size(void)
{
	return sizeof(struct h2_leg);
}
