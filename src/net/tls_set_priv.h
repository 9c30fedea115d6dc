/*
 * tls_set: all that one load of certificates made, and how long it lives.
 *
 * Runs in: every process of the daemon.  Certificates change while connections made of the old ones go on: a set is
 * counted by each SSL_CTX that points into its memory, and an SSL_CTX by each of its connections.
 */
#ifndef WEIR_TLS_SET_PRIV_H
#define WEIR_TLS_SET_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

struct arena;
struct certificate_info;
struct server_names;
struct tls_context;
struct tls_hello;
struct tls_servers;
struct tls_tickets;

struct tls_set {
	struct arena *arena; /* owned */
	unsigned users;      /* SSL_CTXs, and the configuration that it serves */
	unsigned number;     /* counted up in each process */
	struct tls_tickets *tickets;
	struct tls_context **contexts; /* by listener; NULL: no TLS */
	size_t context_count;
	struct tls_servers **servers; /* by pool; likewise */
	size_t server_count;
	struct certificate_info *certificates;
	size_t certificate_count;
};

/* What hangs on one SSL_CTX of a set. */
struct tls_member {
	struct tls_set *set;              /* counted */
	struct tls_hello *hello;          /* owned; NULL: any name gets this context */
	const struct server_names *names; /* of the certificate; NULL: nobody asks */
	unsigned served;                  /* position in config.served; SERIES_NONE: not shown to clients */
};

/* Counted once, for the caller. */
struct tls_set *tls_set_new(size_t listeners, size_t pools);
/* Gives back what the set owns of its contexts, too.  NULL is allowed. */
void tls_set_end(struct tls_set *set);
/* Make `ssl` a member; it counts until it is freed.  Returns NULL when memory is short. */
struct tls_member *tls_set_join(struct tls_set *set, SSL_CTX *ssl);
/* NULL: it is no member of any set. */
struct tls_member *tls_member_of(const SSL_CTX *ssl);

#endif
