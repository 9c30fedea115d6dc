/* The options of routes, and those that listeners share with them. */
#include "conf_priv.h"

#include <stddef.h>

static void
redirect_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	struct redirect_config *r = structure;

	(void)load;
	(void)map;
	r->on = true;
	if (r->port == 0 && r->scheme != NULL)
		r->port = r->scheme[4] == 's' ? 443 : 80;
}

static bool
redirect_is_on(const void *structure)
{
	return ((const struct redirect_config *)structure)->on;
}

static bool
redirect_has_no_url(const void *structure)
{
	return ((const struct redirect_config *)structure)->url == NULL;
}

#define WITHOUT_URL .applies = redirect_has_no_url, .scope = "without url"
static const struct option redirect_options[] = {
	OPTION("scheme", redirect_config, scheme, kind_word, .preset = "https",
	    WORDS({ "http", 0 }, { "https", 1 }), WITHOUT_URL,
	    .doc = "Scheme of the new location."),
	OPTION("port", redirect_config, port, kind_port, .preset = "", .min = "1", .max = "65535",
	    WITHOUT_URL, .doc = "Port of the new location; without it the scheme's own."),
	OPTION("url", redirect_config, url, kind_url, .preset = "",
	    .where_offset = offsetof(struct redirect_config, url_where),
	    .doc = "The new location as a whole, instead of the same host and path. $1 to $9 are "
		   "the groups of the route's regex."),
	OPTION("status", redirect_config, status, kind_enum, .preset = "301",
	    WORDS({ "301", 301 }, { "302", 302 }, { "303", 303 }, { "307", 307 }, { "308", 308 }),
	    .doc = "Status of the answer."),
};
const struct block conf_redirect = {
	.name = "redirect",
	TABLE(redirect_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = redirect_is_on,
	.finish = redirect_finish,
	.doc = "Answers every request with a location: the same host and path with another scheme "
	       "or port, or a URL. Excludes pools.",
};

static void
respond_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	struct respond_config *r = structure;

	r->on = true;
	if ((r->status == 204 || r->status == 205 || r->status == 304) && r->body != NULL &&
	    r->body[0] != '\0')
		diag_error(load->diag, map->where,
		    "respond: a response with status %u has no body; leave it out", r->status);
}

static bool
respond_is_on(const void *structure)
{
	return ((const struct respond_config *)structure)->on;
}

static const struct option respond_options[] = {
	OPTION("status", respond_config, status, kind_count, .preset = "200", .min = "200",
	    .max = "599", .doc = "Status of the answer."),
	OPTION("content_type", respond_config, content_type, kind_media_type,
	    .preset = "text/plain", .doc = "What the body is."),
	OPTION("body", respond_config, body, kind_body, .preset = "",
	    .doc = "The body; without it an empty one."),
};
static const struct block respond_block = {
	.name = "respond",
	TABLE(respond_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = respond_is_on,
	.finish = respond_finish,
	.doc = "Answers with a fixed response.",
};

/* limit */

static void
limit_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	struct route_limit_config *l = structure;

	l->on = l->requests > 0 || l->per_source > 0;
	if (l->requests > 0 && l->per_source > l->requests)
		diag_error(load->diag, map->where,
		    "limit: per_source is more than requests; it must be less");
}

static bool
limit_is_on(const void *structure)
{
	return ((const struct route_limit_config *)structure)->on;
}

