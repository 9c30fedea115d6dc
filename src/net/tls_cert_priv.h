/*
 * tls_cert: the certificates of one load, by ID, each read and checked once.
 *
 * Runs in: master, with the right to read keys.  Knows files and certificates, nothing of listeners but the place where
 * one names a certificate; tls_context.c makes SSL_CTXs of what it finds.
 */
#ifndef WEIR_TLS_CERT_PRIV_H
#define WEIR_TLS_CERT_PRIV_H

#include <stddef.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "weir/conf.h"
#include "weir/diag.h"
#include "weir/tls_policy.h"

enum { TLS_CERT_PAIRS = 3 }; /* one per enum tls_key */

struct tls_pair {
	X509 *leaf;            /* owned */
	STACK_OF(X509) *chain; /* owned; from the leaf's issuer upwards, without the root */
	EVP_PKEY *key;         /* owned; belongs to leaf */
	enum tls_key kind;
	const struct tls_staple *staple; /* what its authority last said of it; NULL: nothing */
};

struct tls_cert {
	const char *id;
	struct tls_pair pairs[TLS_CERT_PAIRS]; /* one of a kind */
	size_t pair_count;                     /* 0: not usable */
	struct tls_finding *findings;          /* told again to everyone who names the ID */
	struct tls_cert *next;                 /* all of the store */
};

struct tls_certs;
struct tls_files;

/* dir: global.certificates.dir; both are borrowed. */
struct tls_certs *tls_certs_new(const char *dir, struct tls_files *files);
void tls_certs_free(struct tls_certs *certs);

/*
 * What `id` names, read at the first call.
 * where, who  who names it ("listener a"): each finding is told as "listener a: certificate "ID": ..." at this place.
 * Returns  a certificate borrowed from `certs` with at least one pair; NULL with errors in `diag`.
 */
const struct tls_cert *tls_certs_find(struct tls_certs *certs, const char *id, struct where where,
    const char *who, struct diag *diag);

/* One that was found before. */
const struct tls_cert *tls_certs_known(const struct tls_certs *certs, const char *id);

/* The latest first. */
const struct tls_cert *tls_certs_all(const struct tls_certs *certs);
/* tls_info.c: what statistics tell of them; in `arena`. */
struct certificate_info *tls_certs_describe(const struct tls_certs *certs, struct arena *arena, size_t *count);

/* "RSA (2048 bits)", "EC (prime256v1)".  Returns `text`. */
const char *tls_key_describe(const EVP_PKEY *key, char *text, size_t size);

#endif
