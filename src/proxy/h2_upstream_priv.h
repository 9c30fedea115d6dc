/*
 * h2_upstream: connections to servers that speak HTTP/2 (RFC 9113), over nghttp2's framing and HPACK.
 *
 * Runs in: worker.  One struct h2_upstream per connection, which it opens through struct upstream like any other; one
 * struct h2_leg per request.  Shared by h2_upstream.c (the connection), h2_leg.c (a leg's life and its place on a
 * connection), h2_leg_request.c (text to stream), h2_leg_response.c (stream to text) and h2_upstream_watch.c (floods,
 * silence).
 *
 * A connection is used once the server's SETTINGS have come: then it is known that it speaks HTTP/2, and how many
 * streams it allows.  Nothing of a connection is freed by a call from a leg's user, only at the end of the turn.
 */
#ifndef WEIR_H2_UPSTREAM_PRIV_H
#define WEIR_H2_UPSTREAM_PRIV_H

#include <nghttp2/nghttp2.h>
#include <sys/queue.h>

#include "weir/chunked.h"
#include "weir/h2_leg.h"
#include "weir/h2_scan.h"
#include "weir/pool.h"
#include "weir/websocket.h"
#include "weir/worker.h"

struct buf;
struct upstream;

TAILQ_HEAD(h2_leg_list, h2_leg);

enum h2_phase {
	H2_CONNECTING = 0, /* TCP, TLS */
	H2_GREETING,       /* the server's SETTINGS have not come */
	H2_OPEN,
	H2_LEAVING,        /* no new requests: GOAWAY, or we let go */
	H2_DEAD            /* buried */
};

struct h2_upstream {
	struct grave grave;
	struct deferred deferred;       /* flushes at the end of the turn */
	TAILQ_ENTRY(h2_upstream) link;  /* in server->h2, until it is dead */
	struct worker *worker;
	struct server *server;
	struct upstream *socket;        /* owned: the connection itself */
	char *name;                     /* owned; what the server is asked for in TLS; NULL: nothing */
	nghttp2_session *session;       /* owned; NULL: not connected */
	struct buf *out;                /* owned; frames on their way; NULL: nothing */
	struct h2_leg_list legs, todo;
	unsigned leg_count, placed_count;
	uint8_t phase;                  /* enum h2_phase */
	bool is_idle;                   /* counted in server->idle_count */
	bool is_broken;                 /* of no more use: found where it could not be ended */
	bool is_in_callback;            /* inside nghttp2: no frame may be made */
	bool is_suspect;                /* a request got no answer at all: nothing new until the server is heard */
	uint8_t fault;                  /* enum end: why the legs fail when it dies; END_OK: it closed */
	const char *reason;             /* likewise, for people; NULL: none; a literal */
	uint64_t heard_ms;              /* when bytes came last */
	uint32_t heard_count;           /* how often; wraps */
	uint64_t pinged_ms;             /* 0: no PINGs are under way */
	uint64_t stuck_ms;              /* since when the server has read nothing; 0: it reads */
	uint64_t idle_ms;               /* since when there are no legs */
	struct h2_scan scan;
	/* Flood limits: counted in windows of ten seconds. */
	uint64_t window_start_ms;
	uint32_t cheap_frames, continuations, updates_welcome;
};

struct h2_leg {
	TAILQ_ENTRY(h2_leg) link;   /* in conn->legs */
	TAILQ_ENTRY(h2_leg) waking; /* in conn->todo while is_waking */
	struct upstream *up;        /* whose leg it is */
	struct h2_upstream *conn;   /* NULL: gone */
	int32_t id;                 /* of the stream; 0: none, or over */
	uint64_t begun_ms;          /* when the request was sent, ... */
	uint32_t heard_before;      /* ... and conn->heard_count then */
	uint8_t fault;              /* enum end: why there will be no response; END_OK: there may be */
	uint8_t moves;              /* to other connections */
	bool is_waking;
	bool must_move;             /* to another connection, outside of nghttp2 */
	bool is_placed;             /* the connection is open and has room for it */
	bool is_begun;              /* h2_leg_begin() was called */
	bool is_unsent;             /* the stream never left: as good as refused */
	const char *reason;         /* of the fault, for people; NULL: not known; a literal */
	uint32_t our_code;          /* with which the stream is reset when its user goes */

	/* The request. */
	struct buf *head;           /* owned; its text, as long as it may have to be sent again */
	struct buf *body;           /* owned; data */
	uint32_t sent;              /* of the data, in frames; before stands what may have to be sent again */
	struct buf *trailers_out;   /* owned; lines; NULL: none */
	uint64_t body_left;         /* bytes that Content-Length promises */
	struct chunked chunked;
	bool is_to_head;            /* the method is HEAD */
	bool has_body, is_chunked;
	bool is_connect;            /* it asks for a WebSocket: bytes without end, once the server agrees */
	char accept[WEBSOCKET_ACCEPT_SIZE]; /* what the client is to be answered then */
	bool is_body_complete;
	bool is_body_sent;          /* the end of it was put into a frame */
	bool is_deferred;           /* nghttp2 waits for nghttp2_session_resume_data() */
	bool may_repeat;            /* the server is not known to have begun on it, and all that was sent is here */