static const struct option limit_options[] = {
	OPTION("requests", route_limit_config, requests, kind_count, .preset = "0", .min = "0",
	    .max = "1000000", .doc = "Requests of all clients in a second; 0: any number."),
	OPTION("per_source", route_limit_config, per_source, kind_count, .preset = "0", .min = "0",
	    .max = "1000000", .doc = "Requests of one client address in a second; 0: any number."),
	OPTION("burst", route_limit_config, burst, kind_count, .preset = "0", .min = "0",
	    .max = "1000000",
	    .doc = "Requests that may come at once after a pause, if more than those of a "
		   "second."),
};
static const struct block limit_block = {
	.name = "limit",
	TABLE(limit_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = limit_is_on,
	.finish = limit_finish,
	.doc = "How many requests the route passes, counted by all workers together; the others "
	       "are answered with 503.",
};

/* request_headers, response_headers */

static bool
headers_is_on(const void *structure)
{
	const struct headers_config *h = structure;

	return h->set_count + h->add_count + h->remove_count > 0;
}

#define VARIABLES                                                                                  \
	"Values may have the variables ${client_ip}, ${client_port}, ${listen_port}, ${scheme}, "  \
	"${host}, ${method}, ${path}, ${query}, ${request_id}, ${origin}; $$ is a dollar sign."
static const struct option headers_options[] = {
	LIST("set", headers_config, set, set_count, kind_texts, .preset = "",
	    .doc = "Fields that replace those of the same name. " VARIABLES),
	LIST("add", headers_config, add, add_count, kind_texts, .preset = "",
	    .doc = "Fields that are added beside those of the same name. Variables as in set."),
	LIST("remove", headers_config, remove, remove_count, kind_field_names, .preset = "",
	    .doc = "Fields that are taken out."),
};
const struct block conf_request_headers = {
	.name = "request_headers",
	TABLE(headers_options),
	.where_offset = offsetof(struct headers_config, where),
	.one_line = true,
	.is_on = headers_is_on,
	.finish = headers_finish_request,
	.doc = "Changes of the fields that servers get. Those of a route come after those of its "
	       "listener and win.",
};
const struct block conf_response_headers = {
	.name = "response_headers",
	TABLE(headers_options),
	.where_offset = offsetof(struct headers_config, where),
	.one_line = true,
	.is_on = headers_is_on,
	.finish = headers_finish_response,
	.doc = "Changes of the fields that clients get, with answers of weir itself too. Those of "
	       "a route come after those of its listener and win.",
};

/* routes */

static bool
path_is(const void *structure, enum path_match match)
{
	return ((const struct route_config *)structure)->match == match;
}

static bool
path_is_exact(const void *structure)
{
	return path_is(structure, PATH_EXACT);
}

static bool
path_is_prefix(const void *structure)
{
	return path_is(structure, PATH_PREFIX);
}

static bool
path_is_starts_with(const void *structure)
{
	return path_is(structure, PATH_STARTS_WITH);
}

static bool
path_is_regex(const void *structure)
{
	return path_is(structure, PATH_REGEX);
}

static bool
path_is_on(const void *structure)
{
	return !path_is(structure, PATH_ANY);
}

static void
path_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	static const char *const keys[] = { [PATH_EXACT] = "exact",
		[PATH_PREFIX] = "prefix",
		[PATH_STARTS_WITH] = "starts_with",
		[PATH_REGEX] = "regex" };
	struct route_config *route = structure;

	route->match = PATH_PREFIX;
	for (size_t i = PATH_EXACT, given = 0; i < COUNT(keys); i++) {
		if (yaml_get_pair(map, keys[i]) == NULL)
			continue;
		if (given > 0)
			diag_error(load->diag, map->where,
			    "path: both %s and %s are given; one of them is allowed", keys[given],
			    keys[i]);
		given = i;
		route->match = (enum path_match)i;
	}
	if (map->count == 0)
		diag_error(load->diag, map->where,
		    "path: nothing is given; exact, prefix, starts_with or regex is needed");
}

static const struct option path_options[] = {
	OPTION("exact", route_config, path, kind_url_path, .preset = "", .applies = path_is_exact,
	    .scope = "alone", .doc = "The request's path is this one."),
	OPTION("prefix", route_config, path, kind_url_path, .preset = "", .applies = path_is_prefix,
	    .scope = "alone",
	    .doc = "The request's path starts with these segments: /v1 matches /v1 and /v1/a, not "
		   "/v10."),
	OPTION("starts_with", route_config, path, kind_url_path, .preset = "",
	    .applies = path_is_starts_with, .scope = "alone",
	    .doc = "The request's path starts with this text: /v1 matches /v1/a and /v10 too."),
	OPTION("regex", route_config, path, kind_regex, .preset = "", .applies = path_is_regex,
	    .scope = "alone",
	    .doc = "The expression matches the start of the request's path, as it came. Its steps "
		   "are limited; a path that needs more is answered with 500."),
};
static const struct block path_block = {
	.name = "path",
	TABLE(path_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = path_is_on,
	.finish = path_finish,
	.doc = "Which paths; without it all.",
};

/* when */

static bool
condition_has_values(const void *structure)
{
	const struct condition_config *c = structure;

	return c->header != NULL || c->query != NULL || c->cookie != NULL;
}

static void
condition_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	static const char *const keys[] = { "method", "header", "query", "cookie", "source" };
	const struct condition_config *c = structure;
	unsigned given = 0;

	for (size_t i = 0; i < COUNT(keys); i++)
		given += yaml_get_pair(map, keys[i]) != NULL;
	if (given != 1)
		diag_error(load->diag, map->where,
		    "condition: %s of method, header, query, cookie and source %s given; one is "
		    "needed",
		    given == 0 ? "none" : "several", given == 0 ? "is" : "are");
	else if (condition_has_values(c) && c->value_count == 0)
		diag_error(
		    load->diag, map->where, "condition: values are missing; they must be given");
}

