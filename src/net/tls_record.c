#include "tls_record_priv.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>

enum { TAG_SIZE = 16, IV_SIZE = 12, KEY_SIZE_MAX = 32 };

struct tls_suite {
	unsigned id;
	const char *cipher_name, *hash_name;
	size_t key_len, secret_len;
	EVP_CIPHER *cipher; /* owned for the life of the process, like hmac; NULL: not needed yet */
	EVP_MAC_CTX *hmac;
};

static struct tls_suite suites[] = {
	{ 0x1301, "AES-128-GCM", "SHA2-256", 16, 32, NULL, NULL },
	{ 0x1302, "AES-256-GCM", "SHA2-384", 32, 48, NULL, NULL },
	{ 0x1303, "ChaCha20-Poly1305", "SHA2-256", 32, 32, NULL, NULL },
};

static bool
suite_prepare(struct tls_suite *suite)
{
	char *hash = (char *)(uintptr_t)suite->hash_name; /* OSSL_PARAM only reads it */
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac;

	if (suite->hmac != NULL)
		return true;
	suite->cipher = EVP_CIPHER_fetch(NULL, suite->cipher_name, NULL);
	mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
	suite->hmac = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac); /* the context holds it */
	if (suite->cipher != NULL && suite->hmac != NULL &&
	    EVP_MAC_CTX_set_params(suite->hmac, params) == 1)
		return true;
	EVP_CIPHER_free(suite->cipher);
	EVP_MAC_CTX_free(suite->hmac);
	suite->cipher = NULL;
	suite->hmac = NULL;
	ERR_clear_error();
	return false;
}

const struct tls_suite *
tls_suite_find(unsigned id)
{
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (suites[i].id == id)
			return suite_prepare(&suites[i]) ? &suites[i] : NULL;
	return NULL;
}

size_t
tls_suite_secret_len(const struct tls_suite *suite)
{
	return suite->secret_len;
}

/*
 * HKDF-Expand-Label(secret, label, "", len) of RFC 8446 §7.1.  No output here is longer than the
 * hash, so HKDF-Expand is its first block, HMAC(secret, info | 1):
 *
 *	| len (2) | label length (1) | "tls13 " label | context length (1) = 0 | 1 |
 */
static bool
expand(const struct tls_suite *suite, const uint8_t *secret, const char *label, uint8_t *out,
    size_t len)
{
	uint8_t info[32] = { 0, (uint8_t)len }, block[TLS_SECRET_MAX];
	size_t label_len = strlen(label), at = 2, block_len = 0;

	info[at++] = (uint8_t)(6 + label_len);
	memcpy(info + at, "tls13 ", 6);
	memcpy(info + at + 6, label, label_len);
	at += 6 + label_len;
	info[at++] = 0;
	info[at++] = 1;
	if (EVP_MAC_init(suite->hmac, secret, suite->secret_len, NULL) != 1 ||
	    EVP_MAC_update(suite->hmac, info, at) != 1 ||
	    EVP_MAC_final(suite->hmac, block, &block_len, sizeof(block)) != 1 || block_len < len)
		return false;
	memcpy(out, block, len);
	OPENSSL_cleanse(block, sizeof(block));
	return true;
}

int
tls_key_start(struct tls_traffic_key *key, const struct tls_suite *suite, bool seals)
{
	uint8_t bytes[KEY_SIZE_MAX];
	bool ok;

	key->suite = suite;
	if (key->cipher == NULL)
		key->cipher = EVP_CIPHER_CTX_new();
	ok = key->cipher != NULL && expand(suite, key->secret, "key", bytes, suite->key_len) &&
	     expand(suite, key->secret, "iv", key->iv, IV_SIZE) &&
	     EVP_CipherInit_ex(key->cipher, suite->cipher, NULL, bytes, NULL, seals) == 1;
	OPENSSL_cleanse(bytes, sizeof(bytes));
	ERR_clear_error();
	return ok ? 0 : -1;
}

