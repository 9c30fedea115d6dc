/*
 * front: a worker's clients: accept, HTTP, TCP.
 *
 * Runs in: worker.  process/worker.c makes one front, hands it the listening sockets and calls front_turn() after each
 * turn of the event loop.
 */
#ifndef WEIR_FRONT_H
#define WEIR_FRONT_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/conf.h"
#include "weir/shm.h"

struct event_base;
struct front;

/*
 * log_fds  of config->log_outputs, in their order; stay the caller's.
 * Returns a front that the caller owns; never NULL (out of memory ends the process).
 */
struct front *front_new(struct event_base *base, const struct config *config, struct shm *shm, int slot,
    const int *log_fds);
/* Accept clients of `listener` from the non-blocking listening socket `fd`, which stays the caller's.  Returns 0 or -1 with errno. */
int front_listen(struct front *front, const struct listener_config *listener, int fd);
/*
 * Stop accepting and finish: each response from now on says Connection: close (HTTP/2: GOAWAY); idle
 * connections keep their idle time, so that no request meets a closed door.
 * After `limit_ms` what is left is cut.  front_is_empty() tells when the last connection has gone.
 */
void front_drain(struct front *front, uint32_t limit_ms);
/* While draining, with no other worker to come: idle clients are let go within a second. */
void front_close_idle(struct front *front);
bool front_is_empty(const struct front *front);
/*
 * After each turn of the event loop: frees what callbacks ended, goes on with what waited for its turn.
 * Returns  whether something waits on: the next turn should not sleep.
 */
bool front_turn(struct front *front);
/*
 * A pool of the configuration has other servers from now on; see pool_set_servers().
 * Context  between two turns of the event loop.
 */
void front_set_servers(struct front *front, struct pool_config *pool, struct server_config *servers, size_t count,
    uint32_t revision);
/* The last change of servers that none of those it took out has something active, and of all changes before. */
uint32_t front_settled(const struct front *front);
/* Log `output` was reopened: use this descriptor from now on. */
void front_set_log(struct front *front, size_t output, int fd);
/* Cuts all connections.  Context: not inside an event callback. */
void front_free(struct front *front);

#endif
