#include "weir/tls_context.h"

#include <stdio.h>
#include <string.h>

#include "weir/arena.h"
#include "weir/server_names.h"
#include "weir/tls_kernel.h"
#include "weir/tls_policy.h"

#include "tls_cert_priv.h"
#include "tls_client_priv.h"
#include "tls_context_priv.h"
#include "tls_hello_priv.h"
#include "tls_names_priv.h"
#include "tls_ocsp_priv.h"
#include "tls_pem_priv.h"
#include "tls_priv.h"
#include "tls_set_priv.h"
#include "tls_tickets_priv.h"

enum { WIRE_SIZE = 1024 };

struct tls_context {
	SSL_CTX *ssl; /* shared, counted */
	const struct listener_config *listener;
	const struct tls_hosts
	    *hosts; /* NULL: no listener's rules of access are others than ours */
};

/* What `contexts` holds, to be given back. */
struct tls_made {
	SSL_CTX *ssl;
	struct tls_made *next;
};

/* A listener while its contexts are made. */
struct job {
	const struct listener_config *listener;
	const char *who; /* "listener NAME" */
	const struct tls_policy *policy;
	const struct tls_alpn *alpn;
	X509_STORE
	*clients; /* authorities of client certificates; borrowed; NULL: none are asked for */
};

/*
 * The protocols as they stand on the wire: a length byte before each (RFC 7301 §3.1).  Where weir
 * itself does not speak what is inside TLS, a protocol that the listener does not name may still be
 * the right one.
 */
static int
find_alpn(
    struct tls_load *load, const struct listener_config *listener, const struct tls_alpn **result)
{
	const struct tls_config *tls = &listener->tls;
	unsigned char wire[WIRE_SIZE];
	char name[2 * WIRE_SIZE + 2];
	size_t len = 0;
	struct tls_alpn *alpn;

	for (size_t i = 0; i < tls->alpn_count; i++) {
		size_t n = strlen(tls->alpn[i]);

		if (n < 1 || n > 255 || len + n + 1 > sizeof(wire)) {
			diag_error(load->diag, tls->where,
			    "listener %s: ALPN protocols have 1 to 255 bytes each, and at most %zu "
			    "together",
			    listener->name, sizeof(wire));
			return -1;
		}
		wire[len++] = (unsigned char)n;
		memcpy(wire + len, tls->alpn[i], n);
		len += n;
	}
	snprintf(name, sizeof(name), "%c", listener->protocol == PROTOCOL_HTTPS ? '!' : '?');
	for (size_t i = 0; i < len; i++)
		snprintf(name + 1 + 2 * i, 3, "%02x", wire[i]);
	alpn = namemap_find(&load->alpns, name, 1 + 2 * len);
	if (!alpn) {
		alpn = arena_alloc(load->set->arena, sizeof(*alpn) + len);
		alpn->strict = listener->protocol == PROTOCOL_HTTPS;
		alpn->len = len;
		memcpy(alpn->wire, wire, len);
		namemap_add(&load->alpns, arena_strdup(load->arena, name), alpn);
	}
	*result = alpn;
	return 0;
}

int
tls_set_policy(SSL_CTX *ssl, const struct tls_policy *policy)
{
	int groups[] = { NID_X25519, NID_X9_62_prime256v1, NID_secp384r1 };

	if (SSL_CTX_set_min_proto_version(ssl, policy->min_version) != 1 ||
	    SSL_CTX_set_max_proto_version(ssl, policy->max_version) != 1)
		return -1;
	if (policy->ciphers && SSL_CTX_set_cipher_list(ssl, policy->ciphers) != 1)
		return -1;
	if (policy->ciphersuites && SSL_CTX_set_ciphersuites(ssl, policy->ciphersuites) != 1)
		return -1;
	return SSL_CTX_set1_groups(ssl, groups, sizeof(groups) / sizeof(groups[0])) == 1 ? 0 : -1;
}

static void
set_options(SSL_CTX *ssl, bool kernel_tls)
{
	uint64_t options = SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
			   SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;

#ifdef SSL_OP_ENABLE_KTLS
	if (kernel_tls)
		options |= SSL_OP_ENABLE_KTLS;
#else
	(void)kernel_tls;
#endif
	/* A connection cut without close_notify must not pass for a complete one. */
	SSL_CTX_clear_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT);
	SSL_CTX_set_options(ssl, options);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ssl, 1); /* a record's header and body in one system call */
	SSL_CTX_set_dh_auto(ssl, 1);    /* for the one policy with DHE suites */
}

/*
 * Sessions live in tickets alone: workers share no cache.  A session may go on only under the
 * policy, the protocols and the certificates it began with, whatever listener the client is at.
 */