	/* The response. */
	struct buf *lines;          /* owned; text of heads, not read yet */
	uint32_t lines_ready;       /* bytes of it that are whole heads */
	struct buf *data_first, *data_last; /* owned; a queue */
	struct buf *trailers;       /* owned; lines; NULL: none */
	uint32_t field_count, field_bytes;
	uint16_t status;            /* of the head of the moment */
	bool has_length;
	bool is_response_chunked;   /* the text is */
	bool has_head;              /* the final one */
	bool is_switched;           /* it agreed to is_connect */
	bool was_reset;             /* by the server, ... */
	uint32_t its_code;          /* ... with this */
	bool has_ended;             /* the server's side of the stream */
	bool is_end_read;           /* the text of the last chunk was */
};

/* ---- h2_upstream.c ---- */

/* A new connection to the server of `up`.  NULL with errno. */
struct h2_upstream *h2_upstream_open(const struct upstream *up, const char *name);
/*
 * Its server may have closed it, and the news be under way: a request must not be lost on it.  Returns whether it is
 * still open.  Context: a leg's user.
 */
bool h2_upstream_refresh(struct h2_upstream *conn);
/* How many legs it may have. */
unsigned h2_upstream_limit(const struct h2_upstream *conn);
/* Frames are to be sent at the end of the turn. */
void h2_upstream_flush_later(struct h2_upstream *conn);
/* Take no more requests; the connection goes when the last leg has. */
void h2_upstream_leave(struct h2_upstream *conn);
/* End it at once; legs fail with `fault`.  Context: not from within nghttp2, nor from a leg's user. */
void h2_upstream_fail(struct h2_upstream *conn, enum end fault);
/* The same from anywhere: at the end of the turn. */
void h2_upstream_break(struct h2_upstream *conn, enum end fault, const char *reason);

/* ---- h2_leg.c ---- */

/* Its user is to look at it, outside of nghttp2. */
void h2_leg_wake(struct h2_leg *leg);
/* Look at all that wait for it. */
void h2_leg_wake_all(struct h2_upstream *conn);
/* There will be no (further) response. */
void h2_leg_fail(struct h2_leg *leg, enum end fault, const char *reason);
/* The same, and the stream is reset with `error`. */
void h2_leg_reset(struct h2_leg *leg, enum end fault, const char *reason, uint32_t error);
/* The stream is over before its response was: what the server refused goes elsewhere. */
void h2_leg_lost(struct h2_leg *leg, uint32_t error);
/* The connection is open: legs that wait get their places, or are moved. */
void h2_leg_place_all(struct h2_upstream *conn);
/* Take the leg off its connection, which has ended; it fails or is moved. */
void h2_leg_detach(struct h2_leg *leg, enum end fault, const char *reason);

/* ---- h2_leg_request.c ---- */

/* Make a stream of leg->head.  Returns 0; -1: the leg has failed. */
int h2_leg_submit(struct h2_leg *leg);
/* From the beginning again, on another connection. */
void h2_leg_rewind(struct h2_leg *leg);
/* The server has begun to answer. */
void h2_leg_forget_request(struct h2_leg *leg);

/* ---- h2_leg_response.c ---- */

int h2_leg_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user);
int h2_leg_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
    const uint8_t *value, size_t value_len, uint8_t flags, void *user);
int h2_leg_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user);
/* HEADERS, as a whole. */
void h2_leg_on_headers_end(struct h2_leg *leg, bool is_end);
/* END_STREAM. */
void h2_leg_on_end(struct h2_leg *leg);
void h2_leg_free_response(struct h2_leg *leg);

/* ---- h2_upstream_watch.c ---- */

/* The server has sent too much of what carries nothing: ends the connection.  Returns as a callback of nghttp2. */
int h2_upstream_flooded(struct h2_upstream *conn);
/* These bytes came: count the frames that nghttp2 does not tell of. */
void h2_upstream_scan(struct h2_upstream *conn, const char *bytes, size_t len);
int h2_upstream_on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user);
/* Returns 0, or what the callback must return because there were too many such frames. */
int h2_upstream_watch_received(struct h2_upstream *conn, const nghttp2_frame *frame);
void h2_upstream_watch_sent(struct h2_upstream *conn, const nghttp2_frame *frame);
/* A leg ends without having heard anything since it was sent: is the server alive? */
void h2_upstream_suspect(struct h2_upstream *conn);
/* Set the connection's timer for what comes first. */
void h2_upstream_arm(struct h2_upstream *conn);
void h2_upstream_on_timeout(void *user, struct upstream *socket);

#endif
