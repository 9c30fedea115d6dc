/*
 * One route against one request: for those that are tried in the order of the file.
 */
#include "weir/route.h"

static bool
host_matches(const char *name, struct slice host)
{
	struct slice wanted = slice_of(name);
	const char *dot;

	if (name == NULL)
		return true;
	if (wanted.len < 2 || wanted.ptr[0] != '*')
		return slice_equal(wanted, host);
	dot = host.len > 0 ? memchr(host.ptr, '.', host.len) : NULL;
	return dot != NULL &&
	       slice_equal((struct slice){ wanted.ptr + 1, wanted.len - 1 },
		   (struct slice){ dot, host.len - (size_t)(dot - host.ptr) });
}

/* By segments: "/a" and "/a/" are one prefix, and hold for "/a" and "/a/b", not for "/ab". */
static bool
segments_match(struct slice prefix, struct slice path)
{
	while (prefix.len > 0 && prefix.ptr[prefix.len - 1] == '/')
		prefix.len--;
	return slice_starts(path, prefix) && (path.len == prefix.len || path.ptr[prefix.len] == '/');
}

static bool
path_matches(const struct route *route, struct slice path, bool *limit)
{
	const struct route_config *conf = route->conf;
	enum regex_result result;

	switch (conf->match) {
	case PATH_ANY:
		return true;
	case PATH_EXACT:
		return slice_equal(slice_of(conf->path), path);
	case PATH_PREFIX:
		return segments_match(slice_of(conf->path), path);
	case PATH_STARTS_WITH:
		return slice_starts(path, slice_of(conf->path));
	case PATH_REGEX:
		result = regex_match(route->regex, path, NULL);
		*limit = *limit || result == REGEX_LIMIT;
		return result == REGEX_YES;
	}
	return false;
}

bool
route_matches(const struct route *route, const struct message *request, const struct addr *client,
    struct slice host, struct slice path, bool *limit)
{
	return host_matches(route->conf->host, host) &&
	       route_conditions_hold(route->conf, request, client) &&
	       path_matches(route, path, limit);
}
