/* What CCE's annotations mean: instance, listeners, stickiness, weights.  Health checks:
 * cce_health.c. */
#include "cce_priv.h"

#include <string.h>

#include "weir/arena.h"

unsigned
json_number(const struct yaml_node *object, const char *name, unsigned preset)
{
	const char *text = yaml_get_text(object, name);
	unsigned number;

	return text != NULL && number_parse(text, &number) ? number : preset;
}

/* `need` says why, as in `type "public"`. */
static void
need_field(struct service *service, const struct value *value, const char *need, const char *name)
{
	if (yaml_get(value->json, name) == NULL)
		value_error(&service->set, value, "%s needs %s", need, name);
}

/* What is said of the bandwidth holds for both ways of charging. */
static void
read_bandwidth(struct service *service, struct value *value)
{
	const struct yaml_node *size = yaml_get(value->json, "bandwidth_size");

	if (size == NULL || size->type != YAML_SCALAR ||
	    !number_parse(size->text, &service->bandwidth_mbit))
		return; /* told already */
	service->bandwidth_value = value;
	service->bandwidth_where = size->where;
	value_note(&service->set, value,
	    "%s; %u Mbit/s in each direction, shared by all listeners of the load balancer",
	    value->row->doc, service->bandwidth_mbit);
}

static void
check_autocreate(struct service *service, struct value *value)
{
	static const char *const public_fields[] = { "bandwidth_name", "bandwidth_size",
		"bandwidth_sharetype", "eip_type" };
	const char *type = yaml_get_text(value->json, "type");
	const struct yaml_node *eip = yaml_get(value->json, "eip_type");
	bool is_public = type != NULL && strcmp(type, "public") == 0;
	unsigned protocols = service_protocols(service);

	for (size_t i = 0; is_public && i < sizeof(public_fields) / sizeof(public_fields[0]); i++)
		need_field(service, value, "type \"public\"", public_fields[i]);
	if (is_public && !service->gen->site.ignore_bandwidth &&
	    !value_is_written(&service->set, CCE_ID))
		read_bandwidth(service, value);
	service->address_type = is_public ? "internet" : "intranet";
	if (eip != NULL && eip->type == YAML_SCALAR &&
	    !choice_has("5_telcom, 5_union, 5_bgp, 5_sbgp", eip->text, false))
		diag_warning(service->gen->diag, eip->where,
		    "%s: eip_type %s is not a type known here, kept as it is", value->key,
		    quote_value(service->gen->arena, eip->text));
	if (value_is(&service->set, CCE_CLASS, "performance")) {
		need_field(service, value, "class \"performance\"", "available_zone");
		if ((protocols & ON_L4) != 0)
			need_field(service, value,
			    "class \"performance\" with a tcp or udp listener", "l4_flavor_name");
		if ((protocols & ON_L7) != 0 && yaml_get(value->json, "l7_flavor_name") == NULL)
			value_warning(&service->set, value,
			    "class \"performance\" with an http or https "
			    "listener needs l7_flavor_name on the cloud");
	}
	if (service->gen->site.bind_annotated_address)
		service->bind_address = yaml_get_text(value->json, "vip_address");
}

static void
read_instance(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *id = value_get(set, CCE_ID), *autocreate = value_get(set, CCE_AUTOCREATE);
	const char *ip = yaml_get_text(service->object->spec, "loadBalancerIP");

	service->instance_value = id;
	service->instance_id = id != NULL ? id->text : NULL;
	service->instance_ip = value_text(set, CCE_IP);
	if (service->instance_ip == NULL && ip != NULL && ip[0] != '\0')
		service->instance_ip = ip;
	if (autocreate != NULL)
		check_autocreate(service, autocreate);
	if (id != NULL && value_is_written(set, CCE_AUTOCREATE))
		value_warning(set, &set->values[CCE_AUTOCREATE], "%s is set, too, and counts",
		    annotation_key(CCE_ID));
	if (id != NULL && value_is_written(set, CCE_IP))
		value_idle(set, &set->values[CCE_IP], "no effect: id counts");
	if (!value_is_written(set, CCE_ID) && !value_is_written(set, CCE_AUTOCREATE) &&
	    service->instance_ip == NULL && !service->is_alb)
		diag_warning(service->gen->diag, service->object->where,
		    "%s: neither %s nor %s is set; it gets a load balancer of its own",
		    service->what, annotation_key(CCE_ID), annotation_key(CCE_AUTOCREATE));
}

