/*
 * tls_context: the contexts of one listener, while certificates are loaded.
 *
 * Runs in: every process of the daemon: the master reads the files, the others get what it read.
 */
#ifndef WEIR_TLS_CONTEXT_PRIV_H
#define WEIR_TLS_CONTEXT_PRIV_H

#include "weir/tls_context.h"

#include "namemap_priv.h"
#include "tls_servers_priv.h"

struct tls_certs;
struct tls_files;
struct tls_hosts;
struct tls_made;
struct tls_policy;
struct tls_set;

/* One load. */
struct tls_load {
	struct config *config;
	struct tls_files *files; /* borrowed */
	struct diag *diag;
	struct arena *arena;     /* owned; ends with the load */
	struct tls_set *set;     /* what is made */
	struct tls_certs *certs;
	struct namemap policies; /* name -> struct tls_policy: seen so far */
	struct namemap alpns;    /* protocols -> struct tls_alpn in the set's arena */
	struct namemap contexts; /* certificate, policy, ALPN, owner -> SSL_CTX of `made` */
	struct namemap store_paths;
	struct tls_stores stores;
	struct tls_hosts *hosts; /* NULL: all listeners have the same rules of access */
	struct tls_made *made;   /* the contexts, each counted once */
};

/* Returns NULL with an error told: who names a policy that there is not. */
const struct tls_policy *tls_load_policy(
    struct tls_load *load, const char *name, struct where where, const char *who);

/* Returns NULL with errors told. */
struct tls_context *tls_context_load(struct tls_load *load, const struct listener_config *listener);
/* NULL is allowed. */
void tls_context_fini(struct tls_context *context);
void tls_made_fini(struct tls_made *made);

#endif
