#include "weir/tls_policy.h"

#include <stddef.h>
#include <string.h>

#include <openssl/prov_ssl.h>

/*
 * The sets of suites are the clouds' own (Huawei ELB "security policy", Alibaba Cloud CLB "TLS
 * security policy").  Their pages disagree on the order, and the server's order decides: forward
 * secrecy before static RSA, AEAD before CBC, SHA-2 before SHA-1.
 *
 * OpenSSL 3 refuses TLS 1.0 and 1.1 above security level 0, so a policy with one of these asks for
 * that level, and no other does.  3DES and RC4 stand where a cloud has them; libraries without them
 * pass them over.
 */
#define LEVEL_0 ":@SECLEVEL=0"

/* clang-format off */
#define EC_GCM     "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"
#define EC_CBC     "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384"
#define EC_SHA1    "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"
#define RSA_GCM    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"
#define RSA_CBC    "ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384"
#define RSA_SHA1   "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA"
#define PLAIN_GCM  "AES128-GCM-SHA256:AES256-GCM-SHA384" /* static RSA: no forward secrecy */
#define PLAIN_CBC  "AES128-SHA256:AES256-SHA256"
#define PLAIN_SHA1 "AES128-SHA:AES256-SHA"
#define DHE_SHA1   "DHE-RSA-AES128-SHA:DHE-RSA-AES256-SHA:DHE-DSS-AES128-SHA:DHE-DSS-AES256-SHA"
#define CAMELLIA   "DHE-RSA-CAMELLIA128-SHA:DHE-RSA-CAMELLIA256-SHA:DHE-DSS-CAMELLIA128-SHA:" \
                   "DHE-DSS-CAMELLIA256-SHA:CAMELLIA128-SHA:CAMELLIA256-SHA"
#define BROKEN     "DES-CBC3-SHA:RC4-SHA:RC4-MD5"
#define ACK_GCM    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
#define ACK_EC_GCM "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"

#define CCE_ALL    EC_GCM ":" RSA_GCM ":" EC_CBC ":" RSA_CBC ":" EC_SHA1 ":" RSA_SHA1 ":" \
                   PLAIN_GCM ":" PLAIN_CBC ":" PLAIN_SHA1
#define CCE_STRICT EC_GCM ":" RSA_GCM ":" EC_CBC ":" RSA_CBC ":" PLAIN_GCM ":" PLAIN_CBC
#define CCE_FS     EC_GCM ":" RSA_GCM ":" EC_CBC ":" RSA_CBC
#define ACK_ALL    ACK_GCM ":" RSA_CBC ":" RSA_SHA1 ":" PLAIN_GCM ":" PLAIN_CBC ":" PLAIN_SHA1 ":DES-CBC3-SHA"
#define ACK_STRICT ACK_GCM ":" RSA_CBC ":" RSA_SHA1
#define ACK_BOTH   ACK_EC_GCM ":" ACK_GCM ":" EC_CBC ":" RSA_CBC ":" EC_SHA1 ":" RSA_SHA1
#define WEIR_AEAD  ACK_EC_GCM ":" ACK_GCM ":ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

#define SUITES     "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_CCM SUITES ":TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256"

