#include "emit_priv.h"

#include <string.h>

#include "weir/yaml.h"

#include "service_priv.h"

/*
 * A text as YAML: plain where every parser reads the same text, in block and in flow context; else
 * in double quotes.
 */
void
emit_text(FILE *out, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "_./+-";
	size_t len = strlen(text);

	if (len > 0 && strspn(text, plain) == len && !text_looks_typed(text) && text[0] != '-' &&
	    text[0] != '.') {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02X", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

/* The same, but names such as default/test:443 stay plain: only for block context. */
static void
emit_name(FILE *out, const char *text)
{
	const char *colon = strchr(text, ':');

	if (colon != NULL && colon != text && colon[1] != '\0' &&
	    strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789/.-:") == strlen(text) &&
	    strchr("-.", text[0]) == NULL && strchr(text, '/') != NULL &&
	    strrchr(text, ':') == colon)
		fputs(text, out);
	else
		emit_text(out, text);
}

static void
emit_indent(FILE *out, int depth)
{
	fprintf(out, "%*s", depth * 2, "");
}

/* The site's `global:` as it is: a plain scalar stays plain, so that its type stays what it was. */
static void
emit_scalar(FILE *out, const struct yaml_node *node)
{
	if (node->type == YAML_NULL)
		return;
	if (node->quoted)
		emit_text(out, node->text);
	else
		fputs(node->text, out);
}

static void emit_tree(FILE *out, const struct yaml_node *node, int depth);

static void
emit_item(FILE *out, const struct yaml_node *node, int depth)
{
	if (node->type == YAML_MAP && node->count == 0) {
		fputs(" {}\n", out);
	} else if (node->type == YAML_LIST && node->count == 0) {
		fputs(" []\n", out);
	} else if (node->type == YAML_MAP || node->type == YAML_LIST) {
		fputc('\n', out);
		emit_tree(out, node, depth + 1);
	} else {
		fputc(' ', out);
		emit_scalar(out, node);
		fputc('\n', out);
	}
}

static void
emit_tree(FILE *out, const struct yaml_node *node, int depth)
{
	for (size_t i = 0; i < node->count; i++) {
		emit_indent(out, depth);
		if (node->type == YAML_MAP) {
			emit_text(out, node->pairs[i].key);
			fputc(':', out);
			emit_item(out, node->pairs[i].value, depth);
		} else {
			fputc('-', out);
			emit_item(out, node->items[i], depth);
		}
	}
}

static void
emit_global(FILE *out, const struct site *site)
{
	bool has_global = site->global != NULL && site->global->count > 0;

	if (!has_global && site->certificates_dir == NULL)
		return;
	fputs("global:\n", out);
	if (has_global)
		emit_tree(out, site->global, 1);
	if (site->certificates_dir != NULL) {
		fputs("  certificates: {dir: ", out);
		emit_text(out, site->certificates_dir);
		fputs("}\n", out);
	}
}

static void
emit_acl(FILE *out, const struct site_acl *acl)
{
	fputs("  ", out);
	emit_text(out, acl->name);
	fputs(": {networks: [", out);
	for (size_t i = 0; i < acl->count; i++) {
		fputs(i > 0 ? ", " : "", out);
		emit_text(out, acl->networks[i]);
	}
	fputs("]}\n", out);
}

/* Access lists that a listener names, each once, in the order of first use. */
static void
emit_acls(FILE *out, const struct model *model)
{
	struct index *seen = index_new();
	bool has_any = false;

	for (size_t i = 0; i < model->listeners.count; i++) {
		struct gen_listener *listener = model->listeners.items[i];

		if (listener->is_dropped || listener->acl == NULL ||
		    index_add(seen, listener->acl->name, listener) != NULL)
			continue;
		fputs(has_any ? "" : "acls:\n", out);
		has_any = true;
		emit_acl(out, listener->acl);
	}
	index_free(seen);
}

/* Limits of the listeners' load balancers, each once, in the order of first use. */
static void
emit_bandwidths(FILE *out, const struct model *model)
{
	struct index *seen = index_new();
	bool has_any = false;

	for (size_t i = 0; i < model->listeners.count; i++) {
		struct gen_listener *listener = model->listeners.items[i];
		struct gen_bandwidth *bandwidth = index_find(model->bandwidths, listener->owner);

		if (listener->is_dropped || bandwidth == NULL ||
		    index_add(seen, bandwidth->name, listener) != NULL)
			continue;
		fputs(has_any ? "  " : "bandwidths:\n  ", out);
		has_any = true;
		emit_text(out, bandwidth->name);
		fprintf(out, ": {in: %um, out: %um}\n", bandwidth->mbit, bandwidth->mbit);
	}
	index_free(seen);
}

static void
emit_listen(FILE *out, const struct gen_listener *listener)
{
	fputs("    listen: [", out);
	for (size_t i = 0; i < listener->address_count; i++) {
		bool is_v6 = strchr(listener->addresses[i], ':') != NULL;

		fprintf(out, "%s\"%s%s%s:%u\"", i > 0 ? ", " : "", is_v6 ? "[" : "",
		    listener->addresses[i], is_v6 ? "]" : "", listener->listen_port);
	}
	fputs("]\n", out);
}

static void
emit_tls(FILE *out, const struct gen_listener *listener)
{
	if (listener->certificate == NULL)
		return;
	fputs("    tls:\n      certificate: ", out);
	emit_text(out, listener->certificate);
	fputc('\n', out);
	if (listener->server_name_count > 0)
		fputs("      server_names:\n", out);
	for (size_t i = 0; i < listener->server_name_count; i++) {
		fputs("        - {name: ", out);
		emit_text(out, listener->server_names[i].name);
		fputs(", certificate: ", out);
		emit_text(out, listener->server_names[i].certificate);
		fputs("}\n", out);
	}
	fputs("      policy: ", out);
	emit_text(out, listener->policy);
	fputc('\n', out);
	if (listener->client_ca != NULL) {
		fputs("      verify: required\n      client_ca: ", out);
		emit_text(out, listener->client_ca);
		fputc('\n', out);
	}
	if (listener->protocol == GEN_HTTPS)
		fputs(listener->http2 ? "      alpn: [h2, http/1.1]\n" : "      alpn: [http/1.1]\n", out);
}

static void
emit_timeouts(FILE *out, const struct gen_timeouts *timeouts)
{
	const struct {
		const char *name;
		unsigned seconds;
		bool is_zero; /* written, and 0 */
	} all[] = {
		{ "client_head", timeouts->client_head, false },
		{ "client_body", timeouts->client_body, false },
		{ "client_idle", timeouts->client_idle, timeouts->no_idle },
		{ "response", timeouts->response, false },
		{ "idle", timeouts->idle, false },
		{ "flow", timeouts->flow, false },
	};
	const char *before = "    timeouts: {";

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].seconds == 0 && !all[i].is_zero)
			continue;
		fprintf(out, "%s%s: %us", before, all[i].name, all[i].seconds);
		before = ", ";
	}
	if (before[0] == ',')
		fputs("}\n", out);
}

