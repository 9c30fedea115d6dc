/* The certificates of Secrets: read, checked, and written where the daemon finds them. */
#include "secret_priv.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "weir/arena.h"
#include "weir/file.h"

#include "certificate_priv.h"
#include "manifest_priv.h"
#include "service_priv.h"

enum { ID_LEN_MAX = 128, ID_LEN_KEPT = 100 };

struct pem {
	char *text; /* owned; holds keys */
	size_t len;
};

static void
pem_fini(struct pem *pem)
{
	if (pem->text != NULL)
		OPENSSL_cleanse(pem->text, pem->len);
	free(pem->text);
	*pem = (struct pem){ 0 };
}

static int
base64_digit(char c)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c != '\0' ? strchr(digits, c) : NULL;

	return p != NULL ? (int)(p - digits) : -1;
}

/* RFC 4648 section 4; white space between the digits comes from YAML blocks. */
static bool
base64_decode(const char *text, struct pem *out)
{
	unsigned bits = 0, count = 0, padding = 0;

	out->text = xmalloc(strlen(text) / 4 * 3 + 4);
	out->len = 0;
	for (; *text != '\0'; text++) {
		int digit = base64_digit(*text);

		if (strchr(" \t\r\n", *text) != NULL)
			continue;
		if (*text == '=' && count % 4 + padding >= 2 && padding < 2) {
			padding++;
			continue;
		}
		if (digit == -1 || padding > 0)
			break;
		bits = bits << 6 | (unsigned)digit;
		if (++count % 4 != 1)
			out->text[out->len++] = (char)(bits >> (6 - 2 * ((count - 1) % 4)));
	}
	out->text[out->len] = '\0';
	if (*text == '\0' && out->len > 0 && (count + padding) % 4 == 0)
		return true;
	pem_fini(out);
	return false;
}

/* One entry of the Secret: stringData is plain, data is base64. */
static bool
read_entry(struct gen *gen, const struct object *secret, const char *key, struct pem *out)
{
	const struct yaml_node *plain = yaml_get(yaml_get(secret->root, "stringData"), key);
	const struct yaml_node *coded = yaml_get(yaml_get(secret->root, "data"), key);
	const struct yaml_node *node = plain != NULL ? plain : coded;

	if (node == NULL || node->type != YAML_SCALAR || node->len == 0) {
		diag_error(gen->diag, node != NULL ? node->where : secret->where,
		    "Secret %s: %s is missing; allowed: a Secret with tls.crt and tls.key",
		    secret->label, key);
		return false;
	}
	if (plain != NULL) {
		*out = (struct pem){ xstrdup(plain->text), plain->len };
		return true;
	}
	if (base64_decode(node->text, out))
		return true;
	diag_error(gen->diag, node->where,
	    "Secret %s: %s is not base64; allowed: the base64 of a PEM file", secret->label, key);
	return false;
}

/* Keys that need a password are of no use to a daemon. */
static int
no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static X509 *
parse_certificate(const struct pem *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->text, (int)pem->len);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL);

	BIO_free(bio);
	return certificate;
}

static EVP_PKEY *
parse_key(const struct pem *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->text, (int)pem->len);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);

	BIO_free(bio);
	return key;
}

/* Do certificate and key fit each other?  Sets *type. */
static bool
check_pair(struct gen *gen, const struct object *secret, const struct pem *crt,
    const struct pem *key, struct gen_certificate *out)
{
	X509 *certificate = parse_certificate(crt);
	EVP_PKEY *pkey = parse_key(key);
	const char *fault = NULL;

	if (certificate == NULL)
		fault = "tls.crt holds no certificate; allowed: PEM, the server's own first";
	else if (pkey == NULL)
		fault = "tls.key holds no key; allowed: PEM, without a password";
	else if (X509_check_private_key(certificate, pkey) != 1)
		fault = "tls.key is not the key of tls.crt; allowed: a pair";
	else
		out->has_key_type = certificate_key_type(certificate, &out->key_type);
	if (fault != NULL)
		diag_error(gen->diag, secret->where, "Secret %s: %s", secret->label, fault);
	X509_free(certificate);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return fault == NULL;
}

