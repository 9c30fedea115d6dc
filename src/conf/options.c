/* The options of the configuration: one table per block, innermost first.  Listeners:
 * options_listener.c. */
#include "conf_priv.h"

#include <stddef.h>

/* This version does not serve these; work that adds one deletes its row. */
const struct unserved conf_unserved[] = {
	{ NULL, NULL, NULL },
};

/* global */

static const struct option limits_options[] = {
	OPTION("connections", limits_config, connections, kind_auto_count, .preset = "auto",
	    .min = "1", .max = "10000000",
	    .doc = "Client connections that one worker holds at a time; auto: what the limit of "
		   "open files allows."),
	OPTION("request_head", limits_config, request_head, kind_size, .preset = "32k", .min = "1k",
	    .max = "60k",
	    .doc = "Request line and fields of one request together; a longer head is answered "
		   "with 431, "
		   "a longer request line with 414."),
	OPTION("response_head", limits_config, response_head, kind_size, .preset = "32k",
	    .min = "1k", .max = "60k",
	    .doc = "Status line and fields of one response together; a longer head is answered "
		   "with 502."),
	OPTION("headers", limits_config, headers, kind_count, .preset = "128", .min = "8",
	    .max = "256", .doc = "Fields in one head."),
	OPTION("drain", limits_config, drain_ms, kind_duration, .preset = "60s", .min = "10ms",
	    .max = "24h",
	    .doc = "How long a worker that a reload or a graceful stop replaces may finish what it "
		   "has."),
	OPTION("sticky_entries", limits_config, sticky_entries, kind_count, .preset = "65536",
	    .min = "16", .max = "4000000",
	    .doc = "Source addresses remembered for sticky pools; the one unused longest makes "
		   "room for a new one."),
	OPTION("compressions", limits_config, compressions, kind_count, .preset = "256", .min = "1",
	    .max = "65536",
	    .doc = "Responses that one worker compresses at a time, each with about 136 KiB of "
		   "memory; more are passed as they come."),
	OPTION("handshakes", limits_config, handshakes, kind_count, .preset = "16", .min = "1",
	    .max = "4096",
	    .doc = "Steps of TLS handshakes (each takes two) between two looks of a worker at all "
		   "its connections; more wait in line, so that a flood of handshakes does not "
		   "hold up who is connected."),
	OPTION("idle_upstream", limits_config, idle_upstream, kind_count, .preset = "512",
	    .min = "0", .max = "65536",
	    .doc = "Idle connections to one server that one worker keeps for reuse."),
};
static const struct block limits_block = {
	.name = "limits",
	TABLE(limits_options),
	.where_offset = NOWHERE,
	.doc = "Bounds of memory and time.",
};

