#include "ack_priv.h"

#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

/* "http_2xx,http_3xx" */
static void
read_status(struct service *service, struct gen_health *health)
{
	struct annotation_set *set = &service->set;
	struct value *value = value_get(set, ACK_HEALTH_HTTPCODE);
	const char *allowed = annotation_row(ACK_HEALTH_HTTPCODE)->allowed;
	const char **items;
	size_t count;

	health->status[0] = "2xx";
	health->status_count = 1;
	if (value == NULL)
		return;
	items = value_items(set, value, &count);
	health->status_count = 0;
	for (size_t i = 0; i < count; i++) {
		bool is_twice = false;

		if (!choice_has(allowed, items[i], false)) {
			value_error(set, value, "%s in %s is not a known value; allowed: %s",
			    quote_value(set->arena, items[i]), quote_value(set->arena, value->text),
			    allowed);
			continue;
		}
		for (size_t k = 0; k < health->status_count; k++)
			is_twice = is_twice || strcmp(health->status[k], items[i] + 5) == 0;
		if (is_twice)
			value_error(set, value, "%s stands twice; allowed: once each",
			    quote_value(set->arena, items[i]));
		else
			health->status[health->status_count++] = items[i] + 5;
	}
}

static void
set_http(struct service *service, struct gen_health *health, bool is_l7)
{
	const char *uri = value_text(&service->set, ACK_HEALTH_URI);
	const char *domain = value_text(&service->set, ACK_HEALTH_DOMAIN);

	health->path = uri != NULL ? uri : "/";
	health->host = domain != NULL && strcmp(domain, "$_ip") != 0 ? domain : NULL;
	/* on tcp listeners CLB always asks with HEAD */
	health->method =
	    is_l7 && value_is(&service->set, ACK_HEALTH_METHOD, "get") ? "GET" : "HEAD";
}

static void
read_port(struct service *service, struct service_port *port, const struct gen_health *common)
{
	struct annotation_set *set = &service->set;
	struct gen_health *health = &port->health;
	bool is_l7 = port->protocol == GEN_HTTP || port->protocol == GEN_HTTPS;
	unsigned timeout;

	*health = *common;
	if (is_l7) {
		if (!value_is(set, ACK_HEALTH_FLAG, "on"))
			health->type = HEALTH_OFF;
		else
			health->type =
			    value_is(set, ACK_HEALTH_TYPE, "tcp") ? HEALTH_TCP : HEALTH_HTTP;
		timeout = value_number(set, ACK_HEALTH_TIMEOUT, 5);
	} else {
		if (value_is(set, ACK_HEALTH_SWITCH, "off"))
			health->type = HEALTH_OFF;
		else
			health->type = port->is_udp                             ? HEALTH_UDP
				       : value_is(set, ACK_HEALTH_TYPE, "http") ? HEALTH_HTTP
										: HEALTH_TCP;
		timeout = value_number(set, ACK_HEALTH_CONNECT_TIMEOUT, 5);
	}
	/* a timeout below the interval: the interval counts */
	health->timeout_s = timeout > health->interval_s ? timeout : health->interval_s;
	if (health->type == HEALTH_HTTP)
		set_http(service, health, is_l7);
}

/* Which of the two switches counts depends on the listener; say so where the wrong one is off. */
static void
check_switch(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *flag = value_get(set, ACK_HEALTH_FLAG);

	if (flag == NULL || strcmp(flag->text, "off") != 0 ||
	    (service_protocols(service) & ON_L7) != 0)
		return;
	value_warning(set, flag, "no effect on tcp and udp listeners; use %s",
	    annotation_key(ACK_HEALTH_SWITCH));
	value_idle(set, flag, "no effect on tcp and udp listeners");
}

void
ack_read_health(struct service *service)
{
	struct annotation_set *set = &service->set;
	const char *port = value_text(set, ACK_HEALTH_CONNECT_PORT);
	struct gen_health common = {
		.interval_s = value_number(set, ACK_HEALTH_INTERVAL, 2),
		.rise = value_number(set, ACK_HEALTHY_THRESHOLD, 3),
		.fall = value_number(set, ACK_UNHEALTHY_THRESHOLD, 3),
	};

	if (port != NULL && strcmp(port, "-520") != 0)
		common.port = (uint16_t)strtoul(port, NULL, 10);
	read_status(service, &common);
	check_switch(service);
	for (size_t i = 0; i < service->port_count; i++)
		read_port(service, &service->ports[i], &common);
}
