/* What needs more than one value to be seen: names, references, addresses, protocols that fit. */
#include "conf_priv.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "names_priv.h"
#include "weir/regex.h"

static bool
is_http_protocol(enum listener_protocol protocol)
{
	return protocol == PROTOCOL_HTTP || protocol == PROTOCOL_HTTPS;
}

static enum pool_protocol
needed_protocol(enum listener_protocol protocol)
{
	if (is_http_protocol(protocol))
		return POOL_HTTP;
	return protocol == PROTOCOL_UDP ? POOL_UDP : POOL_TCP;
}

static struct pool_config *
resolve_pool(struct load *l, struct names *pools, const char *name, struct where where,
    const struct listener_config *listener)
{
	struct pool_config *pool = names_find(pools, name);
	enum pool_protocol needed = needed_protocol(listener->protocol);
	char *nearest;

	if (pool == NULL) {
		nearest = names_nearest(pools, name);
		diag_error(l->diag, where,
		    "pool: there is no pool \"%s\"%s; a name under pools is needed", name, nearest);
		free(nearest);
		return NULL;
	}
	if (pool->protocol != needed && !(needed == POOL_HTTP && pool_is_http(pool)) &&
	    !load_is_broken(l, &pool->protocol) && !load_is_broken(l, &listener->protocol))
		diag_error(l->diag, where,
		    "pool: pool \"%s\" has protocol %s; this listener needs one with protocol %s",
		    name, pool_protocol_name(pool->protocol), pool_protocol_name(needed));
	return pool;
}

static const char *
protocol_name(enum listener_protocol protocol)
{
	switch (protocol) {
	case PROTOCOL_TCP:
		return "tcp";
	case PROTOCOL_HTTP:
		return "http";
	case PROTOCOL_HTTPS:
		return "https";
	case PROTOCOL_TLS:
		return "tls";
	case PROTOCOL_UDP:
		return "udp";
	}
	return "?";
}

static int
compare_server_names(const void *left, const void *right)
{
	const struct server_name_config *a = *(const struct server_name_config *const *)left;
	const struct server_name_config *b = *(const struct server_name_config *const *)right;
	int order = strcmp(a->name, b->name);

	return order != 0 ? order : (a > b) - (a < b);
}

