/* The options of the configuration: one table per block, innermost first. */
#include "conf_priv.h"

#include <stddef.h>

#include "weir/log.h"

#define OPTION(key, structure, field, of_kind, ...) \
	{ .name = (key), .kind = &(of_kind), .offset = offsetof(struct structure, field), __VA_ARGS__ }
#define LIST(key, structure, field, count_field, of_kind, ...) \
	OPTION(key, structure, field, of_kind, .count_offset = offsetof(struct structure, count_field), __VA_ARGS__)
/* A mapping whose options lie in the same structure as those around it. */
#define INLINE_BLOCK(key, of_block, ...) { .name = (key), .kind = &kind_block, .block = &(of_block), __VA_ARGS__ }
#define TABLE(table) .options = (table), .option_count = COUNT(table)
#define WORDS(...) .words = (const struct word[]){ __VA_ARGS__, { NULL, 0 } }

/* clang-format off */

/* This version does not serve these; work that adds one deletes its row. */
const struct unserved conf_unserved[] = {
	{ "listener", "http2", NULL },
	{ "listener", "compression", NULL },
	{ "listener", "proxy_protocol", NULL },
	{ "listener", "protocol", "udp" },
	{ "tls", "alpn", "h2" },
	{ "forwarded", "port", NULL },
	{ "forwarded", "client_port", NULL },
	{ "path", "regex", NULL },
	{ "pool", "proxy_protocol", NULL },
	{ "pool", "drain", NULL },
	{ "pool", "protocol", "https" },
	{ "pool", "protocol", "udp" },
	{ "sticky", "by", "cookie_prefix" },
	{ "log", "access", "syslog" },
	{ NULL, NULL, NULL },
};

/* global */

static const struct option limits_options[] = {
	OPTION("connections", limits_config, connections, kind_auto_count, .preset = "auto", .min = "1",
	    .max = "10000000",
	    .doc = "Client connections that one worker holds at a time; auto: what the limit of open files allows."),
	OPTION("request_head", limits_config, request_head, kind_size, .preset = "32k", .min = "1k", .max = "64k",
	    .doc = "Request line and fields of one request together; a longer head is answered with 431, "
	           "a longer request line with 414."),
	OPTION("response_head", limits_config, response_head, kind_size, .preset = "32k", .min = "1k", .max = "64k",
	    .doc = "Status line and fields of one response together; a longer head is answered with 502."),
	OPTION("headers", limits_config, headers, kind_count, .preset = "128", .min = "8", .max = "256",
	    .doc = "Fields in one head."),
	OPTION("drain", limits_config, drain_ms, kind_duration, .preset = "60s", .min = "10ms", .max = "24h",
	    .doc = "How long a worker that a reload or a graceful stop replaces may finish what it has."),
	OPTION("sticky_entries", limits_config, sticky_entries, kind_count, .preset = "65536", .min = "16",
	    .max = "4000000",
	    .doc = "Source addresses remembered for sticky pools; the one unused longest makes room for a new one."),
	OPTION("idle_upstream", limits_config, idle_upstream, kind_count, .preset = "512", .min = "0", .max = "65536",
	    .doc = "Idle connections to one server that one worker keeps for reuse."),
};
static const struct block limits_block = {
	.name = "limits", TABLE(limits_options), .where_offset = NOWHERE,
	.doc = "Bounds of memory and time.",
};

static const struct option certificates_options[] = {
	OPTION("dir", global_config, certificates_dir, kind_path, .preset = WEIR_SYSCONFDIR "/weir/certs",
	    .doc = "Where certificates are: ID.pem (chain and key), or ID/tls.crt and ID/tls.key."),
};
static const struct block certificates_block = {
	.name = "certificates", TABLE(certificates_options), .where_offset = NOWHERE, .one_line = true,
	.doc = "Certificates of TLS listeners.",
};

static const struct option control_options[] = {
	OPTION("socket", global_config, control_socket, kind_path, .preset = WEIR_RUNSTATEDIR "/weir/control.sock",
	    .doc = "The Unix socket that weirctl(1) talks to."),
};
static const struct block control_block = {
	.name = "control", TABLE(control_options), .where_offset = NOWHERE, .one_line = true,
	.doc = "Control of the running daemon.",
};

static const struct option stats_options[] = {
	LIST("listen", global_config, stats_listen, stats_on, kind_address_or_off, .preset = "127.0.0.1:9180",
	    .doc = "Address of the statistics endpoint. It has no access control: keep it on loopback."),
};
static const struct block stats_block = {
	.name = "stats", TABLE(stats_options), .where_offset = NOWHERE, .one_line = true,
	.doc = "Statistics over HTTP.",
};

