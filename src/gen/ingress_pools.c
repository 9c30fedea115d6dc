/* The Services behind an Ingress: each port that a rule names is a pool. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

#include "cce_priv.h"
#include "emit_priv.h"
#include "ingress_priv.h"
#include "spec_priv.h"

/*
 * What a Service may say about a pool by itself; where it says nothing of a family, the Ingress
 * does.
 */
static const enum annotation_id families[][4] = {
	{ CCE_LB_ALGORITHM },
	{ CCE_AFFINITY_MODE, CCE_AFFINITY_OPTION },
	{ CCE_HEALTH_FLAG, CCE_HEALTH_OPTION, CCE_HEALTH_OPTIONS },
};
enum { FAMILY_COUNT = sizeof(families) / sizeof(families[0]) };

/* Where a back end is named: v1 and v1beta1 differ. */
struct named {
	const struct yaml_node *name, *port;
	const char *name_place, *port_place;
};

static bool
is_text(const struct yaml_node *node)
{
	return node != NULL && node->type == YAML_SCALAR && node->len > 0;
}

static struct named
read_names(struct arena *arena, const struct yaml_node *backend, const char *place)
{
	const struct yaml_node *service = yaml_get(backend, "service");
	const struct yaml_node *port = yaml_get(service, "port");
	const char *key = yaml_get(port, "number") != NULL ? "number" : "name";

	if (service == NULL && yaml_get(backend, "serviceName") != NULL)
		return (struct named){ yaml_get(backend, "serviceName"),
			yaml_get(backend, "servicePort"),
			arena_printf(arena, "%s.serviceName", place),
			arena_printf(arena, "%s.servicePort", place) };
	return (struct named){ yaml_get(service, "name"), yaml_get(port, key),
		arena_printf(arena, "%s.service.name", place),
		arena_printf(arena, "%s.service.port.%s", place, key) };
}

/* The Service of a back end; NULL after an error. */
static const struct object *
find_service(struct service *ingress, const struct yaml_node *backend, const char *place,
    const struct named *named)
{
	struct gen *gen = ingress->gen;
	const struct object *object;
	const char *type;
	const struct yaml_node *at = backend != NULL ? backend : ingress->object->root;

	if (!is_text(named->name) || !is_text(named->port)) {
		diag_error(gen->diag, at->where,
		    "%s: no Service and port in %s; allowed: the name of a Service and a number or "
		    "name of its ports",
		    place, ingress->what);
		return NULL;
	}
	object =
	    index_find(gen->manifest.by_name, arena_printf(gen->arena, "Service/%s/%s",
						  ingress->object->namespace_, named->name->text));
	if (object == NULL) {
		diag_error(gen->diag, named->name->where, "%s: Service %s/%s is not in the input",
		    named->name_place, ingress->object->namespace_, named->name->text);
		return NULL;
	}
	type = yaml_get_text(object->spec, "type");
	if (type != NULL && strcmp(type, "ExternalName") == 0) {
		diag_error(gen->diag, named->name->where,
		    "%s: Service %s is of type ExternalName and has no endpoints; allowed: other "
		    "types",
		    named->name_place, object->label);
		return NULL;
	}
	return object;
}

static const char *
print_ports(const struct service *backend)
{
	struct arena *arena = backend->gen->arena;
	const char *text = "";

	for (size_t i = 0; i < backend->port_count && i < 16; i++) {
		const struct service_port *port = &backend->ports[i];

		text = arena_printf(arena, "%s%s%u%s%s%s", text, i > 0 ? ", " : "", port->port,
		    port->name[0] != '\0' ? " (" : "", port->name,
		    port->name[0] != '\0' ? ")" : "");
	}
	return text;
}

