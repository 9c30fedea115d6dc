/*
 * conf: one loaded configuration: the immutable tree that everything else reads.
 *
 * Runs in: master (load), then read-only in all processes, which inherit it by fork.  The option tables
 * (src/conf/options.c) fill these structures; each field is named after its key.  Durations are milliseconds, sizes
 * bytes.  A field exists only if something reads it.
 */
#ifndef WEIR_CONF_H
#define WEIR_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "weir/addr.h"
#include "weir/diag.h"
#include "weir/slice.h"

struct arena;
struct acl;         /* acl.h: the compiled networks */
struct syslog_target; /* syslog.h */
struct tls_context; /* tls_context.h: loaded certificate and policy */
struct tls_servers; /* tls_servers.h: the same towards servers */
struct tls_set;     /* all that one load of certificates made */

enum { CONF_AUTO = 0 }; /* "auto" for counts */

enum listener_protocol { PROTOCOL_TCP = 0, PROTOCOL_HTTP, PROTOCOL_HTTPS, PROTOCOL_TLS, PROTOCOL_UDP };
enum pool_protocol { POOL_TCP = 0, POOL_HTTP, POOL_UDP, POOL_HTTPS, POOL_H2, POOL_H2C };
enum proxy_protocol { PROXY_PROTOCOL_OFF = 0, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2 };
enum tls_verify { TLS_VERIFY_OFF = 0, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRED };
enum balance_method { BALANCE_WRR = 0, BALANCE_WLC, BALANCE_SOURCE_HASH, BALANCE_TUPLE_HASH, BALANCE_POWER_OF_TWO };
enum sticky_by { STICKY_OFF = 0, STICKY_COOKIE_INSERT, STICKY_SOURCE_IP, STICKY_COOKIE_PREFIX };
enum run_time_weights { WEIGHTS_YIELD = 0, WEIGHTS_KEEP, WEIGHTS_RESET };
enum health_type { HEALTH_OFF = 0, HEALTH_TCP, HEALTH_HTTP, HEALTH_UDP, HEALTH_GRPC };
enum { HEALTH_SERVICE_MAX = 512 };
enum forwarded_for { FORWARDED_FOR_APPEND = 0, FORWARDED_FOR_REPLACE, FORWARDED_FOR_OFF };
enum log_format { LOG_FORMAT_INHERIT = 0, LOG_FORMAT_JSON, LOG_FORMAT_COMBINED, LOG_FORMAT_CUSTOM };

/* What a part of a custom log line is. */
enum log_field {
	LOG_TEXT = 0, /* as it stands in the template */
	LOG_TIME,
	LOG_ID,
	LOG_LISTENER,
	LOG_CLIENT,
	LOG_CLIENT_IP,
	LOG_METHOD,
	LOG_HOST,
	LOG_TARGET,
	LOG_PROTOCOL,
	LOG_STATUS,
	LOG_POOL,
	LOG_SERVER,
	LOG_BYTES_IN,
	LOG_BYTES_OUT,
	LOG_RETRIES,
	LOG_CONNECT_MS,
	LOG_FIRST_BYTE_MS,
	LOG_TOTAL_MS,
	LOG_END,
	LOG_TLS_VERSION,
	LOG_TLS_CIPHER,
	LOG_TRACE_ID,
	LOG_ROUTE,
	LOG_HEADER, /* of the request; its name is the text */
	LOG_FIELDS
};

struct log_part {
	enum log_field field;
	const char *text; /* NULL: none */
	size_t len;
};

enum { LOG_OUTPUT_NONE = UINT32_MAX };

/* How an access log looks and where it goes: global.log, and log of a listener for what is other there. */
struct access_log_config {
	const char *to; /* access: "off", "stdout", "syslog" or a file's path; NULL: as in global.log */
	struct where where;
	enum log_format format;
	const char *template;   /* NULL unless the format is custom */
	struct log_part *parts; /* made of it */
	size_t part_count;
	unsigned sample;        /* one of so many good requests is logged; 0: as in global.log */
	uint32_t output;        /* set by conf_check: index in config.log_outputs, or LOG_OUTPUT_NONE */
};

/* A place that lines go to, once for all that name it. */
struct log_output_config {
	const char *to; /* "stdout", "syslog" or a file's path */
	struct where where;
};

