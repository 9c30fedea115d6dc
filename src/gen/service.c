#include "service_priv.h"

#include <string.h>
#include <sys/socket.h>

#include "weir/arena.h"

#include "listen_priv.h"
#include "spec_priv.h"

/* Whose rules hold for this Service?  PROVIDER_NONE after an error. */
static enum provider
choose_provider(const struct service *service)
{
	enum provider preset = service->gen->site.provider;
	const struct yaml_pair *ack, *cce, *later;

	annotations_providers(service->object, &ack, &cce);
	if (ack != NULL && cce != NULL) {
		if (preset != PROVIDER_NONE)
			return preset;
		later = ack > cce ? ack : cce;
		diag_error(service->gen->diag, later->where,
		    "%s has keys of two providers, %s and %s; allowed: one of them (site "
		    "file defaults.provider chooses)",
		    service->what, cce->key, ack->key);
		return PROVIDER_NONE;
	}
	if (ack != NULL)
		return PROVIDER_ACK;
	if (cce != NULL)
		return PROVIDER_CCE;
	return preset != PROVIDER_NONE ? preset : PROVIDER_ACK;
}

/* Is this Service for us at all? */
static bool
is_wanted(struct gen *gen, const struct object *object, const char *what)
{
	const struct yaml_node *class = yaml_get(object->spec, "loadBalancerClass");
	const char *type = yaml_get_text(object->spec, "type");
	const char *cluster_ip = yaml_get_text(object->spec, "clusterIP");
	const struct yaml_pair *first = annotations_any(object);

	if (type == NULL || strcmp(type, "LoadBalancer") != 0) {
		if (first != NULL)
			diag_warning(gen->diag, first->where,
			    "%s: no listener, as %s is of type %s; allowed: LoadBalancer",
			    first->key, what, type != NULL ? type : "ClusterIP");
		return false;
	}
	if (object->is_deleting) {
		diag_warning(gen->diag, object->where, "%s is being deleted: skipped", what);
		return false;
	}
	if (class != NULL && class->type == YAML_SCALAR && class->len > 0) {
		diag_warning(gen->diag, class->where,
		    "%s belongs to the controller of loadBalancerClass %s: skipped", what,
		    quote_value(gen->arena, class->text));
		return false;
	}
	if (cluster_ip != NULL && strcmp(cluster_ip, "None") == 0) {
		diag_error(gen->diag, yaml_get(object->spec, "clusterIP")->where,
		    "clusterIP \"None\" cannot be set with type LoadBalancer in %s", what);
		return false;
	}
	return true;
}

/* Pods or nodes: command line, site file, annotation, and else what the input holds. */
static void
choose_place(struct service *service, bool annotation_decides)
{
	struct gen *gen = service->gen;
	enum backend_mode mode = gen->backends_given ? gen->backends : gen->site.backends;

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
		    is_l7 ? "it answers 503" : "it closes connections");
}

/* A pool of its own for the port, or the one of its group, which other Services may have begun. */
static struct gen_pool *
find_pool(struct service *service, const struct service_port *port, bool *is_new)
{
	struct gen *gen = service->gen;
	struct gen_listener *listener = port->listener;
	struct gen_pool *pool;
	const char *group = NULL;

	*is_new = false;
	if (port->group != NULL) {
		group = arena_printf(gen->arena, "%s/%s", listener->instance, port->group);
		pool = index_find(gen->model.groups, group);
		if (pool != NULL)
			return pool;
	}
	*is_new = true;
	pool = arena_alloc(gen->arena, sizeof(*pool));
	pool->name = listener->name;
	pool->group = group;
	list_add(&gen->model.pools, pool);
	if (group != NULL) {
		/* the group's ID, unless another load balancer has a group of that name */
		pool->name =
		    index_add(gen->model.groups, port->group, pool) == NULL ? port->group : group;
		index_add(gen->model.groups, group, pool);
	}
	return pool;
}

