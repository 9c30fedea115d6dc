/* The options of listeners. */
#include "conf_priv.h"

#include <stddef.h>

static bool
listener_is_http(const void *structure)
{
	const struct listener_config *l = structure;

	return l->protocol == PROTOCOL_HTTP || l->protocol == PROTOCOL_HTTPS;
}

static bool
listener_is_tls(const void *structure)
{
	const struct listener_config *l = structure;

	return l->protocol == PROTOCOL_HTTPS || l->protocol == PROTOCOL_TLS;
}

static bool
listener_is_tcp(const void *structure)
{
	return ((const struct listener_config *)structure)->protocol == PROTOCOL_TCP;
}

static const struct option server_name_options[] = {
	OPTION("name", server_name_config, name, kind_host_name,
	    .doc = "The name that the client asks for (SNI)."),
	OPTION("certificate", server_name_config, certificate, kind_certificate,
	    .doc = "ID of the certificate it gets."),
};
static const struct block server_name_block = {
	.name = "server_name",
	TABLE(server_name_options),
	.size = sizeof(struct server_name_config),
	.where_offset = offsetof(struct server_name_config, where),
	.one_line = true,
	.doc = "A further certificate, chosen by name.",
};

static void
tls_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	(void)load;
	(void)map;
	((struct tls_config *)structure)->on = true;
}

static bool
tls_is_on(const void *structure)
{
	return ((const struct tls_config *)structure)->on;
}

static const struct option tls_options[] = {
	OPTION("certificate", tls_config, certificate, kind_certificate,
	    .where_offset = offsetof(struct tls_config, certificate_where),
	    .doc = "ID of the certificate for clients that ask for no other name."),
	LIST("server_names", tls_config, server_names, server_name_count, kind_blocks, .preset = "",
	    .block = &server_name_block),
	OPTION("policy", tls_config, policy, kind_policy, .preset = "intermediate",
	    .where_offset = offsetof(struct tls_config, policy_where),
	    .doc = "Protocol versions and cipher suites: weir's own intermediate (TLS 1.2 and "
		   "1.3), modern (1.3) and old, "
		   "and those of the clouds by their names."),
	LIST("alpn", tls_config, alpn, alpn_count, kind_alpn, .preset = "http/1.1", .min = "1",
	    WORDS({ "http/1.1", 0 }), .doc = "Application protocols offered, most wanted first."),
};
static const struct block tls_block = {
	.name = "tls",
	TABLE(tls_options),
	.where_offset = offsetof(struct tls_config, where),
	.is_on = tls_is_on,
	.finish = tls_finish,
	.doc = "TLS towards clients.",
};

#define TIMEOUT(key, of_preset, of_doc)                                                            \
	OPTION(#key, timeouts_config, key, kind_duration, .preset = of_preset, .min = "10ms",      \
	    .max = "168h", .doc = of_doc)
