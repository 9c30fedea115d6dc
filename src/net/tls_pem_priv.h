/*
 * tls_pem: certificates and private keys out of PEM text.
 *
 * Runs in: master.  Knows text, nothing of files or IDs.  Never asks for a passphrase: encrypted keys are refused.
 */
#ifndef WEIR_TLS_PEM_PRIV_H
#define WEIR_TLS_PEM_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

enum { TLS_PEM_CERTS = 64, TLS_PEM_KEYS = 8, TLS_WHY_SIZE = 256 };

struct tls_pem {
	X509 *certs[TLS_PEM_CERTS]; /* owned, in the order of the text */
	size_t cert_count;
	EVP_PKEY *keys[TLS_PEM_KEYS]; /* owned */
	size_t key_count;
};

/*
 * Add what `text` holds: certificates, and keys in any of the forms that OpenSSL writes, in any order.  Parameters,
 * requests and text between the blocks are passed over.
 * why      what is wrong, as an end of a sentence.
 * Returns  0, or -1 with `why` filled; what was added before the fault stays.
 */
int tls_pem_add(struct tls_pem *pem, const char *text, size_t len, char why[static TLS_WHY_SIZE]);
/* Frees what `pem` owns, not `pem`. */
void tls_pem_fini(struct tls_pem *pem);

/* OpenSSL's word for the first error in its queue, which is empty afterwards.  Never NULL; borrowed. */
const char *tls_error_text(void);

#endif
