/*
 * endpoint: the stats endpoint over HTTP: /stats.json /stats.csv /metrics /healthz /readyz.
 *
 * Runs in: control.  It takes no action; actions go through commands.h.
 */
#ifndef WEIR_ENDPOINT_H
#define WEIR_ENDPOINT_H

#include <stdbool.h>

#include "weir/conf.h"
#include "weir/shm.h"

struct event_base;
struct endpoint;

/* fd: non-blocking listening socket, stays the caller's; -1: no endpoint is wanted, NULL is returned. */
struct endpoint *endpoint_start(struct event_base *base, const struct config *config, struct shm *shm, int fd);
/* Accept no further connections: the control process that takes over has the socket too. */
void endpoint_drain(struct endpoint *endpoint);
/* Are requests under way whose answers are owed?  Then it is too early for endpoint_stop(). */
bool endpoint_busy(const struct endpoint *endpoint);
void endpoint_stop(struct endpoint *endpoint);

#endif
