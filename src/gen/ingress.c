/* One Ingress of class cce: who wants it, and its listeners. */
#include "ingress_priv.h"

#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

#include "cce_priv.h"
#include "listen_priv.h"

static const char *
class_of(const struct object *object)
{
	const char *class = yaml_get_text(object->spec, "ingressClassName");

	if (class != NULL)
		return class;
	return yaml_get_text(
	    yaml_get(object->metadata, "annotations"), "kubernetes.io/ingress.class");
}

/*
 * The class decides whose an Ingress is; without one, its annotations do.  Of ACK's ALB the rules and
 * certificates are served; its annotations are another product's.
 */
static bool
is_wanted(struct gen *gen, const struct object *object)
{
	const char *class = class_of(object);
	const struct yaml_pair *ack, *cce;

	annotations_providers(object, &ack, &cce);
	if (class != NULL ? !choice_has("cce, alb", class, false) : cce == NULL) {
		diag_warning(gen->diag, object->where,
		    "Ingress %s is of class %s: skipped; allowed: cce, alb", object->label,
		    class != NULL ? quote_value(gen->arena, class) : "none");
		return false;
	}
	if (object->is_deleting)
		diag_warning(gen->diag, object->where, "Ingress %s is being deleted: skipped",
		    object->label);
	return !object->is_deleting;
}

/* A listener to be, on `number`. */
static void
add_port(struct service *ingress, unsigned number, enum gen_protocol protocol, struct where where)
{
	struct service_port *port = &ingress->ports[ingress->port_count];

	if (service_find_port(ingress, number, false) != NULL) {
		diag_error(ingress->gen->diag, where, "%s: port %u stands twice in %s",
		    annotation_key(CCE_LISTEN_PORTS), number, ingress->what);
		return;
	}
	*port = (struct service_port){
		.where = where, .name = "", .port = (uint16_t)number, .protocol = protocol
	};
	ingress->port_count++;
}

/* [{"HTTP":80},{"HTTPS":443}] */
static void
read_listen_ports(struct service *ingress, struct value *value, bool has_tls)
{
	static const char *const names[] = { "HTTP", "HTTPS" };

	for (size_t i = 0; i < value->json->count; i++) {
		const struct yaml_node *item = value->json->items[i];

		for (size_t k = 0; k < item->count; k++) {
			const struct yaml_pair *pair = &item->pairs[k];
			bool is_tls = strcmp(pair->key, names[1]) == 0;

			if (!is_tls && strcmp(pair->key, names[0]) != 0) {
				diag_error(ingress->gen->diag, pair->where,
				    "%s: %s is not a known protocol; allowed: HTTP, HTTPS",
				    value->key, quote_value(ingress->gen->arena, pair->key));
				continue;
			}
			if (is_tls && !has_tls)
				diag_error(ingress->gen->diag, pair->where,
				    "%s: HTTPS needs a certificate; allowed: with spec.tls or %s",
				    value->key, annotation_key(CCE_TLS_CERTIFICATE_IDS));
			add_port(ingress, json_number(item, pair->key, 0),
			    is_tls ? GEN_HTTPS : GEN_HTTP, pair->value->where);
		}
	}
	if (ingress->port_count == 0)
		value_error(&ingress->set, value, "no port in %s; allowed: %s",
		    quote_value(ingress->gen->arena, value->text), value->row->allowed);
}

static void
read_ports(struct service *ingress)
{
	struct annotation_set *set = &ingress->set;
	struct value *list = value_get(set, CCE_LISTEN_PORTS), *port = value_get(set, CCE_PORT);
	bool has_tls = ingress_has_tls(ingress);
	size_t count = 1;

	for (size_t i = 0; list != NULL && i < list->json->count; i++)
		count += list->json->items[i]->count;
	ingress->ports = arena_array(ingress->gen->arena, count, sizeof(*ingress->ports));
	if (list != NULL) {
		if (port != NULL)
			value_warning(set, port, "no effect: %s counts", list->key);
		if (port != NULL)
			value_idle(set, port, "no effect: listen-ports counts");
		read_listen_ports(ingress, list, has_tls);
		return;
	}
	/* what is wrong was told: no second finding about a port that nobody asked for */
	add_port(ingress,
	    port != NULL ? port->number
	    : has_tls    ? 443
			 : 80,
	    has_tls ? GEN_HTTPS : GEN_HTTP, port != NULL ? port->where : ingress->object->where);
}

