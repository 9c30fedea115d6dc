#include "tls_hello_priv.h"

#include <string.h>

#include <openssl/err.h>

#include "weir/arena.h"
#include "weir/server_names.h"

struct tls_hello {
	struct arena *arena;        /* borrowed */
	struct server_names *names; /* -> SSL_CTX, each counted once in `held` */
	struct held *held;
	const struct server_names
	    *own; /* names of the default certificate: others are refused; NULL: none is */
};

struct held {
	SSL_CTX *ssl; /* shared, counted */
	struct held *next;
};

struct tls_hello *
tls_hello_new(struct arena *arena)
{
	struct tls_hello *hello = arena_alloc(arena, sizeof(*hello));

	hello->arena = arena;
	hello->names = server_names_new(arena);
	return hello;
}

void
tls_hello_fini(struct tls_hello *hello)
{
	if (!hello)
		return;
	for (struct held *held = hello->held; held; held = held->next)
		SSL_CTX_free(held->ssl);
	hello->held = NULL;
}

bool
tls_hello_add(struct tls_hello *hello, const char *name, SSL_CTX *ssl)
{
	struct held *held;

	if (!server_names_add(hello->names, name, ssl) || SSL_CTX_up_ref(ssl) != 1)
		return false;
	held = arena_alloc(hello->arena, sizeof(*held));
	*held = (struct held){ ssl, hello->held };
	hello->held = held;
	return true;
}

SSL_CTX *
tls_hello_find(const struct tls_hello *hello, const char *name, size_t len)
{
	return server_names_find(hello->names, name, len);
}

void
tls_hello_refuse_others(struct tls_hello *hello, const struct server_names *own)
{
	hello->own = own;
}

/*
 * The extension (RFC 6066 §3): a list of names; only the type host_name (0) exists, and only once.
 *
 *	| list length (2) | type (1) = 0 | name length (2) | name ... |
 *
 * Returns false if there is none.  OpenSSL refuses what is malformed, but later.
 */
static bool
read_server_name(SSL *ssl, const char **name, size_t *len)
{
	const unsigned char *data;
	size_t size;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) != 1)
		return false;
	if (size < 5 || ((size_t)data[0] << 8 | data[1]) != size - 2 ||
	    data[2] != TLSEXT_NAMETYPE_host_name)
		return false;
	*len = (size_t)data[3] << 8 | data[4];
	*name = (const char *)data + 5;
	return *len <= size - 5;
}

/*
 * Runs before anything else is decided, the resumption of a session too: so a session is looked at
 * with the eyes of the certificate that it belongs to.
 */
static int
on_client_hello(SSL *ssl, int *alert, void *arg)
{
	const struct tls_hello *hello = arg;
	SSL_CTX *wanted = NULL;
	const char *name;
	size_t len;

	if (read_server_name(ssl, &name, &len)) {
		wanted = tls_hello_find(hello, name, len);
		if (!wanted && hello->own && !server_names_find(hello->own, name, len)) {
			*alert = SSL_AD_UNRECOGNIZED_NAME;
			return SSL_CLIENT_HELLO_ERROR;
		}
	}
	if (wanted && !SSL_set_SSL_CTX(ssl, wanted)) {
		ERR_clear_error();
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

void
tls_hello_set_names(SSL_CTX *ssl, struct tls_hello *hello)
{
	SSL_CTX_set_client_hello_cb(ssl, on_client_hello, hello);
}

/* HTTP/2 must not run on old suites (RFC 9113 §9.2.2); TLS 1.3 has no old ones. */
static bool
is_fit_for_h2(SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);

	if (SSL_version(ssl) >= TLS1_3_VERSION)
		return true;
	if (SSL_version(ssl) < TLS1_2_VERSION || !cipher || SSL_CIPHER_is_aead(cipher) != 1)
		return false;
	return SSL_CIPHER_get_kx_nid(cipher) == NID_kx_ecdhe ||
	       SSL_CIPHER_get_kx_nid(cipher) == NID_kx_dhe;
}

/* The client's list was checked by OpenSSL: its length bytes fit. */
static const unsigned char *
find_protocol(const unsigned char *list, size_t len, const unsigned char *wanted)
{
	for (size_t i = 0; i < len && len - i > list[i]; i += 1u + list[i])
		if (list[i] == wanted[0] && memcmp(list + i + 1, wanted + 1, wanted[0]) == 0)
			return list + i + 1;
	return NULL;
}

static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
    unsigned in_len, void *arg)
{
	const struct tls_alpn *alpn = arg;

	for (size_t i = 0; i < alpn->len; i += 1u + alpn->wire[i]) {
		const unsigned char *own = alpn->wire + i;
		const unsigned char *found = find_protocol(in, in_len, own);

		if (!found || (own[0] == 2 && memcmp(own + 1, "h2", 2) == 0 && !is_fit_for_h2(ssl)))
			continue;
		*out = found;
		*out_len = own[0];
		return SSL_TLSEXT_ERR_OK;
	}
	return alpn->strict ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

void
tls_hello_set_alpn(SSL_CTX *ssl, const struct tls_alpn *alpn)
{
	/* OpenSSL hands the pointer back as it is, and on_alpn() only reads. */
	if (alpn->len > 0)
		SSL_CTX_set_alpn_select_cb(ssl, on_alpn, (void *)(uintptr_t)alpn);
}
