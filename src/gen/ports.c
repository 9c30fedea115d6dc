/* What the annotations of both providers share: protocols of ports, certificates, access lists. */
#include <string.h>

#include "weir/arena.h"
#include "weir/tls_policy.h"

#include "certificate_priv.h"
#include "service_priv.h"

static const struct {
	const char *name;
	enum gen_protocol protocol;
	unsigned bit;
} protocols[] = {
	{ "tcp", GEN_TCP, ON_TCP },
	{ "udp", GEN_UDP, ON_UDP },
	{ "http", GEN_HTTP, ON_HTTP },
	{ "https", GEN_HTTPS, ON_HTTPS },
	{ "tls", GEN_TLS, ON_TLS },
};

enum { PROTOCOL_COUNT = sizeof(protocols) / sizeof(protocols[0]) };

unsigned
protocol_bit(enum gen_protocol protocol)
{
	for (size_t i = 0; i < PROTOCOL_COUNT; i++)
		if (protocols[i].protocol == protocol)
			return protocols[i].bit;
	return 0;
}

unsigned
service_protocols(const struct service *service)
{
	unsigned bits = 0;

	for (size_t i = 0; i < service->port_count; i++)
		if (!service->ports[i].is_hidden)
			bits |= protocol_bit(service->ports[i].protocol);
	return bits;
}

struct service_port *
service_find_port(struct service *service, unsigned number, bool is_udp)
{
	for (size_t i = 0; i < service->port_count; i++)
		if (service->ports[i].port == number && service->ports[i].is_udp == is_udp)
			return &service->ports[i];
	return NULL;
}

/* The clouds take longer names than weir.yaml(5). */
void
ports_check_cookie(struct service *service, struct where where, const char *key, const char *name)
{
	enum { NAME_SERVED = 128 };

	if (strlen(name) > NAME_SERVED)
		diag_error(service->gen->diag, where,
		    "%s: %s is %zu characters; allowed: 1 to %d in this version", key,
		    quote_value(service->gen->arena, name), strlen(name), NAME_SERVED);
}

/* "80, 443": the ports of the Service, each number once. */
static const char *
print_ports(struct service *service)
{
	const char *text = "";

	for (size_t i = 0; i < service->port_count; i++) {
		const struct service_port *port = &service->ports[i];

		if (port->is_udp && service_find_port(service, port->port, false) != NULL)
			continue;
		text = arena_printf(
		    service->gen->arena, "%s%s%u", text, text[0] != '\0' ? ", " : "", port->port);
	}
	return text[0] != '\0' ? text : "none";
}

/* One PROTOCOL:PORT item; `seen` marks the ports that had one. */
static void
read_protocol(
    struct service *service, struct value *value, const char *item, const char *allowed, bool *seen)
{
	struct arena *arena = service->gen->arena;
	const char *colon = strchr(item, ':');
	struct service_port *tcp, *udp, *port;
	char *name;
	unsigned number;
	size_t k = 0;

	if (colon == NULL || colon == item || colon[1] == '\0' || strchr(colon + 1, ':') != NULL) {
		value_error(&service->set, value, "%s is not PROTOCOL:PORT; allowed: %s",
		    quote_value(arena, item), value->row->allowed);
		return;
	}
	name = arena_strndup(arena, item, (size_t)(colon - item));
	if (!choice_has(allowed, name, false)) {
		value_error(&service->set, value, "%s in %s is not a known protocol; allowed: %s%s",
		    quote_value(arena, name), quote_value(arena, item), allowed,
		    choice_has(allowed, name, true) ? " (case matters)" : "");
		return;
	}
	if (!number_parse(colon + 1, &number) || number < 1 || number > 65535) {
		value_error(&service->set, value, "%s in %s is not a port; allowed: 1 to 65535",
		    quote_value(arena, colon + 1), quote_value(arena, item));
		return;
	}
	while (strcmp(protocols[k].name, name) != 0)
		k++;
	tcp = service_find_port(service, number, false);
	udp = service_find_port(service, number, true);
	port = protocols[k].protocol == GEN_UDP ? udp : tcp;
	if (tcp == NULL && udp == NULL) {
		value_error(&service->set, value, "port %u in %s is not in spec.ports; allowed: %s",
		    number, quote_value(arena, item), print_ports(service));
	} else if (port == NULL) {
		value_error(&service->set, value, "%s but spec.ports has %u as %s; allowed: %s",
		    quote_value(arena, item), number, tcp != NULL ? "TCP" : "UDP",
		    tcp != NULL ? "http, https, tcp" : "udp");
	} else if (seen[port - service->ports]) {
		value_error(&service->set, value, "port %u stands twice in %s; allowed: once each",
		    number, quote_value(arena, value->text));
	} else {
		seen[port - service->ports] = true;
		port->protocol = protocols[k].protocol;
		value_note(&service->set, value, "%s%sport %u is served as %s",
		    value->note != NULL ? value->note : "", value->note != NULL ? ", " : "", number,
		    name);
	}
}

