#include "spec_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "weir/arena.h"

#include "service_priv.h"

int
spec_family(const struct object *object)
{
	const struct yaml_node *list = yaml_get(object->spec, "ipFamilies");
	const char *first;

	if (list == NULL || list->type != YAML_LIST || list->count == 0 ||
	    list->items[0]->type != YAML_SCALAR)
		return 0;
	first = list->items[0]->text;
	return strcmp(first, "IPv6") == 0 ? AF_INET6 : strcmp(first, "IPv4") == 0 ? AF_INET : 0;
}

/* A port number at `key`; 0 with *ok set when the key is absent. */
static uint16_t
read_number(
    struct service *service, const struct yaml_node *port, const char *key, unsigned min, bool *ok)
{
	const struct yaml_node *node = yaml_get(port, key);
	unsigned number = 0;

	if (node == NULL || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_SCALAR || !number_parse(node->text, &number) || number < min ||
	    number > 65535) {
		diag_error(service->gen->diag, node->where,
		    "spec.ports: %s %s in %s is not a port; allowed: %u to 65535", key,
		    node->type == YAML_SCALAR ? quote_value(service->gen->arena, node->text)
					      : yaml_type_name(node->type),
		    service->what, min);
		*ok = false;
	}
	return (uint16_t)number;
}

/* targetPort: a number, the name of a container's port, or absent for the same as port. */
static void
read_target(
    struct service *service, struct service_port *port, const struct yaml_node *node, bool *ok)
{
	unsigned number;

	if (node == NULL || node->type == YAML_NULL) {
		port->target_port = port->port;
		return;
	}
	if (node->type != YAML_SCALAR || node->len == 0) {
		diag_error(service->gen->diag, node->where,
		    "spec.ports: targetPort in %s is %s; allowed: 1 to 65535 or a name",
		    service->what,
		    node->type == YAML_SCALAR ? "empty" : yaml_type_name(node->type));
		*ok = false;
	} else if (!number_parse(node->text, &number)) {
		port->target_name = node->text;
	} else if (number < 1 || number > 65535) {
		diag_error(service->gen->diag, node->where,
		    "spec.ports: targetPort %s in %s is not a port; allowed: 1 to 65535",
		    node->text, service->what);
		*ok = false;
	} else {
		port->target_port = (uint16_t)number;
	}
}

static bool
read_port(struct service *service, struct service_port *port, const struct yaml_node *node)
{
	const struct yaml_node *number = yaml_get(node, "port");
	const char *protocol = yaml_get_text(node, "protocol");
	const char *name = yaml_get_text(node, "name");
	bool ok = true;

	if (number == NULL) {
		diag_error(service->gen->diag, node->where, "spec.ports: port is missing in %s",
		    service->what);
		return false;
	}
	port->where = number->where;
	port->name = name != NULL ? name : "";
	port->port = read_number(service, node, "port", 1, &ok);
	port->node_port = read_number(service, node, "nodePort", 0, &ok);
	read_target(service, port, yaml_get(node, "targetPort"), &ok);
	port->is_udp = protocol != NULL && strcmp(protocol, "UDP") == 0;
	port->protocol = port->is_udp ? GEN_UDP : GEN_TCP;
	if (protocol != NULL && !port->is_udp && strcmp(protocol, "TCP") != 0) {
		diag_error(service->gen->diag, yaml_get(node, "protocol")->where,
		    "spec.ports: protocol %s in %s is not known; allowed: TCP, UDP",
		    quote_value(service->gen->arena, protocol), service->what);
		ok = false;
	}
	return ok;
}

/* Bits of the ports seen so far: a Service may have thousands. */
static bool
mark_seen(uint8_t *seen, unsigned port)
{
	bool before = (seen[port / 8] & 1u << port % 8) != 0;

	seen[port / 8] |= (uint8_t)(1u << port % 8);
	return before;
}

static void
read_policy(struct service *service)
{
	const struct yaml_node *node = yaml_get(service->object->spec, "externalTrafficPolicy");
	const char *text = node != NULL && node->type == YAML_SCALAR ? node->text : "";

	service->is_local = strcmp(text, "Local") == 0;
	if (node != NULL && node->type != YAML_NULL && !service->is_local &&
	    strcmp(text, "Cluster") != 0)
		diag_error(service->gen->diag, node->where,
		    "spec.externalTrafficPolicy: %s in %s is not known; allowed: Cluster, Local",
		    quote_value(service->gen->arena, text), service->what);
}

int
spec_read(struct service *service)
{
	const struct yaml_node *list = yaml_get(service->object->spec, "ports");
	uint8_t *tcp_seen, *udp_seen;
	int result = 0;

	read_policy(service);
	if (list == NULL || list->type != YAML_LIST || list->count == 0) {
		diag_error(service->gen->diag, list != NULL ? list->where : service->object->where,
		    "spec.ports: no port in %s; allowed: at least one", service->what);
		return -1;
	}
	tcp_seen = xcalloc(2, 65536 / 8);
	udp_seen = tcp_seen + 65536 / 8;
	service->ports = arena_array(service->gen->arena, list->count, sizeof(*service->ports));
	for (size_t i = 0; i < list->count; i++) {
		struct service_port *port = &service->ports[service->port_count];

		if (!read_port(service, port, list->items[i])) {
			result = -1;
		} else if (mark_seen(port->is_udp ? udp_seen : tcp_seen, port->port)) {
			diag_error(service->gen->diag, port->where,
			    "spec.ports: port %u %s stands twice in %s", port->port,
			    port->is_udp ? "UDP" : "TCP", service->what);
			result = -1;
		} else {
			service->port_count++;
		}
	}
	free(tcp_seen);
	return result;
}
