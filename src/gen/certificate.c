#include "certificate_priv.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "weir/arena.h"

#include "annotations_priv.h"
#include "site_priv.h"

static FILE *
open_certificate(const struct site *site, struct arena *arena, const char *id)
{
	FILE *in = fopen(arena_printf(arena, "%s/%s.pem", site->check_dir, id), "re");

	return in != NULL ? in
			  : fopen(arena_printf(arena, "%s/%s/tls.crt", site->check_dir, id), "re");
}

bool
certificate_key_type(X509 *certificate, enum tls_key *key)
{
	const EVP_PKEY *pkey = X509_get0_pubkey(certificate);

	switch (pkey != NULL ? EVP_PKEY_get_base_id(pkey) : EVP_PKEY_NONE) {
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

static X509 *
read_certificate(const struct site *site, struct arena *arena, const char *id)
{
	FILE *in = site->check_certificates ? open_certificate(site, arena, id) : NULL;
	X509 *certificate;

	if (in == NULL)
		return NULL;
	certificate = PEM_read_X509(in, NULL, NULL, NULL);
	fclose(in);
	ERR_clear_error();
	return certificate;
}

bool
certificate_find_key(
    const struct site *site, struct arena *arena, const char *id, enum tls_key *key)
{
	X509 *certificate = read_certificate(site, arena, id);
	bool found = certificate != NULL && certificate_key_type(certificate, key);

	X509_free(certificate);
	return found;
}

/* A name as clients ask for it; NULL: something else. */
static const char *
read_name(struct arena *arena, const GENERAL_NAME *general)
{
	const ASN1_IA5STRING *text;
	const char *data;
	char *name;
	size_t len;

	if (general->type != GEN_DNS)
		return NULL;
	text = general->d.dNSName;
	data = (const char *)ASN1_STRING_get0_data(text);
	len = (size_t)ASN1_STRING_length(text);
	if (memchr(data, '\0', len) != NULL)
		return NULL;
	name = arena_strndup(arena, data, len);
	for (char *p = name; *p != '\0'; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 'a' - 'A' : *p);
	return check_host_name(name) ? name : NULL;
}

const char **
certificate_names(const struct site *site, struct arena *arena, const char *id, size_t *count)
{
	X509 *certificate = read_certificate(site, arena, id);
	GENERAL_NAMES *all = certificate != NULL
				 ? X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL)
				 : NULL;
	int total = all != NULL ? sk_GENERAL_NAME_num(all) : 0;
	const char **names = arena_array(arena, (size_t)total + 1, sizeof(*names));
	bool found = certificate != NULL;

	*count = 0;
	for (int i = 0; i < total; i++) {
		names[*count] = read_name(arena, sk_GENERAL_NAME_value(all, i));
		*count += names[*count] != NULL;
	}
	GENERAL_NAMES_free(all);
	X509_free(certificate);
	ERR_clear_error();
	return found ? names : NULL;
}