void
ports_read_protocols(struct service *service, enum annotation_id id, const char *allowed)
{
	struct value *value = value_get(&service->set, id);
	const char **items;
	bool *seen;
	size_t count;

	if (value == NULL)
		return;
	items = value_items(&service->set, value, &count);
	seen = arena_array(service->gen->arena, service->port_count + 1, sizeof(*seen));
	for (size_t i = 0; i < count; i++)
		read_protocol(service, value, items[i], allowed, seen);
	if (count == 0)
		value_error(
		    &service->set, value, "\"\" is empty; allowed: %s", value->row->allowed);
}

bool
ports_check_certificate(struct service *service, const struct value *value, const char *id)
{
	const char *tried;

	if (site_has_certificate(&service->gen->site, service->gen->arena, id, &tried))
		return true;
	value_error(&service->set, value,
	    "certificate %s is not in the site's store; allowed: an ID with a file there (tried "
	    "%s)",
	    quote_value(service->gen->arena, id), tried);
	return false;
}

const char *
ports_judge_key(const struct service *service, const char *id, enum tls_key key)
{
	static const char *const names[] = {
		[TLS_KEY_RSA] = "an RSA", [TLS_KEY_ECDSA] = "an EC", [TLS_KEY_DSA] = "a DSA"
	};
	const struct tls_policy *policy = tls_policy_find(service->policy);
	struct arena *arena = service->gen->arena;
	bool is_cce = service->set.provider == PROVIDER_CCE;

	if (policy == NULL || tls_policy_serves(policy, key))
		return NULL;
	return arena_printf(arena,
	    "certificate %s has %s key, which no suite of %s policy %s can use; allowed: a "
	    "certificate with an RSA key, or another %s",
	    quote_value(arena, id), names[key], service->policy_is_implicit ? "the default" : "the",
	    policy->name, annotation_key(is_cce ? CCE_TLS_POLICY : ACK_TLS_CIPHER_POLICY));
}

bool
ports_check_policy(struct service *service, const struct value *value, const char *id)
{
	const char *fault = NULL;
	enum tls_key key;

	if (certificate_find_key(&service->gen->site, service->gen->arena, id, &key))
		fault = ports_judge_key(service, id, key);
	if (fault != NULL)
		value_error(&service->set, value, "%s", fault);
	return fault == NULL;
}

bool
ports_check_certificate_id(struct service *service, const struct value *value, const char *id)
{
	if (check_certificate_id(id))
		return ports_check_certificate(service, value, id) &&
		       ports_check_policy(service, value, id);
	value_error(&service->set, value, "%s is not a certificate ID; allowed: %s",
	    quote_value(service->gen->arena, id), annotation_row(CCE_CERT_ID)->allowed);
	return false;
}

/* Names of one certificate that no earlier one of the list has. */
static bool
has_name(const struct service *service, const char *name)
{
	for (size_t i = 0; i < service->server_name_count; i++)
		if (strcmp(service->server_names[i].name, name) == 0)
			return true;
	return false;
}

