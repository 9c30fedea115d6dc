/*
 * diff: two configurations compared by what they mean.
 *
 * Both are printed with all defaults; listeners and pools are matched by name, so that their order and the way they
 * are written make no difference.
 */
#ifndef GEN_DIFF_PRIV_H
#define GEN_DIFF_PRIV_H

#include <stdio.h>

struct config; /* conf.h */

/*
 * Print what `config` changes in the configuration file `path` (NULL: the daemon's own).
 * Returns  0; -1 after a message on standard error when the file is no configuration.
 */
int diff_print(const char *path, const struct config *config, FILE *out);

#endif
