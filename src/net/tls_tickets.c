#include "tls_tickets_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "weir/clock.h"
#include "weir/file.h"

enum { NAME_SIZE = 16, SECRET_SIZE = 32, IV_SIZE = 16, FILE_KEYS_MAX = 8, STEPS_MAX = 100000 };

struct ticket_key {
	uint8_t name[NAME_SIZE]; /* stands in the ticket */
	uint8_t hmac[SECRET_SIZE];
	uint8_t aes[SECRET_SIZE];
};
_Static_assert(sizeof(struct ticket_key) == 80, "as in the file");

static struct {
	bool made;
	uint8_t secret[SECRET_SIZE]; /* of the current key */
	uint64_t since_s;            /* it began then; CLOCK_MONOTONIC */
	uint32_t rotation_s;
} chain;

/* The first seals; the others open only. */
static struct ticket_key keys[FILE_KEYS_MAX];
static size_t key_count;
static bool from_file;

static EVP_CIPHER *cipher; /* owned for the life of the process */

static void
derive(uint8_t *out, size_t len, const char *what)
{
	uint8_t block[EVP_MAX_MD_SIZE];
	unsigned block_len = 0;

	HMAC(EVP_sha256(), chain.secret, SECRET_SIZE, (const unsigned char *)what, strlen(what),
	    block, &block_len);
	memcpy(out, block, len);
	OPENSSL_cleanse(block, sizeof(block));
}

static void
set_current(void)
{
	derive(keys[0].name, NAME_SIZE, "name");
	derive(keys[0].hmac, SECRET_SIZE, "hmac");
	derive(keys[0].aes, SECRET_SIZE, "aes");
}

/* Go on to the key of this time. */
static void
advance(void)
{
	uint64_t now_s = now_ms / 1000;

	if (from_file)
		return;
	for (int steps = 0; now_s - chain.since_s >= chain.rotation_s && steps < STEPS_MAX;
	     steps++) {
		uint8_t next[SECRET_SIZE];

		derive(next, sizeof(next), "next");
		memcpy(chain.secret, next, sizeof(next));
		OPENSSL_cleanse(next, sizeof(next));
		chain.since_s += chain.rotation_s;
		keys[1] = keys[0];
		key_count = 2;
		set_current();
	}
}

static int
start_chain(struct where where, struct diag *diag)
{
	if (!chain.made && RAND_priv_bytes(chain.secret, sizeof(chain.secret)) != 1) {
		diag_error(diag, where, "no random bytes for session tickets");
		ERR_clear_error();
		return -1;
	}
	if (!chain.made)
		chain.since_s = now_ms / 1000;
	chain.made = true;
	return 0;
}

/* Returns the number of keys in the file; 0 with an error told. */
static size_t
read_keys(struct ticket_key *read, const char *path, struct where where, struct diag *diag)
{
	size_t len = 0;
	char *data = file_read(path, FILE_KEYS_MAX * sizeof(*read), &len);
	struct stat st;

	if (data == NULL) {
		diag_error(diag, where, "ticket_keys: cannot read %s: %s", path,
		    errno == EFBIG ? "more than 8 keys of 80 bytes" : strerror(errno));
		return 0;
	}
	if (len == 0 || len % sizeof(*read) != 0) {
		diag_error(diag, where,
		    "ticket_keys: %s has %zu bytes; allowed: 1 to 8 keys of 80 bytes", path, len);
		len = 0;
	} else if (stat(path, &st) == 0 && (st.st_mode & S_IROTH)) {
		diag_warning(diag, where, "ticket_keys: %s can be read by everybody", path);
	}
	memcpy(read, data, len);
	OPENSSL_cleanse(data, len);
	free(data);
	return len / sizeof(*read);
}

int
tls_tickets_load(const struct global_config *global, struct where where, struct diag *diag)
{
	struct ticket_key read[FILE_KEYS_MAX];
	size_t count = 0;

	clock_update();
	if (global->ticket_keys != NULL &&
	    (count = read_keys(read, global->ticket_keys, where, diag)) == 0)
		return -1;
	if (start_chain(where, diag) == -1)
		return -1;
	chain.rotation_s = global->ticket_rotation_ms / 1000;
	if (chain.rotation_s == 0)
		chain.rotation_s = 12 * 60 * 60;
	from_file = count > 0;
	if (from_file) {
		memcpy(keys, read, count * sizeof(read[0]));
		key_count = count;
		OPENSSL_cleanse(read, sizeof(read));
		return 0;
	}
	key_count = key_count < 2 ? 1 : 2;
	set_current();
	advance();
	return 0;
}

static const struct ticket_key *
find_key(const unsigned char name[static NAME_SIZE])
{
	for (size_t i = 0; i < key_count; i++)
		if (memcmp(keys[i].name, name, NAME_SIZE) == 0)
			return &keys[i];
	return NULL;
}

static bool
set_key(const struct ticket_key *key, EVP_CIPHER_CTX *c, EVP_MAC_CTX *mac, const unsigned char *iv,
    bool seals)
{
	static char hash[] = "SHA2-256";
	uint8_t *secret = (uint8_t *)(uintptr_t)key->hmac; /* OSSL_PARAM only reads it */
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, SECRET_SIZE),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0),
		OSSL_PARAM_construct_end(),
	};

	if (cipher == NULL)
		cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	return cipher != NULL && EVP_MAC_CTX_set_params(mac, params) == 1 &&
	       EVP_CipherInit_ex(c, cipher, NULL, key->aes, iv, seals) == 1;
}

/* Returns 1: go on; 2: go on, and give the client a new ticket; 0: no such key, full handshake; -1:
 * failed. */
static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *c, EVP_MAC_CTX *mac,
    int seals)
{
	const struct ticket_key *key = &keys[0];

	(void)ssl;
	advance();
	if (seals) {
		memcpy(name, key->name, NAME_SIZE);
		if (RAND_bytes(iv, IV_SIZE) != 1)
			return -1;
	} else {
		key = find_key(name);
		if (key == NULL)
			return 0;
	}
	if (!set_key(key, c, mac, iv, seals != 0))
		return -1;
	return key == &keys[0] ? 1 : 2;
}

void
tls_tickets_use(SSL_CTX *ssl)
{
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
}