struct trace_config {
	bool propagate;    /* requests carry traceparent on */
	const char *spans; /* "off", "stdout" or a file's path */
	struct where where;
	unsigned sample;   /* one of so many traces that begin here is sampled */
	uint32_t output;   /* set by conf_check: as in struct access_log_config */
};

enum { ERROR_STATUS_MIN = 400, ERROR_STATUSES = 200, ERROR_PAGE_SIZE = 32 * 1024 };

struct text_config;

struct error_pages { /* of global.errors.dir */
	const struct text_config *html[ERROR_STATUSES]; /* of status 400 + n; NULL: weir's own */
	const struct text_config *json[ERROR_STATUSES];
};

struct limits_config {         /* global.limits */
	unsigned connections;  /* client connections per worker; CONF_AUTO: what descriptors allow */
	uint32_t request_head; /* bytes, request line and fields together; over: 431 (line alone: 414) */
	uint32_t response_head;
	uint32_t headers;      /* fields in one head */
	uint32_t drain_ms;     /* "drain": how long an old worker may finish what it has */
	uint32_t sticky_entries; /* shared table of source-address stickiness */
	uint32_t compressions;   /* responses that one worker compresses at a time */
	uint32_t handshakes;     /* steps of TLS handshakes in one turn of a worker's loop */
	uint32_t idle_upstream;  /* idle connections kept per worker and server */
};

struct global_config {
	unsigned workers; /* CONF_AUTO: processors available */
	const char *user; /* who workers run as when started as root */
	const char *certificates_dir; /* global.certificates.dir */
	uint32_t ticket_rotation_ms;  /* global.tls.ticket_rotation */
	bool kernel_tls;              /* global.tls.kernel: the kernel may seal and open records */
	const char *ticket_keys;      /* global.tls.ticket_keys: a file's path; NULL: keys of our own */
	const char *control_socket;   /* global.control.socket */
	bool stats_on;                /* global.stats.listen: "off" or an address */
	struct addr stats_listen;
	unsigned stats_routes;        /* global.stats.routes: how many are counted each for itself; 0: none are counted */
	struct access_log_config access_log; /* global.log */
	int log_level;                 /* global.log.level: enum log_level */
	const char *error_log;         /* global.log.error: "stderr", "syslog" or a file's path */
	const char *syslog_server;     /* global.log.syslog: a socket's path, or an address with its port */
	int syslog_facility;
	struct syslog_target *syslog;  /* made of it; NULL: nothing goes there */
	struct trace_config trace;     /* global.trace */
	const char *errors_dir;        /* global.errors.dir; NULL: none */
	struct where errors_where;
	struct error_pages *error_pages; /* made by conf_load_errors(); NULL: none */
	const char *pid_file;
	const char *state_dir;
	uint32_t state_interval_ms;
	struct limits_config limits;
};

struct acl_config { /* acls: {NAME: {networks: [...]}} */
	const char *name;
	struct where where;
	struct network *networks;
	size_t network_count;
	struct acl *compiled; /* owned by the generation; made by acl_compile() at load */
};

struct bandwidth_config { /* bandwidths: {NAME: {in: RATE, out: RATE}}; of all listeners that name it together */
	const char *name;
	struct where where;
	uint32_t id;      /* entity in shared memory */
	unsigned index;   /* position in config.bandwidths; set by conf_check */
	uint32_t in, out; /* bytes a second, from and to the clients; 0: no limit */
};

struct server_name_config { /* listeners[].tls.server_names[] */
	const char *name;   /* lower case; "*.example.com" allowed: one label */
	const char *certificate;
	struct where where;
	unsigned served; /* position in config.served */
};

struct tls_config {
	bool on;                 /* the block is there */
	struct where where;
	const char *certificate; /* ID in the certificate directory */
	struct where certificate_where;
	unsigned served; /* position in config.served */
	struct server_name_config *server_names;
	size_t server_name_count;
	bool refuse_unknown; /* clients that ask for another name; else they get `certificate` */
	const char *policy; /* name; tls_policy_find() knows it */
	struct where policy_where;
	enum tls_verify verify; /* client certificates */
	const char *client_ca;  /* an ID or a path; NULL: none */
	struct where client_ca_where;
	const char **alpn;  /* offered protocols, most wanted first */
	size_t alpn_count;
};