static const struct service_port *
find_port_of(const struct service *ingress, enum gen_protocol protocol)
{
	for (size_t i = 0; i < ingress->port_count; i++)
		if (ingress->ports[i].protocol == protocol)
			return &ingress->ports[i];
	return NULL;
}

static void
read_redirect(struct service *ingress)
{
	struct value *value = value_get(&ingress->set, CCE_SSL_REDIRECT);
	const struct service_port *https = find_port_of(ingress, GEN_HTTPS);

	if (value == NULL || strcmp(value->text, "true") != 0)
		return;
	if (https == NULL || find_port_of(ingress, GEN_HTTP) == NULL) {
		value_error(&ingress->set, value,
		    "\"true\" needs an HTTP and an HTTPS port; allowed: with both in %s",
		    annotation_key(CCE_LISTEN_PORTS));
		return;
	}
	for (size_t i = 0; i < ingress->port_count; i++)
		if (ingress->ports[i].protocol == GEN_HTTP)
			ingress->ports[i].redirect_to = https->port;
	value_note(&ingress->set, value, "http ports answer 301 to https port %u", https->port);
}

/* pool-protocol itself is looked at where the pools are made. */
static void
check_pool_protocol(struct service *ingress)
{
	struct annotation_set *set = &ingress->set;
	struct value *value = value_get(set, CCE_POOL_PROTOCOL);

	if (value == NULL || strcmp(value->text, "http") == 0)
		return;
	if (find_port_of(ingress, GEN_HTTPS) == NULL)
		value_error(set, value,
		    "\"%s\" needs an HTTPS Ingress (spec.tls or a certificate annotation)",
		    value->text);
	if (value_is(set, CCE_CLASS, "union"))
		value_warning(
		    set, value, "\"%s\" needs class \"performance\" on the cloud", value->text);
}

static void
check_redirect_url(struct service *ingress)
{
	struct annotation_set *set = &ingress->set;
	struct value *url = value_get(set, CCE_REDIRECT_URL);
	struct value *code = value_get(set, CCE_REDIRECT_URL_CODE);
	struct value *rewrite = value_get(set, CCE_REWRITE_TARGET);

	if (url != NULL && find_port_of(ingress, GEN_HTTPS) != NULL &&
	    strncmp(url->text, "https://", 8) != 0)
		value_error(set, url, "%s from an HTTPS Ingress; allowed: an https:// URL",
		    quote_value(set->arena, url->text));
	if (url == NULL && code != NULL) {
		value_warning(set, code, "no effect without %s", annotation_key(CCE_REDIRECT_URL));
		value_idle(set, code, "no effect without redirect-url");
	}
	if (url != NULL && rewrite != NULL)
		value_error(
		    set, rewrite, "cannot be set with %s", annotation_key(CCE_REDIRECT_URL));
}

/* What becomes of a route, its listener decides: each has its own. */
static struct gen_route *
copy_route(struct arena *arena, const struct gen_route *route)
{
	struct gen_route *copy = arena_alloc(arena, sizeof(*copy));

	*copy = *route;
	return copy;
}

