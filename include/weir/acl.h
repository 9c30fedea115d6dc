/*
 * acl: is an address in a list of networks?
 *
 * Runs in: master (compile), workers (look up).  The networks are merged into sorted, disjoint ranges, so a look-up is
 * one binary search whatever their number: 17 steps for 100,000.
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
 * IPv4 client.
 */
struct acl *acl_compile(struct arena *arena, const struct network *networks, size_t count);
bool acl_is_empty(const struct acl *acl);
bool acl_contains(const struct acl *acl, const struct addr *addr);

#endif
