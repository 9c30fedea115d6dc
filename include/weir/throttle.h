/*
 * throttle: how often one source may connect to a listener, and ask it (listeners[].rate).
 *
 * Runs in: worker.  A source is an IPv4 address, or an IPv6 network of ipv6_prefix bits.  Counted in shared memory
 * (shm_source_admit()), so that workers count together and a reload forgets nothing.
 */
#ifndef WEIR_THROTTLE_H
#define WEIR_THROTTLE_H

#include <stdint.h>

struct addr;
struct listener;

/*
 * One more of `client`.  Context: the listener's rate has such a limit.
 * Returns 0: it may, and is counted; else the microseconds until it will be able to.
 */
uint64_t throttle_connection(const struct listener *listener, const struct addr *client);
uint64_t throttle_request(const struct listener *listener, const struct addr *client, uint64_t now_us);

#endif
