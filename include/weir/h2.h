/*
 * h2: an HTTP/2 connection on top of a client's transport.
 *
 * Runs in: worker.  h1.c hands a connection over once ALPN (or the preface, on cleartext listeners that allow it) says so.
 */
#ifndef WEIR_H2_H
#define WEIR_H2_H

#include <stdbool.h>
#include <stddef.h>

struct client;
struct buf;
struct h2;

enum h2_result {
	H2_WAIT = 0, /* the next event goes on */
	H2_CLOSE,    /* everything was said: close */
	H2_RESET     /* cut it */
};

/*
 * first  bytes that were read already; taken over; NULL: none
 * end    called at the end of a turn when the connection is to be closed; frees the h2
 * Returns NULL when the first bytes are no HTTP/2, or memory is short.
 */
struct h2 *h2_new(struct client *client, struct buf *first, void (*end)(struct client *client, bool reset));
/* Call it for each event of the client's transport. */
enum h2_result h2_run(struct h2 *h2);
/* Tell the client to open no more streams; those there are end as usual. */
void h2_drain(struct h2 *h2);
/* The client's timer fired. */
enum h2_result h2_timeout(struct h2 *h2);
/* Ends all streams. */
void h2_free(struct h2 *h2);
size_t h2_stream_size(void);

/* "PRI * HTTP/2.0..." (RFC 9113 section 3.4): are the first `len` bytes its beginning? */
bool h2_is_preface(const char *bytes, size_t len);
enum { H2_PREFACE_LEN = 24 };

#endif
