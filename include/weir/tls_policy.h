/*
 * tls_policy: the named TLS policies: protocol versions and cipher suites.
 *
 * Used by: conf (is the name known?), gen (which key types can a policy serve?), net (sets them).  A table, no OpenSSL
 * objects.
 */
#ifndef WEIR_TLS_POLICY_H
#define WEIR_TLS_POLICY_H

#include <stdbool.h>

/* What a certificate's key can sign with; EC, Ed25519 and Ed448 keys all use the suites named ECDSA (RFC 8422 §5.1). */
enum tls_key { TLS_KEY_RSA = 0, TLS_KEY_ECDSA, TLS_KEY_DSA };

struct tls_policy {
	const char *name;
	int min_version, max_version; /* TLS1_VERSION... */
	const char *ciphers;          /* for TLS 1.2 and before, as for SSL_CTX_set_cipher_list; NULL: 1.3 alone */
	const char *ciphersuites;     /* for TLS 1.3; NULL: 1.3 is off */
	const char *doc;              /* one sentence, for manuals */
};
/* NULL if there is no policy of that name. */
const struct tls_policy *tls_policy_find(const char *name);
/* Names of all policies, NULL-terminated: for diagnostics and the schema. */
const char *const *tls_policy_names(void);

/* Whether a handshake under `policy` can ever complete with a certificate of such a key. */
bool tls_policy_serves(const struct tls_policy *policy, enum tls_key key);

/* Whether `id` may name a certificate: 1 to 128 of [A-Za-z0-9_.-], not starting with a dot. */
bool tls_certificate_id_valid(const char *id);

#endif
