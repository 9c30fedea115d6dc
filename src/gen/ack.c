/* What ACK's annotations mean: instance, listeners, stickiness, weights.  Health checks:
 * ack_health.c. */
#include "ack_priv.h"

#include <string.h>
#include <sys/socket.h>

#include "weir/arena.h"

static void
read_instance(struct service *service)
{
	struct annotation_set *set = &service->set;
	const char *family = value_text(set, ACK_IP_VERSION);

	service->instance_value = value_get(set, ACK_ID);
	service->instance_id = value_text(set, ACK_ID);
	service->is_forced = value_is(set, ACK_FORCE_OVERRIDE, "true");
	service->address_type =
	    value_is(set, ACK_ADDRESS_TYPE, "intranet") ? "intranet" : "internet";
	service->listen_family =
	    family != NULL && strcasecmp(family, "ipv6") == 0 ? AF_INET6 : AF_INET;
	if (service->gen->site.bind_annotated_address)
		service->bind_address = value_text(set, ACK_IP);
	if (value_is(set, ACK_BACKEND_IP_VERSION, "ipv4"))
		service->backend_family = AF_INET;
	else if (value_is(set, ACK_BACKEND_IP_VERSION, "ipv6") &&
		 service->listen_family == AF_INET6)
		service->backend_family = AF_INET6;
	else if (value_is(set, ACK_BACKEND_IP_VERSION, "ipv6"))
		value_idle(set, value_get(set, ACK_BACKEND_IP_VERSION),
		    "no effect: it counts only with ip-version ipv6");
	else if (value_is(set, ACK_BACKEND_IP_VERSION, "dualstack"))
		value_warning(set, value_get(set, ACK_BACKEND_IP_VERSION),
		    "\"dualstack\" is for NLB, no effect on CLB");
}

/* `value` is set, so `other` must be, too. */
static void
needs(struct annotation_set *set, const struct value *value, enum annotation_id other,
    const char *allowed)
{
	if (!value_is_written(set, other))
		value_error(set, value, "%s needs %s%s", quote_value(set->arena, value->text),
		    annotation_key(other), allowed);
}

static void
check_billing(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *spec = value_get(set, ACK_SPEC), *zone = value_get(set, ACK_MASTER_ZONEID);
	struct value *bandwidth = value_get(set, ACK_BANDWIDTH);

	if (spec != NULL && value_is(set, ACK_INSTANCE_CHARGE_TYPE, "PayByCLCU"))
		value_error(set, spec, "%s cannot be set with %s \"PayByCLCU\"",
		    quote_value(set->arena, spec->text), annotation_key(ACK_INSTANCE_CHARGE_TYPE));
	if (spec != NULL && !choice_has("slb.s1.small, slb.s2.small, slb.s2.medium, slb.s3.small, "
					"slb.s3.medium, slb.s3.large",
				spec->text, false))
		value_warning(set, spec, "%s is not a specification known here, kept as it is",
		    quote_value(set->arena, spec->text));
	if (zone != NULL)
		needs(set, zone, ACK_SLAVE_ZONEID, "");
	zone = value_get(set, ACK_SLAVE_ZONEID);
	if (zone != NULL)
		needs(set, zone, ACK_MASTER_ZONEID, "");
	if (bandwidth == NULL)
		return;
	if (!value_is(set, ACK_CHARGE_TYPE, "paybybandwidth"))
		value_idle(set, bandwidth, "no limit: charge-type is not paybybandwidth");
	else if (strcmp(service->address_type, "internet") != 0)
		value_idle(set, bandwidth, "no limit: address-type is intranet");
	else if (service->gen->site.ignore_bandwidth)
		value_idle(
		    set, bandwidth, "no limit: the site file says defaults.bandwidth: ignore");
	else {
		service->bandwidth_mbit = bandwidth->number;
		service->bandwidth_value = bandwidth;
		service->bandwidth_where = bandwidth->where;
		value_note(set, bandwidth,
		    "%u Mbit/s in each direction, shared by all listeners of the load balancer",
		    bandwidth->number);
	}
}

