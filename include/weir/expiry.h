/*
 * expiry: warnings in the log before certificates end: 30, 7 and 1 days ahead, and when they have.
 *
 * Runs in: control.  Reads what tls_load() noted of the certificates.
 */
#ifndef WEIR_EXPIRY_H
#define WEIR_EXPIRY_H

struct config;
struct event_base;
struct expiry;

/* Says what is due now, and watches on.  config  borrowed while it runs.  Returns NULL when there is nothing to watch. */
struct expiry *expiry_start(struct event_base *base, const struct config *config);
/* NULL is allowed. */
void expiry_stop(struct expiry *expiry);

#endif
