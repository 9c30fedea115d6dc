/*
 * backends: which servers stand behind a port of a Service.
 *
 * From EndpointSlices, Endpoints, Pods and Nodes; knows nothing of annotations: struct backend_rules says what they
 * asked for.
 */
#ifndef GEN_BACKENDS_PRIV_H
#define GEN_BACKENDS_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/diag.h"
#include "weir/yaml.h"

#include "collect_priv.h"

struct manifest;
struct object;
struct service_port; /* service_priv.h */

enum backend_place {
	PLACE_PODS = 0,      /* podIP:targetPort */
	PLACE_NODES,         /* nodeIP:nodePort */
	PLACE_HOST_NETWORK,  /* nodeIP:targetPort of the nodes that run ready pods */
};

enum weight_rule {
	WEIGHT_FIXED = 0, /* `weight` each */
	WEIGHT_PODS,      /* ready pods on the node, `weight` for nodes without */
	WEIGHT_SHARE,     /* `weight` spread over all, by pods with Local nodes */
};

struct label_wish {
	const char *key, *value;
};

struct backend_rules {
	enum backend_place place;
	bool is_local;          /* externalTrafficPolicy: Local */
	bool drop_cordoned;
	bool virtual_nodes;     /* pods on virtual-kubelet nodes are back ends by themselves */
	const struct label_wish *labels; /* nodes must have them all */
	size_t label_count;
	int family;             /* AF_INET, AF_INET6; 0: what there is, IPv4 first */
	enum weight_rule rule;
	unsigned weight;
	bool level;             /* every weight above 0 becomes 1 */
};

/* One ready endpoint of a Service; ports are looked up per Service port. */
struct endpoint {
	const char *ip;
	const char *node; /* name; NULL: unknown */
	const char *name; /* of the pod; NULL: unknown */
	const struct yaml_node *ports; /* of its slice or subset; NULL: see pod */
	const struct object *pod;      /* when it comes from a Pod; NULL: not */
};

struct endpoint_set {
	struct endpoint *items;
	size_t count, size;
	const char *source; /* "EndpointSlice", "Endpoints", "Pod"; NULL: nothing found */
};

/* The ready endpoints of `service`, in the order of the input.  Pair: endpoint_set_fini(). */
void endpoint_set_read(struct endpoint_set *set, const struct manifest *manifest,
    const struct object *service, int family);
void endpoint_set_fini(struct endpoint_set *set);

/*
 * Servers of one port: struct gen_server added to `servers`, each address once.
 * Returns  0; -1 after an error in the diag.
 */
int backends_read(struct list *servers, struct manifest *manifest, const struct object *service,
    const struct endpoint_set *endpoints, const struct service_port *port,
    const struct backend_rules *rules);
/* Is there a node that could be a back end? */
bool backends_have_node(const struct manifest *manifest);

#endif