static void
check_network(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *ip = value_get(set, ACK_IP), *vswitch = value_get(set, ACK_VSWITCH_ID);
	struct value *preserve = value_get(set, ACK_PRESERVE);

	if (ip != NULL && !value_is(set, ACK_ADDRESS_TYPE, "intranet"))
		value_error(set, ip, "%s needs %s \"intranet\"", quote_value(set->arena, ip->text),
		    annotation_key(ACK_ADDRESS_TYPE));
	else if (ip != NULL)
		needs(set, ip, ACK_VSWITCH_ID, "");
	if (vswitch != NULL && !value_is(set, ACK_ADDRESS_TYPE, "intranet"))
		value_warning(set, vswitch, "no effect without %s \"intranet\"",
		    annotation_key(ACK_ADDRESS_TYPE));
	if (preserve != NULL && strcmp(preserve->text, "false") == 0)
		value_warning(set, preserve,
		    "\"false\" means to preserve, too: any text does; no effect here");
}

/* The server_names of all https listeners: DOMAIN:CERT-ID items. */
static void
read_domains(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct arena *arena = service->gen->arena;
	struct value *value = value_get(set, ACK_DOMAIN_EXTENSIONS);
	struct gen_server_name *names;
	const char **items;
	size_t item_count, count = 0;

	if (value == NULL)
		return;
	items = value_items(set, value, &item_count);
	names = arena_array(arena, item_count, sizeof(*names));
	for (size_t i = 0; i < item_count; i++) {
		const char *colon = strchr(items[i], ':');
		bool is_twice = false;
		char *name;

		if (colon == NULL || strchr(colon + 1, ':') != NULL) {
			value_error(set, value, "%s is not DOMAIN:CERT-ID; allowed: %s",
			    quote_value(arena, items[i]), value->row->allowed);
			continue;
		}
		name = arena_strndup(arena, items[i], (size_t)(colon - items[i]));
		for (char *p = name; *p != '\0'; p++)
			*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 'a' - 'A' : *p);
		for (size_t k = 0; k < count; k++)
			is_twice = is_twice || strcmp(names[k].name, name) == 0;
		if (!check_server_name(name))
			value_error(set, value,
			    "%s in %s is not a domain; allowed: a name such as "
			    "api.example.com or *.example.com",
			    quote_value(arena, name), quote_value(arena, items[i]));
		else if (!check_certificate_id(colon + 1))
			value_error(set, value, "%s in %s is not a certificate ID; allowed: %s",
			    quote_value(arena, colon + 1), quote_value(arena, items[i]),
			    annotation_row(ACK_CERT_ID)->allowed);
		else if (is_twice)
			value_error(set, value, "domain %s stands twice; allowed: once each",
			    quote_value(arena, name));
		else if (ports_check_certificate(service, value, colon + 1) &&
			 ports_check_policy(service, value, colon + 1))
			names[count++] = (struct gen_server_name){ name, colon + 1 };
	}
	service->server_names = names;
	service->server_name_count = count;
}

static void
read_tls(struct service *service)
{
	const char *policy = value_text(&service->set, ACK_TLS_CIPHER_POLICY);

	service->policy_is_implicit = !value_is_written(&service->set, ACK_TLS_CIPHER_POLICY);
	service->policy = policy != NULL ? policy : "tls_cipher_policy_1_2";
	service->http2 = !value_is(&service->set, ACK_HTTP2_ENABLED, "off");
	ports_check_certificates(service, ACK_PROTOCOL_PORT, ACK_CERT_ID);
	read_domains(service);
}

/* "443, 8443": the ports of that protocol. */
static const char *
print_ports_of(struct service *service, enum gen_protocol protocol)
{
	const char *text = "";

	for (size_t i = 0; i < service->port_count; i++)
		if (service->ports[i].protocol == protocol)
			text = arena_printf(service->gen->arena, "%s%s%u", text,
			    text[0] != '\0' ? ", " : "", service->ports[i].port);
	return text[0] != '\0'         ? text
	       : protocol == GEN_HTTPS ? "an https port, but there is none"
				       : "an http port, but there is none";
}

struct forward {
	const char *item;
	unsigned from, to;
};

