/*
 * tls_hello: what the client's first message decides: certificate by server name, protocol by ALPN.
 *
 * Runs in: worker, inside SSL_do_handshake(); filled in the master.  Knows names and contexts, no files.
 */
#ifndef WEIR_TLS_HELLO_PRIV_H
#define WEIR_TLS_HELLO_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

struct arena;
struct server_names;
struct tls_hello; /* the server names of one listener */

struct tls_alpn {
	bool strict; /* a client that offers none of them is refused (RFC 7301 §3.2) */
	size_t len;
	unsigned char wire[]; /* most wanted first, a length byte before each */
};

/* In `arena`; give back with tls_hello_fini() before the arena goes. */
struct tls_hello *tls_hello_new(struct arena *arena);
/* NULL is allowed. */
void tls_hello_fini(struct tls_hello *hello);
/*
 * name     "www.example.com" or "*.example.com" (one label); borrowed.
 * ssl      counted once more on success.
 * Returns  false if the name is there already, or can be no host's.
 */
bool tls_hello_add(struct tls_hello *hello, const char *name, SSL_CTX *ssl);
/* The context for a name as a client sent it, in any case: exact, else wildcard, else NULL. */
SSL_CTX *tls_hello_find(const struct tls_hello *hello, const char *name, size_t len);

/*
 * A client that asks for none of the names is refused (alert unrecognized_name) rather than shown the default certificate,
 * which is for `own`; borrowed.  One that asks for nothing still gets that.
 */
void tls_hello_refuse_others(struct tls_hello *hello, const struct server_names *own);

/* Connections of `ssl` change to the context of the name they ask for; `hello` must outlive them. */
void tls_hello_set_names(SSL_CTX *ssl, struct tls_hello *hello);
/* Connections of `ssl` agree on one of these protocols; alpn must outlive them. */
void tls_hello_set_alpn(SSL_CTX *ssl, const struct tls_alpn *alpn);

#endif
