/*
 * tls_tickets: the keys that seal session tickets.
 *
 * Runs in: master (start, hand on), workers (seal and open).  Either keys from a file, or a chain: each key is derived from
 * the one before it, which is forgotten then, so that no process can open tickets older than the previous key.  All
 * processes derive the same keys at the same time, without a word between them.
 */
#ifndef WEIR_TLS_TICKETS_H
#define WEIR_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "weir/conf.h"

/*
 * Forget what is over, though nobody asks for a ticket; after tls_load().
 * Returns  seconds until the next time, 1 at least.
 */
uint32_t tls_tickets_turn(const struct config *config);
/* A process that serves no clients needs no keys. */
void tls_tickets_forget(void);

/* One line "tickets ..." for a new binary, and what follows its first word there.  Returns false if it is none. */
void tls_tickets_print(FILE *out);
bool tls_tickets_take(const char *text);

#endif
