/*
 * secret: the certificates that Secrets hold.
 *
 * Keys are never printed; they leave memory for one place alone, the certificate directory of the site.
 */
#ifndef GEN_SECRET_PRIV_H
#define GEN_SECRET_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/tls_policy.h"

#include "collect_priv.h"

struct gen; /* service_priv.h */

struct gen_certificate {
	const char *id; /* in the certificate directory; NULL: the Secret is not fit, which was told */
	bool has_key_type;
	enum tls_key key_type;
};

struct secret_file { /* all owned */
	char *path, *text;
	size_t len;
};

/*
 * The certificate of a Secret, checked; its file is put on gen->secret_files.  Faults of the Secret go to the diag.
 * Returns  NULL when the Secret is not in the input, which was not told.
 */
const struct gen_certificate *secret_find(struct gen *gen, const char *namespace_, const char *name);

/*
 * Write the files, each atomically and for its owner's eyes alone.
 * changed  set to true when one of them was new.
 * Returns  0; -1 after a message on standard error.
 */
int secrets_write(const struct list *files, bool *changed);
void secrets_fini(struct list *files);

#endif
