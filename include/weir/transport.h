/*
 * transport: bytes from and to one socket, plain or TLS alike.
 *
 * Runs in: worker.  Each descriptor is registered once, edge-triggered, for reading and writing; `readable` and
 * `writable` remember the last edge until the kernel says EAGAIN, so the fast path makes no other system call than the
 * transfer itself.  Knows nothing of what the bytes mean.
 */
#ifndef WEIR_TRANSPORT_H
#define WEIR_TRANSPORT_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct buf;
struct client_cert;
struct server_names;
struct paced;      /* pace.h */
struct tls;        /* net/tls_priv.h */
struct tls_session; /* tls_servers.h */
struct ssl_st;     /* SSL */
struct ssl_ctx_st; /* SSL_CTX */

/* Why the handshake of a client failed. */
enum tls_fault {
	TLS_FAULT_TIMEOUT = 0,
	TLS_FAULT_CLOSED,      /* by the client, without a word */
	TLS_FAULT_PLAIN,       /* it spoke HTTP */
	TLS_FAULT_MISMATCH,    /* version, suite, protocol, name */
	TLS_FAULT_CERTIFICATE, /* the client's */
	TLS_FAULT_ALERT,       /* from the client */
	TLS_FAULT_MALFORMED    /* all else */
};

/* Results below zero of the functions that move bytes. */
enum {
	IO_WAIT = -1,   /* nothing now; on_ready is called when it may go on */
	IO_CLOSED = -2, /* the peer ended its sending side; writing may go on */
	IO_ERROR = -3   /* errno says why; the connection is of no more use */
};

struct transport {
	int fd; /* owned; -1: closed */
	bool readable, writable;
	bool peer_closed; /* the kernel saw the peer's FIN: a short read does not mean that nothing follows */
	bool tls_failed;  /* no close_notify may be sent */
	struct tls *ssl;     /* owned; NULL: plain */
	struct paced *paced; /* owned; NULL: no bandwidth limit */
	struct buf *unsent;  /* owned; TLS: bytes taken from the caller that the socket did not take yet */
	struct event event;
	void (*on_ready)(struct transport *transport); /* may close the transport and free its owner */
};

/*
 * Take over the connected (or connecting) non-blocking socket `fd` and watch it.
 * Returns 0; -1 with errno when it cannot be watched: the descriptor is closed then.
 */
int transport_open(struct transport *transport, struct event_base *base, int fd, void (*on_ready)(struct transport *));
/* Speak TLS as a server from now on.  Returns 0, or -1 when memory is short. */
int transport_accept_tls(struct transport *transport, struct ssl_ctx_st *context);
/*
 * Speak TLS as a client, once connected; takes `ssl` of tls_servers_new_ssl() over.  Returns 0, or -1: memory is short.
 * session  borrowed for the life of the transport: resumed if it fits, and replaced by newer ones
 */
int transport_connect_tls(struct transport *transport, struct ssl_st *ssl, struct tls_session *session);
/* The name that a server was asked for; NULL: none. */
const char *transport_tls_name(const struct transport *transport);
/* What was wrong with the server's certificate when the handshake failed; NULL: something else. */
const char *transport_tls_fault(const struct transport *transport);
/* Go on with the handshake.  Returns 0 when it is done, IO_WAIT, IO_CLOSED or IO_ERROR. */
int transport_handshake(struct transport *transport);
/* After a handshake that failed: if the client spoke HTTP in the clear, go on so, without what it said; else false. */
bool transport_leave_tls(struct transport *transport);
/* What the client proved; NULL: it was not asked.  Borrowed while the transport lives. */
const struct client_cert *transport_client_cert(const struct transport *transport);
/* The names of the certificate that the client was shown; NULL: any host may be asked for.  Borrowed likewise. */
const struct server_names *transport_shown(const struct transport *transport);
/* Did the two agree on HTTP/2?  After the handshake. */
bool transport_is_h2(const struct transport *transport);
/* "TLSv1.3" and the name of the suite, after the handshake; NULL: no TLS. */
const char *transport_tls_version(const struct transport *transport);
const char *transport_tls_cipher(const struct transport *transport);
/* Did the client resume a session?  After the handshake. */
bool transport_tls_resumed(const struct transport *transport);
/* Which of config.served the client was shown, or would have been; SERIES_NONE: none that is counted, or no TLS. */
unsigned transport_certificate(const struct transport *transport);
/* What failed in the last TLS call, for people; borrowed until the next call. */
const char *transport_tls_error(void);
/* Likewise, after a handshake that failed. */
enum tls_fault transport_handshake_fault(void);

/* How many steps of clients' handshakes one turn of the event loop has room for; the others wait in line. */
void transport_limit_handshakes(unsigned steps);
/*
 * After each turn of the event loop: go on with handshakes that wait.
 * Returns  whether some wait on: the next turn should not sleep.
 */
bool transport_turn(void);

/* Returns the bytes read (above 0) or IO_*.  Not to be called when !readable. */
ssize_t transport_read(struct transport *transport, void *data, size_t size);
/* The same without taking them; plain transports alone.  What is there already counts as read: there will be an edge. */
ssize_t transport_peek(struct transport *transport, void *data, size_t size);
/* Returns the bytes taken (above 0; with TLS they may still be in `unsent`) or IO_*. */
ssize_t transport_writev(struct transport *transport, const struct iovec *iov, int count);
/*
 * Write from the buffer; when all of it was taken it is given back and *buf is NULL.
 * Returns 0 when some was taken, IO_WAIT or IO_ERROR.
 */
int transport_write_buf(struct transport *transport, struct buf **buf);
/* Returns 0 when the socket took everything, IO_WAIT or IO_ERROR. */
int transport_flush(struct transport *transport);
/* Call on_ready in the next turn of the loop: there is more to do, but others should have their turn. */
void transport_yield(struct transport *transport);
/* Tell the peer that nothing follows (close_notify and FIN).  Reading may go on. */
void transport_shutdown(struct transport *transport);
/* The same once all was sent.  Returns 0; IO_WAIT: call again; IO_ERROR. */
int transport_finish(struct transport *transport);
/* Has the peer reset the connection, or the like?  For one that is not read from now; asks once, the kernel forgets. */
bool transport_has_failed(const struct transport *transport);
/* Is the connection of a kept upstream still open and silent? */
bool transport_is_quiet(struct transport *transport);
/* Close at once; with `reset` the peer gets RST instead of FIN, and no close_notify.  May be called twice. */
void transport_close(struct transport *transport, bool reset);

/* net/tls_io.c, for transport.c. */
ssize_t tls_read(struct transport *transport, void *data, size_t size);
ssize_t tls_writev(struct transport *transport, const struct iovec *iov, int count);
int tls_flush(struct transport *transport);
void tls_close(struct transport *transport);
void tls_shutdown(struct transport *transport);

#endif
