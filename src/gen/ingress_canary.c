/* Canaries: Ingresses that take requests from the rules of others, by a field, by a cookie or by chance. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

#include "ingress_priv.h"
#include "manifest_priv.h"

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
	if (ingress_read_choice(ingress, name, value,
		name_id == CCE_CANARY_BY_HEADER ? CONDITION_HEADER : CONDITION_COOKIE, condition))
		return condition;
	*ok = false;
	return NULL;
}

static void
add_copies(struct service *ingress, struct list *from, struct list *to,
    const struct gen_condition *condition, struct value *weight)
{
	for (size_t i = 0; i < from->count; i++) {
		struct gen_route *copy = arena_alloc(ingress->gen->arena, sizeof(*copy));

		*copy = *(struct gen_route *)from->items[i];
		copy->is_canary = true;
		copy->conditions = (struct gen_condition_set){ condition, condition != NULL };
		copy->canary_weight = weight != NULL ? weight->number : 0;
		list_add(to, copy);
	}
}

/* What has no meaning beside a canary. */
static void
check_others(struct service *ingress, const struct value *canary)
{
	static const enum annotation_id excluded[] = { CCE_REDIRECT_URL, CCE_HEADERS,
		CCE_CONDITIONS, CCE_ACTIONS };
	static const enum annotation_id idle[] = { CCE_INGRESS_ORDER, CCE_RULE_PRIORITY_ENABLED };
	struct annotation_set *set = &ingress->set;

	for (size_t i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++)
		if (set->values[excluded[i]].text != NULL)
			value_error(set, &set->values[excluded[i]], "cannot be set with %s",
			    canary->key);
	for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++)
		if (value_get(set, idle[i]) != NULL)
			value_idle(set, value_get(set, idle[i]),
			    "no effect: a canary has the place of the rule it belongs to");
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
	check_others(ingress, canary);
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

/* ---- where they belong ---- */

static const char *
route_key(struct arena *arena, const struct gen_route *route)
{
	return arena_printf(arena, "%s %d %s", route->host != NULL ? route->host : "",
	    (int)route->match, route->path);
}

/*
 * Where a canary's clients are known by a cookie, the others are, too: each stays on its side.  Other
 * rules of that Service go on without: the pool is one of its own.
 */
static struct gen_pool *
remember_clients(struct gen *gen, const struct gen_route *base, const struct gen_route *route)
{
	const struct gen_pool *other = route->pool;
	struct gen_pool *pool;

	if (other->sticky != STICKY_COOKIE_INSERT || base->pool->sticky != STICKY_OFF)
		return base->pool;
	pool = arena_alloc(gen->arena, sizeof(*pool));
	*pool = *base->pool;
	pool->servers = pool->meta = (struct list){ 0 };
	for (size_t i = 0; i < base->pool->servers.count; i++)
		list_add(&pool->servers, base->pool->servers.items[i]);
	for (size_t i = 0; i < base->pool->meta.count; i++)
		list_add(&pool->meta, base->pool->meta.items[i]);
	pool->sticky = other->sticky;
	pool->sticky_name = other->sticky_name;
	pool->sticky_s = other->sticky_s;
	pool->name = arena_printf(gen->arena, "%s@%s", base->pool->name, route->object->name);
	while (index_add(gen->model.pool_names, pool->name, pool) != NULL)
		pool->name = arena_printf(gen->arena, "%s+", pool->name);
	list_add(&gen->model.pools, pool);
	return pool;
}

/* Give a canary by weight its share of the route that it belongs to. */
static void
split(struct gen *gen, struct gen_route *base, const struct gen_route *route)
{
	struct gen_share *shares;

	if (base->share_count > 0 || base->pool == NULL) {
		diag_error(gen->diag, route->where,
		    "canary of Ingress %s: path %s of Ingress %s (%s:%u) %s; allowed: one canary "
		    "by weight, and servers",
		    route->object->label, quote_value(gen->arena, base->path), base->object->label,
		    base->where.file, base->where.line,
		    base->share_count > 0 ? "has one already"
					  : "is a redirect or a fixed response");
		return;
	}
	shares = arena_array(gen->arena, 2, sizeof(*shares));
	shares[0] = (struct gen_share){ remember_clients(gen, base, route),
		100 - route->canary_weight };
	shares[1] = (struct gen_share){ route->pool, route->canary_weight };
	base->shares = shares;
	base->share_count = 2;
}

/* Where a route goes: before its base, what asks by a field before what asks by a cookie. */
struct place {
	struct gen_route *route;
	size_t base; /* position of the route it belongs to; its own */
	unsigned rank;
	size_t at;
};

static int
compare_places(const void *a, const void *b)
{
	const struct place *left = a, *right = b;

	if (left->base != right->base)
		return left->base < right->base ? -1 : 1;
	if (left->rank != right->rank)
		return left->rank < right->rank ? -1 : 1;
	return (left->at > right->at) - (left->at < right->at);
}

static unsigned
rank(const struct gen_route *route)
{
	if (!route->is_canary)
		return 2;
	return route->conditions.items[0].kind == CONDITION_HEADER ? 0 : 1;
}

static void
sort_routes(struct gen *gen, struct list *routes, struct index *bases)
{
	struct place *places = xcalloc(routes->count, sizeof(*places));

	for (size_t i = 0; i < routes->count; i++) {
		struct gen_route *route = routes->items[i], *base;

		base = route->is_canary ? index_find(bases, route_key(gen->arena, route)) : route;
		places[i] = (struct place){ route, base->place, rank(route), i };
		route->in_order = base->in_order;
	}
	qsort(places, routes->count, sizeof(*places), compare_places);
	for (size_t i = 0; i < routes->count; i++)
		routes->items[i] = places[i].route;
	free(places);
}

/*
 * Routes with one host and path have one place, so that a canary comes before all of them, and not
 * only before the one that it belongs to: except where the order is the file's.
 */
static void
number_routes(struct gen *gen, struct list *routes)
{
	struct index *firsts = index_new();

	for (size_t i = 0; i < routes->count; i++) {
		struct gen_route *route = routes->items[i], *first;

		route->place = i;
		if (route->in_order || route->is_canary)
			continue;
		first = index_add(firsts, route_key(gen->arena, route), route);
		if (first != NULL)
			route->place = first->place;
	}
	index_free(firsts);
}

void
ingress_join_canaries(struct gen *gen, struct gen_listener *listener)
{
	struct index *bases = index_new();
	bool has_any = false;
	size_t kept = 0;

	number_routes(gen, &listener->routes);
	for (size_t i = 0; i < listener->routes.count; i++) {
		struct gen_route *route = listener->routes.items[i];

		has_any = has_any || route->is_canary;
		if (!route->is_canary && route->conditions.count == 0)
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
		else if (route->is_canary && route->conditions.count == 0)
			split(gen, base, route);
		else
			listener->routes.items[kept++] = route;
	}
	if (has_any) {
		listener->routes.count = kept;
		sort_routes(gen, &listener->routes, bases);
	}
	index_free(bases);
}
