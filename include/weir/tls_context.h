/*
 * tls_context: certificates and policy of one TLS listener, ready for connections.
 *
 * Runs in: master (load, with the right to read keys); workers inherit the result by fork.  Knows files, certificates
 * and policies, nothing of sockets (tls_io.h does).
 */
#ifndef WEIR_TLS_CONTEXT_H
#define WEIR_TLS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <openssl/ssl.h>

#include "weir/conf.h"

struct server_names;
struct tls_context;
struct tls_files;

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
/*
 * The same again, while connections are served: new ones get what is loaded now, those that are there keep what they
 * were made of.
 * files    where from: tls_files_new() in the master; what that packed, elsewhere
 * pack_fd  filled with what the other processes need, the caller's then; NULL: not wanted
 * Returns  0, or -1 with errors in `diag`: then nothing has changed.
 */
int tls_renew(struct config *config, struct tls_files *files, int *pack_fd, struct diag *diag);
void tls_unload(struct config *config);

/*
 * For a new connection: the context of the default certificate; SNI chooses among server_names in a callback.
 * It reads ahead: after a short SSL_read() more may wait inside, so a reader goes on until SSL_ERROR_WANT_READ.
 */
SSL_CTX *tls_context_ssl(const struct tls_context *context);

/*
 * Must a request for `host` (as in its Host field) come on another connection, since this one was shown a certificate for
 * the names in `shown`, and listeners with other rules of access are for that host?
 */
bool tls_context_is_foreign(
    const struct tls_context *context, const struct server_names *shown, const char *host, size_t len);

#endif
