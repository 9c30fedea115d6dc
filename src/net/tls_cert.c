#include "tls_cert_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "weir/arena.h"
#include "weir/tls_files.h"

#include "namemap_priv.h"
#include "tls_ocsp_priv.h"
#include "tls_pem_priv.h"

enum { FILE_SIZE_MAX = 1024 * 1024, OCSP_SIZE_MAX = 64 * 1024 };

struct tls_finding {
	enum diag_level level;
	const char *text;
	struct tls_finding *next;
};

struct tls_certs {
	struct arena *arena;     /* owned */
	const char *dir;         /* borrowed */
	struct tls_files *files; /* borrowed */
	struct namemap by_id;
	struct tls_cert *all;
};

/* One certificate being loaded. */
struct load {
	struct arena *arena;
	struct tls_files *files;
	struct tls_cert *cert;
	struct tls_finding **last; /* where the next finding is linked */
	struct tls_pem pem;
	bool sent[TLS_PEM_CERTS]; /* this certificate of pem has a use */
	const char *path;         /* of the file, or the first of two, for messages */
	bool failed;
};

struct tls_certs *
tls_certs_new(const char *dir, struct tls_files *files)
{
	struct arena *arena = arena_new();
	struct tls_certs *certs = arena_alloc(arena, sizeof(*certs));

	certs->arena = arena;
	certs->dir = dir;
	certs->files = files;
	namemap_init(&certs->by_id, arena);
	return certs;
}

void
tls_certs_free(struct tls_certs *certs)
{
	if (!certs)
		return;
	for (struct tls_cert *cert = certs->all; cert; cert = cert->next) {
		for (size_t i = 0; i < cert->pair_count; i++) {
			X509_free(cert->pairs[i].leaf);
			sk_X509_pop_free(cert->pairs[i].chain, X509_free);
			EVP_PKEY_free(cert->pairs[i].key);
		}
	}
	arena_free(certs->arena);
}

const struct tls_cert *
tls_certs_all(const struct tls_certs *certs)
{
	return certs->all;
}

__attribute__((format(printf, 3, 4))) static void
tell(struct load *load, enum diag_level level, const char *format, ...)
{
	struct tls_finding *finding = arena_alloc(load->arena, sizeof(*finding));
	va_list args;
	char *text;

	va_start(args, format);
	text = xvprintf(format, args);
	va_end(args);
	*finding = (struct tls_finding){ level, arena_strdup(load->arena, text), NULL };
	free(text);
	*load->last = finding;
	load->last = &finding->next;
	if (level == DIAG_ERROR)
		load->failed = true;
}

/*
 * Read `path` into load->pem.  also: a path that was tried before in vain; NULL: none.
 * Returns 0; 1 when there is no such file and it may_miss; -1 when something is wrong (told).
 */
static int
read_pem(struct load *load, const char *path, const char *also, bool may_miss)
{
	const struct tls_file *file = tls_files_read(load->files, path, FILE_SIZE_MAX);
	size_t keys = load->pem.key_count;
	char why[TLS_WHY_SIZE];

	if (file->error == ENOENT && may_miss)
		return 1;
	if (file->error == EINVAL)
		tell(load, DIAG_ERROR, "%s is not a regular file", path);
	else if (file->error == EFBIG)
		tell(load, DIAG_ERROR, "%s is larger than 1 MiB", path);
	else if (also && (file->error == ENOENT || file->error == ENOTDIR))
		tell(load, DIAG_ERROR, "cannot read %s: %s; also tried %s", also,
		    strerror(file->error), path);
	else if (file->error != 0)
		tell(load, DIAG_ERROR, "cannot read %s: %s", path, strerror(file->error));
	else if (file->len == 0)
		tell(load, DIAG_ERROR, "%s is empty", path);
	else if (tls_pem_add(&load->pem, file->data, file->len, why) == -1)
		tell(load, DIAG_ERROR, "%s %s", path, why);
	else if (load->pem.key_count > keys && (file->mode & S_IROTH))
		tell(load, DIAG_WARNING,
		    "%s holds a private key and can be read by everybody (mode %04o)", path,
		    file->mode);
	return load->failed ? -1 : 0;
}

/* ID.pem, else ID/tls.crt with ID/tls.key, as Kubernetes mounts a Secret.  Returns 0 or -1. */
static int
read_files(struct load *load, const char *dir)
{
	const char *id = load->cert->id;
	const char *pem = arena_printf(load->arena, "%s/%s.pem", dir, id);
	const char *crt = arena_printf(load->arena, "%s/%s/tls.crt", dir, id);
	int result = read_pem(load, pem, NULL, true);

	load->path = pem;
	if (result != 1)
		return result;
	load->path = crt;
	if (read_pem(load, crt, pem, false) == -1)
		return -1;
	return read_pem(load, arena_printf(load->arena, "%s/%s/tls.key", dir, id), NULL, false);
}