struct timeouts_config { /* all in milliseconds */
	uint32_t handshake;   /* TLS with clients, as a whole */
	uint32_t client_head; /* from the first byte of a request head to its end; from accept for the first request */
	uint32_t client_body; /* between two reads of a request body, and two writes of a response */
	uint32_t client_idle; /* keep-alive: waiting for the next request; 0: none is waited for */
	uint32_t connect;     /* to a server, per attempt */
	uint32_t response;    /* from the request sent to the response head, and between two reads of its body */
	uint32_t idle;        /* tcp, tls: both directions silent */
	uint32_t tunnel;      /* after Upgrade: both directions silent */
	uint32_t flow;        /* udp: both directions silent */
};

struct forwarded_config { /* X-Forwarded-* towards the servers */
	enum forwarded_for for_; /* "for": append (default) | replace | off */
	bool proto;              /* X-Forwarded-Proto := http|https; off: the client's is passed */
	/* Each replaces what the client sent; off: that is passed. */
	bool port;               /* X-Forwarded-Port */
	bool client_port;        /* X-Forwarded-For-Port */
	bool host;               /* X-Forwarded-Host */
	bool real_ip;            /* X-Real-IP */
	bool slb_port;           /* XForwardedFor_SLBPORT */
	bool client_src_port;    /* XForwardedFor_ClientSrcPort */
	bool rfc7239;            /* Forwarded */
};

struct request_id_config {
	bool pass;          /* servers get it */
	bool trust;         /* a client may bring its own */
	const char *header; /* its field */
};

/* Texts with variables, taken apart at load. */
enum text_what {
	TEXT_LITERAL = 0,
	TEXT_GROUP,       /* $1 to $9: what a group of the route's expression matched */
	TEXT_CLIENT_IP,   /* ${client_ip} and so on */
	TEXT_CLIENT_PORT,
	TEXT_LISTEN_PORT, /* the port that the client connected to */
	TEXT_SCHEME,
	TEXT_HOST,        /* as the client sent it, with its port */
	TEXT_METHOD,
	TEXT_PATH,        /* without the query */
	TEXT_QUERY,       /* with its '?'; empty without one */
	TEXT_REQUEST_ID,
	TEXT_ORIGIN,      /* the request's Origin field; empty without one */
	TEXT_FORWARDED    /* an element of RFC 7239; not for users */
};

struct text_part {
	enum text_what what;
	unsigned group;
	const char *literal;
	size_t len;
};

struct text_config {
	struct text_part *parts;
	size_t count;
};

/* One change of a head's fields. */
enum edit_op { EDIT_SET = 0, EDIT_ADD, EDIT_REMOVE };

struct field_rule {
	enum edit_op op;
	const char *name;
	struct text_config value;
};

struct field_rules { /* in the order they are applied */
	struct field_rule *rules;
	size_t count;
};

struct headers_config { /* request_headers, response_headers */
	struct where where;
	struct meta_config *set, *add;
	size_t set_count, add_count;
	const char **remove;
	size_t remove_count;
};

enum path_match { PATH_ANY = 0, PATH_EXACT, PATH_PREFIX, PATH_STARTS_WITH, PATH_REGEX };

struct redirect_config {
	bool on;
	const char *scheme; /* http | https */
	uint16_t port;      /* left out of the Location when it is the scheme's own */
	unsigned status;    /* 301 302 303 307 308 */
	const char *url;    /* the whole Location instead; NULL: none */
	struct where url_where;
	struct text_config location; /* of `url`; made by conf_check */
};

struct respond_config {
	bool on;
	unsigned status; /* 200 to 599 */
	const char *content_type;
	const char *body; /* NULL: empty */
};

struct condition_config { /* listeners[].routes[].when[]: one of methods, header, query, cookie and sources */
	struct where where;
	const char **methods;
	size_t method_count;
	const char *header, *query, *cookie; /* name */
	const char **values;                 /* of header, query, cookie: one of them; '*' any bytes, '?' any byte */
	size_t value_count;
	struct network *sources;
	size_t source_count;
	struct acl *source_acl; /* made by acl_compile() at load; NULL: no condition on the source */
};

struct share_config { /* listeners[].routes[].split[] */
	struct where where;
	const char *pool_name;
	struct where pool_where;
	struct pool_config *pool; /* set by conf_check */
	unsigned weight;
};

struct rate; /* rate.h */

struct route_limit_config { /* listeners[].routes[].limit: requests in a second; 0: any number */
	bool on;
	uint32_t requests, per_source, burst;
	struct rate *rate; /* made by rate_open() at load, and shared by all processes */
};

