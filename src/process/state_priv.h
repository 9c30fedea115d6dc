/*
 * state: what is kept over a restart, in state_dir.
 */
#ifndef WEIR_STATE_PRIV_H
#define WEIR_STATE_PRIV_H

#include <event2/util.h>

struct config;
struct master;
struct shm;

/* What an earlier run has kept.  Context: no other process knows `shm` yet. */
void state_load(struct shm *shm, const struct config *config);
/* Callback of master.saving. */
void state_on_timer(evutil_socket_t fd, short what, void *arg);
/* Callback of master.saving_servers. */
void state_on_servers_timer(evutil_socket_t fd, short what, void *arg);
/* An operator has changed a server: that is kept soon. */
void state_on_change(struct master *master);
/* Some process has ended. */
void state_on_reap(struct master *master);
/* Keep it: all workers have ended, and nobody follows. */
void state_finish(struct master *master);

#endif
