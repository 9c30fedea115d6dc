/*
 * certificate: what a certificate says about itself: its key, its names.
 */
#ifndef GEN_CERTIFICATE_PRIV_H
#define GEN_CERTIFICATE_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/x509.h>

#include "weir/tls_policy.h"

struct arena;
struct site; /* site_priv.h */

/* Sets *key; false when the key is of another type. */
bool certificate_key_type(X509 *certificate, enum tls_key *key);
/* The same for one of the site's store; false when it cannot be read or is of another type: the daemon will tell. */
bool certificate_find_key(const struct site *site, struct arena *arena, const char *id,
    enum tls_key *key);
/* The DNS names of one of the site's store, lower case; NULL when it cannot be read. */
const char **certificate_names(const struct site *site, struct arena *arena, const char *id, size_t *count);

#endif
