#include "weir/route.h"

#define XXH_INLINE_ALL
#include <xxhash.h>
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "weir/arena.h"

/* Longer host names do not exist (RFC 1035 section 2.3.4). */
enum { HOST_MAX = 255, NONE = -1 };

/* One host's path, in the hash table. */
struct entry {
	uint64_t hash;
	struct slice path;         /* borrowed from the configuration */
	const struct route *route; /* NULL: the entry is free */
	uint32_t host;
	uint8_t kind; /* enum key_kind */
};

/* A prefix by text, in its host's array, which is sorted. */
struct start {
	struct slice text; /* borrowed from the configuration */
	const struct route *route;
	int outer; /* position of the longest other one that this one starts with; NONE */
};

struct host {
	struct slice name;          /* borrowed from the configuration; len 0: any */
	struct start *starts;       /* owned */
	const struct route **exprs; /* owned; the longest expression first */
	const struct route *any;    /* for what no path matches; NULL: none */
	size_t start_count, expr_count;
	size_t prefix_len; /* of the longest prefix by segments */
};

struct router {
	struct route *routes; /* owned; as the listener's */
	size_t route_count;
	const struct route **in_order; /* owned; tried one by one before all others */
	size_t in_order_count;
	struct host *hosts; /* owned; [0] is any host */
	size_t host_count;
	uint32_t *by_name;     /* owned; open addressing; position in hosts, 0: free */
	struct entry *entries; /* owned; open addressing */
	size_t name_mask, mask;
};

enum key_kind { KEY_EXACT = 1, KEY_PREFIX };

/* ---- hosts ---- */

static struct host *
find_host(const struct router *router, struct slice name)
{
	uint64_t hash = XXH3_64bits(name.ptr, name.len);

	for (size_t i = hash & router->name_mask; router->by_name[i] != 0;
	     i = (i + 1) & router->name_mask) {
		struct host *host = &router->hosts[router->by_name[i]];

		if (slice_equal(host->name, name))
			return host;
	}
	return NULL;
}

static struct host *
add_host(struct router *router, struct slice name)
{
	struct host *host = name.len == 0 ? &router->hosts[0] : find_host(router, name);
	size_t i;

	if (host != NULL)
		return host;
	i = XXH3_64bits(name.ptr, name.len) & router->name_mask;
	while (router->by_name[i] != 0)
		i = (i + 1) & router->name_mask;
	router->by_name[i] = (uint32_t)router->host_count;
	host = &router->hosts[router->host_count++];
	host->name = name;
	return host;
}

/* ---- conditions ---- */

/* What is asked for. */
struct query {
	const struct message *request;
	const struct addr *client;
	struct slice path;
	bool *limit;
};

/* The first of the routes with the same host and path whose conditions hold. */
static const struct route *
choose(const struct route *route, const struct query *query)
{
	while (route != NULL && !route_conditions_hold(route->conf, query->request, query->client))
		route = route->next;
	return route;
}

/* ---- exact paths, and prefixes by segment ---- */

static uint64_t
key_hash(enum key_kind kind, uint32_t host, struct slice path)
{
	return XXH3_64bits_withSeed(path.ptr, path.len, (uint64_t)host << 2 | (uint64_t)kind);
}

static const struct route *
find(const struct router *router, enum key_kind kind, const struct host *host, struct slice path)
{
	uint32_t number = (uint32_t)(host - router->hosts);
	uint64_t hash = key_hash(kind, number, path);

	for (size_t i = hash & router->mask; router->entries[i].route != NULL;
	     i = (i + 1) & router->mask) {
		const struct entry *e = &router->entries[i];

		if (e->hash == hash && e->host == number && e->kind == kind &&
		    slice_equal(e->path, path))
			return e->route;
	}
	return NULL;
}

/* Put `route` behind those with the same host and path; false when there are none. */
static bool
append(const struct route *first, const struct route *route)
{
	if (first == NULL)
		return false;
	while (first->next != NULL)
		first = first->next;
	((struct route *)(uintptr_t)first)->next = route;
	return true;
}

