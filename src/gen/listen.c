#include "listen_priv.h"

#include <string.h>
#include <sys/socket.h>

#include "weir/addr.h"
#include "weir/arena.h"

#include "service_priv.h"

static const char *const any_items[] = { "*" };

/* The load balancer of the Service and the name under which its ports are counted. */
static const struct load_balancer *
find_instance(struct service *service, const char **name)
{
	struct site *site = &service->gen->site;
	struct load_balancer *lb;

	if (service->instance_id != NULL) {
		*name = service->instance_id;
		lb = site_find_load_balancer(site, service->instance_id);
		if (lb != NULL)
			return lb;
		value_warning(&service->set, service->instance_value,
		    "%s is not in the site file's load_balancers: the addresses of \"default\" "
		    "count",
		    quote_value(service->gen->arena, service->instance_id));
		return site_find_load_balancer(site, "default");
	}
	if (service->instance_ip != NULL) {
		lb = site_find_address(site, service->instance_ip);
		if (lb != NULL) {
			*name = lb->name;
			return lb;
		}
		diag_warning(service->gen->diag, service->object->where,
		    "%s asks for the address %s, which no load balancer of the site file has",
		    service->what, quote_value(service->gen->arena, service->instance_ip));
	}
	lb = site_find_load_balancer(site, service->object->label);
	*name = lb != NULL ? lb->name : "default";
	return lb != NULL ? lb : site_find_load_balancer(site, "default");
}

static struct site_addresses
choose_addresses(const struct service *service, const struct load_balancer *lb)
{
	struct site_addresses any = { .count = 1 };
	bool is_intranet =
	    service->address_type != NULL && strcmp(service->address_type, "intranet") == 0;

	if (lb != NULL && is_intranet && lb->intranet.count > 0)
		return lb->intranet;
	if (lb != NULL && !is_intranet && lb->internet.count > 0)
		return lb->internet;
	return lb != NULL ? lb->any : any; /* without a site file: everything, see expand() */
}

/* The literal addresses of the wanted family; "*" is one of each. */
static void
expand(struct service *service, struct gen_listener *listener, const struct site_addresses *from)
{
	int family = service->listen_family;

	listener->addresses =
	    arena_array(service->gen->arena, from->count * 2 + 1, sizeof(*listener->addresses));
	for (size_t i = 0; i < from->count; i++) {
		const char *text = from->items != NULL ? from->items[i] : any_items[0];
		struct addr addr;

		if (strcmp(text, "*") == 0) {
			if (family != AF_INET6)
				listener->addresses[listener->address_count++] = "0.0.0.0";
			if (family != AF_INET)
				listener->addresses[listener->address_count++] = "::";
		} else if (addr_parse_ip(&addr, text, 0) == 0 &&
			   (family == 0 || addr.sa.sa_family == family)) {
			listener->addresses[listener->address_count++] = text;
		}
	}
}

static uint16_t
offset_port(struct service *service, uint16_t port, struct where where)
{
	unsigned shifted = port + service->gen->port_offset;

	if (shifted <= 65535)
		return (uint16_t)shifted;
	diag_error(service->gen->diag, where,
	    "port %u of %s is %u with --port-offset; allowed: up to 65535", port, service->what,
	    shifted);
	return 0;
}

static void
set_addresses(struct service *service, struct gen_listener *listener)
{
	const struct load_balancer *lb = find_instance(service, &listener->instance);
	struct site_addresses from = choose_addresses(service, lb);

	if (service->bind_address != NULL)
		from = (struct site_addresses){ .items = &service->bind_address, .count = 1 };
	expand(service, listener, &from);
	if (listener->address_count == 0)
		diag_error(service->gen->diag, listener->where,
		    "load balancer \"%s\" of %s has no %s address; allowed: one in the site file",
		    listener->instance, service->what,
		    service->listen_family == AF_INET6 ? "IPv6" : "IPv4");
}

static void
set_tls(const struct service *service, struct gen_listener *listener)
{
	listener->certificate = service->certificate;
	listener->policy = service->policy;
	listener->client_ca = service->client_ca;
	listener->server_names = service->server_names;
	listener->server_name_count = service->server_name_count;
}

static void
set_http(const struct service *service, struct gen_listener *listener)
{
	listener->timeouts = service->timeouts_l7;
	listener->forwarded = service->forwarded;
	listener->gzip = service->gzip;
}

static void
set_protocol(const struct service *service, struct gen_listener *listener)
{
	switch (listener->protocol) {
	case GEN_TCP:
		listener->timeouts = service->timeouts_l4;
		break;
	case GEN_UDP:
		listener->timeouts.flow = service->flow_s;
		break;
	case GEN_HTTP:
		set_http(service, listener);
		break;
	case GEN_HTTPS:
		set_http(service, listener);
		set_tls(service, listener);
		listener->http2 = service->http2;
		break;
	case GEN_TLS:
		listener->timeouts = service->timeouts_l4;
		set_tls(service, listener);
		break;
	}
}

