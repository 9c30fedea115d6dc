/*
 * tls_tickets: the keys that seal session tickets.
 *
 * Runs in: master (start), workers (seal and open).  Either keys from a file, or a chain: each key is derived from the one
 * before it, which is forgotten then, so that no process can open tickets older than the previous key.  All processes
 * derive the same keys at the same time, without a word between them.
 */
#ifndef WEIR_TLS_TICKETS_PRIV_H
#define WEIR_TLS_TICKETS_PRIV_H

#include <openssl/ssl.h>

#include "weir/conf.h"

/*
 * Before the first fork, and at each load after it.
 * Returns 0, or -1 with an error in `diag` and the keys as they were.
 */
int tls_tickets_load(const struct global_config *global, struct where where, struct diag *diag);
void tls_tickets_use(SSL_CTX *ssl);

#endif
