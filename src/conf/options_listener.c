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
	OPTION("unknown_name", tls_config, refuse_unknown, kind_flag, .preset = "default",
	    WORDS({ "default", false }, { "refuse", true }),
	    .doc = "Clients that ask for a name which neither server_names nor the certificate has: "
		   "default, they get the certificate all the same; refuse, they get the alert "
		   "unrecognized_name.  Clients that ask for no name get the certificate."),
	OPTION("policy", tls_config, policy, kind_policy, .preset = "intermediate",
	    .where_offset = offsetof(struct tls_config, policy_where),
	    .doc = "Protocol versions and cipher suites: weir's own intermediate (TLS 1.2 and "
		   "1.3), modern (1.3) and old, "
		   "and those of the clouds by their names."),
	OPTION("verify", tls_config, verify, kind_enum, .preset = "off",
	    WORDS({ "off", TLS_VERIFY_OFF }, { "no", TLS_VERIFY_OFF }, { "false", TLS_VERIFY_OFF },
		{ "optional", TLS_VERIFY_OPTIONAL }, { "required", TLS_VERIFY_REQUIRED }),
	    .doc = "Client certificates: not asked for; verified if the client has one; needed. "
		   "Servers are told in fields that clients cannot set: see doc/tls.md."),
	OPTION("client_ca", tls_config, client_ca, kind_certificate_or_path, .preset = "",
	    .where_offset = offsetof(struct tls_config, client_ca_where),
	    .doc = "Certificates of the authorities that client certificates must come from: an ID "
		   "(ID.pem or ID/ca.crt in the directory of certificates) or a file's path."),
	LIST("alpn", tls_config, alpn, alpn_count, kind_alpn, .preset = "", .min = "1",
	    WORDS({ "h2", 0 }, { "http/1.1", 0 }),
	    .doc = "Application protocols offered, most wanted first.  Without it h2, then "
		   "http/1.1 with protocol https; none with protocol tls, as only the servers know "
		   "what they speak."),
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
	OPTION("client_idle", timeouts_config, client_idle, kind_duration, .preset = "15s",
	    .min = "0s", .max = "168h",
	    .doc = "How long a connection is kept for the next request; 0s: not at all, it ends "
		   "with the response (HTTP/2: when no stream is left)."),
	TIMEOUT(connect, "5s", "For connecting to a server, each attempt."),
	TIMEOUT(handshake, "30s",
	    "For the TLS handshake of a client, or with server_names for its first message; "
	    "client_head counts too where HTTP follows."),
	TIMEOUT(response, "60s",
	    "From the end of the request to the head of the response, and between two reads of "
	    "its body."),
	TIMEOUT(idle, "900s", "With protocol tcp or tls: how long both directions may be silent."),
	TIMEOUT(
	    tunnel, "1h", "After an upgrade (WebSocket): how long both directions may be silent."),
	TIMEOUT(flow, "60s",
	    "With protocol udp: how long both directions of a flow may be silent; then it is "
	    "forgotten."),
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
	OPTION("port", forwarded_config, port, kind_bool, .preset = "off",
	    .doc = "X-Forwarded-Port: set it to the port that the client connected to."),
	OPTION("client_port", forwarded_config, client_port, kind_bool, .preset = "off",
	    .doc = "X-Forwarded-For-Port: set it to the client's port."),
	OPTION("host", forwarded_config, host, kind_bool, .preset = "off",
	    .doc = "X-Forwarded-Host: set it to the host that the client asked for."),
	OPTION("real_ip", forwarded_config, real_ip, kind_bool, .preset = "off",
	    .doc = "X-Real-IP: set it to the client's address."),
	OPTION("slb_port", forwarded_config, slb_port, kind_bool, .preset = "off",
	    .doc = "XForwardedFor_SLBPORT, as Alibaba Cloud spells it: set it as port does. Some "
		   "servers drop names with an underscore unless told otherwise."),
	OPTION("client_src_port", forwarded_config, client_src_port, kind_bool, .preset = "off",
	    .doc = "XForwardedFor_ClientSrcPort, likewise: set it as client_port does."),
	OPTION("rfc7239", forwarded_config, rfc7239, kind_bool, .preset = "off",
	    .doc =
		"Forwarded (RFC 7239): set it to the client's address, the host and the scheme."),
};
static const struct block forwarded_block = {
	.name = "forwarded",
	TABLE(forwarded_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "What servers are told about the client.",
};

static const struct option http2_options[] = {
	OPTION("cleartext", http2_config, cleartext, kind_bool, .preset = "off",
	    .doc = "With protocol http: also serve clients that speak HTTP/2 right away (prior "
		   "knowledge).  With TLS, ALPN decides."),
	OPTION("streams", http2_config, streams, kind_count, .preset = "128", .min = "1",
	    .max = "1000", .doc = "Requests that one connection may have under way at once."),
	OPTION("window", http2_config, window, kind_size, .preset = "64k", .min = "16k",
	    .max = "16m",
	    .doc = "How much of a request's body the client may send before the server takes it; "
		   "a connection may send four times as much."),
	OPTION("resets", http2_config, resets, kind_count, .preset = "200", .min = "1",
	    .max = "1000000",
	    .doc = "Streams that a client may reset, or make weir reset, within ten seconds beyond "
		   "those that it let be served; more end the connection."),
	OPTION("control_frames", http2_config, control_frames, kind_count, .preset = "2000",
	    .min = "10", .max = "10000000",
	    .doc = "Frames that carry nothing (PING, SETTINGS, PRIORITY, empty DATA, tiny "
		   "WINDOW_UPDATE) within ten seconds; more end the connection."),
};
static const struct block http2_block = {
	.name = "http2",
	TABLE(http2_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "HTTP/2 towards the clients.",
};

static const struct option compression_options[] = {
	OPTION("gzip", compression_config, gzip, kind_bool, .preset = "off",
	    .doc = "Compress responses for clients that accept it."),
	LIST("types", compression_config, types, type_count, kind_media_types, .preset = "",
	    .doc = "Media types that are compressed; text/* is all of text. Without it those of "
		   "text, scripts, JSON, XML, feeds and SVG that are common."),
	OPTION("min_size", compression_config, min_size, kind_size, .preset = "1k", .min = "0",
	    .max = "1g",
	    .doc = "Shorter responses are passed as they come, if their length is known."),
	OPTION("level", compression_config, level, kind_count, .preset = "4", .min = "1",
	    .max = "9", .doc = "1 is fast, 9 small."),
};
static const struct block compression_block = {
	.name = "compression",
	TABLE(compression_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "Compression of responses. Not compressed are those that are compressed already, "
	       "that say no-transform, have a digest or trailers, or are a part (206).",
};

static const struct option request_id_options[] = {
	OPTION("pass", request_id_config, pass, kind_bool, .preset = "off",
	    .doc = "Servers get the ID in this field; what a client sent is replaced."),
	OPTION("trust", request_id_config, trust, kind_bool, .preset = "off",
	    .doc = "An ID that the client brings in this field is used, if it is 1 to 128 letters, "
		   "digits and -_.~+/=:@."),
	OPTION("header", request_id_config, header, kind_field_name, .preset = "X-Request-ID",
	    .doc = "Name of the field."),
};
static const struct block request_id_block = {
	.name = "request_id",
	TABLE(request_id_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "The name of one request, in the access log and in weir's own answers.",
};

static bool
listener_has_connections(const void *structure)
{
	return ((const struct listener_config *)structure)->protocol != PROTOCOL_UDP;
}

static bool
proxy_is_on(const void *structure)
{
	return ((const struct listener_config *)structure)->proxy_from_count > 0;
}

static const struct option proxy_options[] = {
	LIST("from", listener_config, proxy_from, proxy_from_count, kind_networks, .min = "1",
	    .doc = "The networks of those who send the header. Others are refused."),
};
static const struct block proxy_block = {
	.name = "proxy_protocol",
	TABLE(proxy_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = proxy_is_on,
	.doc = "Connections begin with a header of the PROXY protocol, version 1 or 2: the client "
	       "that it names is the one that counts.",
};

static bool
rate_is_on(const void *structure)
{
	return ((const struct listener_rate_config *)structure)->on;
}

static void
rate_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	struct listener_rate_config *rate = structure;

	rate->on = true;
	if (rate->connections == 0 && rate->requests == 0 &&
	    !load_is_broken(load, &rate->connections) && !load_is_broken(load, &rate->requests))
		diag_error(load->diag, map->where,
		    "a rate that limits nothing; connections, requests or both are needed");
}

static const struct option rate_options[] = {
	OPTION("connections", listener_rate_config, connections, kind_rate, .preset = "",
	    .min = "1/h", .max = "100000/s",
	    .doc = "Connections, with protocol udp new flows, that one source may begin; others "
		   "are closed before TLS, or dropped."),
	OPTION("requests", listener_rate_config, requests, kind_rate, .preset = "", .min = "1/h",
	    .max = "100000/s",
	    .doc = "With protocol http or https: requests of one source; others are answered with "
		   "429, and Retry-After says when to come back."),
	OPTION("burst", listener_rate_config, burst_ms, kind_duration, .preset = "1s",
	    .min = "1ms", .max = "1h",
	    .doc = "What of the rate may come at once: with 1s as many as in a second, and one at "
		   "least."),
	OPTION("ipv6_prefix", listener_rate_config, ipv6_prefix, kind_count, .preset = "64",
	    .min = "32", .max = "128", .doc = "How many bits of an IPv6 address make one source."),
};
static const struct block rate_block = {
	.name = "rate",
	TABLE(rate_options),
	.where_offset = offsetof(struct listener_rate_config, where),
	.one_line = true,
	.is_on = rate_is_on,
	.finish = rate_finish,
	.doc = "How often one source address may come, in all workers together.",
};

static const struct option sni_route_options[] = {
	OPTION("name", sni_route_config, name, kind_host_name,
	    .doc = "The name that the client asks for (SNI); *.example.com stands for one label."),
	OPTION("pool", sni_route_config, pool_name, kind_name,
	    .where_offset = offsetof(struct sni_route_config, pool_where),
	    .doc = "Name of the pool that gets the connection, still encrypted."),
};
static const struct block sni_route_block = {
	.name = "sni_route",
	TABLE(sni_route_options),
	.size = sizeof(struct sni_route_config),
	.where_offset = offsetof(struct sni_route_config, where),
	.one_line = true,
	.doc =
	    "TLS passed through to a pool that is chosen by name. Others, and what is no TLS, go "
	    "to the pool of the listener; without one they are closed.",
};

static const struct option listener_options[] = {
	OPTION("name", listener_config, name, kind_name,
	    .doc = "Unique; stands in logs and statistics."),
	LIST("listen", listener_config, listen, listen_count, kind_listen, .min = "1",
	    .where_offset = offsetof(struct listener_config, listen_where),
	    .doc = "Addresses that take connections."),
	OPTION("protocol", listener_config, protocol, kind_enum,
	    WORDS({ "tcp", PROTOCOL_TCP }, { "http", PROTOCOL_HTTP }, { "https", PROTOCOL_HTTPS },
		{ "tls", PROTOCOL_TLS }, { "udp", PROTOCOL_UDP }),
	    .doc = "What clients speak; tls is TLS from the client and plain TCP to the server."),
	OPTION("tls", listener_config, tls, kind_block, .preset = "", .block = &tls_block,
	    .applies = listener_is_tls, .scope = "with protocol https or tls"),
	LIST("server_names", listener_config, sni_routes, sni_route_count, kind_blocks,
	    .preset = "", .block = &sni_route_block, .applies = listener_is_tcp,
	    .scope = "with protocol tcp"),
	OPTION("timeouts", listener_config, timeouts, kind_block, .preset = "{}",
	    .block = &timeouts_block),
	INLINE_BLOCK("access", access_block, .preset = ""),
	OPTION("bandwidth", listener_config, bandwidth_name, kind_name, .preset = "",
	    .where_offset = offsetof(struct listener_config, bandwidth_where),
	    .doc = "Name of a limit under bandwidths; listeners that name the same one share it."),
	OPTION("rate", listener_config, rate, kind_block, .preset = "", .block = &rate_block),
	INLINE_BLOCK("proxy_protocol", proxy_block, .preset = "",
	    .applies = listener_has_connections, .scope = "with protocol tcp, tls, http or https"),
	OPTION("http2", listener_config, http2, kind_block, .preset = "{}", .block = &http2_block,
	    .applies = listener_is_http,
	    .doc = "HTTP/2 towards the clients: cleartext and limits."),
	OPTION("splice", listener_config, splice, kind_flag, .preset = "auto",
	    .applies = listener_is_tcp, .scope = "with protocol tcp",
	    WORDS({ "auto", true }, { "off", false }),
	    .doc = "auto: long streams pass through the kernel without being copied, short "
		   "messages are copied; off: all is copied."),
	OPTION("compression", listener_config, compression, kind_block, .preset = "{}",
	    .block = &compression_block, .applies = listener_is_http,
	    .scope = "with protocol http or https"),
	OPTION("forwarded", listener_config, forwarded, kind_block, .preset = "{}",
	    .block = &forwarded_block, .applies = listener_is_http,
	    .scope = "with protocol http or https"),
	OPTION("request_id", listener_config, request_id, kind_block, .preset = "{}",
	    .block = &request_id_block, .applies = listener_is_http,
	    .scope = "with protocol http or https"),
	OPTION("log", listener_config, log, kind_block, .preset = "", .block = &conf_listener_log),
	OPTION("request_headers", listener_config, request_headers, kind_block, .preset = "",
	    .block = &conf_request_headers, .applies = listener_is_http,
	    .scope = "with protocol http or https"),
	OPTION("response_headers", listener_config, response_headers, kind_block, .preset = "",
	    .block = &conf_response_headers, .applies = listener_is_http,
	    .scope = "with protocol http or https"),
	OPTION("redirect", listener_config, redirect, kind_block, .preset = "",
	    .block = &conf_redirect, .applies = listener_is_http,
	    .scope = "with protocol http or https"),
	LIST("routes", listener_config, routes, route_count, kind_blocks, .preset = "",
	    .block = &conf_route, .applies = listener_is_http,
	    .scope = "with protocol http or https"),
	OPTION("pool", listener_config, pool_name, kind_name, .preset = "",
	    .where_offset = offsetof(struct listener_config, pool_where),
	    .doc = "Name of the pool that serves what no route matches; without it such requests "
		   "get 404."),
};

/* What weir itself speaks inside TLS. */
static void
choose_alpn(struct listener_config *l)
{
	static const char *spoken[] = { "h2", "http/1.1" };

	if (l->protocol != PROTOCOL_HTTPS || !l->tls.on || l->tls.alpn_count > 0)
		return;
	l->tls.alpn = spoken;
	l->tls.alpn_count = sizeof(spoken) / sizeof(spoken[0]);
}

/* The addresses of a listener are remembered with how they were written: "*" is [::] in memory. */
static void
listener_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	struct listener_config *l = structure;
	const struct yaml_node *list = yaml_get(map, "listen");

	choose_alpn(l);
	for (size_t i = 0; i < l->listen_count; i++) {
		const struct yaml_node *node = list->type == YAML_LIST ? list->items[i] : list;

		if (l->listen[i].len > 0)
			load_add_bound(
			    load, (struct bound){ l->listen[i], node->where, node->text[0] == '*',
				      l->protocol == PROTOCOL_UDP, l->name });
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
