/*
 * tls_record: the records of TLS 1.3 once the handshake is over (RFC 8446 §5, §7.3).
 *
 * Runs in: worker.  Knows secrets, keys and bytes in memory; nothing of sockets or of OpenSSL's SSL objects.  An SSL of
 * OpenSSL 3 costs 13 KiB per connection, of which the traffic keys are a sixth; with the keys alone a connection goes on.
 */
#ifndef WEIR_TLS_RECORD_PRIV_H
#define WEIR_TLS_RECORD_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <openssl/evp.h>

enum {
	TLS_HEADER = 5,
	TLS_CONTENT_MAX = 16384,
	TLS_SECRET_MAX = 48,
	TLS_SEALED_MORE = TLS_HEADER + 1 + 16,         /* header, type, tag: what a record is longer than its content */
	TLS_SEALED_BODY_MAX = TLS_CONTENT_MAX + 256,   /* what the header may say (§5.2) */
	TLS_RECORD_MAX = TLS_HEADER + TLS_SEALED_BODY_MAX,
	TLS_SEALS_MAX = 1 << 24                        /* with one AES-GCM key (§5.5) */
};

enum { TLS_TYPE_ALERT = 21, TLS_TYPE_HANDSHAKE = 22, TLS_TYPE_DATA = 23 };

/* Alerts that reading may call for. */
enum {
	TLS_ALERT_UNEXPECTED = 10,
	TLS_ALERT_BAD_MAC = 20,
	TLS_ALERT_OVERFLOW = 22,
	TLS_ALERT_ILLEGAL = 47,
	TLS_ALERT_DECODE = 50,
	TLS_ALERT_INTERNAL = 80
};

struct tls_suite; /* a cipher suite */

/* One direction. */
struct tls_traffic_key {
	EVP_CIPHER_CTX *cipher; /* owned; NULL: no key yet */
	const struct tls_suite *suite;
	uint64_t seq; /* of the next record */
	uint8_t iv[12];
	uint8_t secret[TLS_SECRET_MAX];
};

/* The suite of a number (0x1301); NULL: not one that is known here.  Context: worker; the first call looks it up. */
const struct tls_suite *tls_suite_find(unsigned id);
size_t tls_suite_secret_len(const struct tls_suite *suite);

/* Make the key of key->secret; `seals`: for sending.  Returns 0, or -1. */
int tls_key_start(struct tls_traffic_key *key, const struct tls_suite *suite, bool seals);
/* The next generation (KeyUpdate, §7.2), counting from 0 again.  Returns 0, or -1. */
int tls_key_update(struct tls_traffic_key *key, bool seals);
/* Frees and forgets. */
void tls_key_fini(struct tls_traffic_key *key);

/*
 * Make a record of `len` bytes (0 to TLS_CONTENT_MAX) of `content`, which may lie at out + TLS_HEADER.
 * out      room for len + TLS_SEALED_MORE
 * Returns  the length of the record; 0: OpenSSL failed.
 */
size_t tls_record_seal(struct tls_traffic_key *key, uint8_t *out, const void *content, size_t len, uint8_t type);
/* What the header says follows it, or -alert. */
int tls_record_body_len(const uint8_t header[static TLS_HEADER]);
/*
 * Open a complete record.
 * out      room for the body without its tag
 * Returns  the length of the content, with *type; or -alert.
 */
int tls_record_open(struct tls_traffic_key *key, const uint8_t *record, size_t body_len, uint8_t *out, uint8_t *type);

#endif
