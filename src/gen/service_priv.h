/*
 * service: one Service of type LoadBalancer becomes listeners and pools.
 *
 * service.c reads the spec and drives; ack.c and cce.c say what the annotations of their provider mean.  An Ingress is
 * read into the same structure for its listeners, and so is each Service that it names for its pool.
 */
#ifndef GEN_SERVICE_PRIV_H
#define GEN_SERVICE_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "weir/tls_policy.h"

#include "annotations_priv.h"
#include "backends_priv.h"
#include "manifest_priv.h"
#include "model_priv.h"
#include "site_priv.h"

struct service_port {
	struct where where;
	const char *name; /* "" if there is none */
	uint16_t port;
	bool is_udp;
	uint16_t target_port;    /* 0: named */
	const char *target_name; /* NULL: numeric */
	uint16_t node_port;      /* 0: none */
	/* what the annotations make of it */
	enum gen_protocol protocol;
	uint16_t redirect_to; /* 0: none */
	bool is_hidden;       /* cce-healthz: no listener */
	struct gen_listener *listener;
	struct gen_health health;
	const char *group; /* vgroup ID; NULL: none */
};

struct gen {
	struct arena *arena; /* owned by main */
	struct diag *diag;
	struct manifest manifest;
	struct site site;
	struct model model;
	struct index *ingress_services; /* NAMESPACE/NAME of Services that Ingresses have as back ends */
	struct index *certificates;     /* Secret/NAMESPACE/NAME -> struct gen_certificate */
	struct list secret_files;       /* struct secret_file, owned by main */
	/* command line */
	enum backend_mode backends;
	bool backends_given;
	unsigned port_offset;
	FILE *explain; /* NULL: nobody asked */
};

struct service {
	struct gen *gen;
	const struct object *object;
	const char *what; /* "Service default/nginx" */
	struct annotation_set set;
	struct service_port *ports;
	size_t port_count;
	bool is_local; /* externalTrafficPolicy */
	bool is_ingress;
	bool is_alb; /* an Ingress of ACK's class: ELB's annotations are not expected on it */

	/* what ack.c or cce.c found out; the same for all ports */
	const char *instance_id;  /* NULL: the Service's own */
	struct value *instance_value; /* where it was written; NULL likewise */
	const char *instance_ip;  /* choose the instance by address; NULL: no */
	unsigned bandwidth_mbit;  /* 0: no limit */
	const struct value *bandwidth_value; /* where it was written; NULL likewise */
	struct where bandwidth_where;
	const char *bind_address; /* annotated address; NULL: none */
	const char *address_type; /* internet, intranet */
	int listen_family;        /* AF_INET, AF_INET6; 0: both */
	int backend_family;       /* likewise; 0: as the Service */
	bool is_forced;
	enum backend_place place;
	struct backend_rules rules; /* place and family are filled in by service.c */
	const char *certificate, *policy;
	bool policy_is_implicit;
	const char *client_ca; /* NULL: none */
	bool http2; /* https listeners offer it */
	struct gen_server_name *server_names;
	size_t server_name_count;
	const struct site_acl *acl;
	bool acl_is_deny;
	struct gen_forwarded forwarded;
	bool gzip; /* http and https listeners compress */
	enum balance_method balance;
	enum run_time_weights weights;
	bool proxy_protocol; /* tcp and udp */
	unsigned drain_s;    /* likewise; 0: off */
	bool servers_tls; /* http and https listeners speak TLS to them, ... */
	bool servers_grpc; /* ... or HTTP/2 in the clear */
	struct {
		enum sticky_by by;
		const char *name;
		unsigned timeout_s;
	} sticky_l4, sticky_l7; /* tcp and tls; http and https */
	struct gen_timeouts timeouts_l4, timeouts_l7;
	unsigned flow_s; /* udp: idle time; 0: the daemon's default */
	uint16_t probe_port; /* health checks go there; 0: to the server's port */
};

/* All Services of the manifest. */
void services_generate(struct gen *gen);
/* Warn about annotations on Services that are neither load balancers nor back ends of an Ingress. */
void services_check_idle(struct gen *gen);
/* Two listeners on one key or address; drops the losers and sets is_used of pools. */
void conflicts_resolve(struct gen *gen);

/* Pods or nodes, and what follows from that. */
void pools_choose_place(struct service *service);
/* The servers of `port`, with a warning when there are none. */
void pools_add_servers(struct service *service, const struct service_port *port,
    struct gen_pool *pool);
/* Everything else of a pool but its meta block. */
void pools_set(const struct service *service, const struct service_port *port,
    struct gen_pool *pool);

void ack_apply(struct service *service);
void cce_apply(struct service *service);

/* Shared by the providers (ports.c). */
struct service_port *service_find_port(struct service *service, unsigned number, bool is_udp);
/* Is the cookie's name short enough?  Not so is an error. */
void ports_check_cookie(struct service *service, struct where where, const char *key,
    const char *name);
/* ON_... of all listeners of the Service. */
unsigned service_protocols(const struct service *service);
unsigned protocol_bit(enum gen_protocol protocol);
/* PROTOCOL:PORT lists; `allowed` is what the provider knows. */
void ports_read_protocols(struct service *service, enum annotation_id id, const char *allowed);
/* A certificate ID must name one in the site's store. */
bool ports_check_certificate(struct service *service, const struct value *value, const char *id);
/* The same, and its form and its key are right, too. */
bool ports_check_certificate_id(struct service *service, const struct value *value,
    const char *id);
/* Certificates for clients that ask for one of their names. */
void ports_add_names(struct service *service, const struct value *value, const char *const *ids,
    size_t id_count);
/* https needs a certificate, a certificate needs https. */
void ports_check_certificates(struct service *service, enum annotation_id protocol_port,
    enum annotation_id cert_id);
/* NULL when the policy (chosen by then) can serve such a key, else what is wrong. */
const char *ports_judge_key(const struct service *service, const char *id, enum tls_key key);
/* Can the policy (chosen by then) serve certificate `id`?   An EC key needs ECDSA suites or TLS 1.3. */
bool ports_check_policy(struct service *service, const struct value *value, const char *id);
/* The access list of acl-status, acl-type and an ID; NULL after an error. */
const struct site_acl *ports_find_acl(struct service *service, const struct value *value,
    const char *id);
/* KEY=VALUE items; faults go to the diag.  Returns their number in *count. */
struct label_wish *ports_read_pairs(struct service *service, enum annotation_id id, size_t *count,
    bool needs_equals);

/* One Service for --explain. */
void explain_service(const struct service *service);
/* The meta block of the Service's pools. */
void meta_collect(struct service *service, struct list *meta);

#endif
