/*
 * watch: follow the files, and generate anew when they change.
 */
#ifndef GEN_WATCH_PRIV_H
#define GEN_WATCH_PRIV_H

struct options; /* run_priv.h */

/* Runs until SIGTERM or SIGINT.  Returns the status to end with. */
int watch_run(const struct options *options);

#endif
