/* tls_load: the contexts of all listeners and pools, from files to what connections are made of. */
#include "tls_context_priv.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>

#include "weir/arena.h"
#include "weir/log.h"
#include "weir/server_names.h"
#include "weir/tls_files.h"
#include "weir/tls_kernel.h"
#include "weir/tls_policy.h"

#include "tls_cert_priv.h"
#include "tls_names_priv.h"
#include "tls_set_priv.h"
#include "tls_tickets_priv.h"

/* A policy may name suites that this library was built without. */
static void
note_missing_suites(struct tls_load *load, const struct tls_policy *policy)
{
	SSL_CTX *probe;
	char *at, *name;

	if (!policy->ciphers || !log_enabled(LOG_LEVEL_DEBUG))
		return;
	probe = SSL_CTX_new(TLS_server_method());
	at = arena_strdup(load->arena, policy->ciphers);
	while (probe && (name = strsep(&at, ":")))
		if (name[0] != '@' && SSL_CTX_set_cipher_list(probe, name) != 1)
			log_debug("TLS policy %s: this OpenSSL has no %s", policy->name, name);
	SSL_CTX_free(probe);
	ERR_clear_error();
}

const struct tls_policy *
tls_load_policy(struct tls_load *load, const char *name, struct where where, const char *who)
{
	struct tls_policy *seen = namemap_find(&load->policies, name, strlen(name));
	const struct tls_policy *policy;

	if (seen)
		return seen;
	policy = tls_policy_find(name);
	if (!policy) {
		diag_error(load->diag, where, "%s: no TLS policy \"%s\"", who, name);
		return NULL;
	}
	note_missing_suites(load, policy);
	seen = arena_alloc(load->arena, sizeof(*seen));
	*seen = *policy;
	namemap_add(&load->policies, policy->name, seen);
	return seen;
}

/* The names by which TLS is passed through; conf_check() has seen that they are names, and each
 * once. */
static void
load_sni_routes(struct config *config, struct listener_config *listener)
{
	if (listener->sni)
		return; /* they do not change with the certificates */
	listener->sni = server_names_new(config->arena);
	for (size_t i = 0; i < listener->sni_route_count; i++)
		server_names_add(
		    listener->sni, listener->sni_routes[i].name, &listener->sni_routes[i]);
}

static struct tls_servers *
load_pool(struct tls_load *load, const struct pool_config *pool)
{
	const char *who = arena_printf(load->arena, "pool %s", pool->name);
	const struct tls_policy *policy =
	    tls_load_policy(load, pool->tls.policy, pool->tls.policy_where, who);

	return policy ? tls_servers_load(load, pool, policy) : NULL;
}

static void
load_all(struct tls_load *load)
{
	struct config *config = load->config;
	struct tls_set *set = load->set;

	set->tickets = tls_tickets_load(
	    &config->global, load->files, (struct where){ .file = config->file }, load->diag);
	for (size_t i = 0; i < config->listener_count; i++) {
		struct listener_config *listener = &config->listeners[i];

		if (listener->protocol == PROTOCOL_HTTPS || listener->protocol == PROTOCOL_TLS)
			set->contexts[i] = tls_context_load(load, listener);
		if (listener->sni_route_count > 0)
			load_sni_routes(config, listener);
	}
	for (size_t i = 0; i < config->pool_count; i++)
		if (pool_is_tls(&config->pools[i]))
			set->servers[i] = load_pool(load, &config->pools[i]);
	set->certificates = tls_certs_describe(load->certs, set->arena, &set->certificate_count);
}

/* Returns what `config` names, read from `files`; NULL with errors in `diag`. */
static struct tls_set *
load_set(struct config *config, struct tls_files *files, struct diag *diag)
{
	struct tls_load load = { .config = config, .files = files, .diag = diag };
	size_t before = diag_errors(diag);

	load.arena = arena_new();
	load.set = tls_set_new(config->listener_count, config->pool_count);
	load.certs = tls_certs_new(config->global.certificates_dir, files);
	config->kernel_tls = tls_kernel_find(config->global.kernel_tls);
	load.hosts = tls_hosts_new(config, load.set->arena);
	namemap_init(&load.policies, load.arena);
	namemap_init(&load.alpns, load.arena);
	namemap_init(&load.contexts, load.arena);
	namemap_init(&load.store_paths, load.arena);
	load.stores = (struct tls_stores){
		.arena = load.arena, .files = files, .by_path = &load.store_paths
	};
	load_all(&load);
	tls_stores_fini(&load.stores);
	tls_made_fini(load.made);
	tls_certs_free(load.certs);
	arena_free(load.arena);
	ERR_clear_error();
	if (diag_errors(diag) == before)
		return load.set;
	tls_set_end(load.set);
	return NULL;
}

/* From now on connections are made of `set`, which is taken over. */
static void
install(struct config *config, struct tls_set *set)
{
	struct tls_set *old = config->tls;

	config->tls = set;
	for (size_t i = 0; i < config->listener_count; i++)
		config->listeners[i].tls_context = set ? set->contexts[i] : NULL;
	for (size_t i = 0; i < config->pool_count; i++)
		config->pools[i].tls_servers = set ? set->servers[i] : NULL;
	config->certificates = set ? set->certificates : NULL;
	config->certificate_count = set ? set->certificate_count : 0;
	tls_set_end(old);
}

int
tls_load(struct config *config, struct diag *diag)
{
	struct tls_files *files = tls_files_new();
	struct tls_set *set = load_set(config, files, diag);

	tls_files_free(files);
	if (!set)
		return -1;
	install(config, set);
	return 0;
}

int
tls_renew(struct config *config, struct tls_files *files, int *pack_fd, struct diag *diag)
{
	struct tls_set *set = load_set(config, files, diag);

	if (!set)
		return -1;
	if (pack_fd && (*pack_fd = tls_files_pack(files)) == -1) {
		diag_error(diag, (struct where){ .file = config->file },
		    "certificates cannot be passed to the workers: %s", strerror(errno));
		tls_set_end(set);
		return -1;
	}
	install(config, set);
	return 0;
}

void
tls_unload(struct config *config)
{
	install(config, NULL);
}