/* The port by number or name; all others are hidden.  NULL after an error. */
static struct service_port *
choose_port(struct service *ingress, struct service *backend, const struct named *named)
{
	struct service_port *chosen = NULL;
	unsigned number = 0;
	bool by_number = number_parse(named->port->text, &number);

	for (size_t i = 0; i < backend->port_count; i++) {
		struct service_port *port = &backend->ports[i];

		port->is_hidden = true;
		if (chosen == NULL && !port->is_udp &&
		    (by_number ? port->port == number : strcmp(port->name, named->port->text) == 0))
			chosen = port;
	}
	if (chosen == NULL) {
		diag_error(ingress->gen->diag, named->port->where,
		    "%s: Service %s has no TCP port %s; allowed: %s", named->port_place,
		    backend->object->label, quote_value(ingress->gen->arena, named->port->text),
		    print_ports(backend));
		return NULL;
	}
	chosen->is_hidden = false;
	chosen->protocol = GEN_HTTP;
	return chosen;
}

static bool
is_of_pool(const struct annotation *row)
{
	if (row == annotation_row(CCE_HOST_NETWORK) || row == annotation_row(CCE_ADAPTIVE_WEIGHT) ||
	    row == annotation_row(CCE_SECURITY_POOL_PROTOCOL))
		return true;
	for (size_t i = 0; i < FAMILY_COUNT; i++)
		for (size_t k = 0; k < 4 && families[i][k] != 0; k++)
			if (row == annotation_row(families[i][k]))
				return true;
	return false;
}

/* A Service that has listeners of its own is told about itself elsewhere. */
static void
check_idle(struct service *backend)
{
	const char *type = yaml_get_text(backend->object->spec, "type");
	struct annotation_set *set = &backend->set;

	if (type != NULL && strcmp(type, "LoadBalancer") == 0)
		return;
	for (size_t i = 0; i < set->written.count; i++) {
		struct value *value = set->written.items[i];

		if (value->is_valid && !is_of_pool(value->row))
			value_warning(set, value,
			    "no effect: %s is the back end of an Ingress, and that has the "
			    "listener",
			    set->what);
	}
}

static void
read_annotations(struct service *ingress, struct service *backend)
{
	const struct yaml_pair *ack, *cce;
	struct gen *gen = ingress->gen;
	struct annotation_set *set = &backend->set;

	annotations_providers(backend->object, &ack, &cce);
	*set = (struct annotation_set){ .arena = gen->arena,
		.diag = gen->diag,
		.object = backend->object,
		.what = backend->what,
		.provider = PROVIDER_CCE };
	if (cce != NULL)
		annotations_read(set, gen->arena, gen->diag, backend->object, backend->what,
		    PROVIDER_CCE, false);
	check_idle(backend);
	for (size_t i = 0; i < FAMILY_COUNT; i++) {
		bool is_own = false;

		for (size_t k = 0; k < 4 && families[i][k] != 0; k++)
			is_own = is_own || value_is_written(set, families[i][k]);
		for (size_t k = 0; k < 4 && families[i][k] != 0 && !is_own; k++)
			set->values[families[i][k]] = ingress->set.values[families[i][k]];
	}
}

/* All that tells pools apart, but the name: as they would be printed. */
static const char *
print_settings(struct arena *arena, const char *label, const struct gen_pool *pool)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	const char *copy;

	if (out == NULL)
		return label;
	fprintf(out, "%s\n", label);
	emit_pool_settings(out, pool);
	fclose(out);
	copy = arena_strndup(arena, text, len);
	free(text);
	return copy;
}

/* Ingresses that want the same of a Service share its pool; one that does not has its own. */
static struct gen_pool *
share_pool(struct service *ingress, const struct service *backend, const struct service_port *port,
    struct gen_pool *pool)
{
	struct model *model = &ingress->gen->model;
	struct arena *arena = ingress->gen->arena;
	const char *label = arena_printf(arena, "%s:%u", backend->object->label, port->port);
	struct gen_pool *same =
	    index_add(model->pool_settings, print_settings(arena, label, pool), pool);