static void
build(struct service *ingress)
{
	struct gen *gen = ingress->gen;
	struct ingress_rules rules = { 0 };

	ingress_read_rules(ingress, &rules);
	ingress_read_order(ingress, &rules);
	ingress_read_canary(ingress, &rules);
	for (size_t i = 0; i < ingress->port_count; i++) {
		struct service_port *port = &ingress->ports[i];
		struct gen_listener *listener = listen_build(ingress, port);

		port->listener = listener;
		listener->is_ingress = true;
		listener->is_canary = value_is(&ingress->set, CCE_CANARY, "true");
		if (port->redirect_to != 0)
			continue;
		listener->pool = rules.pool;
		listener->pool_where = rules.pool_where;
		listener->pool_object = ingress->object;
		for (size_t k = 0; k < rules.routes.count; k++)
			list_add(&listener->routes, copy_route(gen->arena, rules.routes.items[k]));
	}
	if (gen->explain != NULL)
		explain_service(ingress);
	list_fini(&rules.routes);
}

static void
generate(struct gen *gen, const struct object *object)
{
	struct service ingress = { .gen = gen, .object = object, .is_ingress = true };
	struct annotation_set *set = &ingress.set;
	const char *class = class_of(object);

	ingress.is_alb = class != NULL && strcmp(class, "alb") == 0;
	ingress.what = arena_printf(gen->arena, "Ingress %s", object->label);
	annotations_read(set, gen->arena, gen->diag, object, ingress.what, PROVIDER_CCE, true);
	read_ports(&ingress);
	read_redirect(&ingress);
	check_pool_protocol(&ingress);
	check_redirect_url(&ingress);
	cce_read_policy(&ingress);
	ingress.http2 = ingress.http2 || ingress.is_alb; /* which ALB offers unasked */
	ingress_read_tls(&ingress);
	cce_read_listener(&ingress);
	annotations_check_protocols(set, service_protocols(&ingress));
	build(&ingress);
	annotation_set_fini(set);
}

/* In which order Ingresses have a say about what they share. */
struct ranked {
	const struct object *object;
	const char *created; /* RFC 3339 in UTC: sorts as text; NULL: not yet */
	bool is_master, is_canary;
};

static int
compare_ranked(const void *a, const void *b)
{
	const struct ranked *left = a, *right = b;
	int order = left->is_canary - right->is_canary; /* it adds to the others */

	if (order == 0)
		order = right->is_master - left->is_master;
	if (order == 0)
		order = (left->created == NULL) - (right->created == NULL);
	if (order == 0 && left->created != NULL)
		order = strcmp(left->created, right->created);
	return order != 0 ? order : strcmp(left->object->label, right->object->label);
}

/* CCE notes on each Ingress of a listener which one gave it its settings. */
static struct index *
find_masters(const struct gen *gen)
{
	struct index *masters = index_new();

	for (size_t i = 0; i < gen->manifest.ingresses.count; i++) {
		struct object *object = gen->manifest.ingresses.items[i];
		const char *master = yaml_get_text(yaml_get(object->metadata, "annotations"),
		    annotation_key(CCE_LISTENER_MASTER_INGRESS));

		if (master != NULL)
			index_add(masters, master, object);
	}
	return masters;
}

static bool
is_canary(const struct object *object)
{
	const char *text =
	    yaml_get_text(yaml_get(object->metadata, "annotations"), annotation_key(CCE_CANARY));

	return text != NULL && strcmp(text, "true") == 0;
}

void
ingresses_generate(struct gen *gen)
{
	const struct list *all = &gen->manifest.ingresses;
	struct ranked *ranked = xcalloc(all->count, sizeof(*ranked));
	struct index *masters = find_masters(gen);
	size_t count = 0;

	for (size_t i = 0; i < all->count; i++) {
		const struct object *object = all->items[i];

		if (is_wanted(gen, object))
			ranked[count++] = (struct ranked){ object,
				yaml_get_text(object->metadata, "creationTimestamp"),
				index_find(masters, object->label) != NULL, is_canary(object) };
	}
	if (count > 0)
		qsort(ranked, count, sizeof(*ranked), compare_ranked);
	for (size_t i = 0; i < count; i++)
		generate(gen, ranked[i].object);
	index_free(masters);
	free(ranked);
}
