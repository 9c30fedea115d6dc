#include "weir/tls_tickets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/tls_files.h"

#include "tls_set_priv.h"
#include "tls_tickets_priv.h"

enum { NAME_SIZE = 16, SECRET_SIZE = 32, IV_SIZE = 16, FILE_KEYS_MAX = 8, STEPS_MAX = 100000 };

struct ticket_key {
	uint8_t name[NAME_SIZE]; /* stands in the ticket */
	uint8_t hmac[SECRET_SIZE];
	uint8_t aes[SECRET_SIZE];
};
_Static_assert(sizeof(struct ticket_key) == 80, "as in the file");

struct tls_tickets {
	uint32_t rotation_s;
	size_t key_count; /* of a file; 0: those of the chain are used */
	struct ticket_key keys[];
};

static struct {
	bool made;
	uint8_t secret[SECRET_SIZE]; /* of the current key */
	uint64_t since_s;            /* it began then; CLOCK_MONOTONIC */
	struct ticket_key keys[2];   /* the current one and the one before */
	size_t key_count;
} chain;

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
	derive(chain.keys[0].name, NAME_SIZE, "name");
	derive(chain.keys[0].hmac, SECRET_SIZE, "hmac");
	derive(chain.keys[0].aes, SECRET_SIZE, "aes");
}

/* Go on to the key of this time. */
static void
advance(uint32_t rotation_s)
{
	uint64_t now_s = now_ms / 1000;

	for (int steps = 0; now_s - chain.since_s >= rotation_s && steps < STEPS_MAX; steps++) {
		uint8_t next[SECRET_SIZE];

		derive(next, sizeof(next), "next");
		memcpy(chain.secret, next, sizeof(next));
		OPENSSL_cleanse(next, sizeof(next));
		chain.since_s += rotation_s;
		chain.keys[1] = chain.keys[0];
		chain.key_count = 2;
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
	if (!chain.made) {
		chain.since_s = now_ms / 1000;
		chain.key_count = 1;
		set_current();
	}
	chain.made = true;
	return 0;
}

/* Returns the keys of a file; NULL with an error told. */
static struct tls_tickets *
read_keys(struct tls_files *files, const char *path, struct where where, struct diag *diag)
{
	const struct tls_file *file =
	    tls_files_read(files, path, FILE_KEYS_MAX * sizeof(struct ticket_key));
	struct tls_tickets *tickets;

	if (file->error != 0) {
		diag_error(diag, where, "ticket_keys: cannot read %s: %s", path,
		    file->error == EFBIG    ? "more than 8 keys of 80 bytes"
		    : file->error == EINVAL ? "not a regular file"
					    : strerror(file->error));
		return NULL;
	}
	if (file->len == 0 || file->len % sizeof(struct ticket_key) != 0) {
		diag_error(diag, where,
		    "ticket_keys: %s has %zu bytes; allowed: 1 to 8 keys of 80 bytes", path,
		    file->len);
		return NULL;
	}
	if (file->mode & S_IROTH)
		diag_warning(diag, where, "ticket_keys: %s can be read by everybody", path);
	tickets = xcalloc(1, sizeof(*tickets) + file->len);
	tickets->key_count = file->len / sizeof(struct ticket_key);
	memcpy(tickets->keys, file->data, file->len);
	return tickets;
}

struct tls_tickets *
tls_tickets_load(const struct global_config *global, struct tls_files *files, struct where where,
    struct diag *diag)
{
	struct tls_tickets *tickets;

	clock_update();
	if (start_chain(where, diag) == -1)
		return NULL;
	if (global->ticket_keys != NULL)
		tickets = read_keys(files, global->ticket_keys, where, diag);
	else
		tickets = xcalloc(1, sizeof(*tickets));
	if (tickets == NULL)
		return NULL;
	tickets->rotation_s = global->ticket_rotation_ms / 1000;
	if (tickets->rotation_s == 0)
		tickets->rotation_s = 12 * 60 * 60;
	return tickets;
}

void
tls_tickets_free(struct tls_tickets *tickets)
{
	if (tickets == NULL)
		return;
	OPENSSL_cleanse(tickets->keys, tickets->key_count * sizeof(tickets->keys[0]));
	free(tickets);
}

uint32_t
tls_tickets_turn(const struct config *config)
{
	uint32_t rotation_s = config->tls->tickets->rotation_s;

	clock_update();
	advance(rotation_s);
	return (uint32_t)(chain.since_s + rotation_s - now_ms / 1000);
}

void
tls_tickets_forget(void)
{
	OPENSSL_cleanse(&chain, sizeof(chain));
}

/* ---- to the process that takes over ---- */

void
tls_tickets_print(FILE *out)
{
	fprintf(out, "tickets %llu ", (unsigned long long)chain.since_s);
	for (size_t i = 0; i < SECRET_SIZE; i++)
		fprintf(out, "%02x", chain.secret[i]);
	fputc('\n', out);
}

bool
tls_tickets_take(const char *text)
{
	unsigned long long since_s;
	int used = 0;
	unsigned byte;

	if (sscanf(text, "%llu %n", &since_s, &used) != 1 ||
	    strlen(text + used) != 2 * (size_t)SECRET_SIZE)
		return false;
	for (size_t i = 0; i < SECRET_SIZE; i++) {
		if (sscanf(text + used + 2 * i, "%2x", &byte) != 1)
			return false;
		chain.secret[i] = (uint8_t)byte;
	}
	chain.since_s = since_s;
	chain.made = true;
	chain.key_count = 1;
	set_current();
	return true;
}

/* ---- tickets ---- */

static const struct ticket_key *
find_key(const struct ticket_key *keys, size_t count, const unsigned char name[static NAME_SIZE])
{
	for (size_t i = 0; i < count; i++)
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
	const struct tls_tickets *tickets = tls_member_of(SSL_get_SSL_CTX(ssl))->set->tickets;
	const struct ticket_key *keys = tickets->keys, *key;
	size_t count = tickets->key_count;

	if (count == 0) {
		advance(tickets->rotation_s);
		keys = chain.keys;
		count = chain.key_count;
	}
	key = &keys[0];
	if (seals) {
		memcpy(name, key->name, NAME_SIZE);
		if (RAND_bytes(iv, IV_SIZE) != 1)
			return -1;
	} else {
		key = find_key(keys, count, name);
		if (key == NULL)
			return 0;
	}
	if (!set_key(key, c, mac, iv, seals != 0))
		return -1;
	if (seals)
		return 1;
	/* 2: a new one goes out.  A client of TLS 1.3 uses each once (RFC 8446 appendix C.4). */
	return key == &keys[0] && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
}

void
tls_tickets_use(SSL_CTX *ssl)
{
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
}
