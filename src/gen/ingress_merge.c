/* Several Ingresses on one port of one load balancer are one listener. */
#include <string.h>

#include "weir/arena.h"

#include "ingress_priv.h"

/* What the later of two wants differently; NULL: nothing. */
static const char *
find_difference(const struct gen_listener *a, const struct gen_listener *b)
{
	bool same_names = a->server_name_count == b->server_name_count;

	for (size_t i = 0; same_names && i < a->server_name_count; i++)
		same_names =
		    strcmp(a->server_names[i].name, b->server_names[i].name) == 0 &&
		    strcmp(a->server_names[i].certificate, b->server_names[i].certificate) == 0;
	if (!same_names || (a->certificate != NULL && b->certificate != NULL &&
			       strcmp(a->certificate, b->certificate) != 0))
		return "certificates";
	if (a->policy != NULL && b->policy != NULL && strcmp(a->policy, b->policy) != 0)
		return "the TLS policy";
	if ((a->client_ca == NULL) != (b->client_ca == NULL) ||
	    (a->client_ca != NULL && strcmp(a->client_ca, b->client_ca) != 0))
		return "client certificates";
	if (a->http2 != b->http2)
		return "HTTP/2 settings";
	if (memcmp(&a->forwarded, &b->forwarded, sizeof(a->forwarded)) != 0 || a->gzip != b->gzip)
		return "forwarded fields and compression";
	if (memcmp(&a->timeouts, &b->timeouts, sizeof(a->timeouts)) != 0)
		return "timeouts";
	if (a->acl_is_deny != b->acl_is_deny || (a->acl == NULL) != (b->acl == NULL) ||
	    (a->acl != NULL && strcmp(a->acl->name, b->acl->name) != 0))
		return "the access list";
	if (a->redirect_port != b->redirect_port)
		return "the redirect";
	return NULL;
}

void
ingress_merge(struct gen *gen, struct gen_listener *first, struct gen_listener *other)
{
	const char *difference = find_difference(first, other);

	other->is_dropped = true;
	if (first->protocol != other->protocol) {
		diag_error(gen->diag, other->where,
		    "listener %u/TCP of %s is %s for Ingress %s and %s for Ingress %s (%s:%u and "
		    "%s:%u); allowed: the same for all that share it",
		    other->port, other->instance, first->protocol == GEN_HTTPS ? "https" : "http",
		    first->object->label, other->protocol == GEN_HTTPS ? "https" : "http",
		    other->object->label, first->where.file, first->where.line, other->where.file,
		    other->where.line);
		return;
	}
	if (difference != NULL && !other->is_canary)
		diag_warning(gen->diag, other->where,
		    "listener %u/TCP of %s is shared by Ingress %s and Ingress %s (%s:%u and "
		    "%s:%u), which differ: %s come from the former",
		    other->port, other->instance, first->object->label, other->object->label,
		    first->where.file, first->where.line, other->where.file, other->where.line,
		    difference);
	if (first->redirect_port != 0)
		return;
	for (size_t i = 0; i < other->routes.count; i++)
		list_add(&first->routes, other->routes.items[i]);
	if (first->pool == NULL) {
		first->pool = other->pool;
		first->pool_where = other->pool_where;
		first->pool_object = other->pool_object;
	} else if (other->pool != NULL && other->pool != first->pool) {
		diag_warning(gen->diag, other->pool_where,
		    "listener %u/TCP of %s has two default back ends, of Ingress %s and Ingress %s "
		    "(%s:%u and %s:%u): the former counts",
		    other->port, other->instance, first->pool_object->label,
		    other->pool_object->label, first->pool_where.file, first->pool_where.line,
		    other->pool_where.file, other->pool_where.line);
	}
}

/* The same host and path twice: the first counts. */
void
ingress_drop_twins(struct gen *gen, struct gen_listener *listener)
{
	struct index *seen = index_new();
	size_t kept = 0;

	for (size_t i = 0; i < listener->routes.count; i++) {
		struct gen_route *route = listener->routes.items[i];
		const struct gen_route *first = NULL;

		/* those with conditions are tried in turn */
		if (route->conditions.count == 0 && !route->is_canary)
			first = index_add(seen,
			    arena_printf(gen->arena, "%s %d %s",
				route->host != NULL ? route->host : "", (int)route->match,
				route->path),
			    route);

		if (first == NULL) {
			listener->routes.items[kept++] = route;
			continue;
		}
		diag_warning(gen->diag, route->where,
		    "host %s and path %s are in Ingress %s (%s:%u), too: the first counts",
		    route->host != NULL ? quote_value(gen->arena, route->host) : "any",
		    quote_value(gen->arena, route->path), first->object->label, first->where.file,
		    first->where.line);
	}
	listener->routes.count = kept;
	index_free(seen);
}
