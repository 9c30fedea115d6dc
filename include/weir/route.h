/*
 * route: which pool a request is for.
 *
 * Runs in: worker.  Made once per listener.  Exact host before wildcard before none; within a host exact path before the
 * longest prefix; a host whose paths do not match hands on to the next kind.  Hash tables throughout: a look-up costs
 * one probe per path segment, whatever the number of routes.
 */
#ifndef WEIR_ROUTE_H
#define WEIR_ROUTE_H

#include "weir/conf.h"
#include "weir/slice.h"

struct router;

/* Owned by the caller; NULL when the listener has no routes. */
struct router *router_new(const struct listener_config *listener);
void router_free(struct router *router);
/*
 * host  as in the request, with or without port; may be empty
 * path  request path; what is behind '?' does not count
 * Returns NULL when no route matches.
 */
const struct route_config *router_find(const struct router *router, struct slice host, struct slice path);

#endif
