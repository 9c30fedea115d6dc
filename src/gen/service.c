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

static bool
is_load_balancer(const struct object *object)
{
	const char *type = yaml_get_text(object->spec, "type");

	return type != NULL && strcmp(type, "LoadBalancer") == 0;
}

/* Is this Service for us at all? */
static bool
is_wanted(struct gen *gen, const struct object *object, const char *what)
{
	const struct yaml_node *class = yaml_get(object->spec, "loadBalancerClass");
	const char *cluster_ip = yaml_get_text(object->spec, "clusterIP");

	if (!is_load_balancer(object))
		return false;
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

/* A pool of its own for the port, or the one of its group, which other Services may have begun. */
static struct gen_pool *
find_pool(struct service *service, const struct service_port *port, bool *is_new)
{
	struct gen *gen = service->gen;
	struct gen_listener *listener = port->listener;
	struct gen_pool *pool;
	const char *group = NULL, *name = NULL;

	*is_new = false;
	if (port->group != NULL) {
		name = arena_printf(gen->arena, "%s%s", port->group, port->is_udp ? "/udp" : "");
		group = arena_printf(gen->arena, "%s/%s", listener->instance, name);
		pool = index_find(gen->model.groups, group);
		if (pool != NULL)
			return pool;
	}
	*is_new = true;
	pool = arena_alloc(gen->arena, sizeof(*pool));
	pool->name = listener->name;
	pool->group = group;
	list_add(&gen->model.pools, pool);
	if (group == NULL)
		index_add(gen->model.pool_names, pool->name, pool);
	if (group != NULL) {
		/* the group's ID, unless another load balancer has a group of that name */
		pool->name = index_add(gen->model.groups, name, pool) == NULL ? name : group;
		index_add(gen->model.groups, group, pool);
	}
	return pool;
}

/* What is left of the settings goes to the listeners, and servers to their pools. */
static void
build(struct service *service)
{
	for (size_t i = 0; i < service->port_count; i++) {
		struct service_port *port = &service->ports[i];
		struct gen_pool *pool;
		bool is_new;

		if (port->is_hidden)
			continue;
		port->listener = listen_build(service, port);
		if (port->redirect_to != 0)
			continue;
		pool = find_pool(service, port, &is_new);
		port->listener->pool = pool;
		pools_add_servers(service, port, pool);
		if (!is_new)
			continue;
		pools_set(service, port, pool);
		meta_collect(service, &pool->meta);
	}
}

static void
generate(struct gen *gen, const struct object *object)
{
	struct service service = { .gen = gen, .object = object };

	service.what = arena_printf(gen->arena, "Service %s", object->label);
	if (!is_wanted(gen, object, service.what))
		return;
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
	pools_choose_place(&service);
	listen_apply_source_ranges(&service);
	annotations_check_protocols(&service.set, service_protocols(&service));
	build(&service);
	if (gen->explain != NULL)
		explain_service(&service);
	annotation_set_fini(&service.set);
}

void
services_generate(struct gen *gen)
{
	for (size_t i = 0; i < gen->manifest.services.count; i++)
		generate(gen, gen->manifest.services.items[i]);
}

void
services_check_idle(struct gen *gen)
{
	for (size_t i = 0; i < gen->manifest.services.count; i++) {
		const struct object *object = gen->manifest.services.items[i];
		const struct yaml_pair *first = annotations_any(object);
		const char *type = yaml_get_text(object->spec, "type");

		if (first == NULL || is_load_balancer(object) ||
		    index_find(gen->ingress_services, object->label) != NULL)
			continue;
		diag_warning(gen->diag, first->where,
		    "%s: no listener, as Service %s is of type %s; allowed: LoadBalancer",
		    first->key, object->label, type != NULL ? type : "ClusterIP");
	}
}
