/*
 * model: the listeners and pools to be generated, in the words of the configuration.
 *
 * Filled by service.c, ingress.c and listen.c, printed by emit.c.  All memory is from the arena of the run.
 */
#ifndef GEN_MODEL_PRIV_H
#define GEN_MODEL_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/addr.h"
#include "weir/conf.h"
#include "weir/diag.h"

#include "collect_priv.h"

struct object;   /* manifest_priv.h */
struct site_acl; /* site_priv.h */

enum { HEALTH_STATUS_MAX = 4 };

struct gen_server {
	const char *name;
	const char *ip; /* literal, without brackets */
	uint16_t port;
	unsigned weight;
};

struct gen_meta {
	const char *key, *value;
};

struct gen_health {
	enum health_type type; /* HEALTH_OFF: no block */
	unsigned interval_s, timeout_s, rise, fall;
	const char *path, *host, *method; /* host NULL: the server's own address */
	const char *status[HEALTH_STATUS_MAX];
	size_t status_count;
	uint16_t port; /* 0: the server's own */
};

struct gen_pool {
	const char *name;
	enum pool_protocol protocol;
	bool verify_servers;   /* with POOL_HTTPS */
	const char *server_ca; /* likewise; NULL: those that the system trusts */
	bool proxy_protocol;   /* version 2 */
	enum run_time_weights weights; /* those that an operator sets */
	unsigned drain_s;      /* 0: sessions whose server leaves are cut at once */
	enum balance_method balance;
	unsigned slow_start_s; /* 0: a server that comes up has its share at once */
	enum sticky_by sticky;
	const char *sticky_name; /* NULL: the daemon's default */
	unsigned sticky_s;
	struct gen_health health;
	struct list servers; /* struct gen_server */
	struct list meta;    /* struct gen_meta */
	const char *group;   /* INSTANCE/VGROUP when Services share it; NULL: one listener's own */
	bool is_used;        /* some listener names it: set by conflicts_resolve() */
};

struct gen_server_name {
	const char *name, *certificate;
};

enum gen_condition_kind {
	CONDITION_HEADER = 0,
	CONDITION_COOKIE,
	CONDITION_QUERY,
	CONDITION_METHOD,
	CONDITION_SOURCE,
};

/* What a request must have beside host and path: one of the values. */
struct gen_condition {
	enum gen_condition_kind kind;
	const char *name; /* of the field, cookie or parameter; NULL with the other kinds */
	const char **values;
	size_t value_count;
};

/* All of them must hold. */
struct gen_condition_set {
	const struct gen_condition *items;
	size_t count;
};

/* A fixed response. */
struct gen_respond {
	const char *status, *content_type, *body;
};

/* Requests in a second; 0: any number. */
struct gen_limit {
	unsigned requests, per_source, burst;
};

struct gen_share {
	struct gen_pool *pool;
	unsigned weight;
};

/* What pages of other origins may do. */
struct gen_cors {
	const char **origins; /* none: any */
	size_t origin_count;
	bool with_credentials;
	const char *methods, *headers, *expose, *max_age; /* values of fields; NULL: not sent */
};

/* A rule of an Ingress. */
struct gen_route {
	const struct object *object; /* the Ingress */
	struct where where;
	const char *host;      /* lower case; NULL: any */
	enum path_match match;
	const char *path;
	struct gen_pool *pool;   /* NULL after an error, or where something else is done */
	const char *redirect;    /* URL; NULL: none */
	const char *status;      /* of the redirect */
	const char *rewrite;     /* new path; NULL: none */
	struct gen_condition_set conditions;
	const struct gen_cors *cors;       /* NULL: none */
	const struct gen_respond *respond; /* NULL: none */
	struct gen_limit limit;
	const struct gen_share *shares; /* instead of `pool`, or with it the first */
	size_t share_count;
	bool in_order;           /* tried before those that are not, in the order of the listener's routes */
	unsigned order;          /* ingress-order; UINT32_MAX: none, but in order; 0: not in order */
	struct where order_where;
	size_t place;            /* in the listener, for canaries */
	bool is_canary;          /* takes from the route with the same host and path: a share, or by its condition */
	unsigned canary_weight;  /* its share in percent */
};

/* What servers are told about the client. */
struct gen_forwarded {
	bool proto, port, client_port, host, real_ip, slb_port, client_src_port;
};

/* Of a load balancer: its listeners share it. */
struct gen_bandwidth {
	const char *name;
	unsigned mbit; /* a second, in each direction */
	const struct object *object; /* who says so */
	struct where where;
};

enum gen_protocol { GEN_TCP = 0, GEN_UDP, GEN_HTTP, GEN_HTTPS, GEN_TLS };

struct gen_timeouts { /* seconds; 0: not written */
	unsigned client_head, client_body, client_idle, response, idle, flow;
	bool no_idle; /* client_idle is 0, and meant so */
};

struct gen_listener {
	const char *name;         /* NAMESPACE/NAME:PORT */
	const struct object *object;
	struct where where;       /* of the Service's port */
	const char *instance;     /* load balancer by name: who shares it, shares its ports */
	const char *owner;        /* the same, but a Service that names none has one of its own: who shares a bandwidth */
	const char **addresses;   /* without port; "*" is resolved */
	size_t address_count;
	uint16_t port;            /* as in the manifest, for names and messages */
	uint16_t listen_port;     /* with --port-offset */
	enum gen_protocol protocol;
	bool is_forced;           /* force-override-listeners: "true" */
	bool is_dropped;          /* lost a conflict */
	const char *certificate, *policy;
	const char *client_ca;    /* clients must show a certificate of it; NULL: they need none */
	bool http2;               /* offered with ALPN */
	bool gzip;
	struct gen_server_name *server_names;
	size_t server_name_count;
	struct gen_timeouts timeouts;
	const struct site_acl *acl; /* NULL: everybody */
	bool acl_is_deny;
	struct gen_forwarded forwarded;
	uint16_t redirect_port;   /* 0: no redirect; with --port-offset */
	struct gen_pool *pool;    /* NULL with a redirect, or without a default back end */
	bool is_ingress, is_canary;
	struct where pool_where;  /* of an Ingress's default back end */
	const struct object *pool_object; /* likewise, the Ingress that names it */
	struct list routes;       /* struct gen_route, of an Ingress */
};

struct model {
	struct list listeners; /* struct gen_listener */
	struct list pools;     /* struct gen_pool */
	struct index *listener_names; /* name -> struct gen_listener */
	struct index *pool_names;    /* name -> struct gen_pool */
	struct index *pool_settings; /* SERVICE:PORT with settings -> struct gen_pool of an Ingress */
	struct index *site_pools;    /* ID of the site file -> struct gen_pool */
	struct index *ingress_pools; /* SERVICE:PORT for INGRESS -> struct gen_pool */
	struct index *bandwidths; /* owner -> struct gen_bandwidth */
	struct index *groups;  /* INSTANCE/VGROUP -> struct gen_pool, and VGROUP -> the first of the name */
};

#endif
