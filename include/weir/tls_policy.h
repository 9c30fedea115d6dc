/*
 * tls_policy: the named TLS policies: protocol versions and cipher suites.
 *
 * Used by: conf (is the name known?), gen (which key types can a policy serve?), net (sets them).  A table, no OpenSSL
 * objects.
 */
#ifndef WEIR_TLS_POLICY_H
#define WEIR_TLS_POLICY_H

#include <stdbool.h>

struct tls_policy {
	const char *name;
	int min_version, max_version; /* TLS1_VERSION... */
	const char *ciphers;          /* for TLS 1.2 and before, as for SSL_CTX_set_cipher_list */
	const char *ciphersuites;     /* for TLS 1.3; NULL: 1.3 is off */
};
/* NULL if there is no policy of that name. */
const struct tls_policy *tls_policy_find(const char *name);
/* Names of all policies, NULL-terminated: for diagnostics and the schema. */
const char *const *tls_policy_names(void);

/* Whether `id` may name a certificate: 1 to 128 of [A-Za-z0-9_.-], not starting with a dot. */
bool tls_certificate_id_valid(const char *id);

#endif
