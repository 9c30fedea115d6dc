/*
 * h2: clients that speak HTTP/2 (RFC 9113), over nghttp2's framing and HPACK.
 *
 * Runs in: worker.  One struct h2 per connection, one struct h2_stream per request; each request is an exchange like any
 * other.  Shared by h2.c (the connection), h2_request.c (requests in), h2_response.c (responses out), h2_tunnel.c
 * (WebSocket) and h2_watch.c (limits).
 *
 * A request becomes the text of an HTTP/1.1 head and goes through the same strict parser as those of HTTP/1 clients: what
 * that would refuse cannot be smuggled in through HTTP/2.
 */
#ifndef WEIR_H2_PRIV_H
#define WEIR_H2_PRIV_H

#include <nghttp2/nghttp2.h>

#include "front_priv.h"
#include "weir/balance.h"
#include "weir/exchange.h"
#include "weir/h2_scan.h"
#include "weir/websocket.h"

struct buf;
struct h2_tunnel;

enum { H2_PSEUDO_METHOD = 0, H2_PSEUDO_SCHEME, H2_PSEUDO_AUTHORITY, H2_PSEUDO_PATH, H2_PSEUDO_PROTOCOL, H2_PSEUDOS };
enum { H2_RESETS_KEPT = 256 };

struct h2_stream {
	TAILQ_ENTRY(h2_stream) link;    /* in h2->streams */
	TAILQ_ENTRY(h2_stream) waiting; /* in h2->todo while is_waiting */
	struct h2 *h2;
	struct exchange *x; /* owned; NULL: not begun, or over */
	int32_t id;
	bool is_waiting;    /* h2_advance() is to look at it */
	bool is_closed;     /* nghttp2 has forgotten it: only the exchange keeps it alive */
	bool is_begun;      /* h2_begin() was called */
	bool is_complete;   /* the request head has come as a whole */
	bool is_ended;      /* the client has ended its side */
	bool is_refused;    /* answer `refusal` instead of beginning an exchange */
	bool is_head_begun; /* the request line was written */
	bool has_host;
	bool has_length;    /* the client said content-length */
	bool is_connect;       /* WebSocket: an Upgrade towards the server */
	bool is_switch_bad;    /* the server's answer to it is none */
	bool has_bad_trailers; /* too many: the stream is being reset */
	bool is_reported;      /* what was wrong with it is kept already */
	bool is_servers_fault; /* its reset is not the client's doing */
	uint32_t reset_code;   /* is_closed: how it ended */
	enum end refusal;

	/* The request head as text, and what it is made of. */
	struct buf *head;     /* owned */
	struct buf *cookies;  /* owned; their values, joined (section 8.2.3) */
	struct buf *trailers; /* owned; lines */
	nghttp2_rcbuf *pseudo[H2_PSEUDOS];
	unsigned field_count;

	/* The request body: a queue; the first buffer may be sealed, that is framed as a chunk. */
	struct buf *body_first, *body_last; /* owned */
	uint32_t sealed_data;               /* data bytes in the sealed first buffer */
	bool is_sealed;
	bool is_end_framed;                 /* the last chunk was put in the queue */

	/* The response body: the piece that the exchange offers, or weir's own reply. */
	struct buf *reply; /* owned */
	const char *piece;
	size_t piece_len, piece_taken;
	bool piece_is_last;
	struct buf *trailers_out; /* owned; lines, to be sent behind the last piece; NULL: none */
	bool is_deferred;  /* nghttp2 waits for nghttp2_session_resume_data() */

	struct h2_tunnel *tunnel; /* owned; bytes both ways after CONNECT; NULL: none */
	char websocket_key[WEBSOCKET_KEY_SIZE];
	uint64_t stalled_ms; /* since when the client neither sends nor reads; 0: it does, or need not */
};

TAILQ_HEAD(h2_streams, h2_stream);

