/* tls_policy: the table is complete, and OpenSSL understands it. */
#include "weir/tls_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static void
names_and_table_agree(void **state)
{
	const char *const *names = tls_policy_names();
	size_t count = 0;

	(void)state;
	for (; names[count]; count++) {
		assert_non_null(tls_policy_find(names[count]));
		assert_string_equal(tls_policy_find(names[count])->name, names[count]);
		for (size_t i = 0; i < count; i++)
			assert_string_not_equal(names[i], names[count]);
	}
	assert_int_equal(count, 18);
	assert_string_equal(names[0], "intermediate");
	assert_null(tls_policy_find("tls-1-4"));
	assert_null(tls_policy_find("TLS-1-2"));
	assert_null(tls_policy_find(""));
	assert_null(tls_policy_find(NULL));
}

static void
versions_are_those_of_the_clouds(void **state)
{
	static const struct {
		const char *name;
		int min, max;
	} expected[] = {
		{ "modern", TLS1_3_VERSION, TLS1_3_VERSION },
		{ "intermediate", TLS1_2_VERSION, TLS1_3_VERSION },
		{ "old", TLS1_VERSION, TLS1_3_VERSION },
		{ "tls-1-0", TLS1_VERSION, TLS1_2_VERSION },
		{ "tls-1-1", TLS1_1_VERSION, TLS1_2_VERSION },
		{ "tls-1-2", TLS1_2_VERSION, TLS1_2_VERSION },
		{ "tls-1-2-strict", TLS1_2_VERSION, TLS1_2_VERSION },
		{ "tls-1-0-inherit", TLS1_VERSION, TLS1_2_VERSION },
		{ "tls-1-0-with-1-3", TLS1_VERSION, TLS1_3_VERSION },
		{ "tls-1-2-fs", TLS1_2_VERSION, TLS1_2_VERSION },
		{ "tls-1-2-fs-with-1-3", TLS1_2_VERSION, TLS1_3_VERSION },
		{ "hybrid-policy-1-0", TLS1_1_VERSION, TLS1_2_VERSION },
		{ "tls-1-2-strict-no-cbc", TLS1_2_VERSION, TLS1_2_VERSION },
		{ "tls_cipher_policy_1_0", TLS1_VERSION, TLS1_2_VERSION },
		{ "tls_cipher_policy_1_1", TLS1_1_VERSION, TLS1_2_VERSION },
		{ "tls_cipher_policy_1_2", TLS1_2_VERSION, TLS1_2_VERSION },
		{ "tls_cipher_policy_1_2_strict", TLS1_2_VERSION, TLS1_2_VERSION },
		{ "tls_cipher_policy_1_2_strict_with_1_3", TLS1_2_VERSION, TLS1_3_VERSION },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		const struct tls_policy *policy = tls_policy_find(expected[i].name);

		assert_non_null(policy);
		assert_int_equal(policy->min_version, expected[i].min);
		assert_int_equal(policy->max_version, expected[i].max);
		assert_int_equal(policy->ciphersuites != NULL, expected[i].max == TLS1_3_VERSION);
		assert_int_equal(policy->ciphers == NULL, expected[i].min == TLS1_3_VERSION);
		assert_int_equal(policy->ciphers && strstr(policy->ciphers, "@SECLEVEL=0"),
		    expected[i].min < TLS1_2_VERSION);
	}
}

/* The suites Debian's library is built without; any other unknown name is a slip in the table. */
static void
openssl_knows_the_suites(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	(void)state;
	assert_non_null(ctx);
	for (const char *const *name = tls_policy_names(); *name; name++) {
		const struct tls_policy *policy = tls_policy_find(*name);
		char list[2048], *at = list, *suite;

		if (policy->ciphersuites)
			assert_int_equal(SSL_CTX_set_ciphersuites(ctx, policy->ciphersuites), 1);
		if (!policy->ciphers)
			continue;
		assert_int_equal(SSL_CTX_set_cipher_list(ctx, policy->ciphers), 1);
		assert_true(strlen(policy->ciphers) < sizeof(list));
		strcpy(list, policy->ciphers);
		while ((suite = strsep(&at, ":")) != NULL) {
			if (suite[0] == '@' || strstr(suite, "DES-CBC3") || strstr(suite, "RC4"))
				continue;
			if (SSL_CTX_set_cipher_list(ctx, suite) != 1)
				fail_msg("%s: no suite %s", *name, suite);
		}
	}
	ERR_clear_error();
	SSL_CTX_free(ctx);
}

static void
key_types_that_can_be_served(void **state)
{
	(void)state;
	for (const char *const *name = tls_policy_names(); *name; name++) {
		bool ack_rsa =
		    strncmp(*name, "tls_cipher_policy_", 18) == 0 && !strstr(*name, "with_1_3");
		const struct tls_policy *policy = tls_policy_find(*name);

		assert_true(tls_policy_serves(policy, TLS_KEY_RSA));
		assert_int_equal(tls_policy_serves(policy, TLS_KEY_ECDSA), !ack_rsa);
		assert_int_equal(
		    tls_policy_serves(policy, TLS_KEY_DSA), strcmp(*name, "tls-1-0-inherit") == 0);
	}
}

static void
certificate_ids(void **state)
{
	char longest[130];

	(void)state;
	assert_true(tls_certificate_id_valid("17e3b4f4bc40471c86741dc3aa211379"));
	assert_true(tls_certificate_id_valid("1234567890123456_18a5b7e3f11_-123456789_987654321"));
	assert_true(tls_certificate_id_valid("a..b"));
	assert_true(tls_certificate_id_valid("-"));
	assert_false(tls_certificate_id_valid(NULL));
	assert_false(tls_certificate_id_valid(""));
	assert_false(tls_certificate_id_valid("."));
	assert_false(tls_certificate_id_valid(".."));
	assert_false(tls_certificate_id_valid(".hidden"));
	assert_false(tls_certificate_id_valid("../x"));
	assert_false(tls_certificate_id_valid("a/../b"));
	assert_false(tls_certificate_id_valid("a b"));
	assert_false(tls_certificate_id_valid("a\n"));
	assert_false(tls_certificate_id_valid("\xc3\xa4"));
	memset(longest, 'a', sizeof(longest));
	longest[128] = '\0';
	assert_true(tls_certificate_id_valid(longest));
	longest[128] = 'a';
	longest[129] = '\0';
	assert_false(tls_certificate_id_valid(longest));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_table_agree),
		cmocka_unit_test(versions_are_those_of_the_clouds),
		cmocka_unit_test(openssl_knows_the_suites),
		cmocka_unit_test(key_types_that_can_be_served),
		cmocka_unit_test(certificate_ids),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