/* The limit is the load balancer's: other Services on it are under it too. */
static void
set_bandwidth(const struct service *service, struct gen_listener *listener)
{
	struct gen *gen = service->gen;
	struct gen_bandwidth *bandwidth, *other;
	bool is_own = service->instance_id == NULL && strcmp(listener->instance, "default") == 0;

	listener->owner = is_own ? service->object->label : listener->instance;
	if (service->bandwidth_mbit == 0)
		return;
	bandwidth = arena_alloc(gen->arena, sizeof(*bandwidth));
	*bandwidth = (struct gen_bandwidth){ .name = listener->owner,
		.mbit = service->bandwidth_mbit,
		.object = service->object,
		.where = service->bandwidth_where };
	other = index_add(gen->model.bandwidths, bandwidth->name, bandwidth);
	if (other != NULL && other->mbit != bandwidth->mbit && other->object != service->object)
		diag_error(gen->diag, bandwidth->where,
		    "%s: load balancer %s has %u Mbit/s by %s and %u Mbit/s by %s (%s:%u and %s:%u); "
		    "allowed: one limit",
		    service->bandwidth_value->key, other->name, other->mbit, other->object->label, bandwidth->mbit,
		    bandwidth->object->label, other->where.file, other->where.line,
		    bandwidth->where.file, bandwidth->where.line);
}

struct gen_listener *
listen_build(struct service *service, struct service_port *port)
{
	struct gen *gen = service->gen;
	struct gen_listener *listener = arena_alloc(gen->arena, sizeof(*listener));

	*listener = (struct gen_listener){
		.name = arena_printf(gen->arena, "%s:%u%s", service->object->label, port->port,
		    port->is_udp ? "/udp" : ""),
		.object = service->object,
		.where = port->where,
		.port = port->port,
		.protocol = port->protocol,
		.is_forced = service->is_forced,
		.acl = service->acl,
		.acl_is_deny = service->acl_is_deny,
	};
	/* an Ingress may be called like a Service, on another load balancer */
	if (index_add(gen->model.listener_names, listener->name, listener) != NULL)
		listener->name = arena_printf(gen->arena, "%s/ingress", listener->name);
	set_protocol(service, listener);
	set_addresses(service, listener);
	set_bandwidth(service, listener);
	listener->listen_port = offset_port(service, port->port, port->where);
	if (port->redirect_to != 0) {
		listener->redirect_port = offset_port(service, port->redirect_to, port->where);
		listener->timeouts.response = 0; /* no server to wait for */
		listener->gzip = false;
	}
	list_add(&gen->model.listeners, listener);
	return listener;
}

static bool
network_covers(const struct network *wide, const struct network *narrow)
{
	return wide->bits <= narrow->bits && network_contains(wide, &narrow->base);
}

/* Networks are nested or apart: the intersection of two is the narrower one, or nothing. */
static void
intersect(struct arena *arena, struct site_acl *ranges, const struct site_acl *allowed)
{
	struct site_acl out = { .name = ranges->name };
	size_t most = ranges->count * allowed->count;

	out.networks = arena_array(arena, most, sizeof(*out.networks));
	out.parsed = arena_array(arena, most, sizeof(*out.parsed));
	for (size_t i = 0; i < ranges->count; i++) {
		for (size_t k = 0; k < allowed->count; k++) {
			bool first = network_covers(&ranges->parsed[i], &allowed->parsed[k]);

			if (!first && !network_covers(&allowed->parsed[k], &ranges->parsed[i]))
				continue;
			out.networks[out.count] =
			    first ? allowed->networks[k] : ranges->networks[i];
			out.parsed[out.count++] = first ? allowed->parsed[k] : ranges->parsed[i];
		}
	}
	*ranges = out;
}

static struct site_acl *
read_ranges(struct service *service, const struct yaml_node *list)
{
	struct arena *arena = service->gen->arena;
	struct site_acl *acl = arena_alloc(arena, sizeof(*acl));

	acl->name = site_free_acl_name(&service->gen->site, arena,
	    arena_printf(arena, "%s:sourceRanges", service->object->label));
	acl->networks = arena_array(arena, list->count, sizeof(*acl->networks));
	acl->parsed = arena_array(arena, list->count, sizeof(*acl->parsed));
	for (size_t i = 0; i < list->count; i++) {
		const struct yaml_node *item = list->items[i];
		int result = item->type == YAML_SCALAR
				 ? network_parse(&acl->parsed[acl->count], item->text)
				 : -1;

		if (result == 0)
			acl->networks[acl->count++] = item->text;
		else
			diag_error(service->gen->diag, item->where,
			    "spec.loadBalancerSourceRanges: %s in %s %s; allowed: networks such as "
			    "203.0.113.0/24",
			    item->type == YAML_SCALAR ? quote_value(arena, item->text)
						      : yaml_type_name(item->type),
			    service->what,
			    result == -2 ? "has bits set behind its prefix" : "is not a network");
	}
	return acl;
}

void
listen_apply_source_ranges(struct service *service)
{
	const struct yaml_node *list = yaml_get(service->object->spec, "loadBalancerSourceRanges");
	struct site_acl *ranges;

	if (list == NULL || list->type != YAML_LIST || list->count == 0)
		return;
	ranges = read_ranges(service, list);
	/* an empty access list lets everyone in: only a list with networks narrows the ranges */
	if (service->acl != NULL && service->acl->count > 0) {
		if (service->acl_is_deny) {
			diag_error(service->gen->diag, list->where,
			    "spec.loadBalancerSourceRanges cannot be set with a black access list "
			    "in %s",
			    service->what);
			return;
		}
		intersect(service->gen->arena, ranges, service->acl);
		if (ranges->count == 0) {
			diag_error(service->gen->diag, list->where,
			    "spec.loadBalancerSourceRanges and the white access list of %s have no "
			    "address in common",
			    service->what);
			return;
		}
	}
	service->acl = ranges;
	service->acl_is_deny = false;
}