static bool
forward_parse(struct service *service, struct value *value, const char *item, struct forward *f)
{
	struct arena *arena = service->gen->arena;
	const char *colon = strchr(item, ':');

	f->item = item;
	if (colon != NULL &&
	    number_parse(arena_strndup(arena, item, (size_t)(colon - item)), &f->from) &&
	    number_parse(colon + 1, &f->to) && f->from >= 1 && f->from <= 65535 && f->to >= 1 &&
	    f->to <= 65535)
		return true;
	value_error(&service->set, value, "%s is not PORT:PORT; allowed: %s",
	    quote_value(arena, item), value->row->allowed);
	return false;
}

/* Does following the redirects from any of them come back to it? */
static bool
forwards_cycle(const struct forward *forwards, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned at = forwards[i].to;

		for (size_t step = 0; step < count; step++) {
			if (at == forwards[i].from)
				return true;
			for (size_t k = 0; k < count; k++) {
				if (forwards[k].from == at) {
					at = forwards[k].to;
					break;
				}
			}
		}
	}
	return false;
}

static void
apply_forward(struct service *service, struct value *value, const struct forward *f)
{
	struct annotation_set *set = &service->set;
	struct arena *arena = service->gen->arena;
	struct service_port *from = service_find_port(service, f->from, false);
	struct service_port *to = service_find_port(service, f->to, false);

	if (from == NULL || from->protocol != GEN_HTTP) {
		value_error(set, value,
		    "port %u in %s is not an http port of this Service; allowed: %s", f->from,
		    quote_value(arena, f->item), print_ports_of(service, GEN_HTTP));
	} else if (to == NULL || to->protocol != GEN_HTTPS) {
		value_error(set, value,
		    "target %u in %s is not an https port of this Service; allowed: %s", f->to,
		    quote_value(arena, f->item), print_ports_of(service, GEN_HTTPS));
	} else if (from->redirect_to != 0) {
		value_error(set, value, "port %u stands twice in %s; allowed: once each", f->from,
		    quote_value(arena, value->text));
	} else {
		from->redirect_to = to->port;
		value_note(set, value, "%s%sport %u answers 301 to https port %u",
		    value->note != NULL ? value->note : "", value->note != NULL ? ", " : "",
		    f->from, f->to);
	}
}

static void
read_forwards(struct service *service)
{
	struct value *value = value_get(&service->set, ACK_FORWARD_PORT);
	struct forward *forwards;
	const char **items;
	size_t item_count, count = 0;

	if (value == NULL)
		return;
	items = value_items(&service->set, value, &item_count);
	forwards = arena_array(service->gen->arena, item_count + 1, sizeof(*forwards));
	for (size_t i = 0; i < item_count; i++)
		if (forward_parse(service, value, items[i], &forwards[count]))
			count++;
	if (count <= 64 && forwards_cycle(forwards, count)) {
		value_error(&service->set, value,
		    "%s is a cycle: targets must be https ports of this Service; allowed: %s",
		    quote_value(service->gen->arena, value->text),
		    print_ports_of(service, GEN_HTTPS));
		return;
	}
	for (size_t i = 0; i < count; i++)
		apply_forward(service, value, &forwards[i]);
}

static void
read_scheduler(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *value = value_get(set, ACK_SCHEDULER);
	const char *name = value != NULL ? value->text : "rr";

	service->rules.level = true;
	service->balance = BALANCE_WRR;
	if (strcmp(name, "wrr") == 0) {
		service->rules.level = false;
	} else if (strcmp(name, "wlc") == 0) {
		service->rules.level = false;
		service->balance = BALANCE_WLC;
		value_warning(set, value, "\"wlc\" is known to older load balancers only");
	} else if (strcmp(name, "sch") == 0) {
		service->balance = BALANCE_SOURCE_HASH;
	} else if (strcmp(name, "tch") == 0) {
		service->balance = BALANCE_TUPLE_HASH;
	}
	if ((strcmp(name, "sch") == 0 || strcmp(name, "tch") == 0) &&
	    (service_protocols(service) & ON_L7) != 0)
		value_warning(set, value,
		    "CLB offers \"%s\" for tcp and udp listeners only; here it "
		    "works on http and https ones, too",
		    name);
}

