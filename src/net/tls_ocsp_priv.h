/*
 * tls_ocsp: what an authority last said of a certificate, stapled to handshakes (RFC 6066 §8).
 *
 * Runs in: master (load), workers (staple).  The file beside the certificate is somebody else's to renew.
 */
#ifndef WEIR_TLS_OCSP_PRIV_H
#define WEIR_TLS_OCSP_PRIV_H

#include <stddef.h>
#include <time.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tls_pem_priv.h"

struct arena;

struct tls_staple {
	X509 *leaf; /* borrowed from the context that staples */
	const unsigned char *response;
	size_t len;
	time_t until; /* 0: it does not say */
	struct tls_staple *next;
};

/*
 * Is `text` a response that says of `leaf` that it is good?
 * Returns  a staple in `arena`, which keeps the bytes; NULL with `why`, the end of a sentence.
 */
struct tls_staple *tls_ocsp_load(struct arena *arena, X509 *leaf, const char *text, size_t len,
    char why[static TLS_WHY_SIZE]);
/* The same in another arena, before `next`. */
struct tls_staple *tls_ocsp_copy(struct arena *arena, const struct tls_staple *staple, struct tls_staple *next);
/* Connections of `ssl` get the staple of the certificate they are shown; staples must outlive them. */
void tls_ocsp_use(SSL_CTX *ssl, struct tls_staple *staples);

#endif