static const struct option log_options[] = {
	OPTION("access", global_config, access_log, kind_path_or_word, .preset = "off",
	    WORDS({ "off", 0 }, { "stdout", 1 }), .doc = "Where each request and connection is logged."),
	OPTION("format", global_config, access_format, kind_enum, .preset = "json",
	    WORDS({ "json", LOG_FORMAT_JSON }, { "combined", LOG_FORMAT_COMBINED }),
	    .doc = "Form of the access log: one JSON object a line, or the combined format of web servers."),
	OPTION("level", global_config, log_level, kind_enum, .preset = "info",
	    WORDS({ "error", LOG_LEVEL_ERROR }, { "warn", LOG_LEVEL_WARN }, { "info", LOG_LEVEL_INFO },
	        { "debug", LOG_LEVEL_DEBUG }), .doc = "The least important lines that the error log gets."),
	OPTION("error", global_config, error_log, kind_path_or_word, .preset = "stderr", WORDS({ "stderr", 0 }),
	    .doc = "Where the error log goes."),
};
static const struct block log_block = {
	.name = "log", TABLE(log_options), .where_offset = NOWHERE,
	.doc = "Logs.",
};

static const struct option global_options[] = {
	OPTION("workers", global_config, workers, kind_auto_count, .preset = "auto", .min = "1", .max = "120",
	    .doc = "Processes that serve traffic; auto: one for each processor that is available."),
	OPTION("user", global_config, user, kind_name, .preset = "weir",
	    .doc = "Who workers run as when weir is started as root."),
	INLINE_BLOCK("certificates", certificates_block, .preset = "{}"),
	INLINE_BLOCK("control", control_block, .preset = "{}"),
	INLINE_BLOCK("stats", stats_block, .preset = "{}"),
	INLINE_BLOCK("log", log_block, .preset = "{}"),
	OPTION("pid_file", global_config, pid_file, kind_path, .preset = WEIR_RUNSTATEDIR "/weir/weir.pid",
	    .doc = "Holds the process ID of the master."),
	OPTION("state_dir", global_config, state_dir, kind_path, .preset = WEIR_LOCALSTATEDIR "/lib/weir",
	    .doc = "Keeps what outlives a restart."),
	OPTION("limits", global_config, limits, kind_block, .preset = "{}", .block = &limits_block),
};
static const struct block global_block = {
	.name = "global", TABLE(global_options), .where_offset = NOWHERE,
	.doc = "The daemon as a whole.",
};

/* acls */

static const struct option acl_options[] = {
	LIST("networks", acl_config, networks, network_count, kind_networks,
	    .doc = "The networks that are in the list."),
};
static const struct block acl_block = {
	.name = "acl", TABLE(acl_options), .size = sizeof(struct acl_config),
	.where_offset = offsetof(struct acl_config, where), .key_offset = offsetof(struct acl_config, name),
	.one_line = true, .doc = "An access list: a name and networks.",
};

/* listeners */

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

static const struct option server_name_options[] = {
	OPTION("name", server_name_config, name, kind_host_name, .doc = "The name that the client asks for (SNI)."),
	OPTION("certificate", server_name_config, certificate, kind_certificate,
	    .doc = "ID of the certificate it gets."),
};
static const struct block server_name_block = {
	.name = "server_name", TABLE(server_name_options), .size = sizeof(struct server_name_config),
	.where_offset = offsetof(struct server_name_config, where), .one_line = true,
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
	    .doc = "Protocol versions and cipher suites: weir's own intermediate (TLS 1.2 and 1.3), modern (1.3) and old, "
	           "and those of the clouds by their names."),
	LIST("alpn", tls_config, alpn, alpn_count, kind_alpn, .preset = "http/1.1", .min = "1",
	    WORDS({ "http/1.1", 0 }), .doc = "Application protocols offered, most wanted first."),
};
static const struct block tls_block = {
	.name = "tls", TABLE(tls_options), .where_offset = offsetof(struct tls_config, where), .is_on = tls_is_on,
	.finish = tls_finish, .doc = "TLS towards clients.",
};