static void
read_access(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *status = value_get(set, ACK_ACL_STATUS), *id = value_get(set, ACK_ACL_ID);

	if (id != NULL && strchr(id->text, ',') != NULL) {
		value_error(set, id, "%s is more than one ID; allowed: one",
		    quote_value(set->arena, id->text));
		return;
	}
	if (!value_is(set, ACK_ACL_STATUS, "on")) {
		if (id != NULL)
			value_idle(set, id, "no effect: acl-status is not on");
		if (value_get(set, ACK_ACL_TYPE) != NULL)
			value_idle(
			    set, value_get(set, ACK_ACL_TYPE), "no effect: acl-status is not on");
		return;
	}
	needs(set, status, ACK_ACL_ID, "");
	needs(set, status, ACK_ACL_TYPE, " (white, black)");
	if (id != NULL)
		service->acl = ports_find_acl(service, id, id->text);
	service->acl_is_deny = value_is(set, ACK_ACL_TYPE, "black");
}

static void
read_stickiness(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *on = value_get(set, ACK_STICKY_SESSION);
	struct value *type = value_get(set, ACK_STICKY_SESSION_TYPE);
	static const enum annotation_id details[] = { ACK_STICKY_SESSION_TYPE, ACK_COOKIE_TIMEOUT,
		ACK_COOKIE };

	service->sticky_l4.timeout_s = value_number(set, ACK_PERSISTENCE_TIMEOUT, 0);
	if (service->sticky_l4.timeout_s > 0)
		service->sticky_l4.by = STICKY_SOURCE_IP;
	if (on == NULL || strcmp(on->text, "on") != 0) {
		for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++)
			if (value_get(set, details[i]) != NULL)
				value_idle(set, value_get(set, details[i]),
				    "no effect: sticky-session is not on");
		return;
	}
	needs(set, on, ACK_STICKY_SESSION_TYPE, " (insert, server)");
	if (type != NULL && strcmp(type->text, "insert") == 0) {
		needs(set, type, ACK_COOKIE_TIMEOUT, " (1 to 86400 seconds)");
		service->sticky_l7.by = STICKY_COOKIE_INSERT;
		service->sticky_l7.timeout_s = value_number(set, ACK_COOKIE_TIMEOUT, 1);
		if (value_get(set, ACK_COOKIE) != NULL)
			value_idle(set, value_get(set, ACK_COOKIE),
			    "no effect: sticky-session-type is insert");
	} else if (type != NULL) {
		needs(set, type, ACK_COOKIE, " (a cookie name)");
		service->sticky_l7.by = STICKY_COOKIE_PREFIX;
		service->sticky_l7.name = value_text(set, ACK_COOKIE);
		if (value_get(set, ACK_COOKIE) != NULL)
			ports_check_cookie(service, value_get(set, ACK_COOKIE)->where,
			    value_get(set, ACK_COOKIE)->key, service->sticky_l7.name);
		if (value_get(set, ACK_COOKIE_TIMEOUT) != NULL)
			value_idle(set, value_get(set, ACK_COOKIE_TIMEOUT),
			    "no effect: sticky-session-type is server");
	}
}

static void
read_connections(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *drain = value_get(set, ACK_CONNECTION_DRAIN);

	service->forwarded.proto = value_is(set, ACK_XFF_PROTO, "on");
	service->forwarded.slb_port = value_is(set, ACK_XFF_SLBPORT, "on");
	service->forwarded.client_src_port = value_is(set, ACK_XFF_CLIENTSRCPORT, "on");
	service->proxy_protocol = value_is(set, ACK_PROXY_PROTOCOL, "on");
	service->timeouts_l7.client_idle = value_number(set, ACK_IDLE_TIMEOUT, 15);
	service->timeouts_l7.response = value_number(set, ACK_REQUEST_TIMEOUT, 60);
	service->timeouts_l4.idle = value_number(set, ACK_ESTABLISHED_TIMEOUT, 900);
	if (value_is(set, ACK_CONNECTION_DRAIN, "on"))
		service->drain_s = value_number(set, ACK_CONNECTION_DRAIN_TIMEOUT, 0);
	if (drain != NULL && strcmp(drain->text, "on") == 0)
		needs(set, drain, ACK_CONNECTION_DRAIN_TIMEOUT, " (10 to 900 seconds)");
	else if (value_get(set, ACK_CONNECTION_DRAIN_TIMEOUT) != NULL)
		value_idle(set, value_get(set, ACK_CONNECTION_DRAIN_TIMEOUT),
		    "no effect: connection-drain is not on");
}