static void
emit_forwarded(FILE *out, const struct gen_forwarded *forwarded)
{
	const struct {
		const char *name;
		bool on;
	} all[] = {
		{ "proto", forwarded->proto },
		{ "port", forwarded->port },
		{ "client_port", forwarded->client_port },
		{ "host", forwarded->host },
		{ "real_ip", forwarded->real_ip },
		{ "slb_port", forwarded->slb_port },
		{ "client_src_port", forwarded->client_src_port },
	};
	const char *before = "    forwarded: {";

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!all[i].on)
			continue;
		fprintf(out, "%s%s: on", before, all[i].name);
		before = ", ";
	}
	if (before[0] == ',')
		fputs("}\n", out);
}

static void
emit_listener(
    FILE *out, const struct gen_listener *listener, const struct gen_bandwidth *bandwidth)
{
	static const char *const protocols[] = {
		[GEN_TCP] = "tcp",
		[GEN_UDP] = "udp",
		[GEN_HTTP] = "http",
		[GEN_HTTPS] = "https",
		[GEN_TLS] = "tls",
	};

	fputs("  - name: ", out);
	emit_name(out, listener->name);
	fputc('\n', out);
	emit_listen(out, listener);
	fprintf(out, "    protocol: %s\n", protocols[listener->protocol]);
	emit_tls(out, listener);
	emit_timeouts(out, &listener->timeouts);
	if (listener->acl != NULL) {
		fputs("    access: {acl: ", out);
		emit_text(out, listener->acl->name);
		fprintf(out, ", mode: %s}\n", listener->acl_is_deny ? "deny" : "allow");
	}
	if (bandwidth != NULL) {
		fputs("    bandwidth: ", out);
		emit_text(out, bandwidth->name);
		fputc('\n', out);
	}
	emit_forwarded(out, &listener->forwarded);
	/* what ELB compresses, not what weir would by itself */
	if (listener->gzip)
		fputs("    compression:\n"
		      "      gzip: on\n"
		      "      types: [text/xml, text/plain, text/css, application/javascript, "
		      "application/x-javascript, application/rss+xml, application/atom+xml, "
		      "application/xml, application/json]\n",
		    out);
	if (listener->redirect_port != 0)
		fprintf(out, "    redirect: {scheme: https, port: %u, status: 301}\n",
		    listener->redirect_port);
	if (listener->routes.count > 0)
		fputs("    routes:\n", out);
	for (size_t i = 0; i < listener->routes.count; i++)
		emit_route(out, listener->routes.items[i]);
	if (listener->pool == NULL)
		return;
	fputs("    pool: ", out);
	emit_name(out, listener->pool->name);
	fputc('\n', out);
}