/*
 * What is counted as one route: that of one name of a listener, all that are past the limit, or what no route was for.
 * Made by conf_check (series.c).
 */
struct route_series {
	const char *name; /* ROUTE_NAME_MAX bytes at most; of this listener alone */
	const struct listener_config *listener;
	uint32_t id;     /* entity in shared memory; given by shm_bind_config() */
	unsigned routes; /* of the configuration that are counted here; 0: what no route is for */
};

enum { ROUTE_NAME_MAX = 160, SERIES_NONE = UINT32_MAX };

struct route_config { /* listeners[].routes[] */
	struct where where;
	const char *name;     /* NULL: made of host, path and conditions; see route_series */
	unsigned series;      /* position in config.route_series; SERIES_NONE: not counted */
	const char *host;     /* lower case, without port; "*.x" matches one label; NULL: any */
	enum path_match match;
	const char *path;     /* NULL for PATH_ANY; PATH_REGEX: the expression */
	bool in_order;        /* tried before those without, in the order of the file */
	struct condition_config *when; /* all must hold */
	size_t when_count;
	struct share_config *split; /* instead of one pool */
	size_t split_count;
	unsigned split_total; /* sum of the weights; set by conf_check */
	bool split_sticks;    /* one of its pools knows clients by a cookie; set by conf_check */
	const char *pool_name; /* NULL: split, redirect or respond */
	struct where pool_where;
	struct pool_config *pool; /* set by conf_check */
	struct redirect_config redirect;
	struct respond_config respond;
	const char *rewrite; /* new path; NULL: none */
	struct where rewrite_where;
	struct text_config rewrite_text; /* made by conf_check */
	struct route_limit_config limit;
	struct headers_config request_headers, response_headers;
	/* What is done to heads, with that of the listener; NULL: nothing.  Made by conf_check. */
	const struct field_rules *request_rules, *response_rules;
};

struct compression_config { /* listeners[].compression */
	bool gzip;
	const char **types; /* media types; "text/" and a star: all of text */
	size_t type_count;
	uint32_t min_size;  /* bytes; responses whose length is known */
	unsigned level;     /* 1 to 9 */
};

struct http2_config { /* listeners[].http2 */
	bool cleartext;          /* on http listeners: clients with prior knowledge */
	uint32_t streams;        /* at once on one connection */
	uint32_t window;         /* bytes of a request body that a client may send ahead, per stream */
	uint32_t resets;         /* streams reset in ten seconds, by the client or because of it */
	uint32_t control_frames; /* PING, SETTINGS, PRIORITY, empty DATA, tiny WINDOW_UPDATE in ten seconds */
};

struct sni_route_config { /* listeners[].server_names[]: TLS that is passed through */
	const char *name; /* as in tls.server_names */
	struct where where;
	const char *pool_name;
	struct where pool_where;
	struct pool_config *pool; /* set by conf_check */
	unsigned series;          /* as in struct route_config */
};

struct server_names; /* server_names.h */

struct listener_rate_config { /* listeners[].rate: of one source address; in an hour, 0: any number */
	bool on;
	struct where where;
	uint32_t connections, requests;
	uint32_t burst_ms;
	unsigned ipv6_prefix; /* bits of an IPv6 address that make one source */
};

struct listener_config {
	struct where where;
	uint32_t id; /* entity in shared memory; given by shm_bind_config() */
	unsigned index; /* position in config.listeners */
	const char *name;
	struct addr *listen;
	struct where *listen_where;
	size_t listen_count;
	enum listener_protocol protocol;
	struct tls_config tls;
	struct tls_context *tls_context; /* made by tls_load() at load; NULL without TLS */
	struct sni_route_config *sni_routes; /* protocol: tcp */
	size_t sni_route_count;
	struct server_names *sni; /* name -> struct sni_route_config; made by tls_load() at load; NULL without */
	struct timeouts_config timeouts;
	struct access_log_config log;        /* as written */
	struct access_log_config access_log; /* set by conf_check: what is in force */
	const char *access_acl; /* access.acl; NULL: everybody */
	struct where access_where;
	bool access_deny; /* access.mode: allow (default) | deny */
	struct acl_config *acl; /* set by conf_check */
	struct listener_rate_config rate;
	const char *bandwidth_name; /* bandwidth: NULL: no limit */
	struct where bandwidth_where;
	struct bandwidth_config *bandwidth; /* set by conf_check */
	struct network *proxy_from; /* proxy_protocol.from: who must say who the client is */
	size_t proxy_from_count;    /* 0: nobody says it */
	struct acl *proxy_acl;      /* made by acl_compile() at load; NULL when off */
	bool splice; /* tcp: long streams may pass without being copied */
	struct forwarded_config forwarded;
	struct request_id_config request_id;
	struct http2_config http2;
	struct compression_config compression;
	struct redirect_config redirect;
	struct headers_config request_headers, response_headers;
	const struct field_rules *request_rules, *response_rules; /* as in struct route_config */
	bool wants_port; /* it has several ports, and texts with ${listen_port}; set by conf_check */
	struct route_config *routes;
	size_t route_count;
	unsigned unrouted; /* series of what no route is for; SERIES_NONE: it has no routes */
	const char *pool_name; /* NULL: none */
	struct where pool_where;
	struct pool_config *pool; /* set by conf_check; NULL: no default pool (404) */
};

