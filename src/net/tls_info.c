/* tls_info: what statistics tell of certificates. */
#include "tls_cert_priv.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "weir/arena.h"

#include "tls_names_priv.h"

enum { NAMES_SIZE = 512 };

static time_t
time_of(const ASN1_TIME *text)
{
	struct tm tm;

	return ASN1_TIME_to_tm(text, &tm) == 1 ? timegm(&tm) : 0;
}

/* Names as they may stand in a table: no byte that could do anything there. */
static void
add_name(void *arg, const unsigned char *name, int size)
{
	char *names = arg;
	size_t len = strlen(names);

	if (size <= 0 || len + (size_t)size + 3 > NAMES_SIZE)
		return;
	if (len > 0)
		names[len++] = ' ';
	for (int i = 0; i < size; i++)
		names[len++] = (char)(name[i] > 0x20 && name[i] < 0x7f ? name[i] : '?');
	names[len] = '\0';
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

			names[0] = '\0';
			tls_names_each(pair->leaf, add_name, names);
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