static void
build_pool(struct service *service, struct service_port *port, const struct endpoint_set *endpoints)
{
	struct gen_listener *listener = port->listener;
	bool is_new, is_l7 = port->protocol == GEN_HTTP || port->protocol == GEN_HTTPS;
	struct gen_pool *pool = find_pool(service, port, &is_new);
	size_t before = pool->servers.count;

	listener->pool = pool;
	if (backends_read(&pool->servers, &service->gen->manifest, service->object, endpoints, port,
		&service->rules) == 0 &&
	    pool->servers.count == before)
		warn_no_servers(service, port, endpoints);
	if (!is_new)
		return;
	pool->is_http = is_l7;
	pool->balance = service->balance;
	pool->sticky = is_l7 ? service->sticky_l7.by : service->sticky_l4.by;
	pool->sticky_name = is_l7 ? service->sticky_l7.name : NULL;
	pool->sticky_s = is_l7 ? service->sticky_l7.timeout_s : service->sticky_l4.timeout_s;
	pool->health = port->health;
	meta_collect(service, &pool->meta);
}

/* What is left of the settings goes to the listeners, and servers to their pools. */
static void
build(struct service *service)
{
	struct endpoint_set endpoints;
	int family =
	    service->backend_family != 0 ? service->backend_family : spec_family(service->object);

	service->rules.place = service->place;
	service->rules.is_local = service->is_local;
	service->rules.family = family;
	endpoint_set_read(&endpoints, &service->gen->manifest, service->object, family);
	for (size_t i = 0; i < service->port_count; i++) {
		struct service_port *port = &service->ports[i];

		if (port->is_hidden)
			continue;
		port->listener = listen_build(service, port);
		if (port->listener == NULL || port->protocol == GEN_UDP || port->redirect_to != 0)
			continue;
		build_pool(service, port, &endpoints);
	}
	endpoint_set_fini(&endpoints);
}

static void
generate(struct gen *gen, const struct object *object)
{
	struct service service = { .gen = gen, .object = object };
	bool annotation_decides;

	service.what = arena_printf(gen->arena, "Service %s", object->label);
	if (!is_wanted(gen, object, service.what))
		return;
	service.errors_before = diag_errors(gen->diag);
	if (spec_read(&service) == -1)
		return;
	service.set.provider = choose_provider(&service);
	if (service.set.provider == PROVIDER_NONE)
		return;
	annotations_read(
	    &service.set, gen->arena, gen->diag, object, service.what, service.set.provider, false);
	if (service.set.provider == PROVIDER_CCE)
		cce_apply(&service);
	else
		ack_apply(&service);
	annotation_decides = value_get(&service.set, ACK_BACKEND_TYPE) != NULL;
	choose_place(&service, annotation_decides);
	check_place(&service);
	apply_session_affinity(&service);
	listen_apply_source_ranges(&service);
	annotations_check_protocols(&service.set, service_protocols(&service));
	annotations_check_served(&service.set);
	build(&service);
	if (gen->explain != NULL)
		explain_service(&service);
	annotation_set_fini(&service.set);
}

/* The class decides whose an Ingress is; without one, its annotations do. */
static void
read_ingress(struct gen *gen, const struct object *object)
{
	const char *class = yaml_get_text(object->spec, "ingressClassName");
	const char *what = arena_printf(gen->arena, "Ingress %s", object->label);
	const struct yaml_pair *ack, *cce;
	struct annotation_set set;

	annotations_providers(object, &ack, &cce);
	if (class == NULL)
		class = yaml_get_text(
		    yaml_get(object->metadata, "annotations"), "kubernetes.io/ingress.class");
	if (class != NULL ? strcmp(class, "cce") != 0 : cce == NULL) {
		diag_warning(gen->diag, object->where, "%s is of class %s: skipped; allowed: cce",
		    what, class != NULL ? quote_value(gen->arena, class) : "none");
		return;
	}
	diag_warning(gen->diag, object->where, "%s: Ingress is not served by this version", what);
	annotations_read(&set, gen->arena, gen->diag, object, what, PROVIDER_CCE, true);
	annotation_set_fini(&set);
}

void
services_generate(struct gen *gen)
{
	for (size_t i = 0; i < gen->manifest.services.count; i++)
		generate(gen, gen->manifest.services.items[i]);
	for (size_t i = 0; i < gen->manifest.ingresses.count; i++)
		read_ingress(gen, gen->manifest.ingresses.items[i]);
}
