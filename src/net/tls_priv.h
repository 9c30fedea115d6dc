/*
 * tls: the TLS state of one transport, as the files of its TLS side share it.
 *
 * Runs in: worker.  tls_io.c: handshakes, and connections that stay with OpenSSL.  tls_stream.c: TLS 1.3 connections
 * whose keys weir took over, so that the SSL could be freed.
 */
#ifndef WEIR_TLS_PRIV_H
#define WEIR_TLS_PRIV_H

#include <sys/queue.h>

#include <openssl/ssl.h>

#include "tls_record_priv.h"
#include "weir/transport.h"

struct buf;
struct client_cert;
struct tls_session;

enum tls_turn { TLS_TURN_NONE = 0, TLS_TURN_WAITING, TLS_TURN_DUE };

struct tls {
	SSL *ssl;         /* owned; NULL: keys below */
	struct buf *raw;  /* owned; read from the socket and not looked at yet; NULL while empty */
	struct buf *plain;       /* owned; opened, and more than the reader had room for; NULL while empty */
	struct buf *unsent_more; /* owned; follows transport.unsent; NULL while empty */
	struct tls_traffic_key open, seal;
	struct client_cert *client;  /* owned; NULL: the client was not asked for a certificate */
	SSL_CTX *shown;              /* counted; holds the certificate that the client was shown; NULL: nobody asks */
	struct tls_session *session; /* borrowed; towards servers: where the newest one is kept; else NULL */
	TAILQ_ENTRY(tls) line;       /* while its handshake waits for its turn */
	struct transport *transport; /* likewise: whose this is */
	uint8_t turn;                /* enum tls_turn */
	uint16_t served;             /* once `ssl` is NULL: see transport_certificate(); UINT16_MAX: none, or past it */
	uint32_t burst;          /* bytes written since the connection was silent: decides the size of records */
	uint64_t written_ms;     /* the last write */
	uint64_t born_ms;        /* when a client connected; 0: towards a server */
	uint8_t secrets;         /* how many of the two are known */
	uint8_t silent_records;  /* in a row that brought nothing */
	uint8_t message[5];      /* a message after the handshake of which some is there: a client's KeyUpdate */
	uint8_t message_len;
	int8_t ended;            /* IO_CLOSED, IO_ERROR: what the next read returns; 0: neither */
	bool counts;             /* sealed records are counted: they use the key that is to be taken over */
	bool owes_update;        /* a KeyUpdate goes out before the next data */
	bool close_sent;
	bool was_read;           /* something came from the client */
	bool spoke_http;         /* and it was no TLS */
	bool is_h2;              /* agreed by ALPN */
	bool resumed;            /* a session of before */
	const char *version, *cipher; /* what was agreed, for logs; OpenSSL's own; NULL before */
};

/* tls_turn.c: may the handshake go on in this turn of the loop?  Else on_ready is called in one of the next. */
bool tls_turn_take(struct transport *transport);
/* It waits no more. */
void tls_turn_leave(struct tls *tls);

/* Connections may be taken over: the kernel does not do TLS.  Set when contexts are made. */
extern bool tls_takes_over;
/* Callback for SSL_CTX_set_keylog_callback(): catches the secrets of the keys after the handshake. */
void tls_catch_secret(const SSL *ssl, const char *line);
/* After the handshake: go on without tls->ssl if that can be. */
void tls_take_over(struct transport *transport);

/* What went wrong, for transport_tls_error(): a literal, or borrowed from OpenSSL. */
void tls_set_error(const char *text);
/* For transport_handshake_fault(). */
void tls_set_fault(enum tls_fault fault);
/* Maps the failure of an SSL call to IO_*, with error and fault set, and leaves OpenSSL's queue empty. */
int tls_failure(struct transport *transport, int result);

ssize_t tls_stream_read(struct transport *transport, void *data, size_t size);
ssize_t tls_stream_writev(struct transport *transport, const struct iovec *iov, int count);
int tls_stream_flush(struct transport *transport);
void tls_stream_shutdown(struct transport *transport);

#endif