static void
emit_health(FILE *out, const struct gen_health *health)
{
	static const char *const types[] = {
		[HEALTH_TCP] = "tcp",
		[HEALTH_HTTP] = "http",
		[HEALTH_UDP] = "udp",
	};

	if (health->type == HEALTH_OFF)
		return;
	fprintf(out, "    health: {type: %s, interval: %us, timeout: %us, rise: %u, fall: %u",
	    types[health->type], health->interval_s, health->timeout_s, health->rise, health->fall);
	if (health->port != 0)
		fprintf(out, ", port: %u", health->port);
	if (health->type == HEALTH_HTTP) {
		fprintf(out, ", method: %s, path: ", health->method);
		emit_text(out, health->path);
		if (health->host != NULL) {
			fputs(", host: ", out);
			emit_text(out, health->host);
		}
		for (size_t i = 0; i < health->status_count; i++)
			fprintf(out, "%s%s", i == 0 ? ", status: [" : ", ", health->status[i]);
		fputc(']', out);
	}
	fputs("}\n", out);
}

static void
emit_servers(FILE *out, const struct list *servers)
{
	if (servers->count == 0) {
		fputs("    servers: []\n", out);
		return;
	}
	fputs("    servers:\n", out);
	for (size_t i = 0; i < servers->count; i++) {
		const struct gen_server *server = servers->items[i];
		bool is_v6 = strchr(server->ip, ':') != NULL;

		fputs("      - {name: ", out);
		emit_text(out, server->name);
		fprintf(out, ", address: \"%s%s%s:%u\", weight: %u}\n", is_v6 ? "[" : "",
		    server->ip, is_v6 ? "]" : "", server->port, server->weight);
	}
}