static const struct option condition_options[] = {
	LIST("method", condition_config, methods, method_count, kind_methods, .preset = "",
	    .min = "1", .doc = "The request has one of these methods."),
	OPTION("header", condition_config, header, kind_field_name, .preset = "",
	    .doc = "The request has a field of this name with one of the values."),
	OPTION("query", condition_config, query, kind_cookie_name, .preset = "",
	    .doc = "The query has a parameter of this name with one of the values."),
	OPTION("cookie", condition_config, cookie, kind_cookie_name, .preset = "",
	    .doc = "The request has a cookie of this name with one of the values."),
	LIST("values", condition_config, values, value_count, kind_patterns, .preset = "",
	    .applies = condition_has_values, .scope = "with header, query or cookie",
	    .doc = "What the value may be as a whole."),
	LIST("source", condition_config, sources, source_count, kind_networks, .preset = "",
	    .min = "1", .doc = "The client's address is in one of these networks."),
};
static const struct block condition_block = {
	.name = "condition",
	TABLE(condition_options),
	.size = sizeof(struct condition_config),
	.where_offset = offsetof(struct condition_config, where),
	.one_line = true,
	.finish = condition_finish,
	.doc = "All conditions of a route must hold. Of routes with the same host and path, those "
	       "with conditions are tried first, in the order of the file.",
};

static const struct option share_options[] = {
	OPTION("pool", share_config, pool_name, kind_name,
	    .where_offset = offsetof(struct share_config, pool_where), .doc = "Name of a pool."),
	OPTION("weight", share_config, weight, kind_count, .preset = "1", .min = "0",
	    .max = "10000", .doc = "Its share of the requests, beside those of the others."),
};
static const struct block share_block = {
	.name = "share",
	TABLE(share_options),
	.size = sizeof(struct share_config),
	.where_offset = offsetof(struct share_config, where),
	.one_line = true,
	.doc = "Pools that share the requests of a route by weight. Where one has sticky by "
	       "cookie_insert, clients with a cookie of one of its servers stay with that pool, "
	       "also when the server is down.",
};

static const struct option route_options[] = {
	OPTION("name", route_config, name, kind_name, .preset = "",
	    .doc = "What statistics and the access log call the route; without it the name is made "
		   "of host, path and conditions: api.example.com/v1/*. Routes of a listener with "
		   "the same name are counted together."),
	OPTION("host", route_config, host, kind_host_name, .preset = "",
	    .doc = "Host that the client asks for; without it any."),
	INLINE_BLOCK("path", path_block, .preset = ""),
	OPTION("in_order", route_config, in_order, kind_bool, .preset = "off",
	    .doc = "Whether the route is tried before all without this, in the order of the file, "
		   "however specific they are. The time grows with their number."),
	LIST("when", route_config, when, when_count, kind_blocks, .preset = "",
	    .block = &condition_block),
	OPTION("pool", route_config, pool_name, kind_name, .preset = "",
	    .where_offset = offsetof(struct route_config, pool_where),
	    .doc = "Name of the pool that serves the request. A route has a pool, a split, a "
		   "redirect or a response."),
	LIST("split", route_config, split, split_count, kind_blocks, .preset = "", .min = "1",
	    .block = &share_block),
	OPTION(
	    "redirect", route_config, redirect, kind_block, .preset = "", .block = &conf_redirect),
	OPTION("respond", route_config, respond, kind_block, .preset = "", .block = &respond_block),
	OPTION("limit", route_config, limit, kind_block, .preset = "", .block = &limit_block),
	OPTION("rewrite", route_config, rewrite, kind_rewrite, .preset = "",
	    .where_offset = offsetof(struct route_config, rewrite_where),
	    .doc = "What servers get instead of the part of the path that the route names: of the "
		   "prefix, or of the whole path with exact and regex. The query stays."),
	OPTION("request_headers", route_config, request_headers, kind_block, .preset = "",
	    .block = &conf_request_headers),
	OPTION("response_headers", route_config, response_headers, kind_block, .preset = "",
	    .block = &conf_response_headers),
};

static void
route_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	const struct route_config *r = structure;
	int given = (yaml_get_pair(map, "pool") != NULL) + (yaml_get_pair(map, "split") != NULL) +
		    r->redirect.on + r->respond.on;

	if (given == 0 && !load_is_broken(load, &r->redirect) && !load_is_broken(load, &r->respond))
		diag_error(load->diag, map->where,
		    "route: there is no target; pool, split, redirect or respond is needed");
	else if (given > 1)
		diag_error(load->diag, map->where,
		    "route: there is more than one target; one of pool, split, redirect and "
		    "respond is "
		    "allowed");
	if (r->rewrite != NULL && (r->redirect.on || r->respond.on))
		diag_error(load->diag, r->rewrite_where,
		    "rewrite has no meaning here; it is allowed with pool or split");
}

const struct block conf_route = {
	.name = "route",
	TABLE(route_options),
	.size = sizeof(struct route_config),
	.where_offset = offsetof(struct route_config, where),
	.one_line = true,
	.finish = route_finish,
	.doc = "What is done with some requests. The most specific route wins: exact host before "
	       "wildcard host before any, then exact path, then the longest prefix, then the "
	       "longest expression that matches, then no path. A host none of whose paths matches "
	       "hands on to "
	       "the next kind.",
};