static void
insert(struct router *router, enum key_kind kind, const struct host *host, struct slice path,
    const struct route *route)
{
	uint32_t number = (uint32_t)(host - router->hosts);
	uint64_t hash = key_hash(kind, number, path);
	size_t i = hash & router->mask;

	if (append(find(router, kind, host, path), route))
		return;
	while (router->entries[i].route != NULL)
		i = (i + 1) & router->mask;
	router->entries[i] = (struct entry){ hash, path, route, number, (uint8_t)kind };
}

/* "/a/" and "/a" are the same prefix, "/" is the empty one. */
static struct slice
without_slash(struct slice path)
{
	while (path.len > 0 && path.ptr[path.len - 1] == '/')
		path.len--;
	return path;
}

/* What stands before the last segment, with its slash. */
static struct slice
without_segment(struct slice path)
{
	while (path.len > 0 && path.ptr[path.len - 1] != '/')
		path.len--;
	return path;
}

/* len  set to the length of what was found */
static const struct route *
find_prefix(
    const struct router *router, const struct host *host, const struct query *query, size_t *len)
{
	const struct route *route = NULL;
	struct slice path = query->path;

	/* All that is longer is skipped at once: else a path of thousands of segments would be
	 * hashed as often. */
	if (path.len > host->prefix_len && path.ptr[host->prefix_len] == '/')
		path.len = host->prefix_len;
	else if (path.len > host->prefix_len)
		path = without_segment((struct slice){ path.ptr, host->prefix_len });
	while (route == NULL) {
		path = without_slash(path);
		route = choose(find(router, KEY_PREFIX, host, path), query);
		*len = path.len;
		if (path.len == 0)
			break;
		path = without_segment(path);
	}
	return route;
}

/* ---- prefixes by text ---- */

