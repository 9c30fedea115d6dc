/* Two listeners cannot have one port of one load balancer, nor one address. */
#include <string.h>

#include "weir/arena.h"

#include "ingress_priv.h"

static const char *
kind_of(const struct gen_listener *listener)
{
	return listener->is_ingress ? "Ingress" : "Service";
}

static bool
is_udp(const struct gen_listener *listener)
{
	return listener->protocol == GEN_UDP;
}

/* The loser of a conflict that the manifests themselves decide. */
static void
drop(struct gen *gen, struct gen_listener *loser, const struct gen_listener *winner)
{
	loser->is_dropped = true;
	diag_warning(gen->diag, loser->where,
	    "listener %u/%s of %s belongs to %s (%s:%u), which overrides listeners by force; %s "
	    "has none",
	    loser->port, is_udp(loser) ? "UDP" : "TCP", loser->instance, winner->object->label,
	    winner->where.file, winner->where.line, loser->object->label);
}

/* Decide between `first`, which has the key, and `other`.  Returns who has it from now on. */
static struct gen_listener *
decide(struct gen *gen, struct gen_listener *first, struct gen_listener *other)
{
	if (first->is_ingress && other->is_ingress) {
		ingress_merge(gen, first, other);
		return first;
	}
	if (first->is_forced != other->is_forced) {
		drop(gen, first->is_forced ? other : first, first->is_forced ? first : other);
		return first->is_forced ? first : other;
	}
	if (first->pool != NULL && first->pool == other->pool) {
		other->is_dropped =
		    true; /* one shared group: its servers are in the pool already */
		return first;
	}
	other->is_dropped = true;
	diag_error(gen->diag, other->where,
	    "listener %u/%s of %s is wanted by %s %s and %s %s (%s:%u and %s:%u); allowed: one of "
	    "them",
	    other->port, is_udp(other) ? "UDP" : "TCP", other->instance, kind_of(first),
	    first->object->label, kind_of(other), other->object->label, first->where.file,
	    first->where.line, other->where.file, other->where.line);
	return first;
}

static void
check_keys(struct gen *gen)
{
	struct index *keys = index_new();

	for (size_t i = 0; i < gen->model.listeners.count; i++) {
		struct gen_listener *listener = gen->model.listeners.items[i], **slot;
		const char *key = arena_printf(gen->arena, "%u/%s of %s", listener->port,
		    is_udp(listener) ? "UDP" : "TCP", listener->instance);

		slot = index_find(keys, key);
		if (slot != NULL) {
			*slot = decide(gen, *slot, listener);
			continue;
		}
		slot = arena_alloc(gen->arena, sizeof(struct gen_listener *));
		*slot = listener;
		index_add(keys, key, slot);
	}
	index_free(keys);
}

/* Different load balancers that the site file (or its absence) puts on one address. */
static void
check_addresses(struct gen *gen)
{
	struct index *keys = index_new();

	for (size_t i = 0; i < gen->model.listeners.count; i++) {
		struct gen_listener *listener = gen->model.listeners.items[i];

		for (size_t k = 0; !listener->is_dropped && k < listener->address_count; k++) {
			struct gen_listener *first = index_add(keys,
			    arena_printf(gen->arena, "%s %u/%s", listener->addresses[k],
				listener->port, is_udp(listener) ? "udp" : "tcp"),
			    listener);

			if (first == NULL)
				continue;
			diag_error(gen->diag, listener->where,
			    "address %s port %u/%s is wanted by %s %s (load balancer %s) and %s %s "
			    "(load balancer %s), %s:%u and %s:%u; allowed: load balancers with "
			    "addresses of their own in the site file",
			    listener->addresses[k], listener->port,
			    is_udp(listener) ? "UDP" : "TCP", kind_of(first), first->object->label,
			    first->instance, kind_of(listener), listener->object->label,
			    listener->instance, first->where.file, first->where.line,
			    listener->where.file, listener->where.line);
			listener->is_dropped = true;
		}
	}
	index_free(keys);
}

void
conflicts_resolve(struct gen *gen)
{
	check_keys(gen);
	check_addresses(gen);
	for (size_t i = 0; i < gen->model.listeners.count; i++) {
		struct gen_listener *listener = gen->model.listeners.items[i];

		if (listener->is_dropped)
			continue;
		ingress_sort(gen, listener);
		ingress_drop_twins(gen, listener);
		ingress_join_canaries(gen, listener);
		if (listener->pool != NULL)
			listener->pool->is_used = true;
		for (size_t k = 0; k < listener->routes.count; k++) {
			const struct gen_route *route = listener->routes.items[k];

			if (route->pool != NULL)
				route->pool->is_used = true;
			for (size_t s = 0; s < route->share_count; s++)
				route->shares[s].pool->is_used = true;
		}
	}
}
