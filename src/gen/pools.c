/* The servers of a Service, and the pools they are in. */
#include <string.h>
#include <sys/socket.h>

#include "weir/arena.h"

#include "service_priv.h"
#include "spec_priv.h"

/* Pods or nodes: command line, site file, annotation, and else what the input holds. */
static void
choose_place(struct service *service)
{
	struct gen *gen = service->gen;
	enum backend_mode mode = gen->backends_given ? gen->backends : gen->site.backends;
	bool annotation_decides = value_get(&service->set, ACK_BACKEND_TYPE) != NULL;

	if (service->place == PLACE_HOST_NETWORK)
		return;
	if (mode == BACKENDS_AUTO && annotation_decides)
		return;
	if (mode != BACKENDS_AUTO) {
		service->place = mode == BACKENDS_NODE ? PLACE_NODES : PLACE_PODS;
		return;
	}
	service->place = backends_have_node(&gen->manifest) ? PLACE_NODES : PLACE_PODS;
	for (size_t i = 0; i < service->port_count; i++)
		if (service->ports[i].node_port == 0)
			service->place = PLACE_PODS;
}

/* Annotations about nodes say nothing about pods; node back ends need node ports. */
static void
check_place(struct service *service)
{
	static const enum annotation_id for_nodes[] = { ACK_BACKEND_LABEL, ACK_REMOVE_UNSCHEDULED,
		CCE_ADAPTIVE_WEIGHT };
	struct annotation_set *set = &service->set;

	for (size_t i = 0; i < sizeof(for_nodes) / sizeof(for_nodes[0]); i++) {
		struct value *value = value_get(set, for_nodes[i]);

		if (value == NULL || service->place != PLACE_PODS)
			continue;
		if (strcmp(value->text, "off") != 0 && strcmp(value->text, "false") != 0)
			value_warning(set, value, "no effect: the back ends are pods");
		value_idle(set, value, "no effect: the back ends are pods");
	}
	if (service->place == PLACE_PODS) {
		service->rules.rule =
		    service->rules.rule == WEIGHT_SHARE ? WEIGHT_SHARE : WEIGHT_FIXED;
		return;
	}
	for (size_t i = 0; i < service->port_count; i++)
		if (service->place == PLACE_NODES && service->ports[i].node_port == 0 &&
		    !service->ports[i].is_hidden)
			diag_error(service->gen->diag, service->ports[i].where,
			    "port %u of %s has no nodePort, and the back ends are nodes; allowed: "
			    "a "
			    "nodePort, or --backends pod",
			    service->ports[i].port, service->what);
	if (service->place == PLACE_NODES && service->is_local && set->provider == PROVIDER_ACK &&
	    service->rules.level && service->rules.rule == WEIGHT_PODS)
		diag_warning(service->gen->diag,
		    yaml_get(service->object->spec, "externalTrafficPolicy")->where,
		    "externalTrafficPolicy Local of %s spreads by node, not by pod: weights need "
		    "%s "
		    "\"wrr\"",
		    service->what, annotation_key(ACK_SCHEDULER));
}

/* sessionAffinity: ClientIP is kube-proxy's work; with pods as back ends nobody else does it. */
static void
apply_session_affinity(struct service *service)
{
	const char *affinity = yaml_get_text(service->object->spec, "sessionAffinity");
	const struct yaml_node *timeout =
	    yaml_get(yaml_get(yaml_get(service->object->spec, "sessionAffinityConfig"), "clientIP"),
		"timeoutSeconds");
	unsigned seconds = 10800;

	if (affinity == NULL || strcmp(affinity, "ClientIP") != 0)
		return;
	if (timeout != NULL &&
	    (timeout->type != YAML_SCALAR || !number_parse(timeout->text, &seconds) ||
		seconds < 1 || seconds > 86400)) {
		diag_error(service->gen->diag, timeout->where,
		    "sessionAffinityConfig.clientIP.timeoutSeconds of %s is out of range; allowed: "
		    "1 to "
		    "86400 (seconds)",
		    service->what);
		return;
	}
	if (service->place != PLACE_PODS)
		return;
	if (service->sticky_l4.by == STICKY_OFF) {
		service->sticky_l4.by = STICKY_SOURCE_IP;
		service->sticky_l4.timeout_s = seconds;
	}
	if (service->sticky_l7.by == STICKY_OFF) {
		service->sticky_l7.by = STICKY_SOURCE_IP;
		service->sticky_l7.timeout_s = seconds;
	}
}

static void
warn_no_servers(
    struct service *service, const struct service_port *port, const struct endpoint_set *endpoints)
{
	bool is_l7 = port->protocol == GEN_HTTP || port->protocol == GEN_HTTPS;

	if (service->rules.label_count > 0 && service->place != PLACE_PODS)
		value_error(&service->set, value_get(&service->set, ACK_BACKEND_LABEL),
		    "%s leaves no node; allowed: labels of an eligible node",
		    quote_value(service->gen->arena, value_text(&service->set, ACK_BACKEND_LABEL)));
	else
		diag_warning(service->gen->diag, port->where, "port %u of %s has no ready %s%s: %s",
		    port->port, service->what, service->place == PLACE_NODES ? "node" : "endpoint",
		    endpoints->source == NULL && service->place != PLACE_NODES
			? " (no EndpointSlice, Endpoints or Pod of it is in the input)"
			: "",
		    is_l7          ? "it answers 503"
		    : port->is_udp ? "it drops datagrams"
				   : "it closes connections");
}

void
pools_choose_place(struct service *service)
{
	choose_place(service);
	check_place(service);
	apply_session_affinity(service);
	service->rules.place = service->place;
	service->rules.is_local = service->is_local;
	service->rules.family =
	    service->backend_family != 0 ? service->backend_family : spec_family(service->object);
}

void
pools_add_servers(struct service *service, const struct service_port *port, struct gen_pool *pool)
{
	struct endpoint_set endpoints;
	size_t before = pool->servers.count;

	endpoint_set_read(
	    &endpoints, &service->gen->manifest, service->object, service->rules.family);
	if (backends_read(&pool->servers, &service->gen->manifest, service->object, &endpoints,
		port, &service->rules) == 0 &&
	    pool->servers.count == before)
		warn_no_servers(service, port, &endpoints);
	endpoint_set_fini(&endpoints);
}

void
pools_set(const struct service *service, const struct service_port *port, struct gen_pool *pool)
{
	bool is_l7 = port->protocol == GEN_HTTP || port->protocol == GEN_HTTPS;

	pool->protocol = !is_l7                  ? (port->is_udp ? POOL_UDP : POOL_TCP)
			 : service->servers_grpc ? (service->servers_tls ? POOL_H2 : POOL_H2C)
			 : service->servers_tls  ? POOL_HTTPS
						 : POOL_HTTP;
	pool->verify_servers = service->gen->site.verify_servers;
	pool->drain_s = is_l7 ? 0 : service->drain_s;
	pool->weights = service->weights;
	pool->proxy_protocol = !is_l7 && service->proxy_protocol;
	pool->server_ca = service->gen->site.server_ca;
	pool->balance = service->balance;
	pool->sticky = is_l7 ? service->sticky_l7.by : service->sticky_l4.by;
	pool->sticky_name = is_l7 ? service->sticky_l7.name : NULL;
	pool->sticky_s = is_l7 ? service->sticky_l7.timeout_s : service->sticky_l4.timeout_s;
	pool->health = port->health;
}
