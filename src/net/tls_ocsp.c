#include "tls_ocsp_priv.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "weir/arena.h"
#include "weir/clock.h"

/* The part of the response that is about `leaf`, by its serial number; NULL: none. */
static OCSP_SINGLERESP *
find_single(OCSP_BASICRESP *basic, X509 *leaf)
{
	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
		OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
		ASN1_INTEGER *serial = NULL;

		if (OCSP_id_get0_info(NULL, NULL, NULL, &serial, id) == 1 && serial &&
		    ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) == 0)
			return single;
	}
	return NULL;
}

/* Returns NULL when it says that `leaf` is good now, else what is wrong. */
static const char *
judge(OCSP_BASICRESP *basic, X509 *leaf, time_t *until)
{
	OCSP_SINGLERESP *single = find_single(basic, leaf);
	ASN1_GENERALIZEDTIME *from = NULL, *to = NULL;
	struct tm tm;
	int status;

	if (!single)
		return "is about another certificate";
	status = OCSP_single_get0_status(single, NULL, NULL, &from, &to);
	if (status == V_OCSP_CERTSTATUS_REVOKED)
		return "says that the certificate is revoked";
	if (status != V_OCSP_CERTSTATUS_GOOD)
		return "does not say that the certificate is good";
	if (to && ASN1_TIME_to_tm(to, &tm) == 1)
		*until = timegm(&tm);
	if (to && *until <= time(NULL))
		return "has expired";
	return NULL;
}

struct tls_staple *
tls_ocsp_load(
    struct arena *arena, X509 *leaf, const char *text, size_t len, char why[static TLS_WHY_SIZE])
{
	const unsigned char *at = (const unsigned char *)text;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)len);
	OCSP_BASICRESP *basic = NULL;
	struct tls_staple *staple = NULL;
	const char *wrong = "is no OCSP response (DER)";
	time_t until = 0;

	if (response && at == (const unsigned char *)text + len) {
		basic = OCSP_response_get1_basic(response);
		wrong = basic ? judge(basic, leaf, &until) : "holds no answer";
	}
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
	if (wrong) {
		snprintf(why, TLS_WHY_SIZE, "%s", wrong);
		return NULL;
	}
	staple = arena_alloc(arena, sizeof(*staple));
	*staple = (struct tls_staple){ leaf, (const unsigned char *)text, len, until, NULL };
	return tls_ocsp_copy(arena, staple, NULL);
}

struct tls_staple *
tls_ocsp_copy(struct arena *arena, const struct tls_staple *staple, struct tls_staple *next)
{
	struct tls_staple *copy = arena_alloc(arena, sizeof(*copy));
	unsigned char *bytes = arena_alloc(arena, staple->len);

	memcpy(bytes, staple->response, staple->len);
	*copy = *staple;
	copy->response = bytes;
	copy->next = next;
	return copy;
}

/* Called when a client asked for one, and the certificate is chosen. */
static int
on_status(SSL *ssl, void *arg)
{
	const X509 *leaf = SSL_get_certificate(ssl);

	for (const struct tls_staple *staple = arg; staple; staple = staple->next) {
		unsigned char *copy;

		if (staple->leaf != leaf)
			continue;
		if (staple->until != 0 && staple->until <= now_wall_s)
			break; /* none at all is better than an old one */
		copy = OPENSSL_memdup(staple->response, staple->len);
		if (!copy || SSL_set_tlsext_status_ocsp_resp(ssl, copy, staple->len) != 1) {
			OPENSSL_free(copy);
			break;
		}
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

void
tls_ocsp_use(SSL_CTX *ssl, struct tls_staple *staples)
{
	SSL_CTX_set_tlsext_status_cb(ssl, on_status);
	SSL_CTX_set_tlsext_status_arg(ssl, staples);
}
