/*
 * run: one round of weirgen: from files to a configuration.
 */
#ifndef GEN_RUN_PRIV_H
#define GEN_RUN_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "site_priv.h"
#include "weir/conf.h"

enum { EXIT_DONE = 0, EXIT_FAULT = 1, EXIT_USAGE = 2 };

struct options { /* the command line */
	const char *site, *output;
	bool check, explain, strict, reload, diff, watch;
	const char *diff_file; /* NULL: that of -o, or the daemon's */
	bool backends_given;
	enum backend_mode backends;
	unsigned port_offset;
	char **paths;
	size_t path_count;
};

struct known { /* what --watch has found to be good, for the next round */
	char digest[CONF_DIGEST_SIZE]; /* of the configuration; "": none yet */
	char *control_socket;          /* owned; of that configuration */
};

void known_fini(struct known *known);

/*
 * Read all files anew, and do what the options say.  Findings go to standard error.
 * known    from the last round, or zero; kept up to date
 * reload_is_due  tell the daemon even if nothing changed: it does not have the last change yet.
 * changed  set to whether the configuration or a certificate was written.
 * Returns  the status to end with.
 */
int run_once(const struct options *options, struct known *known, bool reload_is_due, bool *changed);

#endif
