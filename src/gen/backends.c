#include "backends_priv.h"

#include <stdlib.h>
#include <string.h>

#include "weir/addr.h"
#include "weir/arena.h"

#include "annotations_priv.h"
#include "manifest_priv.h"
#include "model_priv.h"
#include "service_priv.h"

enum { WEIGHT_MAX = 256 }; /* of the configuration */

static bool
is_true(const char *text)
{
	return text != NULL && strcmp(text, "true") == 0;
}

static bool
ip_has_family(const char *ip, int family)
{
	struct addr addr;

	return ip != NULL && addr_parse_ip(&addr, ip, 0) == 0 &&
	       (family == 0 || addr.sa.sa_family == family);
}

static void
add_endpoint(struct endpoint_set *set, struct endpoint endpoint)
{
	if (set->count == set->size) {
		set->size = set->size ? set->size * 2 : 16;
		set->items = xrealloc(set->items, set->size * sizeof(*set->items));
	}
	set->items[set->count++] = endpoint;
}

void
endpoint_set_fini(struct endpoint_set *set)
{
	free(set->items);
	*set = (struct endpoint_set){ 0 };
}

static const struct yaml_node *
list_of(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *list = yaml_get(map, key);

	return list != NULL && list->type == YAML_LIST ? list : NULL;
}

/* The name of the pod that `ref` (a targetRef) points to; NULL if it is something else. */
static const char *
ref_pod(const struct yaml_node *ref)
{
	const char *kind = yaml_get_text(ref, "kind");

	return kind != NULL && strcmp(kind, "Pod") == 0 ? yaml_get_text(ref, "name") : NULL;
}

static void
read_slice(struct endpoint_set *set, const struct object *slice, int family)
{
	const struct yaml_node *list = list_of(slice->root, "endpoints");

	for (size_t i = 0; list != NULL && i < list->count; i++) {
		const struct yaml_node *item = list->items[i];
		const struct yaml_node *conditions = yaml_get(item, "conditions");
		const struct yaml_node *addresses = list_of(item, "addresses");
		const char *ready = yaml_get_text(conditions, "ready");

		if ((ready != NULL && !is_true(ready)) ||
		    is_true(yaml_get_text(conditions, "terminating")))
			continue;
		/* the addresses of one endpoint are one and the same; the API says take the first
		 */
		if (addresses == NULL || addresses->count == 0 ||
		    addresses->items[0]->type != YAML_SCALAR ||
		    !ip_has_family(addresses->items[0]->text, family))
			continue;
		add_endpoint(set, (struct endpoint){ .ip = addresses->items[0]->text,
				      .node = yaml_get_text(item, "nodeName"),
				      .name = ref_pod(yaml_get(item, "targetRef")),
				      .ports = list_of(slice->root, "ports") });
	}
}

static void
read_endpoints(struct endpoint_set *set, const struct object *object, int family)
{
	const struct yaml_node *subsets = list_of(object->root, "subsets");

	for (size_t i = 0; subsets != NULL && i < subsets->count; i++) {
		const struct yaml_node *list = list_of(subsets->items[i], "addresses");

		for (size_t k = 0; list != NULL && k < list->count; k++) {
			const struct yaml_node *item = list->items[k];
			const char *ip = yaml_get_text(item, "ip");

			if (ip_has_family(ip, family))
				add_endpoint(
				    set, (struct endpoint){ .ip = ip,
					     .node = yaml_get_text(item, "nodeName"),
					     .name = ref_pod(yaml_get(item, "targetRef")),
					     .ports = list_of(subsets->items[i], "ports") });
		}
	}
}

static const char *
pod_ip(const struct object *pod, int family)
{
	const struct yaml_node *list = list_of(pod->status, "podIPs");
	const char *ip = yaml_get_text(pod->status, "podIP");

	if (ip_has_family(ip, family))
		return ip;
	for (size_t i = 0; list != NULL && i < list->count; i++) {
		ip = yaml_get_text(list->items[i], "ip");
		if (ip_has_family(ip, family))
			return ip;
	}
	return NULL;
}

static void
read_pods(struct endpoint_set *set, const struct manifest *manifest, const struct object *service,
    int family)
{
	const struct yaml_node *selector = yaml_get(service->spec, "selector");
	bool any_state = is_true(yaml_get_text(service->spec, "publishNotReadyAddresses"));
	const struct list *pods;

	if (selector == NULL || selector->type != YAML_MAP || selector->count == 0)
		return;
	pods = manifest_find_pods(manifest, service->namespace_, selector);
	for (size_t i = 0; pods != NULL && i < pods->count; i++) {
		const struct object *pod = pods->items[i];
		const char *phase = yaml_get_text(pod->status, "phase");
		const char *ready = object_condition(pod, "Ready");
		const char *ip = pod_ip(pod, family);

		if (!object_matches(pod, selector))
			continue;
		set->source = "Pod";
		if (phase == NULL || strcmp(phase, "Running") != 0 || pod->is_deleting ||
		    ip == NULL || (!any_state && (ready == NULL || strcmp(ready, "True") != 0)))
			continue;
		add_endpoint(set, (struct endpoint){ .ip = ip,
				      .node = yaml_get_text(pod->spec, "nodeName"),
				      .name = pod->name,
				      .pod = pod });
	}
}

