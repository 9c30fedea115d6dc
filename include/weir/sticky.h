/*
 * sticky: the server that a client used before.
 *
 * Runs in: worker.  By cookie (the value names the server) or by source address (shared table).  When the remembered
 * server is down, gone or in maintenance the session moves: these functions then find nothing, and the caller
 * balances and remembers anew.
 */
#ifndef WEIR_STICKY_H
#define WEIR_STICKY_H

#include "weir/addr.h"
#include "weir/pool.h"
#include "weir/slice.h"

/* By cookie: `value` is the cookie's value in the request.  NULL: none, unknown, or its server cannot be used. */
struct server *sticky_find_cookie(const struct pool *pool, struct slice value);
/*
 * By a cookie of the application, whose value weir began with "SERVER~" when it passed the response.
 * prefix  set to that, within `value`; len 0: it does not begin so.
 */
struct server *sticky_find_prefix(const struct pool *pool, struct slice value, struct slice *prefix);
/* By source address, port not counted.  NULL as above. */
struct server *sticky_find_source(const struct pool *pool, const struct addr *client);
void sticky_store_source(const struct pool *pool, const struct addr *client, const struct server *server);

/*
 * Which server a UDP flow has, for other workers of this machine, after a reload for example.  The entries stand in the
 * table of source addresses, and count as long as the flow's timeout.
 */
uint64_t sticky_flow_key(const struct pool *pool, const struct addr *client, const struct addr *local);
/* NULL: not known, or its server cannot be used. */
struct server *sticky_find_flow(const struct pool *pool, uint64_t key, uint32_t timeout_ms);
void sticky_store_flow(const struct pool *pool, uint64_t key, const struct server *server, uint32_t timeout_ms);
void sticky_forget_flow(const struct pool *pool, uint64_t key);

/*
 * Find cookie `name` in the value of one Cookie field (RFC 6265 section 4.2.1).
 * value  set to its value, within `field`.
 * cut    set to the part of `field` to leave out so that the cookie does not reach the server: with its separator;
 *        the whole field if there is no other cookie in it.
 * Returns whether it is there.
 */
/* The value of the cookie in a Set-Cookie field, if it is named `name`: where a prefix goes.  NULL: another cookie. */
const char *sticky_find_set(struct slice field, struct slice name);
bool sticky_find_in_field(struct slice field, struct slice name, struct slice *value, struct slice *cut);

#endif
