/*
 * certificate: what kind of key a certificate of the site's store has.
 */
#ifndef GEN_CERTIFICATE_PRIV_H
#define GEN_CERTIFICATE_PRIV_H

#include <stdbool.h>

#include "weir/tls_policy.h"

struct arena;
struct site; /* site_priv.h */

/* Sets *key; false when it cannot be read or is of another type: the daemon will tell. */
bool certificate_find_key(const struct site *site, struct arena *arena, const char *id,
    enum tls_key *key);

#endif