struct status_set { /* "2xx", "200", "200-204" */
	uint64_t bits[10]; /* bit n%64 of word n/64: status n of 0 to 599 */
};

enum cookie_secure {
	COOKIE_SECURE_AUTO = 0, /* as the request came */
	COOKIE_SECURE_ON,
	COOKIE_SECURE_OFF
};

enum same_site {
	SAME_SITE_OFF = 0, /* not said */
	SAME_SITE_LAX,
	SAME_SITE_STRICT,
	SAME_SITE_NONE
};

enum { COOKIE_TEXTS_MAX = 256 }; /* bytes of name, path and domain of a cookie together */

struct sticky_config {
	enum sticky_by by;
	const char *name;    /* cookie name; default SERVERID */
	uint32_t timeout_ms; /* cookie life, or how long an unused source address is remembered */
	unsigned ipv6_prefix; /* bits of an IPv6 source address that count; 0: all */
	/* cookie_insert: */
	const char *path;
	const char *domain;  /* NULL: the host that was asked, alone */
	enum cookie_secure secure;
	enum same_site same_site;
	bool http_only;
};

struct health_config {
	enum health_type type;
	uint32_t interval_ms, timeout_ms;
	unsigned rise, fall;
	const char *path;   /* http */
	const char *host;   /* http, grpc; NULL: the server's own address */
	const char *service; /* grpc: which is asked about; NULL: the server as a whole */
	const char *method; /* http: GET | HEAD */
	struct status_set status; /* http: accepted */
	uint16_t port;      /* 0: the server's own */
	const char *version; /* http: 1.0 | 1.1 */
	const char *body;    /* http: what the body must contain; NULL: anything */
	struct slice payload; /* udp: what is sent; empty: an empty datagram, and silence is good */
	struct slice expect;  /* udp: what the answer must contain; empty: anything */
	bool starts_down;   /* a new server is not used before a check passed */
	uint32_t fast_interval_ms; /* while results speak against the state; 0: interval_ms */
	uint32_t keepalive_ms;     /* http, grpc: how long one connection serves several checks; 0: each has its own */
};

struct server_tls_config { /* pools[].tls: TLS towards the servers */
	bool verify;             /* whether their certificate must be good for the name */
	const char *ca;          /* ID in the certificate directory, or a path; NULL: the system's */
	struct where ca_where;
	const char *server_name; /* NULL: the host of the request */
	const char *certificate; /* ID of what weir shows them; NULL: nothing */
	struct where certificate_where;
	const char *policy;
	struct where policy_where;
};

struct server_http2_config { /* pools[].http2: HTTP/2 towards the servers */
	uint32_t streams;  /* at once on one connection, if the server allows so many */
	uint32_t window;   /* bytes of one response that a server may send ahead of the client */
	uint32_t ping_ms;  /* after so much silence a server is asked whether it lives */
	uint32_t control_frames; /* that carry nothing, in ten seconds: more end the connection */
};

/*
 * Servers of a running daemon come and go: values that are copied from process to process with memcpy() (conf_servers.c),
 * so of pointers there is the name alone.
 */
struct server_config {
	struct where where;
	uint32_t id;      /* entity in shared memory */
	unsigned index;   /* position in pool.servers */
	const char *name;
	struct addr address;
	unsigned weight;  /* 0 to 256; 0: only what sticks to it */
	unsigned max_connections; /* requests and sessions at a time; 0: no bound */
	bool backup;      /* used only when no other server can be */
	char cookie[33];  /* sticky cookie value: keyed hash of pool and server name; made at load */
};

