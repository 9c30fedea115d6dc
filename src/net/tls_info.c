/* tls_info: what statistics tell of certificates. */
#include "tls_cert_priv.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "weir/arena.h"

enum { NAMES_SIZE = 512 };

static time_t
time_of(const ASN1_TIME *text)
{
	struct tm tm;

	return ASN1_TIME_to_tm(text, &tm) == 1 ? timegm(&tm) : 0;
}

/* Names as they may stand in a table: no byte that could do anything there. */
static size_t
add_name(char *names, size_t len, const ASN1_STRING *name)
{
	const unsigned char *data = ASN1_STRING_get0_data(name);
	int size = ASN1_STRING_length(name);

	if (size <= 0 || len + (size_t)size + 3 > NAMES_SIZE)
		return len;
	if (len > 0)
		names[len++] = ' ';
	for (int i = 0; i < size; i++)
		names[len++] = (char)(data[i] > 0x20 && data[i] < 0x7f ? data[i] : '?');
	names[len] = '\0';
	return len;
}

/* The DNS names, else the common name. */
static void
print_names(X509 *cert, char names[static NAMES_SIZE])
{
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	size_t len = 0;

	names[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type == GEN_DNS)
			len = add_name(names, len, name->d.dNSName);
	}
	GENERAL_NAMES_free(all);
	if (len == 0 && at >= 0)
		add_name(names, 0, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	ERR_clear_error();
}

struct certificate_info *
tls_certs_describe(const struct tls_certs *certs, struct arena *arena, size_t *count)
{
	struct certificate_info *infos, *info;

	*count = 0;
	for (const struct tls_cert *cert = tls_certs_all(certs); cert; cert = cert->next)
		*count += cert->pair_count;
	infos = info = arena_array(arena, *count + 1, sizeof(*infos));
	for (const struct tls_cert *cert = tls_certs_all(certs); cert; cert = cert->next) {
		for (size_t i = 0; i < cert->pair_count; i++, info++) {
			const struct tls_pair *pair = &cert->pairs[i];
			char key[96], names[NAMES_SIZE];

			print_names(pair->leaf, names);
			*info = (struct certificate_info){
				.id = arena_strdup(arena, cert->id),
				.key = arena_strdup(
				    arena, tls_key_describe(pair->key, key, sizeof(key))),
				.names = arena_strdup(arena, names),
				.not_before = time_of(X509_get0_notBefore(pair->leaf)),
				.not_after = time_of(X509_get0_notAfter(pair->leaf)),
			};
		}
	}
	return infos;
}