static void
read_balance(struct service *service)
{
	struct annotation_set *set = &service->set;

	service->balance = BALANCE_WRR;
	if (value_is(set, CCE_LB_ALGORITHM, "LEAST_CONNECTIONS"))
		service->balance = BALANCE_WLC;
	if (value_is(set, CCE_LB_ALGORITHM, "SOURCE_IP")) {
		service->balance = BALANCE_SOURCE_HASH;
		service->rules.level = true;
	}
	if (value_is(set, CCE_HOST_NETWORK, "true"))
		service->place = PLACE_HOST_NETWORK;
	service->rules.weight = 1;
	service->rules.rule =
	    value_is(set, CCE_ADAPTIVE_WEIGHT, "true") ? WEIGHT_PODS : WEIGHT_FIXED;
}

/* persistence_timeout in minutes; its range depends on the mode. */
static unsigned
read_minutes(struct service *service, struct value *option, unsigned max, unsigned preset)
{
	struct arena *arena = service->gen->arena;
	const struct yaml_node *node;
	unsigned minutes;

	if (option == NULL)
		return preset;
	node = yaml_get(option->json, "persistence_timeout");
	minutes = json_number(option->json, "persistence_timeout", preset);
	if (minutes >= 1 && minutes <= max)
		return minutes;
	diag_error(service->gen->diag, node->where,
	    "%s: persistence_timeout %s is out of range; allowed: 1 to %u (minutes)", option->key,
	    node->quoted ? quote_value(arena, node->text) : node->text, max);
	return preset;
}

static void
read_stickiness(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *mode = value_get(set, CCE_AFFINITY_MODE);
	struct value *option = value_get(set, CCE_AFFINITY_OPTION);
	unsigned protocols = service_protocols(service);
	const struct yaml_node *node;
	bool by_address;

	if (mode == NULL) {
		read_minutes(service, option, 1440, 60);
		if (option != NULL && !value_is_written(set, CCE_AFFINITY_MODE)) {
			value_warning(
			    set, option, "no effect without %s", annotation_key(CCE_AFFINITY_MODE));
			value_idle(set, option, "no effect without session-affinity-mode");
		}
		return;
	}
	if (value_is(set, CCE_LB_ALGORITHM, "SOURCE_IP"))
		value_error(set, mode, "%s cannot be set with %s \"SOURCE_IP\"",
		    quote_value(set->arena, mode->text), annotation_key(CCE_LB_ALGORITHM));
	by_address = strcmp(mode->text, "SOURCE_IP") == 0;
	if (!by_address && (protocols & ON_L4) != 0)
		value_error(set, mode,
		    "%s needs http or https listeners, %s has others, too; allowed: "
		    "SOURCE_IP",
		    quote_value(set->arena, mode->text), service->what);
	if ((protocols & ON_TLS) != 0 && by_address)
		value_error(set, mode, "tls listeners have no stickiness; allowed: nothing");
	service->sticky_l7.timeout_s =
	    60 * (by_address ? read_minutes(service, option, 60, 60)
			     : read_minutes(service, option, 1440, 1440));
	if (by_address) {
		service->sticky_l7.by = STICKY_SOURCE_IP;
		service->sticky_l4.by = STICKY_SOURCE_IP;
		service->sticky_l4.timeout_s = service->sticky_l7.timeout_s;
	} else if (strcmp(mode->text, "HTTP_COOKIE") == 0) {
		service->sticky_l7.by = STICKY_COOKIE_INSERT;
		service->sticky_l7.name = "ELBSESSION";
	}
	if (strcmp(mode->text, "APP_COOKIE") != 0)
		return;
	node = option != NULL ? yaml_get(option->json, "app_cookie_name") : NULL;
	if (node == NULL) {
		value_error(set, mode, "\"APP_COOKIE\" needs app_cookie_name in %s",
		    annotation_key(CCE_AFFINITY_OPTION));
		return;
	}
	service->sticky_l7.by = STICKY_COOKIE_PREFIX;
	service->sticky_l7.name = node->text;
	ports_check_cookie(service, node->where, option->key, node->text);
}

