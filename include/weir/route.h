/*
 * route: what is done with a request.
 *
 * Runs in: worker.  Made once per listener.  Exact host before wildcard before none; within a host exact path before the
 * longest prefix before the longest expression before no path at all; a host whose paths do not match hands on to the next kind.  Exact paths
 * and prefixes by segment are found in a hash table, other prefixes in a sorted array: thousands of them cost what ten
 * cost.  Expressions are tried one by one; before all others, so are routes with in_order, in the order of the file.
 */
#ifndef WEIR_ROUTE_H
#define WEIR_ROUTE_H

#include "weir/conf.h"
#include "weir/regex.h"
#include "weir/message.h"

struct addr;
struct router;

struct route {
	const struct route *next;        /* with the same host and path: taken if this one's conditions do not hold */
	const struct route_config *conf; /* borrowed */
	struct regex *regex;             /* owned by the router; NULL unless conf->match is PATH_REGEX */
};

/* Owned by the caller; NULL when the listener has no routes. */
struct router *router_new(const struct listener_config *listener);
void router_free(struct router *router);
/*
 * client  borrowed
 * limit   set to true when an expression needs too many steps for this path: the request should not be served
 * Returns NULL when no route matches.
 */
const struct route *router_find(
    const struct router *router, const struct message *request, const struct addr *client, bool *limit);
/* Is each '%' of the path (before '?') followed by two hex digits?  What is not might be read as another path. */
bool route_escapes_are_sound(struct slice path);
/* condition.c: do all conditions of the route hold for this request? */
bool route_conditions_hold(
    const struct route_config *route, const struct message *request, const struct addr *client);
/*
 * route_order.c: is the route for this request?
 * host, path  as the router compares them: lower case without port; without query
 * limit       set to true as by router_find(); else left alone
 */
bool route_matches(const struct route *route, const struct message *request, const struct addr *client,
    struct slice host, struct slice path, bool *limit);

#endif