int
tls_key_update(struct tls_traffic_key *key, bool seals)
{
	uint8_t next[TLS_SECRET_MAX];

	if (!expand(key->suite, key->secret, "traffic upd", next, key->suite->secret_len))
		return -1;
	memcpy(key->secret, next, key->suite->secret_len);
	OPENSSL_cleanse(next, sizeof(next));
	key->seq = 0;
	return tls_key_start(key, key->suite, seals);
}

void
tls_key_fini(struct tls_traffic_key *key)
{
	EVP_CIPHER_CTX_free(key->cipher);
	OPENSSL_cleanse(key, sizeof(*key));
}

/* The initialisation vector of the next record (§5.3): the key's, and the number on its end. */
static void
next_nonce(struct tls_traffic_key *key, uint8_t nonce[static IV_SIZE])
{
	uint64_t seq = key->seq++;

	memcpy(nonce, key->iv, IV_SIZE);
	for (int i = IV_SIZE - 1; i >= IV_SIZE - 8; i--, seq >>= 8)
		nonce[i] ^= (uint8_t)seq;
}

size_t
tls_record_seal(
    struct tls_traffic_key *key, uint8_t *out, const void *content, size_t len, uint8_t type)
{
	size_t body_len = len + 1 + TAG_SIZE;
	uint8_t *body = out + TLS_HEADER, nonce[IV_SIZE];
	int n;

	out[0] = TLS_TYPE_DATA;
	out[1] = out[2] = 3;
	out[3] = (uint8_t)(body_len >> 8);
	out[4] = (uint8_t)body_len;
	next_nonce(key, nonce);
	if (EVP_EncryptInit_ex(key->cipher, NULL, NULL, NULL, nonce) != 1 ||
	    EVP_EncryptUpdate(key->cipher, NULL, &n, out, TLS_HEADER) != 1 ||
	    (len > 0 && EVP_EncryptUpdate(key->cipher, body, &n, content, (int)len) != 1) ||
	    EVP_EncryptUpdate(key->cipher, body + len, &n, &type, 1) != 1 ||
	    EVP_EncryptFinal_ex(key->cipher, body + len + 1, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(key->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, body + len + 1) !=
		1) {
		ERR_clear_error();
		return 0;
	}
	return TLS_HEADER + body_len;
}

int
tls_record_body_len(const uint8_t header[static TLS_HEADER])
{
	unsigned len = (unsigned)header[3] << 8 | header[4];

	/* Nothing goes in the clear any more, and all that is sealed looks like data (§5.2). */
	if (header[0] != TLS_TYPE_DATA || header[1] != 3 || header[2] != 3)
		return -TLS_ALERT_UNEXPECTED;
	if (len > TLS_SEALED_BODY_MAX)
		return -TLS_ALERT_OVERFLOW;
	return len > TAG_SIZE ? (int)len : -TLS_ALERT_BAD_MAC;
}

int
tls_record_open(struct tls_traffic_key *key, const uint8_t *record, size_t body_len, uint8_t *out,
    uint8_t *type)
{
	const uint8_t *body = record + TLS_HEADER;
	size_t len = body_len - TAG_SIZE;
	uint8_t nonce[IV_SIZE], tag[TAG_SIZE];
	int n;

	next_nonce(key, nonce);
	memcpy(tag, body + len, TAG_SIZE);
	if (EVP_DecryptInit_ex(key->cipher, NULL, NULL, NULL, nonce) != 1 ||
	    EVP_DecryptUpdate(key->cipher, NULL, &n, record, TLS_HEADER) != 1 ||
	    EVP_DecryptUpdate(key->cipher, out, &n, body, (int)len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(key->cipher, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) != 1 ||
	    EVP_DecryptFinal_ex(key->cipher, out + len, &n) != 1) {
		ERR_clear_error();
		return -TLS_ALERT_BAD_MAC;
	}
	/* Content, its type, and as many zeros as the sender liked, within the limit (§5.4). */
	if (len > TLS_CONTENT_MAX + 1)
		return -TLS_ALERT_OVERFLOW;
	while (len > 0 && out[len - 1] == 0)
		len--;
	if (len == 0)
		return -TLS_ALERT_UNEXPECTED;
	*type = out[len - 1];
	return (int)len - 1;
}