static const struct option timeouts_options[] = {
	TIMEOUT(client_head, "60s",
	    "From the first byte of a request's head to its last; from the start of the "
	    "connection for the first request."),
	TIMEOUT(client_body, "60s",
	    "Between two reads of a request's body, and two writes of a response."),
	TIMEOUT(client_idle, "15s", "How long a connection is kept for the next request."),
	TIMEOUT(connect, "5s", "For connecting to a server, each attempt."),
	TIMEOUT(response, "60s",
	    "From the end of the request to the head of the response, and between two reads of "
	    "its body."),
	TIMEOUT(idle, "900s", "With protocol tcp or tls: how long both directions may be silent."),
	TIMEOUT(
	    tunnel, "1h", "After an upgrade (WebSocket): how long both directions may be silent."),
};
static const struct block timeouts_block = {
	.name = "timeouts",
	TABLE(timeouts_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "Timeouts of one listener's connections.",
};

static bool
access_is_on(const void *structure)
{
	return ((const struct listener_config *)structure)->access_acl != NULL;
}

static const struct option access_options[] = {
	OPTION("acl", listener_config, access_acl, kind_name,
	    .where_offset = offsetof(struct listener_config, access_where),
	    .doc = "Name of a list under acls."),
	OPTION("mode", listener_config, access_deny, kind_flag, .preset = "allow",
	    WORDS({ "allow", false }, { "deny", true }),
	    .doc = "allow: only addresses in the list may connect; deny: all others may."),
};
static const struct block access_block = {
	.name = "access",
	TABLE(access_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = access_is_on,
	.doc = "Who may connect.",
};

static const struct option forwarded_options[] = {
	OPTION("for", forwarded_config, for_, kind_enum, .preset = "append",
	    WORDS({ "append", FORWARDED_FOR_APPEND }, { "replace", FORWARDED_FOR_REPLACE },
		{ "off", FORWARDED_FOR_OFF }),
	    .doc = "X-Forwarded-For: append the client's address to what came, replace it, or pass "
		   "what came."),
	OPTION("proto", forwarded_config, proto, kind_bool, .preset = "off",
	    .doc = "X-Forwarded-Proto: set it to http or https; off: pass what came."),
};
static const struct block forwarded_block = {
	.name = "forwarded",
	TABLE(forwarded_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "What servers are told about the client.",
};

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

static const struct option redirect_options[] = {
	OPTION("scheme", redirect_config, scheme, kind_word, .preset = "https",
	    WORDS({ "http", 0 }, { "https", 1 }), .doc = "Scheme of the new location."),
	OPTION("port", redirect_config, port, kind_port, .preset = "", .min = "1", .max = "65535",
	    .doc = "Port of the new location; without it the scheme's own."),
	OPTION("status", redirect_config, status, kind_enum, .preset = "301",
	    WORDS({ "301", 301 }, { "302", 302 }, { "303", 303 }, { "307", 307 }, { "308", 308 }),
	    .doc = "Status of the answer."),
};
static const struct block redirect_block = {
	.name = "redirect",
	TABLE(redirect_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = redirect_is_on,
	.finish = redirect_finish,
	.doc = "Answers every request with the same host and path elsewhere; excludes pool and "
	       "routes.",
};

static bool
path_is_exact(const void *structure)
{
	return ((const struct route_config *)structure)->match == PATH_EXACT;
}

static bool
path_is_prefix(const void *structure)
{
	return ((const struct route_config *)structure)->match == PATH_PREFIX;
}

static bool
path_is_on(const void *structure)
{
	return ((const struct route_config *)structure)->match != PATH_ANY;
}

static void
path_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	struct route_config *route = structure;
	bool exact = yaml_get_pair(map, "exact") != NULL,
	     prefix = yaml_get_pair(map, "prefix") != NULL;

	if (exact && prefix)
		diag_error(load->diag, map->where,
		    "path: both exact and prefix are given; one of them is allowed");
	else if (map->count == 0)
		diag_error(load->diag, map->where,
		    "path: nothing is given; exact or prefix is needed");
	route->match = exact ? PATH_EXACT : PATH_PREFIX;
}

static const struct option path_options[] = {
	OPTION("exact", route_config, path, kind_url_path, .preset = "", .applies = path_is_exact,
	    .scope = "without prefix", .doc = "The request's path is this one."),
	OPTION("prefix", route_config, path, kind_url_path, .preset = "", .applies = path_is_prefix,
	    .scope = "without exact",
	    .doc = "The request's path starts with these segments: /v1 matches /v1 and /v1/a, not "
		   "/v10."),
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

static const struct option route_options[] = {
	OPTION("host", route_config, host, kind_host_name, .preset = "",
	    .doc = "Host that the client asks for; without it any."),
	INLINE_BLOCK("path", path_block, .preset = ""),
	OPTION("pool", route_config, pool_name, kind_name,
	    .where_offset = offsetof(struct route_config, pool_where),
	    .doc = "Name of the pool that serves the request."),
};
static const struct block route_block = {
	.name = "route",
	TABLE(route_options),
	.size = sizeof(struct route_config),
	.where_offset = offsetof(struct route_config, where),
	.one_line = true,
	.doc = "Requests that another pool serves. The most specific route wins: exact host before "
	       "wildcard host before "
	       "any, then exact path, then the longest prefix.",
};

static const struct option listener_options[] = {
	OPTION("name", listener_config, name, kind_name,
	    .doc = "Unique; stands in logs and statistics."),
	LIST("listen", listener_config, listen, listen_count, kind_listen, .min = "1",
	    .where_offset = offsetof(struct listener_config, listen_where),
	    .doc = "Addresses that take connections."),
	OPTION("protocol", listener_config, protocol, kind_enum,
	    WORDS({ "tcp", PROTOCOL_TCP }, { "http", PROTOCOL_HTTP }, { "https", PROTOCOL_HTTPS },
		{ "tls", PROTOCOL_TLS }),
	    .doc = "What clients speak; tls is TLS from the client and plain TCP to the server."),
	OPTION("tls", listener_config, tls, kind_block, .preset = "", .block = &tls_block,
	    .applies = listener_is_tls, .scope = "with protocol https or tls"),
	OPTION("timeouts", listener_config, timeouts, kind_block, .preset = "{}",
	    .block = &timeouts_block),
	INLINE_BLOCK("access", access_block, .preset = ""),
	OPTION("splice", listener_config, splice, kind_flag, .preset = "auto",
	    .applies = listener_is_tcp, .scope = "with protocol tcp",
	    WORDS({ "auto", true }, { "off", false }),
	    .doc = "auto: long streams pass through the kernel without being copied, short "
		   "messages are copied; off: all is copied."),
	OPTION("forwarded", listener_config, forwarded, kind_block, .preset = "{}",
	    .block = &forwarded_block, .applies = listener_is_http,
	    .scope = "with protocol http or https"),
	OPTION("redirect", listener_config, redirect, kind_block, .preset = "",
	    .block = &redirect_block, .applies = listener_is_http,
	    .scope = "with protocol http or https"),
	LIST("routes", listener_config, routes, route_count, kind_blocks, .preset = "",
	    .block = &route_block, .applies = listener_is_http,
	    .scope = "with protocol http or https"),
	OPTION("pool", listener_config, pool_name, kind_name, .preset = "",
	    .where_offset = offsetof(struct listener_config, pool_where),
	    .doc = "Name of the pool that serves what no route matches; without it such requests "
		   "get 404."),
};

/* The addresses of a listener are remembered with how they were written: "*" is [::] in memory. */
static void
listener_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	struct listener_config *l = structure;
	const struct yaml_node *list = yaml_get(map, "listen");

	for (size_t i = 0; i < l->listen_count; i++) {
		const struct yaml_node *node = list->type == YAML_LIST ? list->items[i] : list;

		if (l->listen[i].len > 0)
			load_add_bound(load, (struct bound){ l->listen[i], node->where,
						 node->text[0] == '*', l->name });
	}
}

const struct block conf_listener = {
	.name = "listener",
	TABLE(listener_options),
	.size = sizeof(struct listener_config),
	.where_offset = offsetof(struct listener_config, where),
	.finish = listener_finish,
	.doc = "An entrance: addresses, what clients speak there, and where their requests go.",
};