/*
 * NAMESPACE_NAME: neither can hold an underscore, so no two Secrets share one.  What is too long
 * for a file's name ends in a digest.
 */
static const char *
certificate_id(struct arena *arena, const struct object *secret)
{
	char *id = arena_printf(arena, "secret_%s_%s", secret->namespace_, secret->name);
	unsigned char digest[SHA256_DIGEST_LENGTH];
	const char *tail = "";

	if (strlen(id) <= ID_LEN_MAX)
		return id;
	SHA256((const unsigned char *)id, strlen(id), digest);
	for (size_t i = 0; i < 12; i++)
		tail = arena_printf(arena, "%s%02x", tail, digest[i]);
	return arena_printf(arena, "%.*s_%s", ID_LEN_KEPT, id, tail);
}

/* One file with chain and key, as the daemon takes it. */
static void
store(struct gen *gen, const char *id, const struct pem *crt, const struct pem *key)
{
	struct secret_file *file = xcalloc(1, sizeof(*file));
	bool needs_newline = crt->text[crt->len - 1] != '\n';

	file->path = xprintf("%s/%s.pem", gen->site.check_dir, id);
	file->len = crt->len + needs_newline + key->len;
	file->text = xmalloc(file->len + 1);
	memcpy(file->text, crt->text, crt->len);
	if (needs_newline)
		file->text[crt->len] = '\n';
	memcpy(file->text + crt->len + needs_newline, key->text, key->len);
	list_add(&gen->secret_files, file);
}

static struct gen_certificate *
read_secret(struct gen *gen, const struct object *secret)
{
	struct gen_certificate *out = arena_alloc(gen->arena, sizeof(*out));
	const struct yaml_node *type = yaml_get(secret->root, "type");
	struct pem crt = { 0 }, key = { 0 };
	bool ok;

	if (type != NULL && type->type == YAML_SCALAR &&
	    !choice_has("kubernetes.io/tls, IngressTLS", type->text, false))
		diag_warning(gen->diag, type->where,
		    "Secret %s is of type %s; allowed: kubernetes.io/tls, IngressTLS",
		    secret->label, quote_value(gen->arena, type->text));
	ok = read_entry(gen, secret, "tls.crt", &crt);
	ok = read_entry(gen, secret, "tls.key", &key) && ok;
	if (ok && check_pair(gen, secret, &crt, &key, out)) {
		out->id = certificate_id(gen->arena, secret);
		store(gen, out->id, &crt, &key);
	}
	pem_fini(&crt);
	pem_fini(&key);
	return out;
}

const struct gen_certificate *
secret_find(struct gen *gen, const char *namespace_, const char *name)
{
	const char *label = arena_printf(gen->arena, "Secret/%s/%s", namespace_, name);
	const struct object *secret = index_find(gen->manifest.by_name, label);
	struct gen_certificate *known = index_find(gen->certificates, label);

	if (secret == NULL)
		return NULL;
	if (known == NULL) {
		known = read_secret(gen, secret);
		index_add(gen->certificates, label, known);
	}
	return known;
}

int
secrets_write(const struct list *files, bool *changed)
{
	for (size_t i = 0; i < files->count; i++) {
		const struct secret_file *file = files->items[i];
		char *slash = strrchr(file->path, '/');
		bool is_new = false;
		int result;

		*slash = '\0';
		result = file_make_dirs(file->path, 0755);
		*slash = '/';
		if (result == 0)
			result =
			    file_write_atomic(file->path, file->text, file->len, 0600, &is_new);
		/* one that holds the same already may have been open to others */
		if (result == 0 && !is_new)
			result = chmod(file->path, 0600);
		if (result == -1) {
			fprintf(stderr, "%s: error: cannot be written: %s\n", file->path,
			    strerror(errno));
			return -1;
		}
		*changed = *changed || is_new;
	}
	return 0;
}

void
secrets_fini(struct list *files)
{
	for (size_t i = 0; i < files->count; i++) {
		struct secret_file *file = files->items[i];

		OPENSSL_cleanse(file->text, file->len);
		free(file->text);
		free(file->path);
		free(file);
	}
	list_fini(files);
}
