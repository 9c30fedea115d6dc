/* ingress-order and rule-priority-enabled: rules that are tried in their own order. */
#include <stdint.h>
#include <stdlib.h>

#include "weir/arena.h"

#include "ingress_priv.h"

void
ingress_read_order(struct service *ingress, struct ingress_rules *rules)
{
	struct annotation_set *set = &ingress->set;
	struct value *order = value_get(set, CCE_INGRESS_ORDER);
	struct value *priority = value_get(set, CCE_RULE_PRIORITY_ENABLED);

	if (order == NULL && !value_is(set, CCE_RULE_PRIORITY_ENABLED, "true"))
		return;
	if (order != NULL && priority != NULL && !value_is(set, CCE_RULE_PRIORITY_ENABLED, "true"))
		value_idle(set, priority, "no effect: ingress-order is set");
	for (size_t i = 0; i < rules->routes.count; i++) {
		struct gen_route *route = rules->routes.items[i];

		route->in_order = true;
		route->order = order != NULL ? order->number : UINT32_MAX;
		route->order_where = order != NULL ? order->where : route->where;
	}
}

struct placed {
	struct gen_route *route;
	size_t at;
};

/* Ordered ones first, by their numbers; those without a number in the order of their Ingresses. */
static int
compare_placed(const void *a, const void *b)
{
	const struct placed *left = a, *right = b;
	const struct gen_route *l = left->route, *r = right->route;

	if (l->in_order != r->in_order)
		return l->in_order ? -1 : 1;
	if (l->order != r->order)
		return l->order < r->order ? -1 : 1;
	return (left->at > right->at) - (left->at < right->at);
}

static void
check_numbers(struct gen *gen, const struct gen_listener *listener)
{
	for (size_t i = 1; i < listener->routes.count; i++) {
		const struct gen_route *a = listener->routes.items[i - 1];
		const struct gen_route *b = listener->routes.items[i];

		if (!b->in_order || b->order == UINT32_MAX || a->order != b->order ||
		    a->object == b->object)
			continue;
		diag_error(gen->diag, b->order_where,
		    "%s: \"%u\" is the order of Ingress %s and Ingress %s, which share listener "
		    "%u/TCP of %s (%s:%u and %s:%u); allowed: a number of its own for each",
		    annotation_key(CCE_INGRESS_ORDER), b->order, a->object->label, b->object->label,
		    listener->port, listener->instance, a->order_where.file, a->order_where.line,
		    b->order_where.file, b->order_where.line);
	}
}

void
ingress_sort(struct gen *gen, struct gen_listener *listener)
{
	struct list *routes = &listener->routes;
	struct placed *placed = xcalloc(routes->count + 1, sizeof(*placed));

	for (size_t i = 0; i < routes->count; i++)
		placed[i] = (struct placed){ routes->items[i], i };
	qsort(placed, routes->count, sizeof(*placed), compare_placed);
	for (size_t i = 0; i < routes->count; i++)
		routes->items[i] = placed[i].route;
	free(placed);
	check_numbers(gen, listener);
}