#define TIMEOUT(key, of_preset, of_doc) \
	OPTION(#key, timeouts_config, key, kind_duration, .preset = of_preset, .min = "10ms", .max = "168h", .doc = of_doc)
static const struct option timeouts_options[] = {
	TIMEOUT(client_head, "60s", "From the first byte of a request's head to its last; from the start of the "
	    "connection for the first request."),
	TIMEOUT(client_body, "60s", "Between two reads of a request's body, and two writes of a response."),
	TIMEOUT(client_idle, "15s", "How long a connection is kept for the next request."),
	TIMEOUT(connect, "5s", "For connecting to a server, each attempt."),
	TIMEOUT(response, "60s", "From the end of the request to the head of the response, and between two reads of "
	    "its body."),
	TIMEOUT(idle, "900s", "With protocol tcp or tls: how long both directions may be silent."),
	TIMEOUT(tunnel, "1h", "After an upgrade (WebSocket): how long both directions may be silent."),
};
static const struct block timeouts_block = {
	.name = "timeouts", TABLE(timeouts_options), .where_offset = NOWHERE, .one_line = true,
	.doc = "Timeouts of one listener's connections.",
};

static bool
access_is_on(const void *structure)
{
	return ((const struct listener_config *)structure)->access_acl != NULL;
}

static const struct option access_options[] = {
	OPTION("acl", listener_config, access_acl, kind_name,
	    .where_offset = offsetof(struct listener_config, access_where), .doc = "Name of a list under acls."),
	OPTION("mode", listener_config, access_deny, kind_flag, .preset = "allow",
	    WORDS({ "allow", false }, { "deny", true }),
	    .doc = "allow: only addresses in the list may connect; deny: all others may."),
};
static const struct block access_block = {
	.name = "access", TABLE(access_options), .where_offset = NOWHERE, .one_line = true, .is_on = access_is_on,
	.doc = "Who may connect.",
};

static const struct option forwarded_options[] = {
	OPTION("for", forwarded_config, for_, kind_enum, .preset = "append",
	    WORDS({ "append", FORWARDED_FOR_APPEND }, { "replace", FORWARDED_FOR_REPLACE }, { "off", FORWARDED_FOR_OFF }),
	    .doc = "X-Forwarded-For: append the client's address to what came, replace it, or pass what came."),
	OPTION("proto", forwarded_config, proto, kind_bool, .preset = "off",
	    .doc = "X-Forwarded-Proto: set it to http or https; off: pass what came."),
};
static const struct block forwarded_block = {
	.name = "forwarded", TABLE(forwarded_options), .where_offset = NOWHERE, .one_line = true,
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
	.name = "redirect", TABLE(redirect_options), .where_offset = NOWHERE, .one_line = true,
	.is_on = redirect_is_on, .finish = redirect_finish,
	.doc = "Answers every request with the same host and path elsewhere; excludes pool and routes.",
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
	bool exact = yaml_get_pair(map, "exact") != NULL, prefix = yaml_get_pair(map, "prefix") != NULL;

	if (exact == prefix)
		diag_error(load->diag, map->where, exact ? "path: both exact and prefix are given; one of them is allowed"
		                                         : "path: nothing is given; exact or prefix is needed");
	route->match = exact ? PATH_EXACT : PATH_PREFIX;
}

static const struct option path_options[] = {
	OPTION("exact", route_config, path, kind_url_path, .preset = "", .applies = path_is_exact,
	    .scope = "without prefix", .doc = "The request's path is this one."),
	OPTION("prefix", route_config, path, kind_url_path, .preset = "", .applies = path_is_prefix,
	    .scope = "without exact",
	    .doc = "The request's path starts with these segments: /v1 matches /v1 and /v1/a, not /v10."),
};
static const struct block path_block = {
	.name = "path", TABLE(path_options), .where_offset = NOWHERE, .one_line = true, .is_on = path_is_on,
	.finish = path_finish, .doc = "Which paths; without it all.",
};

static const struct option route_options[] = {
	OPTION("host", route_config, host, kind_host_name, .preset = "",
	    .doc = "Host that the client asks for; without it any."),
	INLINE_BLOCK("path", path_block, .preset = ""),
	OPTION("pool", route_config, pool_name, kind_name, .where_offset = offsetof(struct route_config, pool_where),
	    .doc = "Name of the pool that serves the request."),
};
static const struct block route_block = {
	.name = "route", TABLE(route_options), .size = sizeof(struct route_config),
	.where_offset = offsetof(struct route_config, where), .one_line = true,
	.doc = "Requests that another pool serves. The most specific route wins: exact host before wildcard host before "
	       "any, then exact path, then the longest prefix.",
};

static const struct option listener_options[] = {
	OPTION("name", listener_config, name, kind_name, .doc = "Unique; stands in logs and statistics."),
	LIST("listen", listener_config, listen, listen_count, kind_listen, .min = "1",
	    .where_offset = offsetof(struct listener_config, listen_where),
	    .doc = "Addresses that take connections."),
	OPTION("protocol", listener_config, protocol, kind_enum,
	    WORDS({ "tcp", PROTOCOL_TCP }, { "http", PROTOCOL_HTTP }, { "https", PROTOCOL_HTTPS },
	        { "tls", PROTOCOL_TLS }),
	    .doc = "What clients speak; tls is TLS from the client and plain TCP to the server."),
	OPTION("tls", listener_config, tls, kind_block, .preset = "", .block = &tls_block, .applies = listener_is_tls,
	    .scope = "with protocol https or tls"),
	OPTION("timeouts", listener_config, timeouts, kind_block, .preset = "{}", .block = &timeouts_block),
	INLINE_BLOCK("access", access_block, .preset = ""),
	OPTION("forwarded", listener_config, forwarded, kind_block, .preset = "{}", .block = &forwarded_block,
	    .applies = listener_is_http, .scope = "with protocol http or https"),
	OPTION("redirect", listener_config, redirect, kind_block, .preset = "", .block = &redirect_block,
	    .applies = listener_is_http, .scope = "with protocol http or https"),
	LIST("routes", listener_config, routes, route_count, kind_blocks, .preset = "", .block = &route_block,
	    .applies = listener_is_http, .scope = "with protocol http or https"),
	OPTION("pool", listener_config, pool_name, kind_name, .preset = "",
	    .where_offset = offsetof(struct listener_config, pool_where),
	    .doc = "Name of the pool that serves what no route matches; without it such requests get 404."),
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
			load_add_bound(load, (struct bound){ l->listen[i], node->where, node->text[0] == '*', l->name });
	}
}

