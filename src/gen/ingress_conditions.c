/* Rules that look at more than host and path: header conditions, and canaries. */
#include <string.h>

#include "weir/arena.h"

#include "ingress_priv.h"
#include "json_priv.h"
#include "manifest_priv.h"

enum { VALUE_LEN_MAX = 128 };

/* The texts of a JSON list; NULL after an error. */
static const char **
read_values(struct annotation_set *set, const char *key, const struct yaml_node *list, size_t max,
    size_t *count)
{
	const char **values;

	*count = 0;
	if (list == NULL || list->type != YAML_LIST || list->count == 0 || list->count > max) {
		diag_error(set->diag, list != NULL ? list->where : set->object->where,
		    "%s: values must be a list; allowed: 1 to %zu texts", key, max);
		return NULL;
	}
	values = arena_array(set->arena, list->count, sizeof(*values));
	for (size_t i = 0; i < list->count; i++) {
		const struct yaml_node *item = list->items[i];

		if (item->type != YAML_SCALAR || !item->quoted || item->len == 0 ||
		    item->len > VALUE_LEN_MAX || strpbrk(item->text, " \"\t\r\n") != NULL) {
			diag_error(set->diag, item->where,
			    "%s: %s is not a value; allowed: texts of 1 to %d characters, no "
			    "spaces or quotes; * and ? stand for others",
			    key,
			    item->type == YAML_SCALAR ? quote_value(set->arena, item->text)
						      : yaml_type_name(item->type),
			    VALUE_LEN_MAX);
			return NULL;
		}
		values[(*count)++] = item->text;
	}
	return values;
}

bool
ingress_read_headers(struct service *ingress, const char *service, struct gen_route *route)
{
	struct annotation_set *set = &ingress->set;
	const char *key = arena_printf(set->arena, "%s%s", annotation_key(CCE_HEADERS), service);
	const struct yaml_node *node =
	    yaml_get(yaml_get(ingress->object->metadata, "annotations"), key);
	const struct yaml_node *json, *name;
	struct gen_condition *condition;

	if (node == NULL || node->type != YAML_SCALAR)
		return true;
	json = json_parse(set->arena, set->diag, ingress->object->source, node, key);
	if (json == NULL)
		return false;
	name = yaml_get(json, "key");
	if (name == NULL || name->type != YAML_SCALAR || !check_header_name(name->text)) {
		diag_error(set->diag, name != NULL ? name->where : json->where,
		    "%s: key is not the name of a field; allowed: 1 to 40 letters, digits, _, -",
		    key);
		return false;
	}
	condition = arena_alloc(set->arena, sizeof(*condition));
	condition->header = name->text;
	condition->values =
	    read_values(set, key, yaml_get(json, "values"), 9, &condition->value_count);
	route->condition = condition;
	return condition->values != NULL;
}

/* One of the two ways to ask for the canary by name; NULL: not set, or wrong. */
static struct gen_condition *
read_choice(
    struct service *ingress, enum annotation_id name_id, enum annotation_id value_id, bool *ok)
{
	struct annotation_set *set = &ingress->set;
	struct value *name = value_get(set, name_id), *value = value_get(set, value_id);
	struct gen_condition *condition;

	if (name == NULL && value == NULL) {
		*ok = *ok && !value_is_written(set, name_id) && !value_is_written(set, value_id);
		return NULL;
	}
	if (name == NULL || value == NULL) {
		value_error(set, name != NULL ? name : value, "needs %s",
		    annotation_key(name != NULL ? value_id : name_id));
		*ok = false;
		return NULL;
	}
	condition = arena_alloc(set->arena, sizeof(*condition));
	*(name_id == CCE_CANARY_BY_HEADER ? &condition->header : &condition->cookie) = name->text;
	condition->values = read_values(
	    set, value->key, yaml_get(value->json, "values"), 10, &condition->value_count);
	*ok = *ok && condition->values != NULL;
	return condition->values != NULL ? condition : NULL;
}

static void
add_copies(struct service *ingress, struct list *from, struct list *to,
    struct gen_condition *condition, struct value *weight)
{
	for (size_t i = 0; i < from->count; i++) {
		struct gen_route *copy = arena_alloc(ingress->gen->arena, sizeof(*copy));

		*copy = *(struct gen_route *)from->items[i];
		copy->is_canary = true;
		copy->condition = condition;
		copy->canary_weight = weight != NULL ? weight->number : 0;
		list_add(to, copy);
	}
}

