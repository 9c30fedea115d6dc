/*
 * listen: open one listening socket.
 *
 * Runs in: master.  Knows addresses and socket options, nothing of who uses them.
 */
#ifndef WEIR_LISTEN_PRIV_H
#define WEIR_LISTEN_PRIV_H

#include <stdbool.h>

#include "weir/addr.h"

/*
 * Can a group be made at `addr`?  SO_REUSEPORT would let two daemons of one user share a port without a word, so this
 * binds without it, and closes again.  Returns 0, or -1 with errno set.
 */
int listen_probe(const struct addr *addr, bool is_udp, bool v6only);
/* A bound, non-blocking SO_REUSEPORT socket; listen_start() makes it listen.  Returns -1 with errno set. */
int listen_bind(const struct addr *addr, bool v6only);
int listen_start(int fd);
/* The same for datagrams: in the group, and given some, only after listen_start_udp(), which binds it. */
int listen_open_udp(const struct addr *addr, bool v6only);
int listen_start_udp(int fd, const struct addr *addr);
/* A listening Unix socket of mode 0660; a file left by a dead process is replaced.  Returns -1 with errno set. */
int listen_unix(const char *path);

/*
 * Drop SYNs, so that no new connection comes in, while those in the handshake or the queue go on: closing the socket
 * would reset them.  A client whose SYN was dropped sends it again a second later, to whoever listens then.
 * Returns 0, or -1 with errno set (EPERM: Linux 6.16 and later want CAP_NET_ADMIN for it).
 */
int listen_stop_new(int fd);
/* Connections that wait to be accepted. */
unsigned listen_queued(int fd);

#endif