struct meta_config {
	const char *key, *value;
};

struct eject_config { /* pools[].eject */
	bool on;
	unsigned errors;      /* failures in a row */
	uint32_t time_ms;     /* the first time; doubled each time in a row ... */
	uint32_t time_max_ms; /* ... up to this */
	unsigned keep;        /* percent of the servers that are up, which stay */
	struct status_set status; /* responses that are failures */
};

struct retry_config { /* pools[].retry */
	unsigned attempts; /* servers tried for one request, the first included */
	unsigned budget;   /* retries in percent of the requests; 0: no bound */
};

struct queue_config { /* pools[].queue */
	unsigned size;       /* requests and sessions that may wait; 0: none */
	uint32_t timeout_ms; /* for how long */
};

struct pool_config {
	struct where where;
	uint32_t id;    /* entity in shared memory */
	unsigned index; /* position in config.pools */
	const char *name;
	enum pool_protocol protocol;
	enum proxy_protocol proxy_protocol; /* servers are told who the client is */
	struct server_tls_config tls;         /* protocol: https, h2 */
	struct server_http2_config http2;     /* protocol: h2, h2c */
	struct tls_servers *tls_servers;      /* made by tls_load() at load; NULL without TLS */
	enum balance_method balance;
	uint32_t slow_start_ms; /* a server that came up gets its full share after this; 0: at once */
	struct sticky_config sticky;
	enum run_time_weights run_time_weights; /* what a reload does to weights set by weirctl */
	bool drain_on;     /* drain: sessions whose server leaves have ... */
	uint32_t drain_ms; /* ... so much time */
	struct health_config health;
	struct eject_config eject;
	struct retry_config retry;
	unsigned max_connections; /* requests and sessions at a time; 0: no bound */
	struct queue_config queue;
	struct server_config *servers;
	size_t server_count;
	struct server_config *servers_owned; /* owned; what conf_swap_servers() put there; NULL: they are in the arena */
	struct meta_config *meta; /* carried to stats */
	size_t meta_count;
};

/* Do its servers speak HTTP/2? */
static inline bool
pool_is_h2(const struct pool_config *pool)
{
	return pool->protocol == POOL_H2 || pool->protocol == POOL_H2C;
}

/* Do its servers get requests, with or without TLS? */
static inline bool
pool_is_http(const struct pool_config *pool)
{
	return pool->protocol == POOL_HTTP || pool->protocol == POOL_HTTPS || pool_is_h2(pool);
}

/* Do its servers speak TLS? */
static inline bool
pool_is_tls(const struct pool_config *pool)
{
	return pool->protocol == POOL_HTTPS || pool->protocol == POOL_H2;
}

/* One that listeners show to clients, by its ID.  Made by conf_check (series.c). */
struct served_certificate {
	const char *name; /* the ID */
	uint32_t id;      /* entity in shared memory; given by shm_bind_config() */
	const struct listener_config **listeners;
	size_t listener_count;
};

struct certificate_info { /* one that is loaded */
	const char *id, *key; /* ID; kind of its key: an ID may have one of each kind */
	const char *names;    /* separated by blanks */
	time_t not_before, not_after;
};

enum { CONF_DIGEST_SIZE = 33 };

struct config {
	struct arena *arena; /* owns all below */
	struct tls_set *tls; /* made by tls_load(), as what follows */
	int kernel_tls; /* enum tls_kernel: what became of global.tls.kernel */
	struct certificate_info *certificates;
	size_t certificate_count;
	const char *file;
	char digest[CONF_DIGEST_SIZE]; /* of the text that it was read from; "": of none that is known */
	unsigned generation; /* counted up by the master with each load that succeeds ... */
	unsigned revision; /* ... and with each change of servers: the number that is shown */
	struct global_config global;
	struct acl_config *acls;
	size_t acl_count;
	struct bandwidth_config *bandwidths;
	size_t bandwidth_count;
	struct listener_config *listeners;
	size_t listener_count;
	struct route_series *route_series; /* made by conf_check */
	size_t route_series_count;
	size_t routes_together; /* routes past the limit, which have no series of their own */
	struct served_certificate *served; /* likewise; in the order of their names */
	size_t served_count;
	bool verifies_clients; /* some listener asks for certificates */
	struct pool_config *pools;
	size_t pool_count;
	void *rates; /* shared mapping, made by rate_open(); NULL: no route has a limit */
	size_t rates_size;
	struct log_output_config *log_outputs; /* set by conf_check */
	size_t log_output_count;
};