static void
read_all(struct endpoint_set *set, const struct manifest *manifest, const struct object *service,
    int family)
{
	const struct list *slices = index_find(manifest->slices, service->label);
	const struct object *endpoints = index_find(manifest->endpoints, service->label);

	if (slices != NULL) {
		set->source = "EndpointSlice";
		for (size_t i = 0; i < slices->count; i++)
			read_slice(set, slices->items[i], family);
	} else if (endpoints != NULL) {
		set->source = "Endpoints";
		read_endpoints(set, endpoints, family);
	} else {
		read_pods(set, manifest, service, family);
	}
}

void
endpoint_set_read(struct endpoint_set *set, const struct manifest *manifest,
    const struct object *service, int family)
{
	*set = (struct endpoint_set){ 0 };
	read_all(set, manifest, service, family != 0 ? family : AF_INET);
	if (set->count == 0 && family == 0)
		read_all(set, manifest, service, AF_INET6);
}

/* The number of a named port in the ports of a slice or subset; 0: not there. */
static uint16_t
port_in_slice(const struct yaml_node *ports, const struct service_port *port)
{
	for (size_t i = 0; ports != NULL && i < ports->count; i++) {
		const char *name = yaml_get_text(ports->items[i], "name");
		const char *protocol = yaml_get_text(ports->items[i], "protocol");
		const char *text = yaml_get_text(ports->items[i], "port");
		unsigned number;

		if (strcmp(name != NULL ? name : "", port->name) != 0 ||
		    strcmp(protocol != NULL ? protocol : "TCP", port->is_udp ? "UDP" : "TCP") != 0)
			continue;
		if (text != NULL && number_parse(text, &number) && number >= 1 && number <= 65535)
			return (uint16_t)number;
	}
	return 0;
}

/* Likewise in the containers of a Pod, where it goes by the name of targetPort. */
static uint16_t
port_in_pod(const struct object *pod, const struct service_port *port)
{
	const struct yaml_node *containers = list_of(pod->spec, "containers");

	for (size_t i = 0; containers != NULL && i < containers->count; i++) {
		const struct yaml_node *ports = list_of(containers->items[i], "ports");

		for (size_t k = 0; ports != NULL && k < ports->count; k++) {
			const char *name = yaml_get_text(ports->items[k], "name");
			const char *text = yaml_get_text(ports->items[k], "containerPort");
			unsigned number;

			if (name != NULL && strcmp(name, port->target_name) == 0 && text != NULL &&
			    number_parse(text, &number) && number >= 1 && number <= 65535)
				return (uint16_t)number;
		}
	}
	return 0;
}

static uint16_t
target_port(const struct endpoint *endpoint, const struct service_port *port)
{
	if (port->target_port != 0)
		return port->target_port;
	return endpoint->pod != NULL ? port_in_pod(endpoint->pod, port)
				     : port_in_slice(endpoint->ports, port);
}

/* What is being put together for one port. */
struct build {
	struct manifest *manifest;
	const struct object *service;
	const struct service_port *port;
	const struct backend_rules *rules;
	const struct endpoint_set *endpoints;
	unsigned *pods_on_node; /* owned, by node index: ready pods of the Service there */
	unsigned pods;          /* all of them */
	size_t unresolved;      /* endpoints without the named port */
	struct list *servers;
};

static void
add_server(struct build *b, const char *name, const char *ip, uint16_t port, unsigned weight)
{
	struct gen_server *server = arena_alloc(b->manifest->arena, sizeof(*server));

	*server = (struct gen_server){ .name = name, .ip = ip, .port = port, .weight = weight };
	list_add(b->servers, server);
}

static const struct node *
node_of(const struct build *b, const struct endpoint *endpoint)
{
	return endpoint->node != NULL ? index_find(b->manifest->node_names, endpoint->node) : NULL;
}

static int
compare_endpoint_ips(const void *a, const void *b)
{
	const struct endpoint *const *left = a, *const *right = b;

	return strcmp((*left)->ip, (*right)->ip);
}

