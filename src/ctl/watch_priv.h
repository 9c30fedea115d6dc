/*
 * watch: commands that ask the daemon again and again: top, and server ... drain --wait.
 *
 * Used by: weirctl.
 */
#ifndef WEIR_WATCH_PRIV_H
#define WEIR_WATCH_PRIV_H

#include <stdbool.h>

#include <jansson.h>

/*
 * Send one request and read its answer.
 * Returns  the result, which the caller gives back with json_decref(); NULL after a message on stderr.
 */
json_t *watch_ask(const char *socket, const char *line, unsigned timeout_s);

/*
 * Show rates and states until interrupted, on a terminal in place, else one table after the other.
 * interval_s  between two looks
 * count       how many tables; 0: no end
 * Returns     the exit status.
 */
int watch_top(const char *socket, double interval_s, unsigned count);

/*
 * Wait until nothing is in progress on a server any more.
 * server    as the daemon described it
 * limit_s   0: without limit
 * Returns   the exit status: 1 when the limit passed.
 */
int watch_drained(const char *socket, const json_t *server, unsigned limit_s);

#endif
