#include "certificate_priv.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "weir/arena.h"

#include "site_priv.h"

static FILE *
open_certificate(const struct site *site, struct arena *arena, const char *id)
{
	FILE *in = fopen(arena_printf(arena, "%s/%s.pem", site->check_dir, id), "re");

	return in != NULL ? in
			  : fopen(arena_printf(arena, "%s/%s/tls.crt", site->check_dir, id), "re");
}

static bool
classify(const EVP_PKEY *pkey, enum tls_key *key)
{
	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_RSA_PSS:
		*key = TLS_KEY_RSA;
		return true;
	case EVP_PKEY_EC:
	case EVP_PKEY_ED25519:
	case EVP_PKEY_ED448:
		*key = TLS_KEY_ECDSA;
		return true;
	case EVP_PKEY_DSA:
		*key = TLS_KEY_DSA;
		return true;
	default:
		return false;
	}
}

bool
certificate_find_key(
    const struct site *site, struct arena *arena, const char *id, enum tls_key *key)
{
	FILE *in = site->check_certificates ? open_certificate(site, arena, id) : NULL;
	X509 *certificate;
	EVP_PKEY *pkey;
	bool found;

	if (in == NULL)
		return false;
	certificate = PEM_read_X509(in, NULL, NULL, NULL);
	fclose(in);
	pkey = certificate != NULL ? X509_get0_pubkey(certificate) : NULL;
	found = pkey != NULL && classify(pkey, key);
	X509_free(certificate);
	ERR_clear_error();
	return found;
}