static int
set_sessions(SSL_CTX *ssl, const struct job *job, const struct tls_cert *cert)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	bool ok = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
		  EVP_DigestUpdate(hash, job->policy->name, strlen(job->policy->name) + 1) == 1 &&
		  EVP_DigestUpdate(hash, job->alpn->wire, job->alpn->len) == 1;

	for (size_t i = 0; ok && i < cert->pair_count; i++)
		ok = X509_digest(cert->pairs[i].leaf, EVP_sha256(), digest, &len) == 1 &&
		     EVP_DigestUpdate(hash, digest, len) == 1;
	if (job->clients)
		ok = ok && tls_client_digest(hash, job->listener->tls.verify, job->clients);
	ok = ok && EVP_DigestFinal_ex(hash, digest, &len) == 1;
	EVP_MD_CTX_free(hash);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	/* OpenSSL's two cost a system call and a 30th of a handshake each; each resumption brings
	 * one. */
	SSL_CTX_set_num_tickets(ssl, 1);
	tls_tickets_use(ssl);
	return ok && SSL_CTX_set_session_id_context(ssl, digest, len) == 1 ? 0 : -1;
}

static int
set_certificates(SSL_CTX *ssl, const struct tls_cert *cert)
{
	for (size_t i = 0; i < cert->pair_count; i++) {
		const struct tls_pair *pair = &cert->pairs[i];

		if (SSL_CTX_use_cert_and_key(ssl, pair->leaf, pair->key, pair->chain, 1) != 1)
			return -1;
	}
	return 0;
}

static void
set_staples(const struct tls_load *load, SSL_CTX *ssl, const struct tls_cert *cert)
{
	struct tls_staple *staples = NULL;

	for (size_t i = 0; i < cert->pair_count; i++)
		if (cert->pairs[i].staple)
			staples = tls_ocsp_copy(load->set->arena, cert->pairs[i].staple, staples);
	if (staples)
		tls_ocsp_use(ssl, staples);
}

/* served: which of config.served it is.  Returns NULL, with the reason in OpenSSL's queue. */
static SSL_CTX *
make_ssl(const struct tls_load *load, const struct job *job, const struct tls_cert *cert,
    unsigned served)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
	struct tls_member *member = ssl ? tls_set_join(load->set, ssl) : NULL;

	/* The policy first: its security level decides which keys are strong enough. */
	if (!member || tls_set_policy(ssl, job->policy) == -1 ||
	    set_sessions(ssl, job, cert) == -1 || set_certificates(ssl, cert) == -1 ||
	    (job->clients && tls_client_ask(ssl, job->listener->tls.verify, job->clients) == -1)) {
		SSL_CTX_free(ssl);
		return NULL;
	}
	member->served = served;
	set_options(ssl, load->config->kernel_tls == TLS_KERNEL_ON);
	set_staples(load, ssl, cert);
	if (load->hosts)
		member->names = tls_names_of(cert, load->set->arena);
	/* Kernel TLS wants OpenSSL to stay; else its part ends with the handshake. */
	tls_takes_over = load->config->kernel_tls != TLS_KERNEL_ON;
	if (tls_takes_over)
		SSL_CTX_set_keylog_callback(ssl, tls_catch_secret);
	tls_hello_set_alpn(ssl, job->alpn);
	return ssl;
}

/* Whether a handshake can ever complete; tells why if not. */
static bool
check_keys(
    struct tls_load *load, const struct job *job, const struct tls_cert *cert, struct where where)
{
	char type[96];

	for (size_t i = 0; i < cert->pair_count; i++)
		if (tls_policy_serves(job->policy, cert->pairs[i].kind))
			return true;
	diag_error(load->diag, where,
	    "listener %s: certificate \"%s\" has a key of type %s, for which policy "
	    "\"%s\" has no cipher suite: no handshake could ever complete; use a certificate with "
	    "an RSA key, or another policy",
	    job->listener->name, cert->id, tls_key_describe(cert->pairs[0].key, type, sizeof(type)),
	    job->policy->name);
	return false;
}

/*
 * owner    the listener whose server_names hang on the context; NULL: the context is shared.
 * Returns  a context borrowed from `load`; NULL with errors told.
 */
static SSL_CTX *
find_ssl(struct tls_load *load, const struct job *job, const char *id, unsigned served,
    struct where where, const struct listener_config *owner)
{
	const struct tls_cert *cert = tls_certs_find(load->certs, id, where, job->who, load->diag);
	struct tls_made *made;
	const char *name;
	SSL_CTX *ssl;

	if (!cert || !check_keys(load, job, cert, where))
		return NULL;
	name = arena_printf(load->arena, "%s %s %p %p %p %d", id, job->policy->name,
	    (const void *)job->alpn, (const void *)owner, (const void *)job->clients,
	    (int)job->listener->tls.verify);
	ssl = namemap_find(&load->contexts, name, strlen(name));
	if (ssl)
		return ssl;
	ssl = make_ssl(load, job, cert, served);
	if (!ssl) {
		diag_error(load->diag, where,
		    "listener %s: certificate \"%s\" cannot be used with policy \"%s\": %s",
		    job->listener->name, id, job->policy->name, tls_error_text());
		return NULL;
	}
	made = arena_alloc(load->arena, sizeof(*made));
	*made = (struct tls_made){ ssl, load->made };
	load->made = made;
	namemap_add(&load->contexts, name, ssl);
	return ssl;
}