void
ingress_read_canary(struct service *ingress, struct ingress_rules *rules)
{
	struct annotation_set *set = &ingress->set;
	struct value *canary = value_get(set, CCE_CANARY);
	struct value *weight = value_get(set, CCE_CANARY_WEIGHT);
	struct gen_condition *header, *cookie;
	struct list routes = { 0 };
	bool ok = true;

	if (canary == NULL || strcmp(canary->text, "true") != 0)
		return;
	header = read_choice(ingress, CCE_CANARY_BY_HEADER, CCE_CANARY_BY_HEADER_VALUE, &ok);
	cookie = read_choice(ingress, CCE_CANARY_BY_COOKIE, CCE_CANARY_BY_COOKIE_VALUE, &ok);
	if (ok && header == NULL && cookie == NULL && weight == NULL)
		value_error(set, canary, "\"true\" needs %s, %s or %s",
		    annotation_key(CCE_CANARY_WEIGHT), annotation_key(CCE_CANARY_BY_HEADER),
		    annotation_key(CCE_CANARY_BY_COOKIE));
	if (value_get(set, CCE_REDIRECT_URL) != NULL)
		value_error(
		    set, value_get(set, CCE_REDIRECT_URL), "cannot be set with %s", canary->key);
	if (set->values[CCE_HEADERS].text != NULL)
		value_error(set, &set->values[CCE_HEADERS], "cannot be set with %s", canary->key);
	if (weight != NULL && value_is(set, CCE_AFFINITY_MODE, "HTTP_COOKIE"))
		value_warning(set, value_get(set, CCE_AFFINITY_MODE),
		    "clients stay with a server of their side, but not on their side of %s",
		    weight->key);
	/* the order in which they are asked for */
	if (header != NULL)
		add_copies(ingress, &rules->routes, &routes, header, NULL);
	if (cookie != NULL)
		add_copies(ingress, &rules->routes, &routes, cookie, NULL);
	if (weight != NULL)
		add_copies(ingress, &rules->routes, &routes, NULL, weight);
	list_fini(&rules->routes);
	rules->routes = routes;
	rules->pool = NULL; /* that of the Ingress it belongs to stays */
}

static const char *
route_key(struct arena *arena, const struct gen_route *route)
{
	return arena_printf(arena, "%s %d %s", route->host != NULL ? route->host : "",
	    (int)route->match, route->path);
}

/* Of one path: header before cookie, and both before rules of other Ingresses. */
static unsigned
rank(const struct gen_route *route)
{
	if (!route->is_canary || route->condition == NULL)
		return 2;
	return route->condition->header != NULL ? 0 : 1;
}

static void
sort_routes(struct list *routes)
{
	struct list sorted = { 0 };

	for (unsigned wanted = 0; wanted <= 2; wanted++)
		for (size_t i = 0; i < routes->count; i++)
			if (rank(routes->items[i]) == wanted)
				list_add(&sorted, routes->items[i]);
	list_fini(routes);
	*routes = sorted;
}

/* Give a canary by weight its share of the route that it belongs to. */
static void
split(struct gen *gen, struct gen_route *base, const struct gen_route *route)
{
	if (base->canary != NULL || base->pool == NULL) {
		diag_error(gen->diag, route->where,
		    "canary of Ingress %s: path %s of Ingress %s (%s:%u) %s; allowed: one canary "
		    "by weight, and servers",
		    route->object->label, quote_value(gen->arena, base->path), base->object->label,
		    base->where.file, base->where.line,
		    base->canary != NULL ? "has one already" : "is a redirect");
		return;
	}
	base->canary = route->pool;
	base->canary_weight = route->canary_weight;
}

void
ingress_join_canaries(struct gen *gen, struct gen_listener *listener)
{
	struct index *bases = index_new();
	bool has_any = false;
	size_t kept = 0;

	for (size_t i = 0; i < listener->routes.count; i++) {
		struct gen_route *route = listener->routes.items[i];

		has_any = has_any || route->is_canary;
		if (!route->is_canary && route->condition == NULL)
			index_add(bases, route_key(gen->arena, route), route);
	}
	for (size_t i = 0; has_any && i < listener->routes.count; i++) {
		struct gen_route *route = listener->routes.items[i];
		struct gen_route *base = index_find(bases, route_key(gen->arena, route));

		if (route->is_canary && base == NULL)
			diag_error(gen->diag, route->where,
			    "canary of Ingress %s: no other Ingress on listener %s has host %s and "
			    "path %s",
			    route->object->label, listener->name,
			    route->host != NULL ? quote_value(gen->arena, route->host) : "any",
			    quote_value(gen->arena, route->path));
		else if (route->is_canary && route->condition == NULL)
			split(gen, base, route);
		else
			listener->routes.items[kept++] = route;
	}
	if (has_any) {
		listener->routes.count = kept;
		sort_routes(&listener->routes);
	}
	index_free(bases);
}