const char *
tls_key_describe(const EVP_PKEY *key, char *text, size_t size)
{
	const char *type = EVP_PKEY_get0_type_name(key);
	char group[64];

	if (!type)
		type = "unknown";
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1)
		snprintf(text, size, "%s (%s)", type, group);
	else if (EVP_PKEY_get_bits(key) > 0)
		snprintf(text, size, "%s (%d bits)", type, EVP_PKEY_get_bits(key));
	else
		snprintf(text, size, "%s", type);
	ERR_clear_error();
	return text;
}

/* Returns 0 with *kind set, or -1 for keys that no TLS server can sign with. */
static int
key_kind(const EVP_PKEY *key, enum tls_key *kind)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_RSA_PSS:
		*kind = TLS_KEY_RSA;
		return 0;
	case EVP_PKEY_EC:
	case EVP_PKEY_ED25519:
	case EVP_PKEY_ED448:
		*kind = TLS_KEY_ECDSA;
		return 0;
	case EVP_PKEY_DSA:
		*kind = TLS_KEY_DSA;
		return 0;
	default:
		return -1;
	}
}

static bool
is_valid_now(const X509 *cert)
{
	return X509_cmp_current_time(X509_get0_notBefore(cert)) < 0 &&
	       X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

/* The certificate of `key`: the first in the file, but a valid one before others; or NULL. */
static X509 *
find_leaf(struct load *load, const EVP_PKEY *key)
{
	const struct tls_pem *pem = &load->pem;
	size_t found = TLS_PEM_CERTS;

	for (size_t i = 0; i < pem->cert_count; i++) {
		const EVP_PKEY *public = X509_get0_pubkey(pem->certs[i]);

		if (!public || EVP_PKEY_eq(public, key) != 1)
			continue;
		if (found == TLS_PEM_CERTS ||
		    (!is_valid_now(pem->certs[found]) && is_valid_now(pem->certs[i])))
			found = i;
	}
	ERR_clear_error();
	if (found == TLS_PEM_CERTS)
		return NULL;
	load->sent[found] = true;
	return pem->certs[found];
}

/*
 * Put together the way from `leaf` towards its root, whatever the order in the file.  The root
 * itself is left out: a client trusts its own copy or none (RFC 8446 §4.4.2).
 */
static struct stack_st_X509 *
make_chain(struct load *load, X509 *leaf)
{
	struct stack_st_X509 *chain = sk_X509_new_null();
	bool taken[TLS_PEM_CERTS] = { false }; /* two chains may share an issuer; one has no loop */
	X509 *at = leaf, *next;

	do {
		next = NULL;
		for (size_t i = 0; i < load->pem.cert_count; i++) {
			X509 *cert = load->pem.certs[i];

			if (X509_check_issued(cert, at) != X509_V_OK)
				continue;
			if (X509_self_signed(cert, 0) == 1)
				load->sent[i] = true;
			else if (cert != leaf && !next && !taken[i]) {
				next = cert;
				load->sent[i] = taken[i] = true;
			}
		}
		if (next && chain && X509_up_ref(next) == 1 && sk_X509_push(chain, next) == 0)
			X509_free(next);
		at = next;
	} while (at);
	ERR_clear_error();
	return chain;
}

static void
print_time(const ASN1_TIME *time, char text[static 32])
{
	struct tm tm;

	if (ASN1_TIME_to_tm(time, &tm) != 1 || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(text, 32, "an unreadable date");
}

static void
check_dates(struct load *load, const X509 *cert, const char *what)
{
	char date[32];

	if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0) {
		print_time(X509_get0_notAfter(cert), date);
		tell(load, DIAG_WARNING, "%s in %s expired at %s", what, load->path, date);
	}
	if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0) {
		print_time(X509_get0_notBefore(cert), date);
		tell(load, DIAG_WARNING, "%s in %s is not valid before %s", what, load->path, date);
	}
	ERR_clear_error();
}

static void
check_pair(struct load *load, const struct tls_pair *pair)
{
	check_dates(load, pair->leaf, "the certificate");
	for (int i = 0; i < sk_X509_num(pair->chain); i++)
		check_dates(load, sk_X509_value(pair->chain, i), "an intermediate certificate");
	if (X509_check_purpose(pair->leaf, X509_PURPOSE_SSL_SERVER, 0) != 1)
		tell(load, DIAG_WARNING,
		    "the certificate in %s is not meant for TLS servers, as its key usage says: "
		    "clients will refuse it",
		    load->path);
	ERR_clear_error();
}

