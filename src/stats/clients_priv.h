/*
 * clients: connections that ask and are answered, for the stats endpoint and the control socket.
 *
 * Runs in: control.  Accepts up to a limit, reads requests of bounded size, writes answers of any size as fast as they
 * are read, and closes who is too slow.  Knows nothing of what is asked: `struct clients_ops` does.
 */
#ifndef WEIR_CLIENTS_PRIV_H
#define WEIR_CLIENTS_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event_struct.h>

#include "text_priv.h"


struct clients;

struct client {
	struct clients *clients;
	TAILQ_ENTRY(client) next;
	int fd; /* owned */
	struct event ready; /* both ways, edge-triggered */
	struct event alarm; /* the deadline; also used to go on in a later turn of the loop */
	char *in;           /* owned; limits->request_size bytes */
	size_t filled;      /* of these: what came of requests not yet answered */
	struct text out;    /* the answer on its way */
	size_t sent;        /* of out.len */
	uint64_t answer_ms; /* when the answer began to leave */
	bool closes;        /* after `out`, no further request is read */
	bool was_served;    /* has asked before */
	bool is_asking;     /* the answer comes later, with client_answer_later() */
	bool lingers;       /* all is sent; waits for the peer to have read it */
	void *data;         /* of the ops */
};

struct clients_ops {
	/*
	 * Answer the first request in client->in by adding to client->out, and set `closes` or `is_asking` as needed.
	 * Returns the bytes that the request had; 0: it is not complete yet, nothing was done.
	 */
	size_t (*answer)(struct client *client);
	/* request_size bytes and no complete request: say so in client->out; the connection then ends. */
	void (*too_long)(struct client *client);
	/* The connection goes away; may be NULL. */
	void (*closed)(struct client *client);
};

struct clients_limits {
	size_t request_size; /* bytes */
	unsigned connections;
	unsigned idle_ms;   /* from one answer (or the accept) to the next complete request */
	unsigned stall_ms;  /* without a byte of the answer being taken */
	unsigned answer_ms; /* for one answer as a whole; longer ones get more */
};

struct event_base;

/* fd: non-blocking listening socket, stays the caller's.  ops, limits: borrowed. */
struct clients *clients_start(struct event_base *base, int fd, const struct clients_ops *ops,
    const struct clients_limits *limits, void *arg);
/* Accept nobody any more; who is there gets the answer to a request that is on its way. */
void clients_drain(struct clients *clients);
bool clients_is_draining(const struct clients *clients);
/* Ends all connections.  NULL is allowed. */
void clients_stop(struct clients *clients);
/* The `arg` of clients_start(). */
void *clients_arg(const struct clients *clients);
/* Is any answer still owed or on its way, or a connection's first request? */
bool clients_busy(const struct clients *clients);
/* Bytes of answers that wait to be read. */
size_t clients_pending(const struct clients *clients);

/* The answer that `is_asking` announced is in client->out now.  Context: not from within the ops. */
void client_answer_later(struct client *client);

#endif