static const struct tls_policy tls_policies[] = {
	{ "intermediate", TLS1_2_VERSION, TLS1_3_VERSION, WEIR_AEAD, SUITES,
	    "TLS 1.2 and 1.3, forward secrecy and authenticated encryption alone." },
	{ "modern", TLS1_3_VERSION, TLS1_3_VERSION, NULL, SUITES,
	    "TLS 1.3 alone." },
	{ "old", TLS1_VERSION, TLS1_3_VERSION,
	    WEIR_AEAD ":" EC_CBC ":" RSA_CBC ":" EC_SHA1 ":" RSA_SHA1 ":" PLAIN_GCM ":" PLAIN_CBC ":" PLAIN_SHA1 LEVEL_0,
	    SUITES, "TLS 1.0 to 1.3, for clients that know nothing better." },

	{ "tls-1-0", TLS1_VERSION, TLS1_2_VERSION, CCE_ALL LEVEL_0, NULL,
	    "Huawei ELB: TLS 1.0 to 1.2." },
	{ "tls-1-1", TLS1_1_VERSION, TLS1_2_VERSION, CCE_ALL LEVEL_0, NULL,
	    "Huawei ELB: TLS 1.1 and 1.2." },
	{ "tls-1-2", TLS1_2_VERSION, TLS1_2_VERSION, CCE_ALL, NULL,
	    "Huawei ELB: TLS 1.2." },
	{ "tls-1-2-strict", TLS1_2_VERSION, TLS1_2_VERSION, CCE_STRICT, NULL,
	    "Huawei ELB: TLS 1.2 without SHA-1." },
	{ "tls-1-0-inherit", TLS1_VERSION, TLS1_2_VERSION,
	    CCE_ALL ":" DHE_SHA1 ":" CAMELLIA ":" BROKEN LEVEL_0, NULL,
	    "Huawei ELB: TLS 1.0 to 1.2 with DHE and Camellia." },
	{ "tls-1-0-with-1-3", TLS1_VERSION, TLS1_3_VERSION, CCE_ALL LEVEL_0, SUITES_CCM,
	    "Huawei ELB: TLS 1.0 to 1.3." },
	{ "tls-1-2-fs", TLS1_2_VERSION, TLS1_2_VERSION, CCE_FS, NULL,
	    "Huawei ELB: TLS 1.2 with forward secrecy." },
	{ "tls-1-2-fs-with-1-3", TLS1_2_VERSION, TLS1_3_VERSION, CCE_FS, SUITES_CCM,
	    "Huawei ELB: TLS 1.2 with forward secrecy, and 1.3." },
	{ "hybrid-policy-1-0", TLS1_1_VERSION, TLS1_2_VERSION, CCE_ALL LEVEL_0, NULL,
	    "Huawei ELB: TLS 1.1 and 1.2." },
	{ "tls-1-2-strict-no-cbc", TLS1_2_VERSION, TLS1_2_VERSION, EC_GCM ":" RSA_GCM, NULL,
	    "Huawei ELB: TLS 1.2 with forward secrecy and GCM alone." },

	{ "tls_cipher_policy_1_0", TLS1_VERSION, TLS1_2_VERSION, ACK_ALL LEVEL_0, NULL,
	    "Alibaba Cloud CLB: TLS 1.0 to 1.2, RSA certificates." },
	{ "tls_cipher_policy_1_1", TLS1_1_VERSION, TLS1_2_VERSION, ACK_ALL LEVEL_0, NULL,
	    "Alibaba Cloud CLB: TLS 1.1 and 1.2, RSA certificates." },
	{ "tls_cipher_policy_1_2", TLS1_2_VERSION, TLS1_2_VERSION, ACK_ALL, NULL,
	    "Alibaba Cloud CLB: TLS 1.2, RSA certificates." },
	{ "tls_cipher_policy_1_2_strict", TLS1_2_VERSION, TLS1_2_VERSION, ACK_STRICT, NULL,
	    "Alibaba Cloud CLB: TLS 1.2 with forward secrecy, RSA certificates." },
	{ "tls_cipher_policy_1_2_strict_with_1_3", TLS1_2_VERSION, TLS1_3_VERSION, ACK_BOTH, SUITES_CCM,
	    "Alibaba Cloud CLB: TLS 1.2 with forward secrecy, and 1.3." },
};

/* In the order of the table; t/unit/tls_policy.c holds the two together. */
static const char *const tls_policy_list[] = {
	"intermediate", "modern", "old",
	"tls-1-0", "tls-1-1", "tls-1-2", "tls-1-2-strict", "tls-1-0-inherit", "tls-1-0-with-1-3", "tls-1-2-fs",
	"tls-1-2-fs-with-1-3", "hybrid-policy-1-0", "tls-1-2-strict-no-cbc",
	"tls_cipher_policy_1_0", "tls_cipher_policy_1_1", "tls_cipher_policy_1_2", "tls_cipher_policy_1_2_strict",
	"tls_cipher_policy_1_2_strict_with_1_3",
	NULL
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

_Static_assert(COUNT(tls_policies) + 1 == COUNT(tls_policy_list), "a policy is not listed");

const struct tls_policy *
tls_policy_find(const char *name)
{
	if (!name)
		return NULL;
	for (size_t i = 0; i < COUNT(tls_policies); i++)
		if (strcmp(tls_policies[i].name, name) == 0)
			return &tls_policies[i];
	return NULL;
}

const char *const *
tls_policy_names(void)
{
	return tls_policy_list;
}

/* What one suite of TLS 1.2 and before signs with; a name of the table that does not say is RSA. */
static enum tls_key
suite_key(const char *suite)
{
	if (strncmp(suite, "ECDHE-ECDSA-", 12) == 0)
		return TLS_KEY_ECDSA;
	if (strncmp(suite, "DHE-DSS-", 8) == 0)
		return TLS_KEY_DSA;
	return TLS_KEY_RSA;
}

bool
tls_policy_serves(const struct tls_policy *policy, enum tls_key key)
{
	/* TLS 1.3 suites name no kind of key; DSA is gone from it. */
	if (policy->ciphersuites && key != TLS_KEY_DSA)
		return true;
	for (const char *suite = policy->ciphers; suite; suite = strchr(suite, ':')) {
		suite += *suite == ':';
		if (*suite != '@' && suite_key(suite) == key)
			return true;
	}
	return false;
}

bool
tls_certificate_id_valid(const char *id)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_.-";
	size_t len;

	if (!id || id[0] == '.')
		return false;
	len = strspn(id, allowed);
	return id[len] == '\0' && len >= 1 && len <= 128;
}