/* One address may stand in several slices or subsets; a pod counts once. */
static void
count_pods(struct build *b)
{
	const struct endpoint **sorted = xcalloc(b->endpoints->count, sizeof(struct endpoint *));

	b->pods_on_node = xcalloc(b->manifest->nodes.count, sizeof(*b->pods_on_node));
	for (size_t i = 0; i < b->endpoints->count; i++)
		sorted[i] = &b->endpoints->items[i];
	qsort(sorted, b->endpoints->count, sizeof(struct endpoint *), compare_endpoint_ips);
	for (size_t i = 0; i < b->endpoints->count; i++) {
		const struct node *node = node_of(b, sorted[i]);

		if (i > 0 && strcmp(sorted[i]->ip, sorted[i - 1]->ip) == 0)
			continue;
		b->pods++;
		if (node != NULL)
			b->pods_on_node[node->index]++;
	}
	free(sorted);
}

static const char *
node_ip(const struct node *node, int family)
{
	if (family == AF_INET6)
		return node->ip6;
	return node->ip4 != NULL || family == AF_INET ? node->ip4 : node->ip6;
}

static bool
node_has_labels(const struct node *node, const struct backend_rules *rules)
{
	for (size_t i = 0; i < rules->label_count; i++) {
		const char *value = object_label(node->object, rules->labels[i].key);

		if (value == NULL || strcmp(value, rules->labels[i].value) != 0)
			return false;
	}
	return true;
}

static bool
node_is_eligible(const struct node *node, const struct backend_rules *rules)
{
	return node->refusal == NULL && !(rules->virtual_nodes && node->is_virtual) &&
	       !(rules->drop_cordoned && node->is_unschedulable) &&
	       node_ip(node, rules->family) != NULL && node_has_labels(node, rules);
}

bool
backends_have_node(const struct manifest *manifest)
{
	static const struct backend_rules any = { .virtual_nodes = true };

	for (size_t i = 0; i < manifest->nodes.count; i++)
		if (node_is_eligible(manifest->nodes.items[i], &any))
			return true;
	return false;
}

static unsigned
pod_weight(const struct build *b)
{
	if (b->rules->rule == WEIGHT_PODS && b->rules->place != PLACE_PODS)
		return 1; /* a pod of a virtual node among nodes */
	return b->rules->weight;
}

/* Pods as servers: all of them, or those on virtual nodes alone. */
static void
add_pods(struct build *b, bool only_virtual)
{
	for (size_t i = 0; i < b->endpoints->count; i++) {
		const struct endpoint *e = &b->endpoints->items[i];
		const struct node *node = node_of(b, e);
		uint16_t port;

		if (only_virtual && (node == NULL || !node->is_virtual))
			continue;
		port = target_port(e, b->port);
		if (port == 0)
			b->unresolved++;
		else
			add_server(
			    b, e->name != NULL ? e->name : e->ip, e->ip, port, pod_weight(b));
	}
}

static void
add_nodes(struct build *b)
{
	const struct backend_rules *rules = b->rules;

	for (size_t i = 0; i < b->manifest->nodes.count; i++) {
		const struct node *node = b->manifest->nodes.items[i];
		unsigned pods = b->pods_on_node[i], weight = rules->weight;

		if ((rules->is_local && pods == 0) || !node_is_eligible(node, rules))
			continue;
		if (rules->rule == WEIGHT_PODS && pods > 0)
			weight = pods;
		add_server(b, node->name, node_ip(node, rules->family), b->port->node_port, weight);
	}
}

/* hws-hostNetwork: the pods sit on the node's own address. */
static void
add_host_network(struct build *b)
{
	for (size_t i = 0; i < b->endpoints->count; i++) {
		const struct endpoint *e = &b->endpoints->items[i];
		const struct node *node = node_of(b, e);
		uint16_t port = target_port(e, b->port);
		unsigned weight = b->rules->weight;

		if (node == NULL || !node_is_eligible(node, b->rules))
			continue;
		if (b->rules->rule == WEIGHT_PODS)
			weight = b->pods_on_node[node->index];
		if (port == 0)
			b->unresolved++;
		else
			add_server(b, node->name, node_ip(node, b->rules->family), port, weight);
	}
}

struct ranked {
	struct gen_server *server;
	size_t rank;
};

static int
compare_addresses(const void *a, const void *b)
{
	const struct ranked *left = a, *right = b;
	int order = strcmp(left->server->ip, right->server->ip);

	if (order == 0)
		order = (left->server->port > right->server->port) -
			(left->server->port < right->server->port);
	return order != 0 ? order : (left->rank > right->rank) - (left->rank < right->rank);
}

static int
compare_names(const void *a, const void *b)
{
	const struct ranked *left = a, *right = b;
	int order = strcmp(left->server->name, right->server->name);

	return order != 0 ? order : (left->rank > right->rank) - (left->rank < right->rank);
}

/* Each address once, in the order of first mention, and each name once: a second one is called by
 * its address. */