/* Several lists count as one: a list of its own under their names. */
static const struct site_acl *
join_acls(struct service *service, const struct value *value, const char **ids, size_t count)
{
	struct arena *arena = service->gen->arena;
	struct site_acl *joined = arena_alloc(arena, sizeof(*joined));
	size_t total = 0;

	for (size_t i = 0; i < count; i++) {
		const struct site_acl *acl = ports_find_acl(service, value, ids[i]);

		if (acl == NULL)
			return NULL;
		if (count == 1)
			return acl;
		total += acl->count;
		joined->name =
		    i == 0 ? acl->name : arena_printf(arena, "%s+%s", joined->name, acl->name);
	}
	joined->name = site_free_acl_name(&service->gen->site, arena, joined->name);
	joined->networks = arena_array(arena, total, sizeof(*joined->networks));
	joined->parsed = arena_array(arena, total, sizeof(*joined->parsed));
	for (size_t i = 0; i < count; i++) {
		const struct site_acl *acl = site_find_acl(&service->gen->site, ids[i]);

		for (size_t k = 0; k < acl->count; k++) {
			joined->networks[joined->count] = acl->networks[k];
			joined->parsed[joined->count++] = acl->parsed[k];
		}
	}
	return joined;
}

static void
read_access(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *id = value_get(set, CCE_ACL_ID), *status = value_get(set, CCE_ACL_STATUS);
	bool is_on = value_is(set, CCE_ACL_STATUS, "on") || value_is(set, CCE_ACL_STATUS, "true");
	const char **ids;
	size_t count;

	if (id == NULL || id->text[0] == '\0') {
		if (id != NULL)
			value_note(set, id, "empty: everyone may connect");
		else if (is_on)
			value_error(set, status, "%s needs %s",
			    quote_value(set->arena, status->text), annotation_key(CCE_ACL_ID));
		return;
	}
	if (!value_is_written(set, CCE_ACL_STATUS))
		value_error(set, id, "%s needs %s (on, off)", quote_value(set->arena, id->text),
		    annotation_key(CCE_ACL_STATUS));
	if (!is_on) {
		value_idle(set, id, "no effect: acl-status is not on");
		return;
	}
	if (!value_is_written(set, CCE_ACL_TYPE))
		value_error(set, id, "%s needs %s (white, black)",
		    quote_value(set->arena, id->text), annotation_key(CCE_ACL_TYPE));
	ids = value_items(set, id, &count);
	if (count > 5) {
		value_error(set, id, "%zu IDs; allowed: up to 5", count);
		return;
	}
	service->acl = join_acls(service, id, ids, count);
	service->acl_is_deny = value_is(set, CCE_ACL_TYPE, "black");
}

static void
read_forwarded(struct service *service)
{
	struct annotation_set *set = &service->set;

	service->forwarded = (struct gen_forwarded){
		.port = value_is(set, CCE_X_FORWARDED_PORT, "true"),
		.client_port = value_is(set, CCE_X_FORWARDED_FOR_PORT, "true"),
		.host = value_is(set, CCE_X_FORWARDED_HOST, "true"),
		.real_ip = value_is(set, CCE_X_REAL_IP, "true"),
	};
}

static void
read_timeouts(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *both = value_get(set, CCE_KEEPALIVE_TIMEOUT);
	struct value *l7 = value_get(set, CCE_L7_KEEPALIVE_TIMEOUT), *idle = l7 != NULL ? l7 : both;
	unsigned protocols = service_protocols(service);
	unsigned client = value_number(set, CCE_CLIENT_TIMEOUT, 60);

	if (both != NULL && both->number < 10 && (protocols & ON_L4) != 0 &&
	    !value_is_written(set, CCE_L4_KEEPALIVE_TIMEOUT))
		value_error(set, both,
		    "%s is out of range for tcp, udp and tls listeners; allowed: 10 to 4000 "
		    "(seconds)",
		    quote_value(set->arena, both->text));
	service->timeouts_l7 = (struct gen_timeouts){ .client_head = client,
		.client_body = client,
		.client_idle = idle != NULL ? idle->number : 60,
		.no_idle = idle != NULL && idle->number == 0,
		.response = value_number(set, CCE_MEMBER_TIMEOUT, 60) };
	service->flow_s = service->timeouts_l4.idle = value_number(
	    set, CCE_L4_KEEPALIVE_TIMEOUT, both != NULL && both->number >= 10 ? both->number : 300);
}

