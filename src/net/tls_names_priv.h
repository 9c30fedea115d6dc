/*
 * tls_names: the names that certificates are for, and which listeners' rules of access a host is under.
 *
 * Runs in: master (fill), workers (ask).  Knows names, not connections.
 */
#ifndef WEIR_TLS_NAMES_PRIV_H
#define WEIR_TLS_NAMES_PRIV_H

#include <openssl/x509.h>

#include "weir/conf.h"

struct arena;
struct server_names;
struct tls_cert;
struct tls_hosts;

typedef void tls_name_fn(void *arg, const unsigned char *name, int len);

/* Call `each` for the DNS names of a certificate, else for its common name. */
void tls_names_each(X509 *cert, tls_name_fn *each, void *arg);
/* A table in `arena` of the names of all certificates under an ID. */
struct server_names *tls_names_of(const struct tls_cert *cert, struct arena *arena);

/*
 * Which hosts the HTTPS listeners are for, by rules of access: access list, client certificates.
 * In `arena`; NULL when all such listeners have the same rules.
 */
struct tls_hosts *tls_hosts_new(const struct config *config, struct arena *arena);
/* The listener is for the names of this certificate too; those that its configuration tells are known already. */
void tls_hosts_add(struct tls_hosts *hosts, const struct listener_config *listener, const struct tls_cert *cert);
/* Is `host` (as in a Host field) only for listeners with rules other than those of `listener`? */
bool tls_hosts_is_foreign(const struct tls_hosts *hosts, const struct listener_config *listener, const char *host, size_t len);

#endif
