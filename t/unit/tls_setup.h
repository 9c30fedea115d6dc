/*
 * tls_setup: certificates in a temporary directory and configurations that name them, for tests.
 *
 * "rsa" (with its intermediate), "ec" and "both" are there from the start.
 */
#ifndef WEIR_T_TLS_SETUP_H
#define WEIR_T_TLS_SETUP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "weir/arena.h"
#include "weir/tls_context.h"

enum { DAY = 24 * 60 * 60 };

struct identity {
	X509 *cert;
	EVP_PKEY *key;
};

static char dir[] = "/tmp/weir-tls-XXXXXX";
static EVP_PKEY *rsa_key, *ec_key, *middle_key, *other_key;
static struct identity root, middle, rsa, ec;

static inline void
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(cert, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static X509 *
make_cert(const char *name, EVP_PKEY *key, const struct identity *issuer, long from_s, long to_s)
{
	static long serial;
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);
	bool ed = EVP_PKEY_get_base_id(issuer ? issuer->key : key) == EVP_PKEY_ED25519;

	assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), from_s);
	X509_gmtime_adj(X509_getm_notAfter(cert), to_s);
	X509_NAME_add_entry_by_txt(
	    subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer->cert) : subject);
	X509_set_pubkey(cert, key);
	add_extension(cert, issuer ? issuer->cert : cert, NID_basic_constraints,
	    strstr(name, "CA") ? "critical,CA:TRUE" : "critical,CA:FALSE");
	assert_true(X509_sign(cert, issuer ? issuer->key : key, ed ? NULL : EVP_sha256()) > 0);
	return cert;
}

static inline const char *
path_of(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static inline void
write_text(const char *name, const char *text, size_t len)
{
	FILE *file = fopen(path_of(name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	assert_int_equal(fclose(file), 0);
}

/* Writes objects in order: 'c' takes an X509, 'k' an EVP_PKEY, 't' a string. */
static inline void
write_pem(const char *name, const char *kinds, ...)
{
	FILE *file = fopen(path_of(name), "w");
	va_list args;

	assert_non_null(file);
	va_start(args, kinds);
	for (; *kinds; kinds++) {
		if (*kinds == 'c')
			assert_int_equal(PEM_write_X509(file, va_arg(args, X509 *)), 1);
		else if (*kinds == 'k')
			assert_int_equal(PEM_write_PrivateKey(file, va_arg(args, EVP_PKEY *), NULL,
					     NULL, 0, NULL, NULL),
			    1);
		else
			assert_true(fputs(va_arg(args, const char *), file) >= 0);
	}
	va_end(args);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	assert_int_equal(fclose(file), 0);
}

struct setup {
	struct config config;
	struct listener_config listeners[4];
	struct diag *diag;
	char *text; /* what diag said */
};

static inline void
setup_init(struct setup *setup, size_t listeners, const char *certificate)
{
	*setup = (struct setup){ 0 };
	setup->diag = diag_new();
	setup->config.arena = arena_new();
	setup->config.global.certificates_dir = dir;
	setup->config.listeners = setup->listeners;
	setup->config.listener_count = listeners;
	for (size_t i = 0; i < listeners; i++) {
		struct listener_config *l = &setup->listeners[i];
		struct where where = { "w.yaml", (unsigned)i + 1, 7 };

		l->name = arena_printf(setup->config.arena, "l%zu", i);
		l->protocol = PROTOCOL_HTTPS;
		l->tls.on = true;
		l->tls.where = l->tls.policy_where = l->tls.certificate_where = where;
		l->tls.certificate = certificate;
		l->tls.policy = "intermediate";
	}
}

static inline int
setup_load(struct setup *setup)
{
	int result = tls_load(&setup->config, setup->diag);

	free(setup->text);
	setup->text = diag_text(setup->diag, "weir");
	assert_int_equal(ERR_peek_error(), 0);
	return result;
}

static inline void
setup_fini(struct setup *setup)
{
	tls_unload(&setup->config);
	arena_free(setup->config.arena);
	diag_free(setup->diag);
	free(setup->text);
}

static inline int
make_all(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	rsa_key = EVP_RSA_gen(2048);
	other_key = EVP_RSA_gen(2048);
	ec_key = EVP_EC_gen("P-256");
	middle_key = EVP_EC_gen("P-256");
	root.key = other_key;
	middle.key = middle_key;
	root.cert = make_cert("Test Root CA", other_key, NULL, -DAY, 30 * DAY);
	middle.cert = make_cert("Test Middle CA", middle_key, &root, -DAY, 30 * DAY);
	rsa.cert = make_cert("rsa.test", rsa_key, &middle, -DAY, 30 * DAY);
	ec.cert = make_cert("ec.test", ec_key, NULL, -DAY, 30 * DAY);
	write_pem("rsa.pem", "cck", rsa.cert, middle.cert, rsa_key);
	write_pem("ec.pem", "ck", ec.cert, ec_key);
	write_pem("both.pem", "cckck", rsa.cert, middle.cert, rsa_key, ec.cert, ec_key);
	return 0;
}

static inline int
remove_all(void **state)
{
	char command[sizeof(dir) + 16];

	(void)state;
	X509_free(root.cert);
	X509_free(middle.cert);
	X509_free(rsa.cert);
	X509_free(ec.cert);
	EVP_PKEY_free(rsa_key);
	EVP_PKEY_free(other_key);
	EVP_PKEY_free(middle_key);
	EVP_PKEY_free(ec_key);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

#endif