static const struct option certificates_options[] = {
	OPTION("dir", global_config, certificates_dir, kind_path,
	    .preset = WEIR_SYSCONFDIR "/weir/certs",
	    .doc = "Where certificates are: ID.pem (chain and key), or ID/tls.crt and ID/tls.key."),
};
static const struct block certificates_block = {
	.name = "certificates",
	TABLE(certificates_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "Certificates of TLS listeners.",
};

static const struct option global_tls_options[] = {
	OPTION("ticket_rotation", global_config, ticket_rotation_ms, kind_duration, .preset = "12h",
	    .min = "1s", .max = "168h",
	    .doc = "How long one key seals session tickets; it opens them for as long again."),
	OPTION("kernel", global_config, kernel_tls, kind_flag, .preset = "off",
	    WORDS({ "off", false }, { "auto", true }),
	    .doc = "auto: kernel TLS seals and opens records where OpenSSL and the kernel have it; "
		   "connections then keep OpenSSL's state, 13 KiB each.  weir -V and weirctl status "
		   "tell whether it can be and is used."),
	OPTION("ticket_keys", global_config, ticket_keys, kind_path, .preset = "",
	    .doc = "File with 1 to 8 keys of 80 random bytes for session tickets, which several "
		   "machines may share: the first seals, all open. It is read at start and reload; "
		   "then ticket_rotation has no effect."),
};
static const struct block global_tls_block = {
	.name = "global_tls",
	TABLE(global_tls_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "TLS of all listeners.",
};

static const struct option control_options[] = {
	OPTION("socket", global_config, control_socket, kind_path,
	    .preset = WEIR_RUNSTATEDIR "/weir/control.sock",
	    .doc = "The Unix socket that weirctl(1) talks to."),
};
static const struct block control_block = {
	.name = "control",
	TABLE(control_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "Control of the running daemon.",
};

static const struct option stats_options[] = {
	LIST("listen", global_config, stats_listen, stats_on, kind_address_or_off,
	    .preset = "127.0.0.1:9180",
	    .doc = "Address of the statistics endpoint. It has no access control: keep it on "
		   "loopback."),
	OPTION("routes", global_config, stats_routes, kind_count, .preset = "1000", .min = "0",
	    .max = "100000",
	    .doc = "How many routes are counted each for itself, in the order of the file; those "
		   "after them are counted together, as (others) of their listener. A route that "
		   "is in use takes up to 12 KiB in each worker. 0: none is counted."),
};
static const struct block stats_block = {
	.name = "stats",
	TABLE(stats_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "Statistics over HTTP.",
};

static bool
errors_is_on(const void *structure)
{
	return ((const struct global_config *)structure)->errors_dir != NULL;
}

static const struct option errors_options[] = {
	OPTION("dir", global_config, errors_dir, kind_path, .preset = "",
	    .where_offset = offsetof(struct global_config, errors_where),
	    .doc = "Directory with pages for errors: 503.html, 503.json, or 5xx.html for all of "
		   "a class, of 32 KiB at most; ${request_id} in them is the request ID. They are "
		   "read at start and at reload."),
};
static const struct block errors_block = {
	.name = "errors",
	TABLE(errors_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = errors_is_on,
	.doc = "What clients get to see when weir itself answers with an error.",
};

static const struct option global_options[] = {
	OPTION("workers", global_config, workers, kind_auto_count, .preset = "auto", .min = "1",
	    .max = "120",
	    .doc = "Processes that serve traffic; auto: one for each processor that is available."),
	OPTION("user", global_config, user, kind_name, .preset = "weir",
	    .doc = "Who workers run as when weir is started as root."),
	INLINE_BLOCK("certificates", certificates_block, .preset = "{}"),
	INLINE_BLOCK("tls", global_tls_block, .preset = "{}"),
	INLINE_BLOCK("control", control_block, .preset = "{}"),
	INLINE_BLOCK("stats", stats_block, .preset = "{}"),
	INLINE_BLOCK("log", conf_global_log, .preset = "{}"),
	OPTION("trace", global_config, trace, kind_block, .preset = "{}", .block = &conf_trace),
	INLINE_BLOCK("errors", errors_block, .preset = ""),
	OPTION("pid_file", global_config, pid_file, kind_path,
	    .preset = WEIR_RUNSTATEDIR "/weir/weir.pid",
	    .doc = "Holds the process ID of the master."),
	OPTION("state_dir", global_config, state_dir, kind_path,
	    .preset = WEIR_LOCALSTATEDIR "/lib/weir", .doc = "Keeps what outlives a restart."),
	OPTION("state_interval", global_config, state_interval_ms, kind_duration, .preset = "5m",
	    .min = "1s", .max = "24h",
	    .doc = "How often the sticky table is written there; it is also when weir ends. What "
		   "weirctl(1) changes of servers is written at once."),
	OPTION("limits", global_config, limits, kind_block, .preset = "{}", .block = &limits_block),
};
static const struct block global_block = {
	.name = "global",
	TABLE(global_options),
	.where_offset = NOWHERE,
	.doc = "The daemon as a whole.",
};

/* acls */

static const struct option acl_options[] = {
	LIST("networks", acl_config, networks, network_count, kind_networks,
	    .doc = "The networks that are in the list."),
};
static const struct block acl_block = {
	.name = "acl",
	TABLE(acl_options),
	.size = sizeof(struct acl_config),
	.where_offset = offsetof(struct acl_config, where),
	.key_offset = offsetof(struct acl_config, name),
	.one_line = true,
	.doc = "An access list: a name and networks.",
};

/* bandwidths */

static void
bandwidth_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	const struct bandwidth_config *b = structure;

	if (b->in == 0 && b->out == 0 && !load_is_broken(load, &b->in) &&
	    !load_is_broken(load, &b->out))
		diag_error(load->diag, map->where,
		    "a bandwidth that limits nothing; in, out or both are needed");
}

static const struct option bandwidth_options[] = {
	OPTION("in", bandwidth_config, in, kind_bits, .preset = "", .min = "64k", .max = "30g",
	    .doc = "From the clients."),
	OPTION("out", bandwidth_config, out, kind_bits, .preset = "", .min = "64k", .max = "30g",
	    .doc = "To the clients."),
};
static const struct block bandwidth_block = {
	.name = "bandwidth",
	TABLE(bandwidth_options),
	.size = sizeof(struct bandwidth_config),
	.where_offset = offsetof(struct bandwidth_config, where),
	.key_offset = offsetof(struct bandwidth_config, name),
	.one_line = true,
	.finish = bandwidth_finish,
	.doc = "A limit that all connections of the listeners that name it share, in all workers: "
	       "connections wait for their turn, datagrams are dropped. What counts are the bytes "
	       "inside of TLS, and the payload of datagrams.",
};

/* pools */

static bool
sticky_has_timeout(const void *structure)
{
	enum sticky_by by = ((const struct sticky_config *)structure)->by;

	return by == STICKY_COOKIE_INSERT || by == STICKY_SOURCE_IP;
}

static bool
sticky_has_source(const void *structure)
{
	return ((const struct sticky_config *)structure)->by == STICKY_SOURCE_IP;
}

static bool
sticky_has_attributes(const void *structure)
{
	return ((const struct sticky_config *)structure)->by == STICKY_COOKIE_INSERT;
}

static bool
sticky_has_cookie(const void *structure)
{
	enum sticky_by by = ((const struct sticky_config *)structure)->by;

	return by == STICKY_COOKIE_INSERT || by == STICKY_COOKIE_PREFIX;
}

#define INSERTED .applies = sticky_has_attributes, .scope = "with by cookie_insert"
static const struct option sticky_options[] = {
	OPTION("by", sticky_config, by, kind_enum, .preset = "off",
	    WORDS({ "off", STICKY_OFF }, { "cookie_insert", STICKY_COOKIE_INSERT },
		{ "cookie_prefix", STICKY_COOKIE_PREFIX }, { "source_ip", STICKY_SOURCE_IP }),
	    .doc =
		"What a client is known by: a cookie that weir adds to the response, a cookie of "
		"the application, before whose value weir writes the server's name, or its "
		"address."),
	OPTION("name", sticky_config, name, kind_cookie_name, .preset = "SERVERID",
	    .applies = sticky_has_cookie, .scope = "with by cookie_insert or cookie_prefix",
	    .doc = "Name of the cookie."),
	OPTION("timeout", sticky_config, timeout_ms, kind_duration, .preset = "30m", .min = "1s",
	    .max = "24h", .applies = sticky_has_timeout,
	    .scope = "with by cookie_insert or source_ip",
	    .doc = "Life of the cookie, or how long an address is remembered after its last "
		   "connection."),
	OPTION("ipv6_prefix", sticky_config, ipv6_prefix, kind_count, .preset = "128", .min = "32",
	    .max = "128", .applies = sticky_has_source, .scope = "with by source_ip",
	    .doc = "How many bits of an IPv6 address make one client; 64 where clients change "
		   "their addresses within their network."),
	OPTION("path", sticky_config, path, kind_url_path, .preset = "/", INSERTED,
	    .doc = "Path of the cookie: clients send it with requests below that only."),
	OPTION("domain", sticky_config, domain, kind_host_name, .preset = "", INSERTED,
	    .doc = "Domain of the cookie, without *: clients send it to all hosts in it; without a "
		   "domain to the host that they asked."),
	OPTION("secure", sticky_config, secure, kind_enum, .preset = "auto", INSERTED,
	    WORDS({ "auto", COOKIE_SECURE_AUTO }, { "on", COOKIE_SECURE_ON },
		{ "off", COOKIE_SECURE_OFF }),
	    .doc = "Whether clients send the cookie over TLS only; auto: if the request came over "
		   "TLS."),
	OPTION("http_only", sticky_config, http_only, kind_bool, .preset = "on", INSERTED,
	    .doc = "Whether the cookie is hidden from scripts."),
	OPTION("same_site", sticky_config, same_site, kind_enum, .preset = "off", INSERTED,
	    WORDS({ "off", SAME_SITE_OFF }, { "lax", SAME_SITE_LAX }, { "strict", SAME_SITE_STRICT },
		{ "none", SAME_SITE_NONE }),
	    .doc = "SameSite attribute of the cookie: whether it goes with requests that other "
		   "sites cause; off: not said."),
};
static const struct block sticky_block = {
	.name = "sticky",
	TABLE(sticky_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "Whether a client stays with the server it had; when that is down it gets another.",
};

static bool
health_is_on(const void *structure)
{
	return ((const struct health_config *)structure)->type != HEALTH_OFF;
}

static bool
health_is_udp(const void *structure)
{
	return ((const struct health_config *)structure)->type == HEALTH_UDP;
}

static bool
health_is_http(const void *structure)
{
	return ((const struct health_config *)structure)->type == HEALTH_HTTP;
}

static bool
health_is_grpc(const void *structure)
{
	return ((const struct health_config *)structure)->type == HEALTH_GRPC;
}

static bool
health_has_host(const void *structure)
{
	return health_is_http(structure) || health_is_grpc(structure);
}

#define HEALTH(key, field, of_kind, ...) OPTION(key, health_config, field, of_kind, __VA_ARGS__)
#define CHECKED .applies = health_is_on, .scope = "with type tcp, http, grpc or udp"
#define UDP_CHECKED .applies = health_is_udp, .scope = "with type udp"
#define GRPC_CHECKED .applies = health_is_grpc, .scope = "with type grpc"
#define HTTP_CHECKED .applies = health_is_http, .scope = "with type http"
static const struct option health_options[] = {
	HEALTH("type", type, kind_enum, .preset = "off",
	    WORDS({ "off", HEALTH_OFF }, { "tcp", HEALTH_TCP }, { "http", HEALTH_HTTP },
		{ "udp", HEALTH_UDP }, { "grpc", HEALTH_GRPC }),
	    .doc = "tcp: a connection is made; http: a request is answered as expected (over "
		   "HTTP/2 in pools with protocol h2 or h2c); grpc: the gRPC health protocol says "
		   "SERVING (protocol h2 or h2c); udp: a "
		   "datagram is answered, or, if it is an empty one, not refused within the "
		   "timeout; off: servers are taken as up."),
	HEALTH("interval", interval_ms, kind_duration, .preset = "5s", .min = "100ms",
	    .max = "300s", CHECKED, .doc = "Time between the starts of two checks."),
	HEALTH("fast_interval", fast_interval_ms, kind_duration, .preset = "", .min = "100ms",
	    .max = "300s", CHECKED,
	    .doc = "The same while results speak against the state that a server is in, so that a "
		   "change is sure sooner; without it the interval."),
	HEALTH("timeout", timeout_ms, kind_duration, .preset = "10s", .min = "10ms", .max = "300s",
	    CHECKED, .doc = "How long a check may take."),
	HEALTH("rise", rise, kind_count, .preset = "3", .min = "1", .max = "10", CHECKED,
	    .doc = "Good checks in a row that bring a server back."),
	HEALTH("fall", fall, kind_count, .preset = "3", .min = "1", .max = "10", CHECKED,
	    .doc = "Failed checks in a row that take a server out."),
	HEALTH("initial", starts_down, kind_flag, .preset = "up", WORDS({ "up", 0 }, { "down", 1 }),
	    CHECKED,
	    .doc = "What a server that was never checked is taken for; down: it is used once a "
		   "check has passed."),
	HEALTH("port", port, kind_port, .preset = "", .min = "1", .max = "65535", CHECKED,
	    .doc = "Port that is checked; without it the server's own."),
	HEALTH("path", path, kind_url_path, .preset = "/", HTTP_CHECKED,
	    .doc = "Path of the request, may have a query."),
	HEALTH("service", service, kind_text, .preset = "", GRPC_CHECKED,
	    .doc = "gRPC service that is asked about, as its protocol names it; without it the "
		   "server as a whole. 512 bytes at most."),
	HEALTH("host", host, kind_host_field, .preset = "", .applies = health_has_host,
	    .scope = "with type http or grpc",
	    .doc = "Host field of the request; without it the server's address."),
	HEALTH("method", method, kind_word, .preset = "GET", HTTP_CHECKED,
	    WORDS({ "GET", 0 }, { "HEAD", 1 }), .doc = "Method of the request."),
	HEALTH("version", version, kind_word, .preset = "1.1", HTTP_CHECKED,
	    WORDS({ "1.0", 0 }, { "1.1", 1 }),
	    .doc = "HTTP version of the request, where servers do not speak HTTP/2."),
	HEALTH("status", status, kind_status, .preset = "2xx", .min = "1", HTTP_CHECKED,
	    .doc = "Statuses that count as good."),
	HEALTH("body", body, kind_text, .preset = "", HTTP_CHECKED,
	    .doc = "Text that the body must contain within its first 32 KiB; needs method GET."),
	HEALTH("keepalive", keepalive_ms, kind_duration, .preset = "0s", .min = "0s", .max = "1h",
	    .applies = health_has_host, .scope = "with type http or grpc",
	    .doc = "How long one connection serves the checks of a server; then a new one is made, "
		   "so that a server that takes none any more is noticed. 0s: each check makes its "
		   "own."),
	HEALTH("payload", payload, kind_bytes, .preset = "", UDP_CHECKED,
	    .doc = "What the datagram holds; an answer must come then. Without it the datagram is "
		   "empty, and silence is as good as an answer."),
	HEALTH("expect", expect, kind_bytes, .preset = "", UDP_CHECKED,
	    .doc = "What the answer must contain; other answers are passed over."),
};
static const struct block health_block = {
	.name = "health",
	TABLE(health_options),
	.where_offset = NOWHERE,
	.doc = "Health checks of the servers.",
};

static const struct option server_options[] = {
	OPTION("name", server_config, name, kind_name,
	    .doc = "Unique in the pool; stands in logs and statistics."),
	OPTION("address", server_config, address, kind_address, .doc = "Where it listens."),
	OPTION("weight", server_config, weight, kind_count, .preset = "1", .min = "0", .max = "256",
	    .doc = "Its share of the traffic, with weighted methods; 0: only what sticks to it."),
	OPTION("backup", server_config, backup, kind_bool, .preset = "off",
	    .doc = "Used only when no server that is none can be."),
	OPTION("max_connections", server_config, max_connections, kind_count, .preset = "",
	    .min = "1", .max = "1000000",
	    .doc = "Requests, with tcp and udp sessions, that it has at a time, those of all workers "
		   "together; without it there is no bound."),
};
const struct block conf_server = {
	.name = "server",
	TABLE(server_options),
	.size = sizeof(struct server_config),
	.where_offset = offsetof(struct server_config, where),
	.one_line = true,
	.doc = "One server.",
};

static bool
has_tls(const void *structure)
{
	return pool_is_tls(structure);
}

static bool
has_http2(const void *structure)
{
	return pool_is_h2(structure);
}

static const struct option server_tls_options[] = {
	OPTION("verify", server_tls_config, verify, kind_bool, .preset = "on",
	    .doc =
		"Whether a server's certificate must come from the authority and be for the name "
		"that it was asked for. off: anybody between weir and the server can read and "
		"change everything."),
	OPTION("ca", server_tls_config, ca, kind_certificate_or_path, .preset = "",
	    .where_offset = offsetof(struct server_tls_config, ca_where),
	    .doc =
		"Certificates of the authorities: an ID (ID.pem or ID/ca.crt in the directory of "
		"certificates) or a file's path; without it those that the system trusts."),
	OPTION("server_name", server_tls_config, server_name, kind_host_name, .preset = "",
	    .doc = "The name that servers are asked for (SNI) and that their certificate must be "
		   "for; without it the host of the request, or the server's address where that "
		   "host is no name."),
	OPTION("certificate", server_tls_config, certificate, kind_certificate, .preset = "",
	    .where_offset = offsetof(struct server_tls_config, certificate_where),
	    .doc = "ID of the certificate that servers get which ask for one."),
	OPTION("policy", server_tls_config, policy, kind_policy, .preset = "intermediate",
	    .where_offset = offsetof(struct server_tls_config, policy_where),
	    .doc = "Protocol versions and cipher suites."),
};
static const struct block server_tls_block = {
	.name = "server_tls",
	TABLE(server_tls_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "TLS towards the servers.",
};

static const struct option server_http2_options[] = {
	OPTION("streams", server_http2_config, streams, kind_count, .preset = "100", .min = "1",
	    .max = "10000",
	    .doc = "Requests at once on one connection; a server that allows fewer gets fewer, and "
		   "more connections."),
	OPTION("window", server_http2_config, window, kind_size, .preset = "256k", .min = "64k",
	    .max = "16m",
	    .doc = "Of one response, what a server may send ahead of what the client has read."),
	OPTION("ping", server_http2_config, ping_ms, kind_duration, .preset = "30s", .min = "1s",
	    .max = "1h",
	    .doc = "A server that sends nothing for so long while requests are open is asked "
		   "whether it lives; with no answer in the same time the connection is closed."),
	OPTION("control_frames", server_http2_config, control_frames, kind_count, .preset = "2000",
	    .min = "10",
	    .doc = "PING, SETTINGS, empty, unknown, late and needless frames of one connection in "
		   "ten seconds; more end it, and are counted as a flood."),
};
static const struct block server_http2_block = {
	.name = "server_http2",
	TABLE(server_http2_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "HTTP/2 towards the servers.",
};

static void
drain_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	(void)load;
	(void)map;
	((struct pool_config *)structure)->drain_on = true;
}

static bool
drain_is_on(const void *structure)
{
	return ((const struct pool_config *)structure)->drain_on;
}

static const struct option drain_options[] = {
	OPTION("timeout", pool_config, drain_ms, kind_duration, .min = "100ms", .max = "24h",
	    .doc = "How long sessions may go on after that."),
};
static const struct block drain_block = {
	.name = "drain",
	TABLE(drain_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = drain_is_on,
	.finish = drain_finish,
	.doc = "What becomes of sessions whose server goes down or is taken out of the "
	       "configuration: TCP and UDP are cut at once without this block, WebSocket and the "
	       "like are not. Requests are never cut.",
};

static bool
pool_is_weighed(const void *structure)
{
	enum balance_method method = ((const struct pool_config *)structure)->balance;

	return method != BALANCE_SOURCE_HASH && method != BALANCE_TUPLE_HASH;
}

static const struct option pool_options[] = {
	OPTION(
	    "name", pool_config, name, kind_name, .doc = "Unique; what listeners and routes name."),
	OPTION("protocol", pool_config, protocol, kind_enum, .preset = "http",
	    WORDS({ "http", POOL_HTTP }, { "https", POOL_HTTPS }, { "h2", POOL_H2 },
		{ "h2c", POOL_H2C }, { "tcp", POOL_TCP }, { "udp", POOL_UDP }),
	    .doc = "What the servers speak; https: HTTP over TLS; h2: HTTP/2 over TLS; h2c: HTTP/2 "
		   "in the clear, with prior knowledge (gRPC needs h2 or h2c). Listeners with "
		   "protocol http or https need one of these, those with udp need udp, others "
		   "tcp."),
	OPTION("tls", pool_config, tls, kind_block, .preset = "{}", .block = &server_tls_block,
	    .applies = has_tls, .scope = "with protocol https or h2"),
	OPTION("http2", pool_config, http2, kind_block, .preset = "{}",
	    .block = &server_http2_block, .applies = has_http2,
	    .scope = "with protocol h2 or h2c"),
	OPTION("balance", pool_config, balance, kind_enum, .preset = "weighted_round_robin",
	    WORDS({ "weighted_round_robin", BALANCE_WRR },
		{ "weighted_least_connections", BALANCE_WLC },
		{ "source_hash", BALANCE_SOURCE_HASH }, { "tuple_hash", BALANCE_TUPLE_HASH },
		{ "power_of_two", BALANCE_POWER_OF_TWO }),
	    .doc = "How a server is chosen: in turn; the one with the fewest connections for its "
		   "weight; by the client's address; by the client's address and port; the less loaded of "
		   "two drawn at random."),
	OPTION("slow_start", pool_config, slow_start_ms, kind_duration, .preset = "",
	    .min = "100ms", .max = "1h", .applies = pool_is_weighed,
	    .scope = "with balance weighted_round_robin, weighted_least_connections or power_of_two",
	    .doc = "A server that comes up, or comes anew, begins with a sixteenth of its share, which "
		   "grows to all of it within this time. Without it there is no such time."),
	OPTION("proxy_protocol", pool_config, proxy_protocol, kind_enum, .preset = "off",
	    WORDS({ "off", PROXY_PROTOCOL_OFF }, { "v1", PROXY_PROTOCOL_V1 },
		{ "v2", PROXY_PROTOCOL_V2 }),
	    .doc = "Version of the PROXY protocol that tells servers who the client is: before the "
		   "first byte of a connection, or in each datagram (v2 only); not with protocol "
		   "http, https, h2 or h2c, where X-Forwarded-For does."),
	OPTION("sticky", pool_config, sticky, kind_block, .preset = "{}", .block = &sticky_block),
	OPTION("run_time_weights", pool_config, run_time_weights, kind_enum, .preset = "yield",
	    WORDS({ "yield", WEIGHTS_YIELD }, { "keep", WEIGHTS_KEEP }, { "reset", WEIGHTS_RESET }),
	    .doc = "What a reload does to weights that weirctl(1) set: yield: they stay until the "
		   "server's weight in this file changes; keep: they stay until weirctl(1) takes "
		   "them back; reset: those of this file count again."),
	INLINE_BLOCK("drain", drain_block, .preset = ""),
	OPTION("health", pool_config, health, kind_block, .preset = "{}", .block = &health_block),
	OPTION("eject", pool_config, eject, kind_block, .preset = "", .block = &conf_eject),
	OPTION("max_connections", pool_config, max_connections, kind_count, .preset = "",
	    .min = "1", .max = "1000000",
	    .doc = "Requests, with tcp and udp sessions, that the pool has at a time, those of all "
		   "workers together; without it there is no bound."),
	OPTION("queue", pool_config, queue, kind_block, .preset = "", .block = &conf_queue),
	OPTION("retry", pool_config, retry, kind_block, .preset = "{}", .block = &conf_retry),
	LIST("servers", pool_config, servers, server_count, kind_blocks, .preset = "",
	    .block = &conf_server),
	LIST("meta", pool_config, meta, meta_count, kind_texts, .preset = "",
	    .doc = "Free texts, shown in statistics."),
};
static const struct block pool_block = {
	.name = "pool",
	TABLE(pool_options),
	.size = sizeof(struct pool_config),
	.where_offset = offsetof(struct pool_config, where),
	.doc = "Servers that do the same, and how one of them is chosen.",
};

static const struct option root_options[] = {
	{ .name = "version", .kind = &kind_version, .doc = "Version of the form of this file." },
	OPTION("global", config, global, kind_block, .preset = "{}", .block = &global_block),
	LIST("acls", config, acls, acl_count, kind_named, .preset = "", .block = &acl_block),
	LIST("bandwidths", config, bandwidths, bandwidth_count, kind_named, .preset = "",
	    .block = &bandwidth_block),
	LIST("listeners", config, listeners, listener_count, kind_blocks, .preset = "",
	    .block = &conf_listener),
	LIST("pools", config, pools, pool_count, kind_blocks, .preset = "", .block = &pool_block),
};
const struct block conf_root = {
	.name = "configuration",
	TABLE(root_options),
	.where_offset = NOWHERE,
	.doc = "The whole file.",
};
