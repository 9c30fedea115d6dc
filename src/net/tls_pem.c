#include "tls_pem_priv.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

struct block {
	char *name, *header; /* owned by OpenSSL's allocator, like data */
	unsigned char *data;
	long len;
};

const char *
tls_error_text(void)
{
	unsigned long code = ERR_peek_error(); /* the first; later ones say who noticed */
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return text ? text : "unknown error";
}

static int
add_cert(struct tls_pem *pem, const struct block *block, char why[static TLS_WHY_SIZE])
{
	const unsigned char *p = block->data;
	X509 *cert;

	if (pem->cert_count == TLS_PEM_CERTS) {
		snprintf(why, TLS_WHY_SIZE, "has more than %d certificates", TLS_PEM_CERTS);
		return -1;
	}
	cert = d2i_X509(NULL, &p, block->len);
	if (!cert) {
		snprintf(why, TLS_WHY_SIZE, "has a damaged certificate (number %zu): %s",
		    pem->cert_count + 1, tls_error_text());
		return -1;
	}
	pem->certs[pem->cert_count++] = cert;
	return 0;
}

static int
add_key(struct tls_pem *pem, const struct block *block, char why[static TLS_WHY_SIZE])
{
	const unsigned char *p = block->data;
	EVP_PKEY *key;

	if (strncmp(block->name, "ENCRYPTED ", 10) == 0 || strstr(block->header, "ENCRYPTED")) {
		snprintf(why, TLS_WHY_SIZE,
		    "has an encrypted private key, and weir never asks for a passphrase: store the "
		    "key unencrypted, readable by its owner alone");
		return -1;
	}
	if (pem->key_count == TLS_PEM_KEYS) {
		snprintf(why, TLS_WHY_SIZE, "has more than %d private keys", TLS_PEM_KEYS);
		return -1;
	}
	key = d2i_AutoPrivateKey(NULL, &p, block->len);
	if (!key) {
		snprintf(why, TLS_WHY_SIZE, "has a damaged private key: %s", tls_error_text());
		return -1;
	}
	pem->keys[pem->key_count++] = key;
	return 0;
}

static int
add_block(struct tls_pem *pem, const struct block *block, char why[static TLS_WHY_SIZE])
{
	size_t len = strlen(block->name);

	if (strcmp(block->name, PEM_STRING_X509) == 0 ||
	    strcmp(block->name, PEM_STRING_X509_OLD) == 0 ||
	    strcmp(block->name, PEM_STRING_X509_TRUSTED) == 0)
		return add_cert(pem, block, why);
	if (len >= 11 && strcmp(block->name + len - 11, "PRIVATE KEY") == 0)
		return add_key(pem, block, why);
	return 0;
}

int
tls_pem_add(struct tls_pem *pem, const char *text, size_t len, char why[static TLS_WHY_SIZE])
{
	BIO *bio = BIO_new_mem_buf(text, (int)len);
	struct block block;
	int result = bio ? 0 : -1;

	if (!bio)
		snprintf(why, TLS_WHY_SIZE, "cannot be read: %s", tls_error_text());
	ERR_clear_error();
	while (
	    result == 0 && PEM_read_bio(bio, &block.name, &block.header, &block.data, &block.len)) {
		result = add_block(pem, &block, why);
		OPENSSL_free(block.name);
		OPENSSL_free(block.header);
		OPENSSL_clear_free(block.data, (size_t)block.len);
	}
	if (result == 0 && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
		snprintf(why, TLS_WHY_SIZE, "has a damaged PEM block: %s", tls_error_text());
		result = -1;
	}
	ERR_clear_error();
	BIO_free(bio);
	return result;
}

void
tls_pem_fini(struct tls_pem *pem)
{
	for (size_t i = 0; i < pem->cert_count; i++)
		X509_free(pem->certs[i]);
	for (size_t i = 0; i < pem->key_count; i++)
		EVP_PKEY_free(pem->keys[i]);
	*pem = (struct tls_pem){ 0 };
}
