/*
 * exchange: one request to the running daemon, and its answer.
 *
 * Used by: weirctl.  Speaks the protocol of commands.h; what the answer means is for others.
 */
#ifndef WEIR_EXCHANGE_PRIV_H
#define WEIR_EXCHANGE_PRIV_H

#include <stddef.h>

/*
 * Send `line` (without its end) to the control socket at `path` and wait for the answer, `timeout_s` seconds at most.
 * Returns  the answer without its end, NUL-terminated, which the caller frees; NULL after a message on stderr.
 */
char *exchange_ask(const char *path, const char *line, unsigned timeout_s);

#endif
