/*
 * tls_client: client certificates: asked for, verified, and told as texts.
 *
 * Runs in: master (ask, digest), workers (note).
 */
#ifndef WEIR_TLS_CLIENT_PRIV_H
#define WEIR_TLS_CLIENT_PRIV_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "weir/client_cert.h"
#include "weir/conf.h"

/* Ask clients for a certificate of these authorities.  Returns 0, or -1 with the reason in OpenSSL's queue. */
int tls_client_ask(SSL_CTX *ssl, enum tls_verify verify, X509_STORE *store);
/* Add to the digest that says which sessions may go on: one goes on only where its client was verified like this. */
bool tls_client_digest(EVP_MD_CTX *hash, enum tls_verify verify, X509_STORE *store);

/* After a handshake on the server's side.  Returns NULL where no certificate is asked for; pair with tls_client_free(). */
struct client_cert *tls_client_note(const SSL *ssl);
void tls_client_free(struct client_cert *client);

#endif
