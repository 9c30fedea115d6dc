/* tls_context: certificates from files, and what is said about them. */
#include "tls_setup.h"

/* Loads one listener with this certificate and policy; the only finding must hold `text`. */
static void
expect(const char *certificate, const char *policy, int result, const char *text)
{
	struct setup setup;

	setup_init(&setup, 1, certificate);
	setup.listeners[0].tls.policy = policy;
	assert_int_equal(setup_load(&setup), result);
	assert_int_equal(setup.listeners[0].tls_context == NULL, result == -1);
	if (!strstr(setup.text, text) || (text[0] == '\0' && setup.text[0] != '\0'))
		fail_msg("said \"%s\", not \"%s\"", setup.text, text);
	setup_fini(&setup);
}

static void
expect_served(const struct setup *setup, const X509 *leaf, int intermediates)
{
	SSL_CTX *ssl = tls_context_ssl(setup->listeners[0].tls_context);
	STACK_OF(X509) *chain = NULL;

	assert_int_equal(X509_cmp(SSL_CTX_get0_certificate(ssl), leaf), 0);
	assert_int_equal(SSL_CTX_get0_chain_certs(ssl, &chain), 1);
	assert_int_equal(sk_X509_num(chain), intermediates);
}

static void
expect_error(const char *certificate, const char *text)
{
	expect(certificate, "intermediate", -1, text);
}

static void
blocks_come_in_any_order(void **state)
{
	struct setup setup;

	(void)state;
	write_pem("mixed.pem", "tkcccc", "Bag Attributes\n    friendlyName: x\n", rsa_key,
	    root.cert, middle.cert, rsa.cert, ec.cert);
	setup_init(&setup, 1, "mixed");
	assert_int_equal(setup_load(&setup), 0);
	assert_non_null(
	    strstr(setup.text, "w.yaml:1:7: warning: listener l0: certificate \"mixed\": 1 "
			       "certificate in "));
	/* the leaf and the one between; not the root, nor what has no part in it */
	expect_served(&setup, rsa.cert, 1);
	setup_fini(&setup);
}

static void
secrets_as_kubernetes_mounts_them(void **state)
{
	struct setup setup;

	(void)state;
	assert_int_equal(mkdir(path_of("secret"), 0700), 0);
	write_pem("secret/tls.crt", "cc", rsa.cert, middle.cert);
	expect_error("secret", "certificate \"secret\": cannot read /tmp/weir-tls-");
	write_pem("secret/tls.key", "k", rsa_key);
	setup_init(&setup, 1, "secret");
	assert_int_equal(setup_load(&setup), 0);
	assert_string_equal(setup.text, "");
	expect_served(&setup, rsa.cert, 1);
	setup_fini(&setup);
}

static void
missing_file_names_both_paths(void **state)
{
	char expected[512];

	(void)state;
	snprintf(expected, sizeof(expected),
	    "w.yaml:1:7: error: listener l0: certificate \"none\": cannot read %s/none.pem: No "
	    "such "
	    "file or directory; also tried %s/none/tls.crt\n",
	    dir, dir);
	expect_error("none", expected);
	expect_error("../etc/passwd", "certificate \"../etc/passwd\": no ID");
}

static void
write_encrypted(const char *name, bool traditional)
{
	BIO *file = BIO_new_file(path_of(name), "w");
	unsigned char secret[] = "secret";
	int result;

	assert_non_null(file);
	assert_int_equal(PEM_write_bio_X509(file, rsa.cert), 1);
	result = (traditional ? PEM_write_bio_PrivateKey_traditional : PEM_write_bio_PrivateKey)(
	    file, rsa_key, EVP_aes_128_cbc(), secret, 6, NULL, NULL);
	assert_int_equal(result, 1);
	BIO_free(file);
}

static void
bad_files_are_told(void **state)
{
	char *big = calloc(1, 1024 * 1024 + 1);

	(void)state;
	write_encrypted("locked.pem", false);
	expect_error("locked", "locked.pem has an encrypted private key");
	write_encrypted("locked-old.pem", true);
	expect_error("locked-old", "locked-old.pem has an encrypted private key");
	write_pem("foreign.pem", "ck", rsa.cert, other_key);
	expect_error(
	    "foreign", "the private key, RSA (2048 bits), does not match the certificate in ");
	write_pem("foreign2.pem", "cck", rsa.cert, middle.cert, other_key);
	expect_error("foreign2", "does not match any of the certificates in ");
	write_text("empty.pem", "", 0);
	expect_error("empty", "empty.pem is empty");
	write_text("text.pem", "hello\n", 6);
	expect_error("text", "text.pem has no certificate");
	write_pem("keyless.pem", "c", rsa.cert);
	expect_error("keyless", "keyless.pem has no private key");
	write_pem("certless.pem", "k", rsa_key);
	expect_error("certless", "certless.pem has no certificate");
	write_pem("twice.pem", "ckck", rsa.cert, rsa_key, root.cert, other_key);
	expect_error("twice", "twice.pem has two keys of one kind, RSA (2048 bits)");
	write_pem("torn.pem", "t", "-----BEGIN CERTIFICATE-----\nMIIB\n");
	expect_error("torn", "torn.pem has a damaged PEM block: ");
	write_pem("damaged.pem", "t",
	    "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n");
	expect_error("damaged", "damaged.pem has a damaged certificate (number 1): ");
	write_pem("damaged-key.pem", "ct", rsa.cert,
	    "-----BEGIN PRIVATE KEY-----\nMIIBAAAA\n-----END PRIVATE KEY-----\n");
	expect_error("damaged-key", "damaged-key.pem has a damaged private key: ");
	assert_non_null(big);
	write_text("big.pem", big, 1024 * 1024 + 1);
	expect_error("big", "big.pem is larger than 1 MiB");
	free(big);
	assert_int_equal(mkfifo(path_of("pipe.pem"), 0600), 0);
	expect_error("pipe", "pipe.pem is not a regular file");
}

