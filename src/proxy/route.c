#include "weir/route.h"

#define XXH_INLINE_ALL
#include <xxhash.h>
#include <stdint.h>
#include <stdlib.h>

#include "weir/arena.h"

/* Longer host names do not exist (RFC 1035 section 2.3.4). */
enum { HOST_MAX = 255 };

struct entry {
	uint64_t hash;
	struct slice host, path;          /* borrowed from the configuration; host len 0: any */
	const struct route_config *route; /* the answer */
	bool is_used;
};

struct router {
	struct entry *entries; /* owned; open addressing */
	size_t mask;
};

enum key_kind { KEY_EXACT = 1, KEY_PREFIX };

static uint64_t
key_hash(enum key_kind kind, struct slice host, struct slice path)
{
	return XXH3_64bits_withSeed(
	    path.ptr, path.len, XXH3_64bits_withSeed(host.ptr, host.len, (uint64_t)kind));
}

static const struct route_config *
find(const struct router *router, enum key_kind kind, struct slice host, struct slice path)
{
	uint64_t hash = key_hash(kind, host, path);

	for (size_t i = hash & router->mask; router->entries[i].is_used;
	     i = (i + 1) & router->mask) {
		const struct entry *e = &router->entries[i];

		if (e->hash == hash && slice_equal(e->host, host) && slice_equal(e->path, path))
			return e->route;
	}
	return NULL;
}

static void
insert(struct router *router, enum key_kind kind, struct slice host, struct slice path,
    const struct route_config *route)
{
	uint64_t hash = key_hash(kind, host, path);
	size_t i = hash & router->mask;

	if (find(router, kind, host, path) != NULL)
		return; /* the first of equal routes wins */
	while (router->entries[i].is_used)
		i = (i + 1) & router->mask;
	router->entries[i] = (struct entry){
		.hash = hash, .host = host, .path = path, .route = route, .is_used = true
	};
}

/* "/a/" and "/a" are the same prefix, "/" is the empty one. */
static struct slice
without_slash(struct slice path)
{
	while (path.len > 0 && path.ptr[path.len - 1] == '/')
		path.len--;
	return path;
}

struct router *
router_new(const struct listener_config *listener)
{
	struct router *router;
	size_t size = 8;

	if (listener->route_count == 0)
		return NULL;
	while (size < listener->route_count * 2)
		size *= 2;
	router = xcalloc(1, sizeof(*router));
	router->entries = xcalloc(size, sizeof(*router->entries));
	router->mask = size - 1;
	for (size_t i = 0; i < listener->route_count; i++) {
		const struct route_config *route = &listener->routes[i];
		struct slice host = slice_of(route->host), path = slice_of(route->path);

		switch (route->match) {
		case PATH_EXACT:
			insert(router, KEY_EXACT, host, path, route);
			break;
		case PATH_ANY:
		case PATH_PREFIX:
			insert(router, KEY_PREFIX, host, without_slash(path), route);
			break;
		}
	}
	return router;
}

void
router_free(struct router *router)
{
	if (router == NULL)
		return;
	free(router->entries);
	free(router);
}

static const struct route_config *
find_path(const struct router *router, struct slice host, struct slice path)
{
	const struct route_config *route = find(router, KEY_EXACT, host, path);
	struct slice prefix = path;

	while (route == NULL) {
		prefix = without_slash(prefix);
		route = find(router, KEY_PREFIX, host, prefix);
		if (prefix.len == 0)
			break;
		while (prefix.len > 0 && prefix.ptr[prefix.len - 1] != '/')
			prefix.len--;
	}
	return route;
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

const struct route_config *
router_find(const struct router *router, struct slice host, struct slice path)
{
	char text[HOST_MAX], wildcard_text[HOST_MAX + 1];
	const struct route_config *route;
	const char *query = memchr(path.ptr, '?', path.len);
	const char *dot;

	if (query != NULL)
		path.len = (size_t)(query - path.ptr);
	host = normal_host(host, text);
	if (host.len > 0) {
		route = find_path(router, host, path);
		if (route != NULL)
			return route;
		dot = memchr(host.ptr, '.', host.len);
		if (dot != NULL) {
			size_t len = host.len - (size_t)(dot - host.ptr);

			wildcard_text[0] = '*';
			memcpy(wildcard_text + 1, dot, len);
			route = find_path(router, (struct slice){ wildcard_text, len + 1 }, path);
			if (route != NULL)
				return route;
		}
	}
	return find_path(router, (struct slice){ NULL, 0 }, path);
}
