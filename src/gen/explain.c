/* --explain: what each annotation did, and what was defaulted. */
#include <string.h>

#include "weir/arena.h"

#include "service_priv.h"

static const char *
protocol_name(enum gen_protocol protocol)
{
	switch (protocol) {
	case GEN_TCP:
		return "tcp";
	case GEN_UDP:
		return "udp";
	case GEN_HTTP:
		return "http";
	case GEN_HTTPS:
		return "https";
	case GEN_TLS:
		return "tls";
	}
	return "";
}

static const char *
outcome_name(const struct value *value)
{
	if (value->no_effect)
		return "no effect";
	switch (value->row->outcome) {
	case OUTCOME_ENFORCE:
		return "enforced";
	case OUTCOME_META:
		return "metadata";
	case OUTCOME_NONE:
		return "no effect";
	}
	return "";
}

/* Text from the manifest on a terminal: one line, no control characters. */
static void
print_text(FILE *out, const char *text)
{
	size_t len = 0;

	fputc('"', out);
	for (; *text != '\0' && len < 64; text++, len++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\n' || c == '\t')
			fputc(' ', out);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
	fputs(*text != '\0' ? "...\"" : "\"", out);
}

static const char *
place_name(const struct service *service)
{
	switch (service->place) {
	case PLACE_PODS:
		return "pods";
	case PLACE_NODES:
		return service->is_local ? "nodes with ready pods" : "nodes";
	case PLACE_HOST_NETWORK:
		return "nodes on the host network";
	}
	return "";
}

static void
explain_route(FILE *out, const struct gen_route *route)
{
	static const char *const matches[] = {
		[PATH_EXACT] = "path",
		[PATH_PREFIX] = "paths below",
		[PATH_STARTS_WITH] = "paths that start with",
		[PATH_REGEX] = "paths that match",
	};

	fprintf(out, "    %s:%u: host ", route->where.file, route->where.line);
	print_text(out, route->host != NULL ? route->host : "*");
	fprintf(out, ", %s ", matches[route->match]);
	print_text(out, route->path);
	if (route->conditions.count > 0)
		fprintf(out, ", with %zu conditions", route->conditions.count);
	if (route->limit.requests > 0 || route->limit.per_source > 0)
		fprintf(out, ", at most %u requests a second (%u of each source; 0: any number)",
		    route->limit.requests, route->limit.per_source);
	if (route->respond != NULL) {
		fprintf(out, ": answered with %s\n", route->respond->status);
		return;
	}
	if (route->redirect != NULL) {
		fprintf(out, ": %s to ", route->status);
		print_text(out, route->redirect);
		fputc('\n', out);
		return;
	}
	if (route->rewrite != NULL) {
		fputs(", as ", out);
		print_text(out, route->rewrite);
	}
	if (route->share_count == 0)
		fprintf(out, ": pool %s with %zu server%s\n", route->pool->name,
		    route->pool->servers.count, route->pool->servers.count == 1 ? "" : "s");
	for (size_t i = 0; i < route->share_count; i++)
		fprintf(out, "%s %s with weight %u%s", i == 0 ? ": pools" : ",",
		    route->shares[i].pool->name, route->shares[i].weight,
		    i + 1 == route->share_count ? "\n" : "");
}

static void
explain_listener(const struct service *service, const struct service_port *port)
{
	FILE *out = service->gen->explain;
	const struct gen_listener *listener = port->listener;

	if (listener == NULL)
		return;
	fprintf(out, "  listener %s: %s on", listener->name, protocol_name(listener->protocol));
	for (size_t i = 0; i < listener->address_count; i++) {
		bool is_v6 = strchr(listener->addresses[i], ':') != NULL;

		fprintf(out, "%s %s%s%s:%u", i > 0 ? "," : "", is_v6 ? "[" : "",
		    listener->addresses[i], is_v6 ? "]" : "", listener->listen_port);
	}
	if (listener->redirect_port != 0)
		fprintf(out, ", redirects to https port %u\n", listener->redirect_port);
	else if (listener->pool != NULL)
		fprintf(out, ", pool %s with %zu server%s\n", listener->pool->name,
		    listener->pool->servers.count, listener->pool->servers.count == 1 ? "" : "s");
	else
		fputc('\n', out);
	for (size_t i = 0; i < listener->routes.count; i++)
		explain_route(out, listener->routes.items[i]);
}

static void
explain_value(const struct service *service, const struct value *value)
{
	FILE *out = service->gen->explain;

	fprintf(out, "  %s:%u:%u: %s: ", value->where.file, value->where.line, value->where.column,
	    value->key);
	print_text(out, value->text != NULL ? value->text : "");
	if (value->text != NULL && !value->is_valid)
		fprintf(out, ": error\n");
	else if (value->note != NULL)
		fprintf(out, ": %s: %s\n", outcome_name(value), value->note);
	else
		fprintf(out, ": %s: %s\n", outcome_name(value), value->row->doc);
}

/* Rows that were not written but have a default that does something for these listeners. */
static void
explain_presets(const struct service *service)
{
	unsigned protocols = service_protocols(service);
	unsigned first = service->set.provider == PROVIDER_CCE ? ACK_END : 0;
	unsigned end = service->set.provider == PROVIDER_CCE ? CCE_END : ACK_END;

	for (unsigned id = first; id < end; id++) {
		const struct annotation *row = annotation_row(id);

		if (value_is_written(&service->set, id) || row->preset == NULL ||
		    row->outcome != OUTCOME_ENFORCE || row->prefix == PREFIX_PATH ||
		    (service->is_ingress ? row->on_service_only : row->on_ingress_only) ||
		    (row->protocols != 0 && (row->protocols & protocols) == 0))
			continue;
		fprintf(service->gen->explain, "  not set: %s: default %s\n", annotation_key(id),
		    row->preset);
	}
	if (service->policy_is_implicit && (protocols & (ON_HTTPS | ON_TLS)) != 0)
		fprintf(service->gen->explain,
		    "  no TLS policy is written: the listeners get %s; a policy that is written is "
		    "obeyed "
		    "to the letter\n",
		    service->policy);
}

void
explain_service(const struct service *service)
{
	FILE *out = service->gen->explain;

	fprintf(out, "%s (%s:%u): provider %s", service->what, service->object->where.file,
	    service->object->where.line, provider_name(service->set.provider));
	if (!service->is_ingress)
		fprintf(out, ", servers: %s", place_name(service));
	fputc('\n', out);
	for (size_t i = 0; i < service->port_count; i++)
		explain_listener(service, &service->ports[i]);
	for (size_t i = 0; i < service->set.written.count; i++)
		explain_value(service, service->set.written.items[i]);
	for (size_t i = 0; i < service->set.ignored.count; i++) {
		const struct yaml_pair *pair = service->set.ignored.items[i];

		fprintf(out, "  %s:%u:%u: %s: ignored: the site file chooses provider %s\n",
		    pair->where.file, pair->where.line, pair->where.column, pair->key,
		    provider_name(service->set.provider));
	}
	for (size_t i = 0; i < service->set.foreign.count; i++) {
		const struct yaml_pair *pair = service->set.foreign.items[i];

		fprintf(out, "  %s:%u:%u: %s: metadata: belongs to NLB/ALB, no effect on CLB\n",
		    pair->where.file, pair->where.line, pair->where.column, pair->key);
	}
	explain_presets(service);
}
