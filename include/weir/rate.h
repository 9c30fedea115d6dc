/*
 * rate: how many requests a route may pass in a second, counted by all workers together.
 *
 * Runs in: worker; made by the master, one mapping for all routes of a configuration, which its processes share.
 * Tokens are not counted: one time stamp tells when they will all be back (GCRA, as ATM Forum TM 4.0 section 4.4.2).
 */
#ifndef WEIR_RATE_H
#define WEIR_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/conf.h"
#include "weir/diag.h"

struct addr;
struct rate;

/*
 * Make what the routes of `config` with a limit count in (route.limit.rate).
 * Context: master, before it starts processes.  Returns 0; -1 with an error in `diag`.
 * Pair     rate_close()
 */
int rate_open(struct config *config, struct diag *diag);
void rate_close(struct config *config);
/*
 * May this request pass?  If so it is counted; one that the limit of all stops has counted for its source.
 * limit   on
 * now_us  monotonic
 * Cost    one or two compare-and-swap; no system call.  More than some thousand sources in a second share their limits.
 */
bool rate_take(const struct route_limit_config *limit, const struct addr *client, uint64_t now_us);

#endif
