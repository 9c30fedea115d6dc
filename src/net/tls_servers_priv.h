/*
 * Making struct tls_servers: tls_context.c calls it for each pool with protocol https.
 *
 * Runs in: master.
 */
#ifndef WEIR_TLS_SERVERS_PRIV_H
#define WEIR_TLS_SERVERS_PRIV_H

#include "weir/conf.h"
#include "weir/tls_servers.h"

struct arena;
struct namemap;
struct tls_files;
struct tls_load;
struct tls_policy;

/* What one tls_load() shares among pools and listeners. */
struct tls_stores {
	struct arena *arena;        /* borrowed */
	struct tls_files *files;    /* borrowed */
	struct namemap *by_path;    /* path -> X509_STORE, each counted once in `made` */
	struct tls_store_made *made;
};

/*
 * The authorities of `ca`: an ID (ID.pem or ID/ca.crt under dir) or a path; NULL: those of the system.
 * who      "pool a", for messages
 * Returns  a store borrowed from `stores`; NULL with an error in `diag`.
 */
X509_STORE *tls_stores_find(struct tls_stores *stores, const char *dir, const char *ca, struct where where,
    const char *who, struct diag *diag);
void tls_stores_fini(struct tls_stores *stores);

/*
 * In the arena of the set.  policy: of pool->tls.
 * Returns NULL with errors told.
 */
struct tls_servers *tls_servers_load(
    struct tls_load *load, const struct pool_config *pool, const struct tls_policy *policy);
/* NULL is allowed. */
void tls_servers_unload(struct tls_servers *tls);

/* tls_context.c */
int tls_set_policy(SSL_CTX *ssl, const struct tls_policy *policy);

#endif