/* CCE adds a port of this name for health checks: it is no listener. */
static void
find_probe_port(struct service *service)
{
	for (size_t i = 0; i < service->port_count; i++) {
		struct service_port *port = &service->ports[i];

		if (strcmp(port->name, "cce-healthz") != 0)
			continue;
		port->is_hidden = true;
		service->probe_port = port->node_port != 0 ? port->node_port : port->target_port;
	}
}

void
cce_read_listener(struct service *service)
{
	struct value *ranges = &service->set.values[CCE_PORT_RANGES];
	struct value *transparent = value_get(&service->set, CCE_TRANSPARENT_CLIENT_IP);
	size_t tags;

	read_instance(service);
	ports_read_pairs(service, CCE_TAGS, &tags, false);
	read_access(service);
	read_timeouts(service);
	read_forwarded(service);
	service->gzip = value_is(&service->set, CCE_GZIP_ENABLED, "true");
	if (ranges->text != NULL)
		value_error(&service->set, ranges,
		    "port ranges are not supported; allowed: one port per listener");
	if (transparent != NULL && strcmp(transparent->text, "true") == 0)
		value_warning(&service->set, transparent,
		    "no effect: weir is a proxy, servers see its address, not the client's");
}

void
cce_read_pool(struct service *service)
{
	const char *tls = value_text(&service->set, CCE_SECURITY_POOL_PROTOCOL);

	service->servers_tls = tls != NULL && choice_has("on, true, https", tls, false);
	find_probe_port(service);
	read_balance(service);
	read_stickiness(service);
	cce_read_health(service);
}

/* The policy that the site file has for security_policy_id; NULL: none asked for, or not there. */
static const char *
find_custom_policy(struct service *service)
{
	struct annotation_set *set = &service->set;
	struct value *id = value_get(set, CCE_SECURITY_POLICY_ID);
	const char *policy;

	if (id == NULL)
		return NULL;
	policy = index_find(service->gen->site.tls_policies, id->text);
	if (policy == NULL) {
		value_error(set, id, "%s is not in the site file's tls_policies; allowed: %s",
		    quote_value(set->arena, id->text), id->row->allowed);
		return NULL;
	}
	value_note(set, id, "policy %s of the site file", policy);
	if (value_get(set, CCE_TLS_POLICY) != NULL)
		value_idle(set, value_get(set, CCE_TLS_POLICY),
		    "no effect: security_policy_id counts");
	return policy;
}

void
cce_read_policy(struct service *service)
{
	const char *policy = find_custom_policy(service), *tried;
	struct value *ca = value_get(&service->set, CCE_CLIENT_CA_CERT_ID);

	if (policy == NULL)
		policy = value_text(&service->set, CCE_TLS_POLICY);
	service->policy_is_implicit = !value_is_written(&service->set, CCE_TLS_POLICY) &&
				      !value_is_written(&service->set, CCE_SECURITY_POLICY_ID);
	service->policy = policy != NULL ? policy : "tls-1-2";
	if (ca != NULL &&
	    !site_has_authority(&service->gen->site, service->gen->arena, ca->text, &tried))
		value_error(&service->set, ca,
		    "certificate %s is not in the site's store; allowed: an ID with a file there "
		    "(tried %s)",
		    quote_value(service->gen->arena, ca->text), tried);
	service->client_ca = ca != NULL ? ca->text : NULL;
	service->http2 = value_is(&service->set, CCE_HTTP2_ENABLE, "true") ||
			 value_is(&service->set, CCE_POOL_PROTOCOL, "grpc"); /* which needs it */
}

void
cce_apply(struct service *service)
{
	struct value *more = value_get(&service->set, CCE_TLS_CERTIFICATE_IDS);
	const char **ids;
	size_t count;

	ports_read_protocols(service, CCE_PROTOCOL_PORT, "http, https, tls, tcp, udp");
	cce_read_policy(service);
	ports_check_certificates(service, CCE_PROTOCOL_PORT, CCE_CERT_ID);
	if (more != NULL) {
		ids = value_items(&service->set, more, &count);
		ports_add_names(service, more, ids, count);
	}
	cce_read_pool(service);
	cce_read_listener(service);
}
