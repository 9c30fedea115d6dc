/*
 * The tickets of one load: keys of a file, or the schedule by which the chain of weir/tls_tickets.h goes on.
 *
 * Runs in: every process of the daemon (load), workers (seal and open).
 */
#ifndef WEIR_TLS_TICKETS_PRIV_H
#define WEIR_TLS_TICKETS_PRIV_H

#include <openssl/ssl.h>

#include "weir/conf.h"
#include "weir/tls_tickets.h"

struct diag;
struct tls_files;
struct tls_tickets;

/* Starts the chain if there is none.  Owned by the caller; NULL with an error in `diag`. */
struct tls_tickets *tls_tickets_load(
    const struct global_config *global, struct tls_files *files, struct where where, struct diag *diag);
/* NULL is allowed. */
void tls_tickets_free(struct tls_tickets *tickets);
/* ssl: a member of a set. */
void tls_tickets_use(SSL_CTX *ssl);

#endif