static void
make_unique(struct arena *arena, struct list *servers)
{
	size_t count = servers->count, kept = 0;
	struct ranked *sorted = xcalloc(count, sizeof(*sorted));

	for (size_t i = 0; i < count; i++)
		sorted[i] = (struct ranked){ servers->items[i], i };
	qsort(sorted, count, sizeof(*sorted), compare_addresses);
	for (size_t i = 1; i < count; i++)
		if (strcmp(sorted[i].server->ip, sorted[i - 1].server->ip) == 0 &&
		    sorted[i].server->port == sorted[i - 1].server->port)
			servers->items[sorted[i].rank] = NULL;
	for (size_t i = 0; i < count; i++)
		if (servers->items[i] != NULL)
			servers->items[kept++] = servers->items[i];
	servers->count = count = kept;
	for (size_t i = 0; i < count; i++)
		sorted[i] = (struct ranked){ servers->items[i], i };
	qsort(sorted, count, sizeof(*sorted), compare_names);
	for (size_t i = 1; i < count; i++)
		if (strcmp(sorted[i].server->name, sorted[i - 1].server->name) == 0)
			sorted[i].rank = SIZE_MAX;
	for (size_t i = 1; i < count; i++)
		if (sorted[i].rank == SIZE_MAX)
			sorted[i].server->name = arena_printf(
			    arena, "%s:%u", sorted[i].server->ip, sorted[i].server->port);
	free(sorted);
}

/* W spread over the back ends: by pods where nodes stand for theirs, else evenly; never rounded
 * down to nothing. */
static void
share_weight(struct build *b)
{
	unsigned total = b->rules->weight;
	bool by_pods = b->rules->is_local && b->rules->place == PLACE_NODES && b->pods > 0;

	for (size_t i = 0; i < b->servers->count; i++) {
		struct gen_server *server = b->servers->items[i];
		const struct node *node = index_find(b->manifest->node_names, server->name);
		unsigned pods = node != NULL ? b->pods_on_node[node->index] : 1;

		if (by_pods)
			server->weight = (unsigned)((unsigned long)total * pods / b->pods);
		else
			server->weight = total / (unsigned)b->servers->count;
		if (server->weight == 0 && total > 0)
			server->weight = 1;
	}
}

static void
finish_weights(struct build *b)
{
	unsigned highest = 0;

	if (b->rules->rule == WEIGHT_SHARE)
		share_weight(b);
	for (size_t i = 0; i < b->servers->count; i++) {
		struct gen_server *server = b->servers->items[i];

		if (b->rules->level && server->weight > 0)
			server->weight = 1;
		highest = server->weight > highest ? server->weight : highest;
	}
	for (size_t i = 0; highest > WEIGHT_MAX && i < b->servers->count; i++) {
		struct gen_server *server = b->servers->items[i];
		unsigned scaled = (unsigned)((unsigned long)server->weight * WEIGHT_MAX / highest);

		server->weight = scaled > 0 || server->weight == 0 ? scaled : 1;
	}
}

/* Pods without the named port are left out; if that leaves none, the manifest is wrong. */
static int
check_unresolved(const struct build *b)
{
	if (b->unresolved == 0)
		return 0;
	if (b->servers->count > 0) {
		diag_warning(b->manifest->diag, b->port->where,
		    "targetPort \"%s\": %zu pods of Service %s have no such port and are left out",
		    b->port->target_name, b->unresolved, b->service->label);
		return 0;
	}
	diag_error(b->manifest->diag, b->port->where,
	    "targetPort \"%s\": no pod of Service %s has a port of that name (%s)",
	    b->port->target_name, b->service->label,
	    b->endpoints->source != NULL && strcmp(b->endpoints->source, "Pod") == 0
		? "looked for in containers[].ports[].name"
		: "looked for by the name of the Service's port");
	return -1;
}

int
backends_read(struct list *servers, struct manifest *manifest, const struct object *service,
    const struct endpoint_set *endpoints, const struct service_port *port,
    const struct backend_rules *rules)
{
	struct list own = { 0 };
	struct build b = { .manifest = manifest,
		.service = service,
		.port = port,
		.rules = rules,
		.endpoints = endpoints,
		.servers = &own };
	int result;

	count_pods(&b);
	switch (rules->place) {
	case PLACE_PODS:
		add_pods(&b, false);
		break;
	case PLACE_NODES:
		add_nodes(&b);
		if (rules->virtual_nodes)
			add_pods(&b, true);
		break;
	case PLACE_HOST_NETWORK:
		add_host_network(&b);
		break;
	}
	make_unique(manifest->arena, &own);
	finish_weights(&b);
	result = check_unresolved(&b);
	/* a shared pool may hold servers of other Services, whose weights are not ours to spread */
	for (size_t i = 0; i < own.count; i++)
		list_add(servers, own.items[i]);
	if (servers->count > own.count)
		make_unique(manifest->arena, servers);
	list_fini(&own);
	free(b.pods_on_node);
	return result;
}