static void
check_server_names(struct load *l, const struct tls_config *tls)
{
	const struct server_name_config **sorted = xcalloc(tls->server_name_count, sizeof(*sorted));
	size_t count = 0;

	for (size_t i = 0; i < tls->server_name_count; i++)
		if (tls->server_names[i].name != NULL)
			sorted[count++] = &tls->server_names[i];
	if (count > 0)
		qsort(sorted, count, sizeof(*sorted), compare_server_names);
	for (size_t i = 1; i < count; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			diag_error(l->diag, sorted[i]->where,
			    "server name \"%s\" has two certificates, the other at line %u; one is "
			    "allowed",
			    sorted[i]->name, sorted[i - 1]->where.line);
	free(sorted);
}

static int
compare_sni_routes(const void *left, const void *right)
{
	const struct sni_route_config *a = *(const struct sni_route_config *const *)left;
	const struct sni_route_config *b = *(const struct sni_route_config *const *)right;
	int order = strcmp(a->name, b->name);

	return order != 0 ? order : (a > b) - (a < b);
}

static void
check_sni_routes(struct load *l, struct listener_config *listener, struct names *pools)
{
	const struct sni_route_config **sorted =
	    xcalloc(listener->sni_route_count + 1, sizeof(*sorted));
	size_t count = 0;

	for (size_t i = 0; i < listener->sni_route_count; i++) {
		struct sni_route_config *route = &listener->sni_routes[i];

		if (route->name != NULL)
			sorted[count++] = route;
		if (route->pool_name != NULL)
			route->pool =
			    resolve_pool(l, pools, route->pool_name, route->pool_where, listener);
	}
	qsort(sorted, count, sizeof(*sorted), compare_sni_routes);
	for (size_t i = 1; i < count; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			diag_error(l->diag, sorted[i]->where,
			    "server name \"%s\" has two pools, the other at line %u; one is "
			    "allowed",
			    sorted[i]->name, sorted[i - 1]->where.line);
	free(sorted);
}

static int
compare_routes(const void *left, const void *right)
{
	const struct route_config *a = *(const struct route_config *const *)left;
	const struct route_config *b = *(const struct route_config *const *)right;
	int order = strcmp(a->host ? a->host : "", b->host ? b->host : "");

	if (order == 0)
		order = (int)a->match - (int)b->match;
	if (order == 0)
		order = strcmp(a->path ? a->path : "", b->path ? b->path : "");
	return order != 0 ? order : (a > b) - (a < b);
}

static bool
same_route(const struct route_config *a, const struct route_config *b)
{
	return strcmp(a->host ? a->host : "", b->host ? b->host : "") == 0 &&
	       a->match == b->match && strcmp(a->path ? a->path : "", b->path ? b->path : "") == 0;
}

/* Was its host or path wrong? */
static bool
route_is_broken(const struct load *l, const struct route_config *route)
{
	return load_is_broken(l, &route->host) || load_is_broken(l, &route->path) ||
	       load_is_broken(l, route);
}

/* Groups in texts need an expression that has them. */
static void
check_text(struct load *l, const struct route_config *route, const char *key, const char *text,
    struct where where, enum text_use use, struct text_config *out)
{
	unsigned groups = 0;
	struct regex *regex;

	if (text_compile(l->arena, text, use, out) != NULL)
		return; /* told already */
	regex = route != NULL && route->match == PATH_REGEX && route->path != NULL
		    ? regex_new(route->path, NULL)
		    : NULL;
	if (regex != NULL)
		groups = regex_groups(regex);
	regex_free(regex);
	for (size_t i = 0; i < out->count; i++)
		if (out->parts[i].what == TEXT_GROUP && out->parts[i].group > groups) {
			diag_error(l->diag, where, "%s: $%u is used, but %s; $$ is a dollar sign",
			    key, out->parts[i].group,
			    groups > 0 ? "the route's regex has fewer groups"
				       : "there is no regex with groups");
			return;
		}
}

static void
check_redirect(struct load *l, const struct route_config *route, struct redirect_config *redirect)
{
	if (redirect->url != NULL)
		check_text(l, route, "url", redirect->url, redirect->url_where, TEXT_USE_URL,
		    &redirect->location);
}

static void
check_routes(struct load *l, struct listener_config *listener, struct names *pools)
{
	const struct route_config **sorted = xcalloc(listener->route_count, sizeof(*sorted));
	size_t count = 0;

	for (size_t i = 0; i < listener->route_count; i++) {
		struct route_config *route = &listener->routes[i];

		if (!route_is_broken(l, route) && route->when_count == 0)
			sorted[count++] = route;
		if (route->pool_name != NULL)
			route->pool =
			    resolve_pool(l, pools, route->pool_name, route->pool_where, listener);
		for (size_t k = 0; k < route->split_count; k++) {
			struct share_config *share = &route->split[k];

			route->split_total += share->weight;
			if (share->pool_name != NULL)
				share->pool = resolve_pool(
				    l, pools, share->pool_name, share->pool_where, listener);
			if (share->pool != NULL && share->pool->sticky.by == STICKY_COOKIE_INSERT)
				route->split_sticks = true;
		}
		if (route->split_count > 0 && route->split_total == 0)
			diag_error(l->diag, route->where,
			    "split: all weights are 0; one at least must be more");
		check_redirect(l, route, &route->redirect);
		if (route->rewrite != NULL)
			check_text(l, route, "rewrite", route->rewrite, route->rewrite_where,
			    TEXT_USE_REWRITE, &route->rewrite_text);
	}
	if (count > 0)
		qsort(sorted, count, sizeof(*sorted), compare_routes);
	for (size_t i = 1; i < count; i++)
		if (same_route(sorted[i - 1], sorted[i]))
			diag_error(l->diag, sorted[i]->where,
			    "this route has the host and path of that at line %u; each needs its "
			    "own",
			    sorted[i - 1]->where.line);
	free(sorted);
}

static void
check_access(struct load *l, struct listener_config *listener, struct names *acls)
{
	char *nearest;

	if (listener->access_acl == NULL)
		return;
	listener->acl = names_find(acls, listener->access_acl);
	if (listener->acl != NULL)
		return;
	nearest = names_nearest(acls, listener->access_acl);
	diag_error(l->diag, listener->access_where,
	    "acl: there is no access list \"%s\"%s; a name under acls is needed",
	    listener->access_acl, nearest);
	free(nearest);
}

static void
check_bandwidth(struct load *l, struct listener_config *listener, struct names *bandwidths)
{
	char *nearest;

	if (listener->bandwidth_name == NULL)
		return;
	listener->bandwidth = names_find(bandwidths, listener->bandwidth_name);
	if (listener->bandwidth != NULL)
		return;
	nearest = names_nearest(bandwidths, listener->bandwidth_name);
	diag_error(l->diag, listener->bandwidth_where,
	    "bandwidth: there is no limit \"%s\"%s; a name under bandwidths is needed",
	    listener->bandwidth_name, nearest);
	free(nearest);
}

static void
check_targets(struct load *l, const struct listener_config *listener)
{
	bool has_pool = listener->pool_name != NULL;
	bool has_routes = listener->route_count > 0 || listener->sni_route_count > 0;

	if (listener->redirect.on && (has_pool || has_routes))
		diag_error(l->diag, has_pool ? listener->pool_where : listener->routes[0].where,
		    "listener \"%s\" has both a redirect and %s; one of them is allowed",
		    listener->name, has_pool ? "a pool" : "routes");
	else if (!listener->redirect.on && !has_pool && !has_routes &&
		 !load_is_broken(l, &listener->redirect) &&
		 !load_is_broken(l, &listener->pool_name) &&
		 !load_is_broken(l, &listener->routes) && !load_is_broken(l, &listener->sni_routes))
		diag_error(l->diag, listener->where, "listener \"%s\" has no target; %s is needed",
		    listener->name,
		    is_http_protocol(listener->protocol) ? "a pool, routes or a redirect"
							 : "a pool");
}

/* Those that Huawei Cloud compresses, and what else browsers load as text. */
static void
fill_types(struct load *l, struct compression_config *c)
{
	static const char *const common[] = { "text/html", "text/plain", "text/css", "text/xml",
		"text/javascript", "application/javascript", "application/x-javascript",
		"application/json", "application/xml", "application/rss+xml",
		"application/atom+xml", "image/svg+xml" };

	if (c->type_count > 0 || load_is_broken(l, &c->types))
		return;
	c->types = arena_array(l->arena, COUNT(common), sizeof(*c->types));
	memcpy(c->types, common, sizeof(common));
	c->type_count = COUNT(common);
}

static void
check_listener(struct load *l, struct listener_config *listener, struct names *pools,
    struct names *acls, struct names *bandwidths)
{
	bool needs_tls = listener->protocol == PROTOCOL_HTTPS || listener->protocol == PROTOCOL_TLS;

	if (listener->name == NULL)
		return; /* told already, and nothing can be named without it */
	if (needs_tls && !listener->tls.on && !load_is_broken(l, &listener->tls))
		diag_error(l->diag, listener->where,
		    "listener \"%s\" has protocol %s and no tls; tls with a certificate is needed",
		    listener->name, protocol_name(listener->protocol));
	check_server_names(l, &listener->tls);
	if (listener->tls.verify != TLS_VERIFY_OFF && listener->tls.client_ca == NULL &&
	    !load_is_broken(l, &listener->tls.client_ca))
		diag_error(l->diag, listener->tls.where,
		    "listener \"%s\" verifies clients and has no client_ca; the authorities to "
		    "believe are needed",
		    listener->name);
	check_access(l, listener, acls);
	check_bandwidth(l, listener, bandwidths);
	if (listener->rate.requests > 0 && !is_http_protocol(listener->protocol) &&
	    !load_is_broken(l, &listener->protocol))
		diag_error(l->diag, listener->rate.where,
		    "listener \"%s\" has protocol %s and a rate of requests; allowed: connections, "
		    "or protocol http or https",
		    listener->name, protocol_name(listener->protocol));
	check_targets(l, listener);
	if (listener->pool_name != NULL)
		listener->pool =
		    resolve_pool(l, pools, listener->pool_name, listener->pool_where, listener);
	check_routes(l, listener, pools);
	check_sni_routes(l, listener, pools);
	check_redirect(l, NULL, &listener->redirect);
	check_headers(l, listener);
	if (listener->compression.gzip)
		fill_types(l, &listener->compression);
}

void
check_servers(struct load *l, struct server_config *servers, size_t count)
{
	struct names names;

	names_init(&names, servers, count, sizeof(*servers), offsetof(struct server_config, name),
	    offsetof(struct server_config, where));
	names_report_duplicates(l, &names, "servers");
	names_fini(&names);
}

static void
check_health(struct load *l, const struct pool_config *pool)
{
	const struct health_config *health = &pool->health;

	if (health->body != NULL && strcmp(health->method, "HEAD") == 0)
		diag_error(l->diag, pool->where,
		    "pool \"%s\" has a health check by HEAD that looks for a body; allowed: method GET",
		    pool->name);
	if (health->type == HEALTH_GRPC && !pool_is_h2(pool) && !load_is_broken(l, &pool->protocol))
		diag_error(l->diag, pool->where,
		    "pool \"%s\" has protocol %s and a health check of type grpc; allowed: protocol h2 "
		    "or h2c",
		    pool->name, pool_protocol_name(pool->protocol));
	if (health->service != NULL && strlen(health->service) > HEALTH_SERVICE_MAX)
		diag_error(l->diag, pool->where,
		    "pool \"%s\" has a health check of a service whose name is too long; allowed: %d bytes",
		    pool->name, HEALTH_SERVICE_MAX);
	if (health->expect.len > 0 && health->payload.len == 0 && !load_is_broken(l, &health->payload))
		diag_error(l->diag, pool->where,
		    "pool \"%s\" has a health check that expects an answer to an empty datagram; "
		    "add a payload",
		    pool->name);
}

/* What no browser would take, or what would say more than one attribute. */
static void
check_cookie(struct load *l, const struct pool_config *pool)
{
	const struct sticky_config *sticky = &pool->sticky;

	if (sticky->by != STICKY_COOKIE_INSERT || sticky->path == NULL || sticky->name == NULL)
		return;
	if (strchr(sticky->path, ';') != NULL)
		diag_error(l->diag, pool->where,
		    "pool \"%s\": the path of its cookie has a semicolon, which cookies cannot have",
		    pool->name);
	if (sticky->domain != NULL && sticky->domain[0] == '*')
		diag_error(l->diag, pool->where,
		    "pool \"%s\": the domain of its cookie begins with *; allowed: a host name, which "
		    "stands for all hosts in it",
		    pool->name);
	if (strlen(sticky->name) + strlen(sticky->path) +
		(sticky->domain != NULL ? strlen(sticky->domain) : 0) >
	    COOKIE_TEXTS_MAX)
		diag_error(l->diag, pool->where,
		    "pool \"%s\": name, path and domain of its cookie have more than %d bytes",
		    pool->name, COOKIE_TEXTS_MAX);
	if (sticky->same_site == SAME_SITE_NONE && sticky->secure == COOKIE_SECURE_OFF)
		diag_error(l->diag, pool->where,
		    "pool \"%s\": its cookie has same_site none and secure off; allowed: secure on or "
		    "auto, as browsers take no other",
		    pool->name);
}

static void
check_pool(struct load *l, struct pool_config *pool)
{
	check_servers(l, pool->servers, pool->server_count);
	if (pool->name == NULL)
		return;
	check_health(l, pool);
	if (pool->server_count == 0 && !load_is_broken(l, &pool->servers))
		diag_warning(l->diag, pool->where, "pool \"%s\" has no servers; %s", pool->name,
		    pool_is_http(pool)           ? "requests are answered with 503"
		    : pool->protocol == POOL_UDP ? "datagrams are dropped"
						 : "connections are closed");
	if (pool->queue.size > 0 && pool->protocol == POOL_UDP)
		diag_error(l->diag, pool->where,
		    "pool \"%s\" has protocol udp and a queue; datagrams cannot wait", pool->name);
	else if (pool->queue.size > 0 && !pool_is_limited(pool))
		diag_error(l->diag, pool->where,
		    "pool \"%s\" has a queue and no max_connections, nor have its servers; allowed: "
		    "both, or no queue",
		    pool->name);
	if (pool->protocol == POOL_UDP && pool->proxy_protocol == PROXY_PROTOCOL_V1)
		diag_error(l->diag, pool->where,
		    "pool \"%s\" has protocol udp and proxy_protocol v1; allowed: off or v2",
		    pool->name);
	if (pool_is_http(pool) && pool->proxy_protocol != PROXY_PROTOCOL_OFF)
		diag_error(l->diag, pool->where,
		    "pool \"%s\" has protocol %s and a proxy_protocol; allowed: off, or protocol "
		    "tcp or "
		    "udp",
		    pool->name, pool_protocol_name(pool->protocol));
	if (!pool_is_http(pool) && !load_is_broken(l, &pool->protocol) &&
	    (pool->sticky.by == STICKY_COOKIE_INSERT || pool->sticky.by == STICKY_COOKIE_PREFIX))
		diag_error(l->diag, pool->where,
		    "pool \"%s\" has protocol %s and is sticky by cookie; allowed: source_ip, or "
		    "protocol http",
		    pool->name, pool_protocol_name(pool->protocol));
	check_cookie(l, pool);
}

static bool
is_any_ip4(const struct addr *addr)
{
	return addr->sa.sa_family == AF_INET && addr->in.sin_addr.s_addr == htonl(INADDR_ANY);
}

static bool
is_any_ip6(const struct addr *addr)
{
	return addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

static int
compare_bounds(const void *left, const void *right)
{
	const struct bound *a = left, *b = right;
	struct in6_addr ip_a = addr_ip6(&a->addr), ip_b = addr_ip6(&b->addr);
	int order = (int)a->is_udp - (int)b->is_udp;

	if (order == 0)
		order = (int)addr_port(&a->addr) - (int)addr_port(&b->addr);
	if (order == 0)
		order = (int)a->addr.sa.sa_family - (int)b->addr.sa.sa_family;
	if (order == 0)
		order = memcmp(&ip_a, &ip_b, sizeof(ip_a));
	if (order == 0)
		order = (a->where.line > b->where.line) - (a->where.line < b->where.line);
	if (order == 0)
		order = (a->where.column > b->where.column) - (a->where.column < b->where.column);
	return order;
}

static void
report_same_address(struct load *l, const struct bound *first, const struct bound *again)
{
	char text[ADDR_TEXT_SIZE];

	diag_error(l->diag, again->where,
	    "address %s is taken already by listener \"%s\" at line %u; each listener needs its "
	    "own",
	    addr_print(&again->addr, text), first->owner, first->where.line);
}

/* The entries of one port, in the order of compare_bounds(). */
static void
check_port(struct load *l, const struct bound *bounds, size_t count)
{
	const struct bound *star = NULL, *any = NULL;

	for (size_t i = 0; i < count; i++) {
		if (i > 0 && addr_equal(&bounds[i].addr, &bounds[i - 1].addr))
			report_same_address(l, &bounds[i - 1], &bounds[i]);
		if (bounds[i].is_star)
			star = &bounds[i];
		if (is_any_ip4(&bounds[i].addr))
			any = &bounds[i];
	}
	if (star != NULL && any != NULL)
		diag_error(l->diag, star->where,
		    "address *:%u takes 0.0.0.0:%u too, which listener \"%s\" has at line %u; "
		    "write [::]:%u for IPv6 alone",
		    addr_port(&star->addr), addr_port(&star->addr), any->owner, any->where.line,
		    addr_port(&star->addr));
}

/* Must not be reachable, or taken away, by way of a listener. */
static void
check_stats(struct load *l, const struct bound *bound)
{
	const struct addr *stats = &l->config->global.stats_listen;
	char text[ADDR_TEXT_SIZE];
	bool is_same_family = bound->addr.sa.sa_family == stats->sa.sa_family;

	if (!l->config->global.stats_on || bound->is_udp ||
	    addr_port(&bound->addr) != addr_port(stats))
		return;
	if (addr_equal(&bound->addr, stats) || is_any_ip6(&bound->addr) || is_any_ip6(stats) ||
	    (is_same_family && (is_any_ip4(&bound->addr) || is_any_ip4(stats))))
		diag_error(l->diag, bound->where,
		    "listener \"%s\" takes the address of the statistics endpoint (%s); change the "
		    "port here or in "
		    "global.stats.listen",
		    bound->owner, addr_print(stats, text));
}

static void
check_addresses(struct load *l)
{
	size_t first = 0;

	if (l->bound_count > 0)
		qsort(l->bounds, l->bound_count, sizeof(*l->bounds), compare_bounds);
	for (size_t i = 0; i < l->bound_count; i++) {
		if (l->bounds[i].owner == NULL)
			l->bounds[i].owner = "?";
		check_stats(l, &l->bounds[i]);
		if (i + 1 < l->bound_count && l->bounds[i + 1].is_udp == l->bounds[i].is_udp &&
		    addr_port(&l->bounds[i + 1].addr) == addr_port(&l->bounds[i].addr))
			continue;
		check_port(l, l->bounds + first, i + 1 - first);
		first = i + 1;
	}
}

void
check_config(struct load *l)
{
	struct config *c = l->config;
	struct names pools, acls, bandwidths, listeners;

	names_init(&pools, c->pools, c->pool_count, sizeof(*c->pools),
	    offsetof(struct pool_config, name), offsetof(struct pool_config, where));
	names_init(&acls, c->acls, c->acl_count, sizeof(*c->acls),
	    offsetof(struct acl_config, name), offsetof(struct acl_config, where));
	names_init(&bandwidths, c->bandwidths, c->bandwidth_count, sizeof(*c->bandwidths),
	    offsetof(struct bandwidth_config, name), offsetof(struct bandwidth_config, where));
	names_init(&listeners, c->listeners, c->listener_count, sizeof(*c->listeners),
	    offsetof(struct listener_config, name), offsetof(struct listener_config, where));
	names_report_duplicates(l, &pools, "pools");
	names_report_duplicates(l, &listeners, "listeners");
	for (size_t i = 0; i < c->pool_count; i++)
		check_pool(l, &c->pools[i]);
	for (size_t i = 0; i < c->bandwidth_count; i++)
		c->bandwidths[i].index = (unsigned)i;
	for (size_t i = 0; i < c->listener_count; i++)
		check_listener(l, &c->listeners[i], &pools, &acls, &bandwidths);
	check_addresses(l);
	check_series(l);
	names_fini(&pools);
	names_fini(&acls);
	names_fini(&bandwidths);
	names_fini(&listeners);
}
