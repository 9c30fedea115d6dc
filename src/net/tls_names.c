#include "tls_names_priv.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "weir/arena.h"
#include "weir/server_names.h"

#include "tls_cert_priv.h"

enum { NAME_SIZE = 256 };

/* ---- certificates ---- */

void
tls_names_each(X509 *cert, tls_name_fn *each, void *arg)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	bool has_names = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type != GEN_DNS)
			continue;
		has_names = true;
		each(arg, ASN1_STRING_get0_data(name->d.dNSName),
		    ASN1_STRING_length(name->d.dNSName));
	}
	GENERAL_NAMES_free(all);
	if (!has_names && at >= 0) {
		const ASN1_STRING *name =
		    X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));

		each(arg, ASN1_STRING_get0_data(name), ASN1_STRING_length(name));
	}
	ERR_clear_error();
}

/* As text; false for what no host is called. */
static bool
copy_name(char text[static NAME_SIZE], const unsigned char *name, int len)
{
	if (len <= 0 || len >= NAME_SIZE || memchr(name, '\0', (size_t)len))
		return false;
	memcpy(text, name, (size_t)len);
	text[len] = '\0';
	return true;
}

static void
add_name(void *arg, const unsigned char *name, int len)
{
	char text[NAME_SIZE];

	if (copy_name(text, name, len))
		server_names_add(arg, text, arg); /* any value will do */
}

struct server_names *
tls_names_of(const struct tls_cert *cert, struct arena *arena)
{
	struct server_names *names = server_names_new(arena);

	for (size_t i = 0; i < cert->pair_count; i++)
		tls_names_each(cert->pairs[i].leaf, add_name, names);
	return names;
}

/* ---- rules of access ---- */

/* A host is for listeners with these rules. */
struct owner {
	unsigned rules;
	struct owner *next;
};

struct tls_hosts {
	struct arena *arena;        /* borrowed */
	struct server_names *names; /* -> struct owner, the first of a list that has one at least */
	unsigned *rules;            /* by listener */
};

static bool
is_same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool
has_same_rules(const struct listener_config *a, const struct listener_config *b)
{
	if (a->acl != b->acl || (a->acl && a->access_deny != b->access_deny) ||
	    a->tls.verify != b->tls.verify)
		return false;
	return a->tls.verify == TLS_VERIFY_OFF || is_same_text(a->tls.client_ca, b->tls.client_ca);
}

/* Numbers the rules.  Returns how many there are. */
static unsigned
number_rules(const struct config *config, unsigned *rules, struct arena *arena)
{
	const struct listener_config **first =
	    arena_array(arena, config->listener_count, sizeof(*first));
	unsigned count = 0;

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct listener_config *listener = &config->listeners[i];
		unsigned at = 0;

		if (listener->protocol != PROTOCOL_HTTPS)
			continue;
		while (at < count && !has_same_rules(first[at], listener))
			at++;
		if (at == count)
			first[count++] = listener;
		rules[i] = at;
	}
	return count;
}

static struct owner *
find_owner(const struct server_names *names, const char *host)
{
	char text[NAME_SIZE];
	size_t len = strlen(host);

	if (host[0] != '*' || len >= sizeof(text))
		return server_names_find(names, host, len);
	memcpy(text, host, len);
	text[0] = 'x';
	return server_names_find_wild(names, text, len);
}

static void
add_host(struct tls_hosts *hosts, unsigned rules, const char *host)
{
	struct owner *owner = arena_alloc(hosts->arena, sizeof(*owner)), *first;

	*owner = (struct owner){ rules, NULL };
	if (server_names_add(hosts->names, host, owner))
		return;
	first = find_owner(hosts->names, host);
	if (!first)
		return; /* it is no host's name */
	for (owner = first; owner; owner = owner->next)
		if (owner->rules == rules)
			return;
	owner = arena_alloc(hosts->arena, sizeof(*owner));
	*owner = (struct owner){ rules, first->next };
	first->next = owner;
}

static void
add_configured(struct tls_hosts *hosts, const struct listener_config *listener)
{
	unsigned rules = hosts->rules[listener->index];

	for (size_t i = 0; i < listener->tls.server_name_count; i++)
		add_host(hosts, rules, listener->tls.server_names[i].name);
	for (size_t i = 0; i < listener->route_count; i++)
		if (listener->routes[i].host)
			add_host(hosts, rules, listener->routes[i].host);
}

struct tls_hosts *
tls_hosts_new(const struct config *config, struct arena *arena)
{
	unsigned *rules = arena_array(arena, config->listener_count + 1, sizeof(*rules));
	struct tls_hosts *hosts;

	if (number_rules(config, rules, arena) < 2)
		return NULL;
	hosts = arena_alloc(arena, sizeof(*hosts));
	*hosts = (struct tls_hosts){ arena, server_names_new(arena), rules };
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].protocol == PROTOCOL_HTTPS)
			add_configured(hosts, &config->listeners[i]);
	return hosts;
}

struct hosts_of_cert {
	struct tls_hosts *hosts;
	unsigned rules;
};

static void
add_host_of_cert(void *arg, const unsigned char *name, int len)
{
	const struct hosts_of_cert *of = arg;
	char text[NAME_SIZE];

	if (copy_name(text, name, len))
		add_host(of->hosts, of->rules, text);
}

void
tls_hosts_add(
    struct tls_hosts *hosts, const struct listener_config *listener, const struct tls_cert *cert)
{
	struct hosts_of_cert of = { hosts, hosts->rules[listener->index] };

	for (size_t i = 0; i < cert->pair_count; i++)
		tls_names_each(cert->pairs[i].leaf, add_host_of_cert, &of);
}

static bool
has_rules(const struct owner *owner, unsigned rules)
{
	while (owner && owner->rules != rules)
		owner = owner->next;
	return owner != NULL;
}

bool
tls_hosts_is_foreign(const struct tls_hosts *hosts, const struct listener_config *listener,
    const char *host, size_t len)
{
	const struct owner *exact = server_names_find(hosts->names, host, len);
	const struct owner *wild = server_names_find_wild(hosts->names, host, len);
	unsigned rules = hosts->rules[listener->index];

	return exact && !has_rules(exact, rules) && !has_rules(wild, rules);
}
