/*
 * sampler: records the recent past every five seconds (history.h), and shows it.
 *
 * Runs in: control.
 */
#ifndef WEIR_SAMPLER_PRIV_H
#define WEIR_SAMPLER_PRIV_H

#include "text_priv.h"
#include "weir/conf.h"
#include "weir/shm.h"

struct event_base;
struct sampler;

/* config, shm: borrowed. */
struct sampler *sampler_start(struct event_base *base, const struct config *config, struct shm *shm);
/* NULL is allowed. */
void sampler_stop(struct sampler *sampler);

/*
 * The points of all listeners together, of a listener or of a pool, and the changes of servers, as JSON.
 * listener, pool  at most one of them is not NULL
 */
void sampler_export(struct text *text, const struct config *config, const struct shm *shm,
    const struct listener_config *listener, const struct pool_config *pool);

#endif
