/*
 * activation: listening sockets that the service manager opened (sd_listen_fds(3), the protocol alone).
 *
 * Runs in: master, at the start.
 */
#ifndef WEIR_ACTIVATION_PRIV_H
#define WEIR_ACTIVATION_PRIV_H

struct sockets;

/*
 * Take what LISTEN_FDS announces; the first configuration uses the sockets of its addresses, the others are closed.
 * Returns 0, or -1 with the reason logged: then this process cannot start.
 */
int activation_take(struct sockets *sockets);

#endif