/* Returns 0 when all names have their certificate, -1 with errors told. */
static int
load_names(struct tls_load *load, const struct job *job, struct tls_hello *hello)
{
	const struct tls_config *tls = &job->listener->tls;
	int result = 0;

	for (size_t i = 0; i < tls->server_name_count; i++) {
		const struct server_name_config *name = &tls->server_names[i];
		SSL_CTX *ssl = find_ssl(
		    load, job, name->certificate, name->served, name->where, NULL);

		if (!ssl) {
			result = -1;
		} else if (!tls_hello_add(hello, name->name, ssl)) {
			diag_error(load->diag, name->where,
			    "listener %s: server name \"%s\" is no host name, or here twice",
			    job->listener->name, name->name);
			result = -1;
		}
	}
	return result;
}

/* What clients that ask for a name are shown.  Returns 0, or -1 with errors told. */
static int
load_hello(struct tls_load *load, const struct job *job, SSL_CTX *ssl)
{
	const struct tls_config *tls = &job->listener->tls;
	struct tls_hello *hello = tls_hello_new(load->set->arena);

	if (load_names(load, job, hello) == -1 || !ssl) {
		tls_hello_fini(hello);
		return -1;
	}
	if (tls->refuse_unknown)
		tls_hello_refuse_others(hello,
		    tls_names_of(tls_certs_known(load->certs, tls->certificate), load->set->arena));
	tls_member_of(ssl)->hello = hello;
	tls_hello_set_names(ssl, hello);
	return 0;
}

/* Hosts whose certificates it has are its own. */
static void
claim_hosts(struct tls_load *load, const struct listener_config *listener)
{
	const struct tls_config *tls = &listener->tls;

	tls_hosts_add(load->hosts, listener, tls_certs_known(load->certs, tls->certificate));
	for (size_t i = 0; i < tls->server_name_count; i++)
		tls_hosts_add(load->hosts, listener,
		    tls_certs_known(load->certs, tls->server_names[i].certificate));
}

struct tls_context *
tls_context_load(struct tls_load *load, const struct listener_config *listener)
{
	const struct tls_config *tls = &listener->tls;
	bool by_name = tls->server_name_count > 0 || tls->refuse_unknown;
	struct job job = { .listener = listener };
	struct tls_context *context;
	SSL_CTX *ssl;

	job.who = arena_printf(load->arena, "listener %s", listener->name);
	job.policy = tls_load_policy(
	    load, tls->policy ? tls->policy : "intermediate", tls->policy_where, job.who);
	if (!job.policy || find_alpn(load, listener, &job.alpn) == -1)
		return NULL;
	if (!tls->certificate) {
		diag_error(load->diag, tls->where, "listener %s: no certificate", listener->name);
		return NULL;
	}
	if (tls->verify != TLS_VERIFY_OFF &&
	    !(job.clients = tls_stores_find(&load->stores, load->config->global.certificates_dir,
		  tls->client_ca, tls->client_ca_where, job.who, load->diag)))
		return NULL;
	ssl = find_ssl(load, &job, tls->certificate, tls->served, tls->certificate_where,
	    by_name ? listener : NULL);
	if (by_name && load_hello(load, &job, ssl) == -1)
		return NULL;
	if (!ssl || SSL_CTX_up_ref(ssl) != 1)
		return NULL;
	if (load->hosts && listener->protocol == PROTOCOL_HTTPS)
		claim_hosts(load, listener);
	context = arena_alloc(load->set->arena, sizeof(*context));
	*context = (struct tls_context){ ssl, listener, load->hosts };
	return context;
}

void
tls_context_fini(struct tls_context *context)
{
	if (context)
		SSL_CTX_free(context->ssl);
}

void
tls_made_fini(struct tls_made *made)
{
	for (; made; made = made->next)
		SSL_CTX_free(made->ssl);
}

SSL_CTX *
tls_context_ssl(const struct tls_context *context)
{
	return context->ssl;
}

bool
tls_context_is_foreign(const struct tls_context *context, const struct server_names *shown,
    const char *host, size_t len)
{
	const char *port = len > 0 ? memchr(host, ':', len) : NULL;

	if (port)
		len = (size_t)(port - host);
	if (len > 0 && host[len - 1] == '.')
		len--;
	return context->hosts && !server_names_find(shown, host, len) &&
	       tls_hosts_is_foreign(context->hosts, context->listener, host, len);
}