static void
doubtful_files_are_warned_of(void **state)
{
	X509 *expired = make_cert("old.test", rsa_key, NULL, -20 * DAY, -10 * DAY);
	X509 *early = make_cert("early.test", rsa_key, NULL, 10 * DAY, 20 * DAY);

	(void)state;
	write_pem("expired.pem", "ck", expired, rsa_key);
	expect("expired", "intermediate", 0, "warning: listener l0: certificate \"expired\": ");
	expect("expired", "intermediate", 0, "/expired.pem expired at 2");
	write_pem("early.pem", "ck", early, rsa_key);
	expect("early", "intermediate", 0, "/early.pem is not valid before 2");
	write_pem("open.pem", "ck", rsa.cert, rsa_key);
	assert_int_equal(chmod(path_of("open.pem"), 0644), 0);
	expect("open", "intermediate", 0,
	    "/open.pem holds a private key and can be read by everybody (mode 0644)");
	X509_free(expired);
	X509_free(early);
}

static void
weak_keys_are_refused(void **state)
{
	EVP_PKEY *weak = EVP_RSA_gen(512);
	X509 *cert = weak ? make_cert("weak.test", weak, NULL, -DAY, DAY) : NULL;

	(void)state;
	if (cert) { /* some builds of OpenSSL do not even make one */
		write_pem("weak.pem", "ck", cert, weak);
		expect_error(
		    "weak", "cannot be used with policy \"intermediate\": ee key too small");
	}
	X509_free(cert);
	EVP_PKEY_free(weak);
	ERR_clear_error();
}

static void
all_faults_are_told_at_once(void **state)
{
	struct server_name_config names[] = {
		{ .name = "a.test", .certificate = "none", .where = { "w.yaml", 9, 3 } },
		{ .name = "b.test", .certificate = "rsa", .where = { "w.yaml", 10, 3 } },
		{ .name = "b.test", .certificate = "rsa", .where = { "w.yaml", 11, 3 } },
	};
	struct setup setup;

	(void)state;
	setup_init(&setup, 4, "rsa");
	setup.listeners[0].tls.certificate = "none";
	setup.listeners[1].tls.policy = "tls-9";
	setup.listeners[2].tls.server_names = names;
	setup.listeners[2].tls.server_name_count = 3;
	assert_int_equal(setup_load(&setup), -1);
	assert_int_equal(diag_errors(setup.diag), 4);
	assert_non_null(
	    strstr(setup.text, "w.yaml:1:7: error: listener l0: certificate \"none\": "));
	assert_non_null(
	    strstr(setup.text, "w.yaml:2:7: error: listener l1: no TLS policy \"tls-9\""));
	assert_non_null(
	    strstr(setup.text, "w.yaml:9:3: error: listener l2: certificate \"none\": "));
	assert_non_null(
	    strstr(setup.text, "w.yaml:11:3: error: listener l2: server name \"b.test\" "));
	for (size_t i = 0; i < 4; i++)
		assert_null(setup.listeners[i].tls_context);
	setup_fini(&setup);
}

static void
ec_key_without_a_suite_is_an_error(void **state)
{
	static const char *const rsa_only[] = { "tls_cipher_policy_1_0", "tls_cipher_policy_1_1",
		"tls_cipher_policy_1_2", "tls_cipher_policy_1_2_strict" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		char text[256];

		snprintf(text, sizeof(text),
		    "w.yaml:1:7: error: listener l0: certificate \"ec\" has a "
		    "key of type EC (prime256v1), for which policy \"%s\" has no cipher suite",
		    rsa_only[i]);
		expect("ec", rsa_only[i], -1, text);
		expect("both", rsa_only[i], 0, "");
	}
	expect("ec", "tls_cipher_policy_1_2_strict_with_1_3", 0, "");
	expect("ec", "modern", 0, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_come_in_any_order),
		cmocka_unit_test(secrets_as_kubernetes_mounts_them),
		cmocka_unit_test(missing_file_names_both_paths),
		cmocka_unit_test(bad_files_are_told),
		cmocka_unit_test(doubtful_files_are_warned_of),
		cmocka_unit_test(weak_keys_are_refused),
		cmocka_unit_test(all_faults_are_told_at_once),
		cmocka_unit_test(ec_key_without_a_suite_is_an_error),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_all, remove_all);
}
