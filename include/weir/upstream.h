/*
 * upstream: a connection to a server: opened, used for one thing at a time, kept for the next.
 *
 * Runs in: worker.  Kept connections are per worker and server, the most recently used first.  Knows nothing of HTTP,
 * but that to servers of HTTP/2 it is a place on a connection that others use too.
 */
#ifndef WEIR_UPSTREAM_H
#define WEIR_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/ends.h"
#include "weir/h2_leg.h"
#include "weir/pool.h"
#include "weir/transport.h"
#include "weir/wheel.h"
#include "weir/worker.h"

struct buf;
struct slice;
struct upstream;

/* Who uses the connection. */
struct upstream_user {
	void (*on_ready)(void *user, struct upstream *upstream);   /* bytes, room, connected or failed: find out */
	void (*on_timeout)(void *user, struct upstream *upstream); /* the timer fired */
};

struct upstream {
	struct grave grave;
	TAILQ_ENTRY(upstream) link; /* in server->idle while is_idle */
	struct h2_leg *leg;         /* owned; instead of a socket of its own; NULL: not with HTTP/2 */
	struct transport transport; /* with a leg, only `readable` and `writable` mean something */
	struct timer timer;         /* the user's; while idle: how long it is kept */
	struct worker *worker;
	struct server *server;
	struct buf *in;             /* owned; bytes read and not consumed; NULL while empty */
	const struct upstream_user *user_ops; /* NULL while idle */
	void *user;
	uint64_t opened_us;         /* when connect() was called */
	uint64_t taken_turn;        /* of the loop, when it was last taken without a look; 0: never */
	bool is_idle;
	bool is_connected;
	bool is_secured;            /* the TLS handshake is over, where the pool has TLS */
	bool is_reused;             /* it has served before: it may turn out dead */
	bool is_stale;              /* what the server sent came before the request: nobody asked for it */
};

/*
 * The most recently used kept connection to `server`, in use by `user` from now on; NULL if there is none.
 * host     of the request: a TLS connection serves only requests that would ask the server for the same name
 */
struct upstream *upstream_take_idle(struct worker *worker, struct server *server, const struct slice *host,
    const struct upstream_user *ops, void *user);
/*
 * Start a new connection, with TLS if the pool has it; on_ready is called when it is there or has failed (see
 * upstream_check()).
 * host     of the request, for the server name of TLS; NULL: none
 * Returns NULL with errno when it fails at once.
 */
struct upstream *upstream_connect(struct worker *worker, struct server *server, const struct slice *host,
    const struct upstream_user *ops, void *user);
/* Why upstream_connect() failed with this errno: what weir itself lacks is no fault of the server's. */
enum end upstream_refusal(int error);
/* Is the connection made, with TLS if the pool has it?  Returns 0, IO_WAIT, or IO_ERROR with errno. */
int upstream_check(struct upstream *upstream);
/* Why upstream_check() failed. */
enum end upstream_fault(const struct upstream *upstream);
/* The user needs it no more and nothing is under way: keep it for the next one (or close it if there are enough). */
void upstream_give(struct upstream *upstream);
/* Close it whatever its state.  NULL is allowed and does nothing. */
void upstream_close(struct upstream *upstream, bool reset);
/* Close all kept connections of a server; of all servers of all pools. */
void upstream_close_kept(struct server *server);
void upstream_close_idle(struct worker *worker);

/* A connection of its own, for those above and for HTTP/2: as upstream_connect(), for any pool. */
struct upstream *upstream_dial(struct worker *worker, struct server *server, const char *name,
    const struct upstream_user *ops, void *user);
/* Was it opened for this name of TLS (NULL: none)? */
bool upstream_has_name(const struct upstream *upstream, const char *name);

/* As transport_read(), transport_writev() and so on. */
static inline ssize_t
upstream_read(struct upstream *upstream, void *data, size_t size)
{
	return upstream->leg != NULL ? h2_leg_read(upstream->leg, data, size)
				     : transport_read(&upstream->transport, data, size);
}

static inline ssize_t
upstream_write(struct upstream *upstream, const char *bytes, size_t len)
{
	struct iovec iov = { (char *)(uintptr_t)bytes, len };

	return upstream->leg != NULL ? h2_leg_write(upstream->leg, bytes, len)
				     : transport_writev(&upstream->transport, &iov, 1);
}

/* Send a request head of head_len bytes, and what stands behind it. */
static inline ssize_t
upstream_begin(struct upstream *upstream, const struct iovec *iov, int count, size_t head_len)
{
	return upstream->leg != NULL ? h2_leg_begin(upstream->leg, iov, count, head_len)
				     : transport_writev(&upstream->transport, iov, count);
}

static inline void
upstream_yield(struct upstream *upstream)
{
	if (upstream->leg != NULL)
		h2_leg_yield(upstream->leg);
	else
		transport_yield(&upstream->transport);
}

/* Nothing follows: tell the server once all was sent.  Returns 0; IO_WAIT: call again; IO_ERROR. */
static inline int
upstream_finish(struct upstream *upstream)
{
	return upstream->leg != NULL ? h2_leg_finish(upstream->leg) : transport_finish(&upstream->transport);
}

/* May a response end here, as far as the connection knows?  Only HTTP/2 knows better than the message. */
static inline bool
upstream_may_end(const struct upstream *upstream)
{
	return upstream->leg == NULL || h2_leg_has_ended(upstream->leg);
}

/* With what a client of HTTP/2 may be told that the server reset its stream; 0: it did not.  NULL is allowed. */
static inline uint32_t
upstream_reset_code(const struct upstream *upstream)
{
	return upstream != NULL && upstream->leg != NULL ? h2_leg_reset_code(upstream->leg) : 0;
}

/* The client of HTTP/2 reset its stream: what a server of HTTP/2 is told of it when `upstream` is closed.  NULL likewise. */
static inline void
upstream_give_up(struct upstream *upstream, uint32_t code)
{
	if (upstream != NULL && upstream->leg != NULL)
		h2_leg_give_up(upstream->leg, code);
}

/* Is it still open and silent?  Then what comes from now on is an answer to what is sent now. */
static inline bool
upstream_is_quiet(struct upstream *upstream)
{
	upstream->taken_turn = 0;
	return upstream->leg != NULL || transport_is_quiet(&upstream->transport);
}

#endif
