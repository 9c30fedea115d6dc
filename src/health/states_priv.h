/*
 * states: what the results of checks mean for a server: up or down, and who is told.
 *
 * Runs in: control, which alone writes the health fields of an entity.
 */
#ifndef WEIR_STATES_PRIV_H
#define WEIR_STATES_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/conf.h"
#include "weir/shm.h"

/* A pool while its servers are checked. */
struct states_pool {
	const struct pool_config *conf; /* borrowed from the generation */
	struct shm *shm;
	size_t down; /* servers whose health is HEALTH_DOWN */
};

/* Take over what shared memory knows of the pool's servers; forget it for a pool whose checks are off. */
void states_init(struct states_pool *pool, const struct pool_config *conf, struct shm *shm);

/*
 * Count one result of `server` and change its state once `rise` or `fall` of them in a row speak against it.  A server
 * of unknown state is up with its first success.
 * text  the reason for people; copied.
 */
void states_record(struct states_pool *pool, const struct server_config *server, bool passed, const char *text);

#endif