static void
add_pair(struct load *load, EVP_PKEY *key)
{
	struct tls_cert *cert = load->cert;
	struct tls_pair pair = { .key = key };
	char type[96];

	if (key_kind(key, &pair.kind) == -1) {
		tell(load, DIAG_ERROR, "%s has a key of type %s, with which no TLS server can sign",
		    load->path, tls_key_describe(key, type, sizeof(type)));
		return;
	}
	pair.leaf = find_leaf(load, key);
	if (!pair.leaf) {
		tell(load, DIAG_ERROR, "the private key, %s, does not match %s in %s",
		    tls_key_describe(key, type, sizeof(type)),
		    load->pem.cert_count == 1 ? "the certificate" : "any of the certificates",
		    load->path);
		return;
	}
	for (size_t i = 0; i < cert->pair_count; i++) {
		if (cert->pairs[i].kind == pair.kind) {
			tell(load, DIAG_ERROR,
			    "%s has two keys of one kind, %s; one of each kind can be served",
			    load->path, tls_key_describe(key, type, sizeof(type)));
			return;
		}
	}
	X509_up_ref(pair.leaf);
	EVP_PKEY_up_ref(key);
	pair.chain = make_chain(load, pair.leaf);
	cert->pairs[cert->pair_count++] = pair;
	check_pair(load, &pair);
}

static void
make_pairs(struct load *load)
{
	size_t idle = 0;

	if (load->pem.cert_count == 0 && load->pem.key_count == 0)
		tell(load, DIAG_ERROR, "%s has no certificate and no private key", load->path);
	else if (load->pem.cert_count == 0)
		tell(load, DIAG_ERROR, "%s has no certificate", load->path);
	else if (load->pem.key_count == 0)
		tell(load, DIAG_ERROR, "%s has no private key", load->path);
	if (load->failed)
		return;
	for (size_t i = 0; i < load->pem.key_count; i++)
		add_pair(load, load->pem.keys[i]);
	for (size_t i = 0; i < load->pem.cert_count; i++)
		idle += !load->sent[i];
	if (idle > 0 && !load->failed)
		tell(load, DIAG_WARNING,
		    "%zu certificate%s in %s belong%s to no chain and will not be sent", idle,
		    idle == 1 ? "" : "s", load->path, idle == 1 ? "s" : "");
}

/* ID.ocsp, or ID/tls.ocsp: not having one, or an old one, is no reason to refuse the certificate.
 */
static void
read_ocsp(struct load *load, const char *dir)
{
	const char *path = arena_printf(load->arena, "%s/%s.ocsp", dir, load->cert->id);
	const struct tls_file *file = tls_files_read(load->files, path, OCSP_SIZE_MAX);
	char why[TLS_WHY_SIZE] = "";
	bool is_used = false;

	if (file->error == ENOENT) {
		path = arena_printf(load->arena, "%s/%s/tls.ocsp", dir, load->cert->id);
		file = tls_files_read(load->files, path, OCSP_SIZE_MAX);
	}
	if (file->error == ENOENT || file->error == ENOTDIR || file->error == EINVAL)
		return;
	if (file->error != 0) {
		tell(load, DIAG_WARNING, "cannot read %s: %s", path, strerror(file->error));
		return;
	}
	for (size_t i = 0; i < load->cert->pair_count; i++) {
		struct tls_pair *pair = &load->cert->pairs[i];

		pair->staple = tls_ocsp_load(load->arena, pair->leaf, file->data, file->len, why);
		is_used = is_used || pair->staple;
	}
	if (!is_used)
		tell(load, DIAG_WARNING, "%s %s, and is not stapled", path, why);
}

static struct tls_cert *
load_cert(struct tls_certs *certs, const char *id)
{
	struct tls_cert *cert = arena_alloc(certs->arena, sizeof(*cert));
	struct load load = {
		.arena = certs->arena, .files = certs->files, .cert = cert, .last = &cert->findings
	};

	cert->id = arena_strdup(certs->arena, id);
	cert->next = certs->all;
	certs->all = cert;
	if (!tls_certificate_id_valid(id))
		tell(&load, DIAG_ERROR,
		    "no ID: 1 to 128 letters, digits, '_', '.', '-', not starting with a dot");
	else if (read_files(&load, certs->dir) == 0)
		make_pairs(&load);
	if (cert->pair_count > 0 && !load.failed)
		read_ocsp(&load, certs->dir);
	tls_pem_fini(&load.pem);
	return cert;
}

const struct tls_cert *
tls_certs_known(const struct tls_certs *certs, const char *id)
{
	return namemap_find(&certs->by_id, id, strlen(id));
}

const struct tls_cert *
tls_certs_find(
    struct tls_certs *certs, const char *id, struct where where, const char *who, struct diag *diag)
{
	struct tls_cert *cert = namemap_find(&certs->by_id, id, strlen(id));
	bool failed = false;

	if (!cert) {
		cert = load_cert(certs, id);
		namemap_add(&certs->by_id, cert->id, cert);
	}
	for (const struct tls_finding *f = cert->findings; f; f = f->next) {
		if (f->level == DIAG_ERROR) {
			diag_error(diag, where, "%s: certificate \"%s\": %s", who, id, f->text);
			failed = true;
		} else {
			diag_warning(diag, where, "%s: certificate \"%s\": %s", who, id, f->text);
		}
	}
	return failed ? NULL : cert;
}