static int
compare_text(struct slice a, struct slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Those with conditions first, then in the order of the file. */
static int
compare_routes(const struct route *a, const struct route *b)
{
	int order = (a->conf->when_count == 0) - (b->conf->when_count == 0);

	return order != 0 ? order : (a > b) - (a < b);
}

static int
compare_starts(const void *left, const void *right)
{
	const struct start *a = left, *b = right;
	int order = compare_text(a->text, b->text);

	return order != 0 ? order : compare_routes(a->route, b->route);
}

/*
 * Position of the longest text that `path` starts with, among the first `count`; NONE if there is
 * none.  Any such text is no greater than `path`, and all that lie between the two start with it
 * too: so it is the last one that is no greater, or one of those that this one starts with.
 */
static int
find_start(const struct start *starts, size_t count, struct slice path)
{
	size_t low = 0, high = count;
	int at;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_text(starts[middle].text, path) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	at = (int)low - 1;
	while (at != NONE && !slice_starts(path, starts[at].text))
		at = starts[at].outer;
	return at;
}

static void
link_starts(struct host *host)
{
	if (host->start_count > 0)
		qsort(host->starts, host->start_count, sizeof(*host->starts), compare_starts);
	for (size_t i = 0; i < host->start_count; i++) {
		struct start *start = &host->starts[i];

		start->outer = find_start(host->starts, i, start->text);
		if (start->outer != NONE &&
		    slice_equal(host->starts[start->outer].text, start->text)) {
			append(host->starts[start->outer].route, start->route);
			*start = host->starts[start->outer];
		}
	}
}

/* len  set to the length of what was found */
static const struct route *
find_text(const struct host *host, const struct query *query, size_t *len)
{
	const struct route *route = NULL;
	int at = find_start(host->starts, host->start_count, query->path);

	for (; at != NONE && route == NULL; at = host->starts[at].outer) {
		route = choose(host->starts[at].route, query);
		*len = host->starts[at].text.len;
	}
	return route;
}

/* ---- expressions ---- */

static int
compare_exprs(const void *left, const void *right)
{
	const struct route *a = *(const struct route *const *)left;
	const struct route *b = *(const struct route *const *)right;
	size_t a_len = strlen(a->conf->path), b_len = strlen(b->conf->path);

	return a_len != b_len ? (a_len < b_len) - (a_len > b_len) : compare_routes(a, b);
}

static const struct route *
find_expr(const struct host *host, const struct query *query)
{
	for (size_t i = 0; i < host->expr_count; i++) {
		const struct route *route = choose(host->exprs[i], query);

		if (route == NULL)
			continue;
		switch (regex_match(route->regex, query->path, NULL)) {
		case REGEX_YES:
			return route;
		case REGEX_LIMIT:
			*query->limit = true;
			return NULL;
		case REGEX_NO:
			break;
		}
	}
	return NULL;
}

/* ---- making ---- */

static size_t
table_size(size_t count)
{
	size_t size = 8;

	while (size < count * 2)
		size *= 2;
	return size;
}

static void
add_route(struct router *router, const struct route *route)
{
	const struct route_config *conf = route->conf;
	struct host *host = add_host(router, slice_of(conf->host));
	struct slice path = slice_of(conf->path);

	switch (conf->match) {
	case PATH_EXACT:
		insert(router, KEY_EXACT, host, path, route);
		break;
	case PATH_ANY:
		if (!append(host->any, route))
			host->any = route;
		break;
	case PATH_PREFIX:
		path = without_slash(path);
		insert(router, KEY_PREFIX, host, path, route);
		if (path.len > host->prefix_len)
			host->prefix_len = path.len;
		break;
	case PATH_STARTS_WITH:
		host->starts =
		    xrealloc(host->starts, (host->start_count + 1) * sizeof(*host->starts));
		host->starts[host->start_count++] = (struct start){ path, route, NONE };
		break;
	case PATH_REGEX:
		host->exprs = xrealloc(host->exprs, (host->expr_count + 1) * sizeof(*host->exprs));
		host->exprs[host->expr_count++] = route;
		break;
	}
}

struct router *
router_new(const struct listener_config *listener)
{
	struct router *router;
	size_t count = listener->route_count;

	if (count == 0)
		return NULL;
	router = xcalloc(1, sizeof(*router));
	router->routes = xcalloc(count, sizeof(*router->routes));
	router->route_count = count;
	router->hosts = xcalloc(count + 1, sizeof(*router->hosts));
	router->host_count = 1;
	router->mask = router->name_mask = table_size(count) - 1;
	router->by_name = xcalloc(router->name_mask + 1, sizeof(*router->by_name));
	router->entries = xcalloc(router->mask + 1, sizeof(*router->entries));
	for (size_t i = 0; i < count; i++) {
		struct route *route = &router->routes[i];

		route->conf = &listener->routes[i];
		if (route->conf->match == PATH_REGEX) {
			route->regex = regex_new(route->conf->path, NULL);
			assert(route->regex != NULL); /* the master has tried it */
		}
	}
	router->in_order = xcalloc(count, sizeof(*router->in_order));
	for (size_t i = 0; i < count; i++)
		if (listener->routes[i].in_order)
			router->in_order[router->in_order_count++] = &router->routes[i];
	for (size_t i = 0; i < count; i++)
		if (!listener->routes[i].in_order && listener->routes[i].when_count > 0)
			add_route(router, &router->routes[i]);
	for (size_t i = 0; i < count; i++)
		if (!listener->routes[i].in_order && listener->routes[i].when_count == 0)
			add_route(router, &router->routes[i]);
	for (size_t i = 0; i < router->host_count; i++) {
		struct host *host = &router->hosts[i];

		link_starts(host);
		if (host->expr_count > 0)
			qsort(host->exprs, host->expr_count, sizeof(*host->exprs), compare_exprs);
	}
	return router;
}

void
router_free(struct router *router)
{
	if (router == NULL)
		return;
	for (size_t i = 0; i < router->route_count; i++)
		regex_free(router->routes[i].regex);
	for (size_t i = 0; i < router->host_count; i++) {
		free(router->hosts[i].starts);
		free(router->hosts[i].exprs);
	}
	free(router->in_order);
	free(router->hosts);
	free(router->by_name);
	free(router->entries);
	free(router->routes);
	free(router);
}

/* ---- finding ---- */

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool
route_escapes_are_sound(struct slice path)
{
	const char *at = path.ptr, *end = path.ptr + path.len;
	const char *query = memchr(path.ptr, '?', path.len);

	if (query != NULL)
		end = query;
	while (at < end && (at = memchr(at, '%', (size_t)(end - at))) != NULL) {
		if (end - at < 3 || !is_hex(at[1]) || !is_hex(at[2]))
			return false;
		at += 3;
	}
	return true;
}

static const struct route *
find_path(const struct router *router, const struct host *host, const struct query *query)
{
	const struct route *route = choose(find(router, KEY_EXACT, host, query->path), query);
	const struct route *text = NULL;
	size_t len, text_len = 0;

	if (route != NULL)
		return route;
	route = find_prefix(router, host, query, &len);
	if (host->start_count > 0)
		text = find_text(host, query, &text_len);
	/* Of a prefix by segments and one by text the longer one; of two equal ones the first. */
	if (text != NULL && (route == NULL || text_len > len))
		route = text;
	if (route == NULL && host->expr_count > 0)
		route = find_expr(host, query);
	return route != NULL || *query->limit ? route : choose(host->any, query);
}

/* Lower case, without port and without the dot that ends a fully qualified name. */
static struct slice
normal_host(struct slice host, char text[static HOST_MAX])
{
	struct slice result = { text, 0 };
	bool in_bracket = false;

	for (size_t i = 0; i < host.len && result.len < HOST_MAX; i++) {
		char c = host.ptr[i];

		in_bracket = c == '[' || (in_bracket && c != ']');
		if (c == ':' && !in_bracket)
			break;
		text[result.len++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	if (result.len > 1 && text[result.len - 1] == '.')
		result.len--;
	return result;
}

static const struct route *
find_in_order(const struct router *router, const struct query *query, struct slice host)
{
	for (size_t i = 0; i < router->in_order_count && !*query->limit; i++)
		if (route_matches(router->in_order[i], query->request, query->client, host,
			query->path, query->limit))
			return router->in_order[i];
	return NULL;
}

const struct route *
router_find(const struct router *router, const struct message *request, const struct addr *client,
    bool *limit)
{
	char text[HOST_MAX], wildcard_text[HOST_MAX + 1];
	struct query query = {
		.request = request, .client = client, .path = request->path, .limit = limit
	};
	const struct route *route = NULL;
	const char *behind = memchr(query.path.ptr, '?', query.path.len);
	const struct host *named;
	struct slice host;
	const char *dot;

	*limit = false;
	if (behind != NULL)
		query.path.len = (size_t)(behind - query.path.ptr);
	if (query.path.len == 0)
		query.path = SLICE("/"); /* RFC 9110 section 4.2.3 */
	if (router->host_count == 1 && router->in_order_count == 0)
		return find_path(router, &router->hosts[0], &query);
	host = normal_host(request->host, text);
	if (router->in_order_count > 0) {
		route = find_in_order(router, &query, host);
		if (route != NULL || *limit)
			return route;
	}
	named = host.len > 0 ? find_host(router, host) : NULL;
	if (named != NULL)
		route = find_path(router, named, &query);
	dot = host.len > 0 ? memchr(host.ptr, '.', host.len) : NULL;
	if (route == NULL && !*limit && dot != NULL) {
		size_t len = host.len - (size_t)(dot - host.ptr);

		wildcard_text[0] = '*';
		memcpy(wildcard_text + 1, dot, len);
		named = find_host(router, (struct slice){ wildcard_text, len + 1 });
		if (named != NULL)
			route = find_path(router, named, &query);
	}
	return route != NULL || *limit ? route : find_path(router, &router->hosts[0], &query);
}