/* VGROUP-ID:PORT items: ports that share a pool with other Services. */
static void
read_groups(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct arena *arena = service->gen->arena;
	struct value *value = value_get(set, ACK_VGROUP_PORT), *weight = value_get(set, ACK_WEIGHT);
	bool has_group = false;
	const char **items = NULL;
	size_t count = 0;

	if (value != NULL && service->instance_id == NULL) {
		value_warning(set, value, "no effect without %s", annotation_key(ACK_ID));
		value_idle(set, value, "no effect without an instance ID");
	} else if (value != NULL) {
		items = value_items(set, value, &count);
	}
	for (size_t i = 0; i < count; i++) {
		const char *colon = strchr(items[i], ':');
		struct service_port *port = NULL;
		unsigned number;
		char *group;

		if (colon == NULL || !number_parse(colon + 1, &number)) {
			value_error(set, value, "%s is not VGROUP-ID:PORT; allowed: %s",
			    quote_value(arena, items[i]), value->row->allowed);
			continue;
		}
		group = arena_strndup(arena, items[i], (size_t)(colon - items[i]));
		port = service_find_port(service, number, false);
		if (port == NULL)
			port = service_find_port(service, number, true);
		if (!check_instance_id(group))
			value_error(set, value, "%s in %s is not a group ID; allowed: %s",
			    quote_value(arena, group), quote_value(arena, items[i]),
			    annotation_row(ACK_ID)->allowed);
		else if (port == NULL)
			value_error(set, value,
			    "port %u in %s is not in spec.ports; allowed: its ports", number,
			    quote_value(arena, items[i]));
		else
			port->group = group;
		has_group = true;
	}
	if (weight != NULL && !has_group) {
		value_warning(set, weight, "no effect without %s and %s", annotation_key(ACK_ID),
		    annotation_key(ACK_VGROUP_PORT));
		value_idle(set, weight, "no effect without id and vgroup-port");
	}
}

static void
read_backends(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct backend_rules *rules = &service->rules;
	struct value *weight = value_get(set, ACK_WEIGHT);

	if (value_is(set, ACK_BACKEND_TYPE, "eni"))
		service->place = PLACE_PODS;
	else if (value_is(set, ACK_BACKEND_TYPE, "ecs"))
		service->place = PLACE_NODES;
	if (value_is(set, ACK_IGNORE_WEIGHT_UPDATE, "on"))
		service->weights = WEIGHTS_KEEP;
	else if (value_is(set, ACK_IGNORE_WEIGHT_UPDATE, "off"))
		service->weights = WEIGHTS_RESET;
	rules->virtual_nodes = true;
	rules->drop_cordoned = value_is(set, ACK_REMOVE_UNSCHEDULED, "on");
	rules->labels = ports_read_pairs(service, ACK_BACKEND_LABEL, &rules->label_count, true);
	rules->rule = service->is_local ? WEIGHT_PODS : WEIGHT_FIXED;
	rules->weight = value_number(set, ACK_DEFAULT_WEIGHT, 100);
	if (weight != NULL && !weight->no_effect) {
		rules->rule = WEIGHT_SHARE;
		rules->weight = weight->number;
	}
}

void
ack_apply(struct service *service)
{
	size_t tags;

	read_instance(service);
	check_billing(service);
	check_network(service);
	ports_read_pairs(service, ACK_TAGS, &tags, false);
	ports_read_protocols(service, ACK_PROTOCOL_PORT, "http, https, tcp, udp");
	read_tls(service);
	read_forwards(service);
	read_scheduler(service);
	read_access(service);
	read_stickiness(service);
	read_connections(service);
	read_groups(service);
	read_backends(service);
	ack_read_health(service);
}