void
ports_add_names(
    struct service *service, const struct value *value, const char *const *ids, size_t id_count)
{
	struct arena *arena = service->gen->arena;

	for (size_t i = 0; i < id_count; i++) {
		const char **names = NULL;
		struct gen_server_name *longer;
		size_t count = 0;

		if (!ports_check_certificate_id(service, value, ids[i]))
			continue;
		names = certificate_names(&service->gen->site, arena, ids[i], &count);
		if (count == 0) {
			value_error(&service->set, value,
			    "certificate %s %s; allowed: one with a DNS name in it",
			    quote_value(arena, ids[i]),
			    names != NULL ? "holds no name"
					  : "cannot be read, and its names are needed");
			continue;
		}
		longer = arena_array(arena, service->server_name_count + count, sizeof(*longer));
		if (service->server_name_count > 0)
			memcpy(longer, service->server_names,
			    service->server_name_count * sizeof(*longer));
		service->server_names = longer;
		for (size_t k = 0; k < count; k++)
			if (!has_name(service, names[k]))
				longer[service->server_name_count++] =
				    (struct gen_server_name){ names[k], ids[i] };
	}
}

void
ports_check_certificates(
    struct service *service, enum annotation_id protocol_port, enum annotation_id cert_id)
{
	struct annotation_set *set = &service->set;
	struct value *ports = value_get(set, protocol_port), *cert = value_get(set, cert_id);

	if (cert != NULL && ports_check_certificate(service, cert, cert->text) &&
	    ports_check_policy(service, cert, cert->text))
		service->certificate = cert->text;
	if (value_is_written(set, cert_id) || ports == NULL)
		return;
	for (size_t i = 0; i < service->port_count; i++) {
		const struct service_port *port = &service->ports[i];

		if (port->protocol == GEN_HTTPS || port->protocol == GEN_TLS) {
			value_error(set, ports, "\"%s:%u\" needs %s",
			    port->protocol == GEN_HTTPS ? "https" : "tls", port->port,
			    annotation_key(cert_id));
			return;
		}
	}
}

const struct site_acl *
ports_find_acl(struct service *service, const struct value *value, const char *id)
{
	struct site *site = &service->gen->site;
	const struct site_acl *acl = site_find_acl(site, id);
	const char *names = "";

	if (acl != NULL)
		return acl;
	for (size_t i = 0; i < site->acls.count && i < 8; i++) {
		const struct site_acl *known = site->acls.items[i];

		names = arena_printf(
		    service->gen->arena, "%s%s%s", names, i > 0 ? ", " : "", known->name);
	}
	value_error(&service->set, value, "%s is not in the site file's acls; allowed: %s%s",
	    quote_value(service->gen->arena, id),
	    site->acls.count > 0 ? names : "none, as it has no acls",
	    site->acls.count > 8 ? ", ..." : "");
	return NULL;
}

struct label_wish *
ports_read_pairs(struct service *service, enum annotation_id id, size_t *count, bool needs_equals)
{
	struct arena *arena = service->gen->arena;
	struct value *value = value_get(&service->set, id);
	struct label_wish *pairs;
	const char **items;
	size_t item_count;

	*count = 0;
	if (value == NULL)
		return NULL;
	items = value_items(&service->set, value, &item_count);
	pairs = arena_array(arena, item_count, sizeof(*pairs));
	for (size_t i = 0; i < item_count; i++) {
		const char *equals = strchr(items[i], '=');

		if (items[i][0] == '\0' || equals == items[i] || (equals == NULL && needs_equals)) {
			value_error(&service->set, value, "%s is not KEY=VALUE; allowed: %s",
			    quote_value(arena, items[i]), value->row->allowed);
			continue;
		}
		/* all behind the first '=' belongs to the value */
		pairs[(*count)++] = (struct label_wish){
			.key = equals != NULL
				   ? arena_strndup(arena, items[i], (size_t)(equals - items[i]))
				   : items[i],
			.value = equals != NULL ? equals + 1 : "",
		};
	}
	return pairs;
}