static const struct block listener_block = {
	.name = "listener", TABLE(listener_options), .size = sizeof(struct listener_config),
	.where_offset = offsetof(struct listener_config, where), .finish = listener_finish,
	.doc = "An entrance: addresses, what clients speak there, and where their requests go.",
};

/* pools */

static bool
sticky_is_on(const void *structure)
{
	return ((const struct sticky_config *)structure)->by != STICKY_OFF;
}

static bool
sticky_has_cookie(const void *structure)
{
	return ((const struct sticky_config *)structure)->by == STICKY_COOKIE_INSERT;
}

static const struct option sticky_options[] = {
	OPTION("by", sticky_config, by, kind_enum, .preset = "off",
	    WORDS({ "off", STICKY_OFF }, { "cookie_insert", STICKY_COOKIE_INSERT }, { "source_ip", STICKY_SOURCE_IP }),
	    .doc = "What a client is known by: a cookie that weir adds to the response, or its address."),
	OPTION("name", sticky_config, name, kind_cookie_name, .preset = "SERVERID", .applies = sticky_has_cookie,
	    .scope = "with by cookie_insert", .doc = "Name of the cookie."),
	OPTION("timeout", sticky_config, timeout_ms, kind_duration, .preset = "30m", .min = "1s", .max = "24h",
	    .applies = sticky_is_on, .scope = "with by cookie_insert or source_ip",
	    .doc = "Life of the cookie, or how long an address is remembered after its last connection."),
};
static const struct block sticky_block = {
	.name = "sticky", TABLE(sticky_options), .where_offset = NOWHERE, .one_line = true,
	.doc = "Whether a client stays with the server it had; when that is down it gets another.",
};

static bool
health_is_on(const void *structure)
{
	return ((const struct health_config *)structure)->type != HEALTH_OFF;
}

static bool
health_is_http(const void *structure)
{
	return ((const struct health_config *)structure)->type == HEALTH_HTTP;
}

