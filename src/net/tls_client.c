/* tls_client: client certificates: asked for, verified, and told as texts. */
#include "weir/client_cert.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "weir/arena.h"

#include "tls_client_priv.h"

enum { BYTES_MAX = 6 * 1024, SUBJECT_MAX = 1024 };

int
tls_client_ask(SSL_CTX *ssl, enum tls_verify verify, X509_STORE *store)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
	int mode = SSL_VERIFY_PEER;

	if (verify == TLS_VERIFY_REQUIRED)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ssl, mode, NULL);
	if (SSL_CTX_set1_verify_cert_store(ssl, store) != 1)
		return -1;
	/* The names that clients choose their certificate by. */
	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509 *ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

		if (ca != NULL && SSL_CTX_add_client_CA(ssl, ca) != 1)
			return -1;
	}
	return 0;
}

bool
tls_client_digest(EVP_MD_CTX *hash, enum tls_verify verify, X509_STORE *store)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
	unsigned char digest[EVP_MAX_MD_SIZE], mode = (unsigned char)verify;
	unsigned len = 0;
	bool ok = EVP_DigestUpdate(hash, &mode, 1) == 1;

	for (int i = 0; ok && i < sk_X509_OBJECT_num(objects); i++) {
		X509 *ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

		ok = ca == NULL || (X509_digest(ca, EVP_sha256(), digest, &len) == 1 &&
				       EVP_DigestUpdate(hash, digest, len) == 1);
	}
	return ok;
}

/* ":BASE64:" */
static char *
print_bytes(X509 *cert)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);
	char *text = NULL;

	if (len > 0 && len <= BYTES_MAX) {
		size_t size = (size_t)(len + 2) / 3 * 4;

		text = xmalloc(size + 3);
		text[0] = ':';
		EVP_EncodeBlock((unsigned char *)text + 1, der, len);
		memcpy(text + 1 + size, ":", 2);
	}
	OPENSSL_free(der);
	return text;
}

/* Control characters and all beyond ASCII are escaped. */
static char *
print_subject(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long len;

	if (bio == NULL ||
	    X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) < 0) {
		BIO_free(bio);
		return xstrdup("");
	}
	len = BIO_get_mem_data(bio, &data);
	if (len > SUBJECT_MAX)
		len = SUBJECT_MAX;
	text = xmalloc((size_t)len + 1);
	memcpy(text, data, (size_t)len);
	text[len] = '\0';
	BIO_free(bio);
	return text;
}

static char *
print_fingerprint(X509 *cert)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	char *text = xmalloc(2 * sizeof(digest) + 1);

	X509_digest(cert, EVP_sha256(), digest, &len);
	text[0] = '\0';
	for (unsigned i = 0; i < len; i++) {
		text[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		text[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
		text[2 * i + 2] = '\0';
	}
	return text;
}

struct client_cert *
tls_client_note(const SSL *ssl)
{
	struct client_cert *client;
	X509 *cert;

	if (!(SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER))
		return NULL;
	client = xcalloc(1, sizeof(*client));
	cert = SSL_get0_peer_certificate(ssl);
	if (cert == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
		return client;
	client->bytes = print_bytes(cert);
	client->subject = print_subject(cert);
	client->fingerprint = print_fingerprint(cert);
	ERR_clear_error();
	return client;
}

void
tls_client_free(struct client_cert *client)
{
	if (client == NULL)
		return;
	free(client->bytes);
	free(client->subject);
	free(client->fingerprint);
	free(client);
}
