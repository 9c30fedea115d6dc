/*
 * endpoint: the stats endpoint over HTTP: /stats.json /metrics /healthz /readyz.
 *
 * Runs in: control.  It takes no action; actions go through commands.h.
 */
#ifndef WEIR_ENDPOINT_H
#define WEIR_ENDPOINT_H

#include "weir/conf.h"
#include "weir/shm.h"

struct event_base;
struct endpoint;

/* fd: non-blocking listening socket, stays the caller's; -1: no endpoint is wanted, NULL is returned. */
struct endpoint *endpoint_start(struct event_base *base, const struct config *config, struct shm *shm, int fd);
void endpoint_stop(struct endpoint *endpoint);

#endif