struct h2 {
	struct deferred deferred; /* flushes at the end of the turn */
	struct client *client;    /* borrowed: owns us */
	struct worker *worker;
	void (*end)(struct client *client, bool reset);
	nghttp2_session *session; /* owned */
	struct h2_streams streams, todo;
	struct buf *out;          /* owned; frames on their way; NULL: nothing */
	uint32_t stream_count;    /* in `streams` */
	uint32_t open_count;      /* of these, those that nghttp2 has: what the client counts */
	bool is_broken;           /* the connection is of no more use */
	bool is_deaf;             /* it is ending by an error: what comes is not looked at */
	bool is_receiving;        /* inside nghttp2_session_mem_recv(): no frame may be made */
	bool is_draining, has_said_goodbye;
	/* Flood limits: counted in windows of ten seconds. */
	bool is_flooding;
	uint64_t window_start_ms;
	uint32_t resets, cheap_frames;
	uint32_t continuations;   /* of the header block of the moment */
	uint32_t updates_welcome; /* WINDOW_UPDATE frames that answer data we sent */
	struct h2_scan scan;
	bool has_reset;           /* the bytes of the moment close a stream */
	/* Streams that we reset: frames that were under way may still come. */
	int32_t reset_ids[H2_RESETS_KEPT];
	unsigned reset_at;
	int32_t last_id;          /* the highest that the client opened */
	uint32_t error;           /* of the connection, found by us; 0: none */
	/* Since when; 0: not now. */
	uint64_t idle_since_ms;   /* no stream; counts only while there is none */
	uint64_t head_since_ms;   /* a header block, or the preface, is incomplete */
	uint64_t out_stalled_ms;  /* the client reads nothing */
	uint64_t drain_since_ms;  /* the first of two GOAWAYs was sent */
};

/* h2_request.c */
int h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user);
int h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value,
    uint8_t flags, void *user);
int h2_on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t len,
    void *user);
/* The head has come as a whole; the exchange begins in h2_begin(), outside of nghttp2's callbacks. */
void h2_request_complete(struct h2_stream *s);
void h2_request_ended(struct h2_stream *s);
void h2_begin(struct h2_stream *s);
ssize_t h2_peek_body(struct exchange *x, const char **bytes);
void h2_consume_body(struct exchange *x, size_t len);
/* `len` bytes of the first body buffer are done with. */
void h2_consume(struct h2_stream *s, size_t len);
/* Frees all that the request side owns. */
void h2_request_free(struct h2_stream *s);

/* h2_response.c */
int h2_send(struct exchange *x, const struct response_piece *piece, size_t *taken);
void h2_done(struct exchange *x, enum end end);
/* Reset the stream for what is not the client's fault. */
void h2_reset(struct h2_stream *s, uint32_t code);
/* Answer without an exchange.  is_parsed: h1_fault() says what was wrong. */
void h2_refuse(struct h2_stream *s, enum end end, bool is_parsed);

/* h2_tunnel.c */
void h2_switched(struct exchange *x);
/* The server's 101.  Returns 0; -1: the client must not see it, and h2_switched() will refuse it. */
int h2_check_switch(struct h2_stream *s, const struct message *head);
/* Both sides have ended, and the server is yet to get what the client said last: the tunnel outlives the stream. */
bool h2_tunnel_lingers(const struct h2_stream *s);
/* May free `s` if it is closed. */
void h2_tunnel_run(struct h2_stream *s);
/* NULL tunnel is allowed and does nothing. */
void h2_tunnel_free(struct h2_stream *s);

/* h2_watch.c */
/*
 * What of these bytes comes before the next DATA frame whose stream may be over: nghttp2 is to have that, and then
 * h2_check_data() looks at the frame.  Call again for the rest.  Returns `len` when there is no such frame.
 */
size_t h2_scan(struct h2 *h2, const char *bytes, size_t len);
void h2_check_data(struct h2 *h2);
int h2_on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user);
/* Returns 0, or what the callback must return because there were too many such frames. */
int h2_watch_received(struct h2 *h2, const nghttp2_frame *frame);
/* May set is_flooding. */
void h2_watch_sent(struct h2 *h2, const nghttp2_frame *frame);
/* The exchange of `s` waits for the client from now on, or already did. */
void h2_stall(struct h2_stream *s);
/* The client did something. */
void h2_move(struct h2_stream *s);
/*
 * The connection's timer runs all the time, and looks at what waits since when: so no stream costs a timer operation.
 */
void h2_arm(struct h2 *h2);
/* GOAWAY: streams opened from now on are not served. */
void h2_say_goodbye(struct h2 *h2);

/* h2_fault.c */
/* A field that no message may have: the stream is about to be reset. */
void h2_fault_field(struct h2 *h2, struct h2_stream *s, nghttp2_rcbuf *name, nghttp2_rcbuf *value);
/* If this frame ends a stream or the connection for what the client did wrong, that is counted and kept. */
void h2_fault_sent(struct h2 *h2, const nghttp2_frame *frame);

/* h2.c */
extern const struct exchange_ops h2_exchange_ops;
/* Look at `s` once nghttp2 is done. */
void h2_wait(struct h2_stream *s);
/* GOAWAY with an error (or NO_ERROR), and the end. */
void h2_terminate(struct h2 *h2, uint32_t error);
/* Make frames of what is there, as long as the buffer has room. */
void h2_make_output(struct h2 *h2);
void h2_stream_free(struct h2_stream *s);

#endif
