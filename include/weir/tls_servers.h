/*
 * tls_servers: TLS towards the servers of one pool: whom they must prove to be, and what weir shows them.
 *
 * Runs in: master (made by tls_load()); workers and control inherit it by fork.  Knows names and certificates, no sockets.
 */
#ifndef WEIR_TLS_SERVERS_H
#define WEIR_TLS_SERVERS_H

#include <stddef.h>

#include <openssl/ssl.h>

struct addr;
struct tls_servers;

enum { TLS_NAME_SIZE = 254 };

/* The newest session with one server, to be resumed by the next connection. */
struct tls_session {
	SSL_SESSION *session; /* owned; NULL: none */
	char *name;           /* owned; what the server was asked for; NULL: nothing */
	unsigned set;         /* the load whose authorities and certificate it was made with */
};
void tls_session_fini(struct tls_session *session);

/*
 * The name to ask a server for (SNI) when a request names `host` (as in its Host field: a port may follow).
 * Returns  `name`, filled; NULL: none, the host is an address or missing.
 */
const char *tls_servers_name(
    const struct tls_servers *tls, const char *host, size_t len, char name[static TLS_NAME_SIZE]);

/*
 * A client's SSL that asks the server at `address` for `name` (NULL: nothing) and, if so configured, believes it only
 * with a certificate for that name, or for its address.  Returns NULL when memory is short.
 */
SSL *tls_servers_new_ssl(const struct tls_servers *tls, const char *name, const struct addr *address);

/* After a handshake that failed: what was wrong with the server's certificate; NULL: nothing. */
const char *tls_servers_fault(const SSL *ssl);

#endif