	if (same != NULL) {
		list_fini(&pool->servers);
		list_fini(&pool->meta);
		return same;
	}
	pool->name = label;
	if (index_add(model->pool_names, label, pool) != NULL)
		pool->name = arena_printf(arena, "%s@%s", label, ingress->object->name);
	list_add(&model->pools, pool);
	return pool;
}

/* How long a new server's weight grows, in seconds; 0: not at all. */
static unsigned
read_slow_start(struct service *ingress, const struct service *backend)
{
	struct annotation_set *set = &ingress->set;
	bool by_first = value_is_written(set, CCE_SLOWSTART);
	struct value *value = value_get(set, by_first ? CCE_SLOWSTART : CCE_SLOW_START);

	if (by_first && value_is_written(set, CCE_SLOW_START))
		value_warning(set, &set->values[CCE_SLOW_START], "no effect: slowstart counts");
	if (value == NULL)
		return 0;
	if (backend->balance != BALANCE_WRR || backend->sticky_l7.by != STICKY_OFF) {
		value_error(set, value,
		    "%s has %s, which does not go with slow start; allowed: lb-algorithm "
		    "ROUND_ROBIN without session affinity",
		    backend->what,
		    backend->sticky_l7.by != STICKY_OFF ? "session affinity" : "another lb-algorithm");
		return 0;
	}
	return value_number(set, by_first ? CCE_SLOWSTART : CCE_SLOW_START, 0);
}

static struct gen_pool *
build_pool(struct service *ingress, struct service *backend, struct service_port *port)
{
	struct gen_pool *pool = arena_alloc(ingress->gen->arena, sizeof(*pool));

	read_annotations(ingress, backend);
	cce_read_pool(backend);
	backend->servers_tls =
	    backend->servers_tls || value_is(&ingress->set, CCE_POOL_PROTOCOL, "https");
	backend->servers_grpc = value_is(&ingress->set, CCE_POOL_PROTOCOL, "grpc");
	pools_choose_place(backend);
	pools_add_servers(backend, port, pool);
	pools_set(backend, port, pool);
	pool->slow_start_s = read_slow_start(ingress, backend);
	meta_collect(ingress, &pool->meta);
	annotation_set_fini(&backend->set);
	return share_pool(ingress, backend, port, pool);
}

static struct gen_pool *
find_named(struct service *ingress, const struct yaml_node *backend, const char *place,
    struct named named)
{
	struct gen *gen = ingress->gen;
	const struct object *object = find_service(ingress, backend, place, &named);
	struct service service = { .gen = gen, .object = object };
	struct service_port *port;
	struct gen_pool *pool;
	const char *key;

	if (object == NULL)
		return NULL;
	index_add(gen->ingress_services, object->label, ingress);
	service.what = arena_printf(gen->arena, "Service %s", object->label);
	key = arena_printf(
	    gen->arena, "%s:%s for %s", object->label, named.port->text, ingress->object->label);
	pool = index_find(gen->model.ingress_pools, key);
	if (pool != NULL)
		return pool;
	if (spec_read(&service) == -1)
		return NULL;
	port = choose_port(ingress, &service, &named);
	if (port == NULL)
		return NULL;
	pool = build_pool(ingress, &service, port);
	index_add(gen->model.ingress_pools, key, pool);
	return pool;
}

struct gen_pool *
ingress_find_pool(struct service *ingress, const struct yaml_node *backend, const char *place)
{
	return find_named(ingress, backend, place, read_names(ingress->gen->arena, backend, place));
}

struct gen_pool *
ingress_find_service(struct service *ingress, const struct yaml_node *name,
    const struct yaml_node *port, const char *key)
{
	struct arena *arena = ingress->gen->arena;
	struct named named = { name, port, arena_printf(arena, "%s: serviceName", key),
		arena_printf(arena, "%s: servicePort", key) };

	return find_named(ingress, name, key, named);
}