static void
emit_sticky(FILE *out, const struct gen_pool *pool)
{
	static const char *const methods[] = {
		[STICKY_COOKIE_INSERT] = "cookie_insert",
		[STICKY_COOKIE_PREFIX] = "cookie_prefix",
		[STICKY_SOURCE_IP] = "source_ip",
	};

	if (pool->sticky == STICKY_OFF)
		return;
	fprintf(out, "    sticky: {by: %s", methods[pool->sticky]);
	if (pool->sticky != STICKY_COOKIE_PREFIX) /* the life is the application's */
		fprintf(out, ", timeout: %us", pool->sticky_s);
	if (pool->sticky_name != NULL) {
		fputs(", name: ", out);
		emit_text(out, pool->sticky_name);
	}
	fputs("}\n", out);
}

static void
emit_server_tls(FILE *out, const struct gen_pool *pool)
{
	if (pool->protocol != POOL_HTTPS && pool->protocol != POOL_H2)
		return;
	fprintf(out, "    tls: {verify: %s", pool->verify_servers ? "on" : "off");
	if (pool->verify_servers && pool->server_ca != NULL) {
		fputs(", ca: ", out);
		emit_text(out, pool->server_ca);
	}
	fputs("}\n", out);
}

void
emit_pool_settings(FILE *out, const struct gen_pool *pool)
{
	static const char *const methods[] = {
		[BALANCE_WRR] = "weighted_round_robin",
		[BALANCE_WLC] = "weighted_least_connections",
		[BALANCE_SOURCE_HASH] = "source_hash",
		[BALANCE_TUPLE_HASH] = "tuple_hash",
		[BALANCE_POWER_OF_TWO] = "power_of_two",
	};

	fprintf(out, "    protocol: %s\n    balance: %s\n", pool_protocol_name(pool->protocol),
	    methods[pool->balance]);
	emit_server_tls(out, pool);
	if (pool->proxy_protocol)
		fputs("    proxy_protocol: v2\n", out);
	if (pool->weights != WEIGHTS_YIELD)
		fprintf(out, "    run_time_weights: %s\n",
		    pool->weights == WEIGHTS_KEEP ? "keep" : "reset");
	if (pool->slow_start_s > 0)
		fprintf(out, "    slow_start: %us\n", pool->slow_start_s);
	if (pool->drain_s > 0)
		fprintf(out, "    drain: {timeout: %us}\n", pool->drain_s);
	emit_sticky(out, pool);
	emit_health(out, &pool->health);
	emit_servers(out, &pool->servers);
	if (pool->meta.count > 0)
		fputs("    meta:\n", out);
	for (size_t i = 0; i < pool->meta.count; i++) {
		const struct gen_meta *meta = pool->meta.items[i];

		fputs("      ", out);
		emit_text(out, meta->key);
		fputs(": ", out);
		emit_text(out, meta->value);
		fputc('\n', out);
	}
}

static void
emit_listeners(FILE *out, const struct model *model)
{
	bool has_any = false;

	for (size_t i = 0; i < model->listeners.count; i++) {
		const struct gen_listener *listener = model->listeners.items[i];

		if (listener->is_dropped)
			continue;
		fputs(has_any ? "" : "listeners:\n", out);
		has_any = true;
		emit_listener(out, listener, index_find(model->bandwidths, listener->owner));
	}
	fputs(has_any ? "" : "listeners: []\n", out);
}

void
emit_config(FILE *out, const struct gen *gen, const char *sources)
{
	bool has_any = false;

	fprintf(out, "# generated by weirgen from %s\nversion: 1\n", sources);
	emit_global(out, &gen->site);
	emit_acls(out, &gen->model);
	emit_bandwidths(out, &gen->model);
	emit_listeners(out, &gen->model);
	for (size_t i = 0; i < gen->model.pools.count; i++) {
		const struct gen_pool *pool = gen->model.pools.items[i];

		if (!pool->is_used)
			continue;
		fputs(has_any ? "" : "pools:\n", out);
		has_any = true;
		fputs("  - name: ", out);
		emit_name(out, pool->name);
		fputc('\n', out);
		emit_pool_settings(out, pool);
	}
	fputs(has_any ? "" : "pools: []\n", out);
}
