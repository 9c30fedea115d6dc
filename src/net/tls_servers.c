#include "weir/tls_servers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "weir/arena.h"
#include "weir/tls_files.h"
#include "weir/tls_policy.h"

#include "tls_cert_priv.h"
#include "tls_pem_priv.h"
#include "tls_context_priv.h"
#include "tls_priv.h"
#include "tls_set_priv.h"

enum { CA_SIZE_MAX = 4 * 1024 * 1024 };

struct tls_servers {
	SSL_CTX *ssl; /* shared, counted */
	const struct server_tls_config *conf;
};

struct tls_store_made {
	X509_STORE *store;
	struct tls_store_made *next;
};

/* ---- authorities ---- */

/* The file that `ca` names. */
static const char *
ca_path(const struct tls_stores *stores, const char *dir, const char *ca)
{
	const char *path;

	if (ca[0] == '/')
		return ca;
	path = arena_printf(stores->arena, "%s/%s.pem", dir, ca);
	return tls_files_read(stores->files, path, CA_SIZE_MAX)->error == ENOENT
		   ? arena_printf(stores->arena, "%s/%s/ca.crt", dir, ca)
		   : path;
}

/* Certificates, and lists of revoked ones, in PEM.  Returns NULL, or what is wrong. */
static const char *
ca_add(X509_STORE *store, const char *text, size_t len)
{
	BIO *bio = BIO_new_mem_buf(text, (int)len);
	STACK_OF(X509_INFO) *all =
	    bio != NULL ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
	const char *why = all == NULL ? tls_error_text() : NULL;
	int certs = 0;

	for (int i = 0; why == NULL && i < sk_X509_INFO_num(all); i++) {
		const X509_INFO *info = sk_X509_INFO_value(all, i);

		if ((info->x509 != NULL && X509_STORE_add_cert(store, info->x509) != 1) ||
		    (info->crl != NULL && X509_STORE_add_crl(store, info->crl) != 1))
			why = tls_error_text();
		certs += info->x509 != NULL;
	}
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(bio);
	return why == NULL && certs == 0 ? "no certificate found" : why;
}

/* Returns NULL when it is loaded, else why not. */
static const char *
ca_load(const struct tls_stores *stores, X509_STORE *store, const char *path)
{
	const struct tls_file *file = tls_files_read(stores->files, path, CA_SIZE_MAX);

	if (file->error == EINVAL)
		return "not a regular file";
	if (file->error == EFBIG)
		return "larger than 4 MiB";
	if (file->error != 0)
		return strerror(file->error);
	return ca_add(store, file->data, file->len);
}

X509_STORE *
tls_stores_find(struct tls_stores *stores, const char *dir, const char *ca, struct where where,
    const char *who, struct diag *diag)
{
	const char *path = ca != NULL ? ca_path(stores, dir, ca) : "";
	X509_STORE *store = namemap_find(stores->by_path, path, strlen(path));
	struct tls_store_made *made;
	const char *why;

	if (store != NULL)
		return store;
	store = X509_STORE_new();
	if (store == NULL)
		why = tls_error_text();
	else if (ca == NULL)
		why = X509_STORE_set_default_paths(store) == 1 ? NULL : tls_error_text();
	else
		why = ca_load(stores, store, path);
	ERR_clear_error();
	if (why != NULL) {
		X509_STORE_free(store);
		diag_error(diag, where, "%s: cannot load the certificates of authorities%s%s: %s",
		    who, ca != NULL ? " in " : "", path, why);
		return NULL;
	}
	made = arena_alloc(stores->arena, sizeof(*made));
	*made = (struct tls_store_made){ store, stores->made };
	stores->made = made;
	namemap_add(stores->by_path, path, store);
	return store;
}

void
tls_stores_fini(struct tls_stores *stores)
{
	for (struct tls_store_made *made = stores->made; made != NULL; made = made->next)
		X509_STORE_free(made->store);
	stores->made = NULL;
}

/* ---- one pool ---- */

void
tls_session_fini(struct tls_session *session)
{
	SSL_SESSION_free(session->session);
	free(session->name);
	*session = (struct tls_session){ NULL, NULL, 0 };
}

/* Called in the handshake, or when a ticket comes after it.  Returns 1: the session is ours then.
 */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *tls = SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	if (tls == NULL || tls->session == NULL)
		return 0;
	tls_session_fini(tls->session);
	tls->session->session = session;
	tls->session->name = name != NULL ? xstrdup(name) : NULL;
	tls->session->set = tls_member_of(SSL_get_SSL_CTX(ssl))->set->number;
	return 1;
}

static bool
set_options(SSL_CTX *ssl, const struct tls_policy *policy, bool is_h2)
{
	static const unsigned char http1[] = "\010http/1.1", h2[] = "\002h2";

	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_clear_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ssl, on_session);
	return tls_set_policy(ssl, policy) == 0 &&
	       (is_h2 ? SSL_CTX_set_alpn_protos(ssl, h2, sizeof(h2) - 1)
		      : SSL_CTX_set_alpn_protos(ssl, http1, sizeof(http1) - 1)) == 0;
}

