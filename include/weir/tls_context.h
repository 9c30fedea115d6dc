/*
 * tls_context: certificates and policy of one TLS listener, ready for connections.
 *
 * Runs in: master (load, with the right to read keys); workers inherit the result by fork.  Knows files, certificates
 * and policies, nothing of sockets (tls_io.h does).
 */
#ifndef WEIR_TLS_CONTEXT_H
#define WEIR_TLS_CONTEXT_H

#include <stddef.h>
#include <openssl/ssl.h>

#include "weir/conf.h"

struct tls_context;

/*
 * Load what every TLS listener of `config` names into its .tls_context: CERT-ID.pem (certificate chain and key) or
 * CERT-ID/tls.crt + CERT-ID/tls.key under global.certificates.dir.  All faults are told: missing or unreadable files
 * (with the paths tried), encrypted keys, keys that do not match, expired certificates (warning), files others can read
 * (warning), a policy under which the certificate's key type can never complete a handshake.  An ID loaded once is shared.
 * Returns  0, or -1 with errors in `diag` and no context made.
 * Pair     with tls_unload() before conf_free().
 * Context  the first call makes the key of session tickets, so it must come before the first fork.
 */
int tls_load(struct config *config, struct diag *diag);
/* Connections made of the contexts must have ended before conf_free(): server names and ALPN live in the arena. */
void tls_unload(struct config *config);

/*
 * For a new connection: the context of the default certificate; SNI chooses among server_names in a callback.
 * It reads ahead: after a short SSL_read() more may wait inside, so a reader goes on until SSL_ERROR_WANT_READ.
 */
SSL_CTX *tls_context_ssl(const struct tls_context *context);

#endif