/*
 * Load and check a configuration completely: syntax, types, ranges, unknown keys, references, two listeners on one
 * address, pools without servers (warning).  It does not touch certificates, sockets or shared memory: see
 * tls_load() and listen_open().
 * Returns  the tree, owned by the caller; NULL when `diag` got an error.
 */
struct config *conf_load(const char *path, struct diag *diag);
/* The same from text (tests, fuzzers). */
struct config *conf_load_text(const char *name, const char *text, size_t len, struct diag *diag);
void conf_free(struct config *config);
/*
 * Read the pages of errors that the configuration names.  Returns 0, or -1 with errors in `diag`.
 * Context: with the rights of the master.
 */
int conf_load_errors(struct config *config, struct diag *diag);

static inline const struct text_config *
error_page(const struct error_pages *pages, unsigned status, bool is_json)
{
	if (status < ERROR_STATUS_MIN || status >= ERROR_STATUS_MIN + ERROR_STATUSES)
		return NULL;
	return is_json ? pages->json[status - ERROR_STATUS_MIN] : pages->html[status - ERROR_STATUS_MIN];
}

/* 128 bits in hex that tell one text of a configuration from another. */
void conf_digest(const char *text, size_t len, char digest[static CONF_DIGEST_SIZE]);

/*
 * Other servers for pools, and nothing else (conf_servers.c): what the control socket takes.
 *
 *	{from: DIGEST, to: DIGEST, pools: [{name: POOL, servers: [...]}]}
 */
struct pool_servers {
	struct where where;
	const char *name;
	struct server_config *servers; /* all that the pool is to have */
	size_t server_count;
};

struct servers_change {
	struct arena *arena; /* owns all below, and this */
	const char *from; /* digest of the configuration that is changed; NULL: any */
	const char *to;   /* and of what it is then; NULL: none that is in a file */
	struct pool_servers *pools;
	size_t pool_count;
};

/* Returns NULL with errors in `diag`.  name: for diagnostics. */
struct servers_change *conf_load_servers(const char *name, const char *text, size_t len, struct diag *diag);
void conf_free_servers(struct servers_change *change);

/* A copy with all names in one piece of memory, to be freed with free(). */
struct server_config *conf_copy_servers(const struct server_config *servers, size_t count);
/* Bytes of what conf_copy_servers() makes, for it to be copied on to another process, ... */
size_t conf_servers_size(const struct server_config *servers, size_t count);
/* ... where the names are found again.  Returns false when there are fewer than that. */
bool conf_adopt_servers(struct server_config *servers, size_t count, size_t size);
/*
 * Let `pool` have other servers.  Context: nobody is in the middle of reading them.
 * servers  made by conf_copy_servers(); taken; their indexes are set
 * Returns  what free() may have once nobody points to the servers before any more; NULL: nothing
 */
void *conf_swap_servers(struct pool_config *pool, struct server_config *servers, size_t count);
/* Do both pools have the same servers in the same order? */
bool conf_same_servers(const struct pool_config *a, const struct pool_config *b);
/* Are both the same, whatever servers their pools have?  Files that they name are not looked at. */
bool conf_same_but_servers(const struct config *a, const struct config *b);

/* Print `config` as YAML with every default filled in; reading it back gives the same tree (weir -T). */
void conf_dump(const struct config *config, FILE *out);
/* Print the JSON Schema of the configuration (weir --schema). */
void conf_print_schema(FILE *out);
/* Print the option reference as mdoc lists, for weir.yaml(5). */
void conf_print_manual(FILE *out);

struct listener_config *conf_find_listener(const struct config *config, const char *name);
struct pool_config *conf_find_pool(const struct config *config, const char *name);
struct server_config *conf_find_server(const struct pool_config *pool, const char *name);
/* Has it, or one of its servers, a limit of connections? */
bool pool_is_limited(const struct pool_config *pool);
/* As the configuration has it. */
const char *pool_protocol_name(enum pool_protocol protocol);
bool status_set_has(const struct status_set *set, unsigned status);

#endif