#define HEALTH(key, field, of_kind, ...) OPTION(key, health_config, field, of_kind, __VA_ARGS__)
#define CHECKED .applies = health_is_on, .scope = "with type tcp or http"
#define HTTP_CHECKED .applies = health_is_http, .scope = "with type http"
static const struct option health_options[] = {
	HEALTH("type", type, kind_enum, .preset = "off",
	    WORDS({ "off", HEALTH_OFF }, { "tcp", HEALTH_TCP }, { "http", HEALTH_HTTP }),
	    .doc = "tcp: a connection is made; http: a request is answered as expected; off: servers are taken as up."),
	HEALTH("interval", interval_ms, kind_duration, .preset = "5s", .min = "100ms", .max = "300s", CHECKED,
	    .doc = "Time between the starts of two checks."),
	HEALTH("timeout", timeout_ms, kind_duration, .preset = "10s", .min = "10ms", .max = "300s", CHECKED,
	    .doc = "How long a check may take."),
	HEALTH("rise", rise, kind_count, .preset = "3", .min = "1", .max = "10", CHECKED,
	    .doc = "Good checks in a row that bring a server back."),
	HEALTH("fall", fall, kind_count, .preset = "3", .min = "1", .max = "10", CHECKED,
	    .doc = "Failed checks in a row that take a server out."),
	HEALTH("port", port, kind_port, .preset = "", .min = "1", .max = "65535", CHECKED,
	    .doc = "Port that is checked; without it the server's own."),
	HEALTH("path", path, kind_url_path, .preset = "/", HTTP_CHECKED, .doc = "Path of the request, may have a query."),
	HEALTH("host", host, kind_host_field, .preset = "", HTTP_CHECKED,
	    .doc = "Host field of the request; without it the server's address."),
	HEALTH("method", method, kind_word, .preset = "GET", HTTP_CHECKED,
	    WORDS({ "GET", 0 }, { "HEAD", 1 }), .doc = "Method of the request."),
	HEALTH("status", status, kind_status, .preset = "2xx", .min = "1", HTTP_CHECKED,
	    .doc = "Statuses that count as good."),
};
static const struct block health_block = {
	.name = "health", TABLE(health_options), .where_offset = NOWHERE,
	.doc = "Health checks of the servers.",
};

static const struct option server_options[] = {
	OPTION("name", server_config, name, kind_name, .doc = "Unique in the pool; stands in logs and statistics."),
	OPTION("address", server_config, address, kind_address, .doc = "Where it listens."),
	OPTION("weight", server_config, weight, kind_count, .preset = "1", .min = "0", .max = "256",
	    .doc = "Its share of the traffic, with weighted methods; 0: only what sticks to it."),
};
static const struct block server_block = {
	.name = "server", TABLE(server_options), .size = sizeof(struct server_config),
	.where_offset = offsetof(struct server_config, where), .one_line = true, .doc = "One server.",
};

static const struct option pool_options[] = {
	OPTION("name", pool_config, name, kind_name, .doc = "Unique; what listeners and routes name."),
	OPTION("protocol", pool_config, is_http, kind_flag, .preset = "http", WORDS({ "http", true }, { "tcp", false }),
	    .doc = "What the servers speak. Listeners with protocol http or https need http, others tcp."),
	OPTION("balance", pool_config, balance, kind_enum, .preset = "weighted_round_robin",
	    WORDS({ "weighted_round_robin", BALANCE_WRR }, { "weighted_least_connections", BALANCE_WLC },
	        { "source_hash", BALANCE_SOURCE_HASH }, { "tuple_hash", BALANCE_TUPLE_HASH }),
	    .doc = "How a server is chosen: in turn; the one with the fewest connections for its weight; by the client's "
	           "address; by the client's address and port."),
	OPTION("sticky", pool_config, sticky, kind_block, .preset = "{}", .block = &sticky_block),
	OPTION("health", pool_config, health, kind_block, .preset = "{}", .block = &health_block),
	LIST("servers", pool_config, servers, server_count, kind_blocks, .preset = "", .block = &server_block),
	LIST("meta", pool_config, meta, meta_count, kind_texts, .preset = "",
	    .doc = "Free texts, shown in statistics."),
};
static const struct block pool_block = {
	.name = "pool", TABLE(pool_options), .size = sizeof(struct pool_config),
	.where_offset = offsetof(struct pool_config, where),
	.doc = "Servers that do the same, and how one of them is chosen.",
};

static const struct option root_options[] = {
	{ .name = "version", .kind = &kind_version, .doc = "Version of the form of this file." },
	OPTION("global", config, global, kind_block, .preset = "{}", .block = &global_block),
	LIST("acls", config, acls, acl_count, kind_named, .preset = "", .block = &acl_block),
	LIST("listeners", config, listeners, listener_count, kind_blocks, .preset = "", .block = &listener_block),
	LIST("pools", config, pools, pool_count, kind_blocks, .preset = "", .block = &pool_block),
};
const struct block conf_root = {
	.name = "configuration", TABLE(root_options), .where_offset = NOWHERE,
	.doc = "The whole file.",
};
/* clang-format on */