/* Of several kinds OpenSSL takes the one that the server can use. */
static bool
set_certificate(SSL_CTX *ssl, const struct tls_cert *cert)
{
	for (size_t i = 0; i < cert->pair_count; i++)
		if (SSL_CTX_use_cert_and_key(
			ssl, cert->pairs[i].leaf, cert->pairs[i].key, cert->pairs[i].chain, 1) != 1)
			return false;
	return true;
}

struct tls_servers *
tls_servers_load(
    struct tls_load *load, const struct pool_config *pool, const struct tls_policy *policy)
{
	const struct server_tls_config *conf = &pool->tls;
	const char *who = arena_printf(load->arena, "pool %s", pool->name);
	struct diag *diag = load->diag;
	const struct tls_cert *cert = NULL;
	X509_STORE *store = NULL;
	struct tls_servers *tls;
	SSL_CTX *ssl;

	if (conf->certificate != NULL && (cert = tls_certs_find(load->certs, conf->certificate,
					      conf->certificate_where, who, diag)) == NULL)
		return NULL;
	if (conf->verify &&
	    (store = tls_stores_find(&load->stores, load->config->global.certificates_dir, conf->ca,
		 conf->ca_where.file != NULL ? conf->ca_where : pool->where, who, diag)) == NULL)
		return NULL;
	ssl = SSL_CTX_new(TLS_client_method());
	if (ssl == NULL || tls_set_join(load->set, ssl) == NULL ||
	    !set_options(ssl, policy, pool_is_h2(pool)) ||
	    (cert != NULL && !set_certificate(ssl, cert)) ||
	    (store != NULL && SSL_CTX_set1_verify_cert_store(ssl, store) != 1)) {
		diag_error(diag, pool->where, "%s: cannot set up TLS to the servers: %s", who,
		    tls_error_text());
		SSL_CTX_free(ssl);
		return NULL;
	}
	SSL_CTX_set_verify(ssl, conf->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	tls = arena_alloc(load->set->arena, sizeof(*tls));
	*tls = (struct tls_servers){ ssl, conf };
	return tls;
}

void
tls_servers_unload(struct tls_servers *tls)
{
	if (tls != NULL)
		SSL_CTX_free(tls->ssl);
}

/* ---- connections ---- */

/* A host name as SNI may carry it: no address, no odd characters (RFC 6066 §3). */
static bool
is_name(const char *text)
{
	size_t len = strlen(text);
	const char *last = strrchr(text, '.');

	if (len == 0 || len >= TLS_NAME_SIZE || text[0] == '.' || text[0] == '-')
		return false;
	if (strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-._") != len)
		return false;
	/* The last label of an IPv4 address, in whatever form, is a number; that of a name is none.
	 */
	last = last != NULL ? last + 1 : text;
	return *last != '\0' && strspn(last, "0123456789") != strlen(last) &&
	       strncmp(last, "0x", 2) != 0;
}

const char *
tls_servers_name(
    const struct tls_servers *tls, const char *host, size_t len, char name[static TLS_NAME_SIZE])
{
	const char *port = len > 0 ? memchr(host, ':', len) : NULL;

	if (tls->conf->server_name != NULL)
		return strncpy(name, tls->conf->server_name, TLS_NAME_SIZE - 1);
	if (port != NULL)
		len = (size_t)(port - host);
	if (len > 0 && host[len - 1] == '.')
		len--; /* SNI has no trailing dot */
	if (len >= TLS_NAME_SIZE)
		return NULL;
	for (size_t i = 0; i < len; i++)
		name[i] =
		    (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + ('a' - 'A') : host[i]);
	name[len] = '\0';
	return is_name(name) ? name : NULL;
}

/* What the server's certificate must be for. */
static bool
set_expected(SSL *ssl, const char *name, const struct addr *address)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (name != NULL)
		return SSL_set1_host(ssl, name) == 1;
	if (address->sa.sa_family == AF_INET)
		return X509_VERIFY_PARAM_set1_ip(
			   param, (const unsigned char *)&address->in.sin_addr, 4) == 1;
	return X509_VERIFY_PARAM_set1_ip(param, address->in6.sin6_addr.s6_addr, 16) == 1;
}

SSL *
tls_servers_new_ssl(const struct tls_servers *tls, const char *name, const struct addr *address)
{
	SSL *ssl = SSL_new(tls->ssl);

	if (ssl != NULL && (!tls->conf->verify || set_expected(ssl, name, address)) &&
	    (name == NULL || SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
				 (void *)(uintptr_t)name) == 1)) {
		SSL_set_connect_state(ssl);
		return ssl;
	}
	SSL_free(ssl);
	ERR_clear_error();
	return NULL;
}

const char *
tls_servers_fault(const SSL *ssl)
{
	long result = SSL_get_verify_result(ssl);

	return SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE || result == X509_V_OK
		   ? NULL
		   : X509_verify_cert_error_string(result);
}
