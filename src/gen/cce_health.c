#include "cce_priv.h"

#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

enum { PATH_SERVED = 1024 }; /* the longest that weir.yaml(5) takes; the cloud takes 10000 */

/* The check that `option` (NULL: all defaults) asks for on one port. */
static void
read_option(struct service *service, struct service_port *port, const struct value *value,
    const struct yaml_node *option)
{
	struct gen_health *health = &port->health;
	const char *protocol = yaml_get_text(option, "protocol");
	const struct yaml_node *path = yaml_get(option, "path");
	bool is_udp_check;

	*health = (struct gen_health){ .type = port->is_udp ? HEALTH_UDP : HEALTH_TCP,
		.interval_s = json_number(option, "delay", 5),
		.timeout_s = json_number(option, "timeout", 10),
		.rise = json_number(option, "max_retries", 3),
		.port = service->probe_port };
	health->fall = health->rise;
	if (protocol != NULL) {
		is_udp_check = strcmp(protocol, "UDP") == 0 || strcmp(protocol, "UDP_CONNECT") == 0;
		if (is_udp_check != port->is_udp)
			diag_error(service->gen->diag, yaml_get(option, "protocol")->where,
			    "%s: protocol \"%s\" on %s port %u; allowed: %s", value->key, protocol,
			    port->is_udp ? "UDP" : "TCP", port->port,
			    port->is_udp ? "UDP_CONNECT" : "TCP, HTTP");
		else if (strcmp(protocol, "HTTP") == 0)
			health->type = HEALTH_HTTP;
	}
	if (health->type == HEALTH_HTTP && path != NULL && path->len > PATH_SERVED) {
		diag_error(service->gen->diag, path->where,
		    "%s: path is %zu characters; allowed: 1 to %d in this version", value->key,
		    path->len, PATH_SERVED);
	} else if (health->type == HEALTH_HTTP) {
		health->path = path != NULL ? path->text : "/";
		health->method = "GET";
		health->status[0] = "200";
		health->status_count = 1;
	} else if (path != NULL) {
		diag_warning(service->gen->diag, path->where,
		    "%s: path has no effect; it belongs to protocol \"HTTP\"", value->key);
	}
}

/* "TCP:80" */
static struct service_port *
find_target(struct service *service, const char *text)
{
	bool is_udp = strncmp(text, "UDP:", 4) == 0;
	unsigned number;

	if ((!is_udp && strncmp(text, "TCP:", 4) != 0) || !number_parse(text + 4, &number))
		return NULL;
	return service_find_port(service, number, is_udp);
}

static void
read_options(struct service *service, struct value *value)
{
	bool *seen = arena_array(service->gen->arena, service->port_count + 1, sizeof(*seen));

	for (size_t i = 0; i < value->json->count; i++) {
		const struct yaml_node *item = value->json->items[i];
		const struct yaml_node *target = yaml_get(item, "target_service_port");
		struct service_port *port;

		if (target == NULL) {
			diag_error(service->gen->diag, item->where,
			    "%s: target_service_port is missing; allowed: TCP:PORT, UDP:PORT",
			    value->key);
			continue;
		}
		port = find_target(service, target->text);
		if (port == NULL || seen[port - service->ports]) {
			diag_error(service->gen->diag, target->where,
			    "%s: target_service_port %s %s; allowed: TCP:PORT or UDP:PORT of "
			    "spec.ports, "
			    "once each",
			    value->key, quote_value(service->gen->arena, target->text),
			    port == NULL ? "is not in spec.ports" : "stands twice");
			continue;
		}
		seen[port - service->ports] = true;
		read_option(service, port, value, item);
		port->health.port = (uint16_t)json_number(item, "monitor_port", port->health.port);
	}
}

void
cce_read_health(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *flag = value_get(set, CCE_HEALTH_FLAG);
	struct value *option = value_get(set, CCE_HEALTH_OPTION);
	struct value *options = value_get(set, CCE_HEALTH_OPTIONS);
	bool is_on =
	    flag != NULL ? strcmp(flag->text, "off") != 0 : option != NULL || options != NULL;

	if (options != NULL && value_is_written(set, CCE_HEALTH_OPTION)) {
		value_error(
		    set, options, "cannot be set with %s", annotation_key(CCE_HEALTH_OPTION));
		return;
	}
	if (!is_on) {
		if (option != NULL)
			value_idle(set, option, "no effect: health-check-flag is off");
		if (options != NULL)
			value_idle(set, options, "no effect: health-check-flag is off");
		return;
	}
	if (options != NULL) {
		read_options(service, options);
		return;
	}
	/* an option that is wrong was told of already: no second finding about what follows from it
	 */
	if (value_is_written(set, CCE_HEALTH_OPTION) && option == NULL)
		return;
	for (size_t i = 0; i < service->port_count; i++)
		if (!service->ports[i].is_hidden)
			read_option(service, &service->ports[i], option,
			    option != NULL ? option->json : NULL);
}
