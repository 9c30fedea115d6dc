/*
 * acl: is an address in a list of networks?
 *
 * Runs in: master (compile), workers (look up).  A multibit trie: a look-up passes 6 nodes at most for IPv4 and 22 for
 * IPv6, whatever the number of networks (3 or 4 for 100,000 random ones), and allocates nothing.
 */
#ifndef WEIR_ACL_H
#define WEIR_ACL_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/addr.h"

struct acl;
struct arena;

/*
 * From `arena`; never NULL.  IPv4-mapped IPv6 addresses match IPv4 networks, and those only: "::/0" allows (or denies) no
 * IPv4 client.  Both families may stand in one list, and networks may lie in each other.
 * Cost     O(n log n), 40 ms for 100,000; of `arena` below 80 bytes a network, 30 to 50 as a rule (`make bench-acl`).
 */
struct acl *acl_compile(struct arena *arena, const struct network *networks, size_t count);
bool acl_is_empty(const struct acl *acl);
bool acl_contains(const struct acl *acl, const struct addr *addr);

#endif
