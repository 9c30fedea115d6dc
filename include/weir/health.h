/*
 * health: check all servers and write what was found into shared memory.
 *
 * Runs in: control.
 */
#ifndef WEIR_HEALTH_H
#define WEIR_HEALTH_H

#include "weir/conf.h"
#include "weir/shm.h"

struct event_base;
struct health;

/*
 * Starts checking all pools that have a health block, and taking back servers that workers left out (see eject.h); states that shared memory knows already go on.
 */
struct health *health_start(struct event_base *base, const struct config *config, struct shm *shm);
/*
 * `pool` of the configuration has other servers: those that stay go on being checked as they were, new ones are checked at
 * once.  The servers that it had before are still there to be read.
 */
void health_on_change(struct health *health, const struct pool_config *pool);
void health_stop(struct health *health);

#endif
