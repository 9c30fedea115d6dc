#include "site_priv.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/arena.h"
#include "weir/conf.h"
#include "weir/tls_policy.h"

enum { SITE_SIZE_MAX = 64 << 20 };

struct reader {
	struct site *site;
	struct arena *arena;
	struct diag *diag;
	bool global_has_certificates;
};

/* One known key of a mapping of the site file. */
struct key {
	const char *name;
	enum yaml_type type;
	void (*read)(struct reader *reader, const struct yaml_pair *pair);
};

bool
backend_mode_parse(const char *text, enum backend_mode *mode)
{
	static const char *const names[] = {
		[BACKENDS_AUTO] = "auto", [BACKENDS_POD] = "pod", [BACKENDS_NODE] = "node"
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], text) == 0) {
			*mode = i;
			return true;
		}
	}
	return false;
}

static void
read_keys(struct reader *reader, const struct yaml_node *map, const char *block,
    const struct key *keys, size_t count)
{
	const char *names[16] = { NULL };

	for (size_t i = 0; i < count; i++)
		names[i] = keys[i].name;
	for (size_t i = 0; i < map->count; i++) {
		const struct yaml_pair *pair = &map->pairs[i];
		const char *nearest;
		size_t k = 0;

		while (k < count && strcmp(keys[k].name, pair->key) != 0)
			k++;
		if (k == count) {
			nearest = yaml_nearest(pair->key, names, count, 3);
			diag_error(reader->diag, pair->where, "%sunknown key %s%s%s%s", block,
			    quote_value(reader->arena, pair->key),
			    nearest != NULL ? "; did you mean \"" : "",
			    nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
		} else if (pair->value->type == YAML_NULL) {
			continue;
		} else if (pair->value->type != keys[k].type) {
			diag_error(reader->diag, pair->value->where, "%s%s: %s; allowed: %s", block,
			    pair->key, yaml_type_name(pair->value->type),
			    yaml_type_name(keys[k].type));
		} else {
			keys[k].read(reader, pair);
		}
	}
}

/* Relative paths count from the directory of the site file; the daemon's own directory is another.
 */
static const char *
absolute_path(struct reader *reader, const char *path)
{
	const char *file = reader->site->file, *slash = strrchr(file, '/');
	char cwd[PATH_MAX] = "";
	const char *joined = path;

	if (path[0] != '/' && slash != NULL)
		joined = arena_printf(reader->arena, "%.*s/%s", (int)(slash - file), file, path);
	if (joined[0] != '/' && getcwd(cwd, sizeof(cwd)) != NULL)
		joined = arena_printf(reader->arena, "%s/%s", cwd, joined);
	return joined;
}

static void
read_certificates_dir(struct reader *reader, const struct yaml_pair *pair)
{
	if (pair->value->len == 0)
		diag_error(reader->diag, pair->value->where,
		    "certificates.dir: empty; allowed: a directory");
	else
		reader->site->certificates_dir = absolute_path(reader, pair->value->text);
}

static void
read_certificates(struct reader *reader, const struct yaml_pair *pair)
{
	static const struct key keys[] = { { "dir", YAML_SCALAR, read_certificates_dir } };

	read_keys(reader, pair->value, "certificates: ", keys, 1);
}

static void
read_acl(struct reader *reader, const struct yaml_pair *pair)
{
	const struct yaml_node *list = pair->value;
	struct site_acl *acl = arena_alloc(reader->arena, sizeof(*acl));

	if (list->type != YAML_LIST && list->type != YAML_NULL) {
		diag_error(reader->diag, list->where, "acls: %s: %s; allowed: a list of networks",
		    pair->key, yaml_type_name(list->type));
		return;
	}
	acl->name = pair->key;
	acl->networks = arena_array(reader->arena, list->count, sizeof(*acl->networks));
	acl->parsed = arena_array(reader->arena, list->count, sizeof(*acl->parsed));
	for (size_t i = 0; list->type == YAML_LIST && i < list->count; i++) {
		const struct yaml_node *item = list->items[i];
		int result = item->type == YAML_SCALAR
				 ? network_parse(&acl->parsed[acl->count], item->text)
				 : -1;

		if (result == 0)
			acl->networks[acl->count++] = item->text;
		else
			diag_error(reader->diag, item->where,
			    "acls: %s: %s %s; allowed: networks such as 203.0.113.0/24 or "
			    "2001:db8::/32",
			    pair->key,
			    item->type == YAML_SCALAR ? quote_value(reader->arena, item->text)
						      : yaml_type_name(item->type),
			    result == -2 ? "has bits set behind its prefix" : "is not a network");
	}
	list_add(&reader->site->acls, acl);
	index_add(reader->site->acl_names, acl->name, acl);
}

static void
read_acls(struct reader *reader, const struct yaml_pair *pair)
{
	for (size_t i = 0; i < pair->value->count; i++)
		read_acl(reader, &pair->value->pairs[i]);
}

static void
read_addresses(struct reader *reader, const char *name, const struct yaml_pair *pair,
    struct site_addresses *addresses)
{
	const struct yaml_node *list = pair->value;

	if (list->type != YAML_LIST || list->count == 0) {
		diag_error(reader->diag, list->where,
		    "load_balancers: %s: %s: %s; allowed: a list of addresses", name, pair->key,
		    list->type == YAML_LIST ? "an empty list" : yaml_type_name(list->type));
		return;
	}
	addresses->items = arena_array(reader->arena, list->count, sizeof(*addresses->items));
	for (size_t i = 0; i < list->count; i++) {
		const struct yaml_node *item = list->items[i];
		struct addr addr;

		if (item->type == YAML_SCALAR &&
		    (strcmp(item->text, "*") == 0 || addr_parse_ip(&addr, item->text, 0) == 0))
			addresses->items[addresses->count++] = item->text;
		else
			diag_error(reader->diag, item->where,
			    "load_balancers: %s: %s: %s is not an address; allowed: IPv4 and IPv6 "
			    "addresses without port, \"*\"",
			    name, pair->key,
			    item->type == YAML_SCALAR ? quote_value(reader->arena, item->text)
						      : yaml_type_name(item->type));
	}
}

static void
read_load_balancer(struct reader *reader, const struct yaml_pair *pair)
{
	struct load_balancer *lb = arena_alloc(reader->arena, sizeof(*lb));
	const struct yaml_node *map = pair->value;

	lb->name = pair->key;
	if (map->type != YAML_MAP || map->count == 0) {
		diag_error(reader->diag, map->where,
		    "load_balancers: %s: %s; allowed: {addresses: [...]}", pair->key,
		    map->type == YAML_MAP ? "an empty mapping" : yaml_type_name(map->type));
		return;
	}
	for (size_t i = 0; i < map->count; i++) {
		const struct yaml_pair *item = &map->pairs[i];

		if (strcmp(item->key, "addresses") == 0)
			read_addresses(reader, lb->name, item, &lb->any);
		else if (strcmp(item->key, "internet") == 0)
			read_addresses(reader, lb->name, item, &lb->internet);
		else if (strcmp(item->key, "intranet") == 0)
			read_addresses(reader, lb->name, item, &lb->intranet);
		else
			diag_error(reader->diag, item->where,
			    "load_balancers: %s: unknown key %s; allowed: addresses, internet, "
			    "intranet",
			    lb->name, quote_value(reader->arena, item->key));
	}
	list_add(&reader->site->load_balancers, lb);
	index_add(reader->site->load_balancer_names, lb->name, lb);
}

static void
read_load_balancers(struct reader *reader, const struct yaml_pair *pair)
{
	for (size_t i = 0; i < pair->value->count; i++)
		read_load_balancer(reader, &pair->value->pairs[i]);
}

/* What is inside is the daemon's: the generated configuration is checked as a whole. */
static void
read_global(struct reader *reader, const struct yaml_pair *pair)
{
	reader->site->global = pair->value;
	reader->global_has_certificates = yaml_get(pair->value, "certificates") != NULL;
}

static void
bad_default(struct reader *reader, const struct yaml_pair *pair, const char *allowed)
{
	diag_error(reader->diag, pair->value->where, "defaults: %s: %s is not known; allowed: %s",
	    pair->key, quote_value(reader->arena, pair->value->text), allowed);
}

static void
read_provider(struct reader *reader, const struct yaml_pair *pair)
{
	if (strcmp(pair->value->text, "ack") == 0)
		reader->site->provider = PROVIDER_ACK;
	else if (strcmp(pair->value->text, "cce") == 0)
		reader->site->provider = PROVIDER_CCE;
	else
		bad_default(reader, pair, "ack, cce");
}

static void
read_backends(struct reader *reader, const struct yaml_pair *pair)
{
	if (!backend_mode_parse(pair->value->text, &reader->site->backends))
		bad_default(reader, pair, "auto, pod, node");
}

static void
read_bandwidth(struct reader *reader, const struct yaml_pair *pair)
{
	if (strcmp(pair->value->text, "ignore") == 0)
		reader->site->ignore_bandwidth = true;
	else if (strcmp(pair->value->text, "enforce") != 0)
		bad_default(reader, pair, "enforce, ignore");
}

static void
read_bind(struct reader *reader, const struct yaml_pair *pair)
{
	if (strcmp(pair->value->text, "true") == 0)
		reader->site->bind_annotated_address = true;
	else if (strcmp(pair->value->text, "false") != 0)
		bad_default(reader, pair, "true, false");
}

static void
read_verify(struct reader *reader, const struct yaml_pair *pair)
{
	if (strcmp(pair->value->text, "true") == 0)
		reader->site->verify_servers = true;
	else if (strcmp(pair->value->text, "false") != 0)
		bad_default(reader, pair, "true, false");
}

static void
read_server_ca(struct reader *reader, const struct yaml_pair *pair)
{
	const char *text = pair->value->text;

	if (text[0] != '/' && !check_certificate_id(text))
		bad_default(reader, pair, "a certificate ID, or the absolute path of a file");
	reader->site->server_ca = text;
}

static void
read_defaults(struct reader *reader, const struct yaml_pair *pair)
{
	static const struct key keys[] = {
		{ "provider", YAML_SCALAR, read_provider },
		{ "backends", YAML_SCALAR, read_backends },
		{ "bandwidth", YAML_SCALAR, read_bandwidth },
		{ "bind_annotated_address", YAML_SCALAR, read_bind },
		{ "verify_servers", YAML_SCALAR, read_verify },
		{ "server_ca", YAML_SCALAR, read_server_ca },
	};

	read_keys(reader, pair->value, "defaults: ", keys, sizeof(keys) / sizeof(keys[0]));
}

static void
read_tls_policies(struct reader *reader, const struct yaml_pair *pair)
{
	for (size_t i = 0; i < pair->value->count; i++) {
		const struct yaml_pair *item = &pair->value->pairs[i];
		const struct yaml_node *name = item->value;

		if (name->type == YAML_SCALAR && tls_policy_find(name->text) != NULL)
			index_add(reader->site->tls_policies, item->key,
			    arena_strdup(reader->arena, name->text));
		else
			diag_error(reader->diag, name->where,
			    "tls_policies: %s: %s is not a policy; allowed: the name of a policy of "
			    "weir.yaml(5), such as tls-1-2-strict",
			    item->key,
			    name->type == YAML_SCALAR ? quote_value(reader->arena, name->text)
						      : yaml_type_name(name->type));
	}
}

/* "192.0.2.1:80" or "[2001:db8::1]:80" as a server of its own name; false: something else. */
static bool
read_server(struct reader *reader, const struct yaml_node *node, struct gen_server *server)
{
	struct addr addr;
	char text[ADDR_TEXT_SIZE];

	if (node->type != YAML_SCALAR || addr_parse(&addr, node->text, 0) == -1 ||
	    addr_port(&addr) == 0)
		return false;
	addr_print_ip(&addr, text);
	*server = (struct gen_server){ .name = node->text,
		.ip = arena_strdup(reader->arena, text),
		.port = addr_port(&addr),
		.weight = 1 };
	return true;
}

static void
read_pool(struct reader *reader, const struct yaml_pair *pair)
{
	const struct yaml_node *list = pair->value;
	struct site_pool *pool = arena_alloc(reader->arena, sizeof(*pool));

	if (list->type != YAML_LIST || list->count == 0) {
		diag_error(reader->diag, list->where,
		    "pools: %s: %s; allowed: a list of addresses with ports", pair->key,
		    list->type == YAML_LIST ? "an empty list" : yaml_type_name(list->type));
		return;
	}
	pool->name = pair->key;
	pool->servers = arena_array(reader->arena, list->count, sizeof(*pool->servers));
	for (size_t i = 0; i < list->count; i++) {
		const struct yaml_node *item = list->items[i];

		if (read_server(reader, item, &pool->servers[pool->count]))
			pool->count++;
		else
			diag_error(reader->diag, item->where,
			    "pools: %s: %s is not a server; allowed: addresses with ports, such as "
			    "192.0.2.1:80",
			    pair->key,
			    item->type == YAML_SCALAR ? quote_value(reader->arena, item->text)
						      : yaml_type_name(item->type));
	}
	index_add(reader->site->pools, pool->name, pool);
}

static void
read_pools(struct reader *reader, const struct yaml_pair *pair)
{
	for (size_t i = 0; i < pair->value->count; i++)
		read_pool(reader, &pair->value->pairs[i]);
}

static const struct key site_keys[] = {
	{ "certificates", YAML_MAP, read_certificates },
	{ "acls", YAML_MAP, read_acls },
	{ "load_balancers", YAML_MAP, read_load_balancers },
	{ "global", YAML_MAP, read_global },
	{ "defaults", YAML_MAP, read_defaults },
	{ "tls_policies", YAML_MAP, read_tls_policies },
	{ "pools", YAML_MAP, read_pools },
};

/* Where the daemon looks for certificates when nobody says otherwise. */
static const char *
default_certificates_dir(struct arena *arena)
{
	static const char text[] = "version: 1\n";
	struct diag *diag = diag_new();
	struct config *config = conf_load_text("default", text, sizeof(text) - 1, diag);
	const char *dir = NULL;

	if (config != NULL && config->global.certificates_dir != NULL)
		dir = arena_strdup(arena, config->global.certificates_dir);
	conf_free(config);
	diag_free(diag);
	return dir;
}

static void
read_file(struct reader *reader, const char *path)
{
	size_t count = 0;
	struct yaml_node **roots;

	reader->site->file = arena_strdup(reader->arena, path);
	roots = yaml_parse_file(reader->arena, reader->diag, path, SITE_SIZE_MAX, &count);
	if (count == 0 || roots[0]->type == YAML_NULL)
		return;
	if (count > 1)
		diag_error(reader->diag, roots[1]->where,
		    "a second document; allowed: one in a site file");
	if (roots[0]->type != YAML_MAP)
		diag_error(reader->diag, roots[0]->where, "%s; allowed: a mapping",
		    yaml_type_name(roots[0]->type));
	else
		read_keys(
		    reader, roots[0], "", site_keys, sizeof(site_keys) / sizeof(site_keys[0]));
	if (reader->global_has_certificates && reader->site->certificates_dir != NULL)
		diag_error(reader->diag, yaml_get_pair(reader->site->global, "certificates")->where,
		    "global: certificates stands beside certificates; allowed: one of them");
}

void
site_read(struct site *site, struct arena *arena, struct diag *diag, const char *path)
{
	struct reader reader = { .site = site, .arena = arena, .diag = diag };
	struct stat st;

	*site = (struct site){ .acl_names = index_new(),
		.load_balancer_names = index_new(),
		.tls_policies = index_new(),
		.pools = index_new() };
	if (path != NULL)
		read_file(&reader, path);
	site->check_dir = site->certificates_dir;
	if (reader.global_has_certificates)
		site->check_dir = yaml_get_text(yaml_get(site->global, "certificates"), "dir");
	if (site->check_dir == NULL)
		site->check_dir = default_certificates_dir(arena);
	/* a directory that is closed to us may well be open to the daemon */
	site->check_certificates = site->check_dir != NULL && stat(site->check_dir, &st) == 0 &&
				   S_ISDIR(st.st_mode) && access(site->check_dir, X_OK) == 0;
}

void
site_fini(struct site *site)
{
	list_fini(&site->acls);
	list_fini(&site->load_balancers);
	index_free(site->acl_names);
	index_free(site->load_balancer_names);
	index_free(site->tls_policies);
	index_free(site->pools);
}

bool
site_has_certificate(
    const struct site *site, struct arena *arena, const char *id, const char **tried)
{
	const char *pem, *crt, *key;

	*tried = "";
	if (!site->check_certificates)
		return true;
	pem = arena_printf(arena, "%s/%s.pem", site->check_dir, id);
	crt = arena_printf(arena, "%s/%s/tls.crt", site->check_dir, id);
	key = arena_printf(arena, "%s/%s/tls.key", site->check_dir, id);
	*tried = arena_printf(arena, "%s, or %s and %s", pem, crt, key);
	return access(pem, F_OK) == 0 || (access(crt, F_OK) == 0 && access(key, F_OK) == 0);
}

bool
site_has_authority(
    const struct site *site, struct arena *arena, const char *id, const char **tried)
{
	const char *pem, *crt;

	*tried = "";
	if (!site->check_certificates)
		return true;
	pem = arena_printf(arena, "%s/%s.pem", site->check_dir, id);
	crt = arena_printf(arena, "%s/%s/ca.crt", site->check_dir, id);
	*tried = arena_printf(arena, "%s and %s", pem, crt);
	return access(pem, F_OK) == 0 || access(crt, F_OK) == 0;
}

struct load_balancer *
site_find_load_balancer(const struct site *site, const char *name)
{
	return index_find(site->load_balancer_names, name);
}

struct load_balancer *
site_find_address(const struct site *site, const char *ip)
{
	struct addr wanted, have;

	if (addr_parse_ip(&wanted, ip, 0) == -1)
		return NULL;
	for (size_t i = 0; i < site->load_balancers.count; i++) {
		struct load_balancer *lb = site->load_balancers.items[i];

		for (size_t k = 0; k < lb->any.count; k++)
			if (addr_parse_ip(&have, lb->any.items[k], 0) == 0 &&
			    addr_equal(&wanted, &have))
				return lb;
	}
	return NULL;
}

struct site_acl *
site_find_acl(const struct site *site, const char *name)
{
	return index_find(site->acl_names, name);
}

const char *
site_free_acl_name(const struct site *site, struct arena *arena, const char *name)
{
	while (site_find_acl(site, name) != NULL)
		name = arena_printf(arena, "%s+", name);
	return name;
}
