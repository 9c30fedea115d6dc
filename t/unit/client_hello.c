/* client_hello: what OpenSSL's clients say is understood, in whatever pieces; anything else is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "weir/client_hello.h"

static uint8_t hello[CLIENT_HELLO_MAX];
static size_t hello_len;

/* The first flight of an OpenSSL client. */
static void
make_hello(const char *name, int version, const char *protocols)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl;
	int n;

	SSL_CTX_set_max_proto_version(context, version);
	ssl = SSL_new(context);
	if (protocols != NULL)
		SSL_set_alpn_protos(
		    ssl, (const unsigned char *)protocols, (unsigned)strlen(protocols));
	SSL_set_bio(ssl, in, out);
	if (name != NULL)
		assert_int_equal(SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)name), 1);
	SSL_set_connect_state(ssl);
	SSL_do_handshake(ssl);
	n = BIO_read(out, hello, sizeof(hello));
	assert_true(n > 0);
	hello_len = (size_t)n;
	SSL_free(ssl);
	SSL_CTX_free(context);
}

static void
expect_name(const char *name)
{
	struct slice found;

	assert_int_equal(client_hello_parse(hello, hello_len, &found), HELLO_DONE);
	assert_int_equal(found.len, name ? strlen(name) : 0);
	if (name)
		assert_memory_equal(found.ptr, name, found.len);
}

static void
names_are_found(void **state)
{
	(void)state;
	make_hello("www.example.com", TLS1_3_VERSION, NULL);
	expect_name("www.example.com");
	make_hello("a", TLS1_2_VERSION, "\x02h2\x08http/1.1");
	expect_name("a");
	make_hello(NULL, TLS1_3_VERSION, NULL);
	expect_name(NULL);
}

static void
every_beginning_waits_for_more(void **state)
{
	struct slice name;

	(void)state;
	make_hello("www.example.com", TLS1_3_VERSION, NULL);
	for (size_t len = 0; len < hello_len; len++)
		assert_int_equal(client_hello_parse(hello, len, &name), HELLO_MORE);
}

/* The message in records of `size` bytes. */
static void
split_records(size_t size)
{
	static uint8_t out[CLIENT_HELLO_MAX];
	size_t len = 0;

	for (size_t at = 5; at < hello_len; at += size) {
		size_t n = size < hello_len - at ? size : hello_len - at;

		memcpy(out + len, hello, 3);
		out[len + 3] = (uint8_t)(n >> 8);
		out[len + 4] = (uint8_t)n;
		memcpy(out + len + 5, hello + at, n);
		len += n + 5;
	}
	memcpy(hello, out, len);
	hello_len = len;
}

static void
records_may_be_small(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 4, 5, 7, 100 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make_hello("www.example.com", TLS1_3_VERSION, NULL);
		split_records(sizes[i]);
		expect_name("www.example.com");
	}
}

static void
other_things_are_refused(void **state)
{
	static const char *const texts[] = { "GET / HTTP/1.1\r\n", "\x15\x03\x01\x00\x02\x02\x28",
		"\x16\x02", "\x16\x03\x01\xff\xff", "\x16\x03\x01\x40\x01", "\x80\x2e\x01\x03\x01",
		"\x16\x03\x01\x02\x01\x02" };
	struct slice name;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t len = texts[i][0] == '\x15' ? 7 : strlen(texts[i]);

		assert_int_equal(client_hello_parse(texts[i], len, &name), HELLO_BAD);
	}
	/* An empty record, a message longer than may be. */
	assert_int_equal(client_hello_parse("\x16\x03\x01\x00\x00", 5, &name), HELLO_BAD);
	assert_int_equal(
	    client_hello_parse("\x16\x03\x01\x00\x04\x01\x01\x00\x00", 9, &name), HELLO_BAD);
	/* Something behind the message. */
	make_hello("www.example.com", TLS1_3_VERSION, NULL);
	hello[4]++;
	hello[hello_len] = 14;
	assert_int_equal(client_hello_parse(hello, hello_len + 1, &name), HELLO_BAD);
}

/* One byte changed: understood or not, but never beyond what is there. */
static void
damage_does_no_harm(void **state)
{
	struct slice name;

	(void)state;
	make_hello("www.example.com", TLS1_3_VERSION, "\x02h2");
	for (size_t i = 0; i < hello_len; i++) {
		for (unsigned change = 1; change < 256; change++) {
			uint8_t *copy = malloc(hello_len);

			memcpy(copy, hello, hello_len);
			copy[i] ^= (uint8_t)change;
			if (client_hello_parse(copy, hello_len, &name) == HELLO_DONE &&
			    name.len > 0)
				assert_true(name.len <= 255);
			free(copy);
		}
	}
}

static void
a_name_stands_once(void **state)
{
	/* Two extensions server_name in an otherwise good message. */
	static const uint8_t names[] = { 0, 0, 0, 6, 0, 4, 0, 0, 1, 'a', 0, 0, 0, 6, 0, 4, 0, 0, 1,
		'b' };
	uint8_t body[] = { 0x16, 3, 1, 0, 67 + 0, 1, 0, 0, 63, 3, 3, [43] = 0, 0, 2, 0x13, 1, 1, 0,
		0, sizeof(names) };
	uint8_t all[sizeof(body) + sizeof(names)];
	struct slice name;

	(void)state;
	memcpy(all, body, sizeof(body));
	memcpy(all + sizeof(body), names, sizeof(names));
	all[4] = (uint8_t)(sizeof(all) - 5);
	all[8] = (uint8_t)(sizeof(all) - 9);
	assert_int_equal(client_hello_parse(all, sizeof(all), &name), HELLO_BAD);
	all[4] -= 10;
	all[8] -= 10;
	all[sizeof(body) - 1] -= 10;
	assert_int_equal(client_hello_parse(all, sizeof(all) - 10, &name), HELLO_DONE);
	assert_int_equal(name.len, 1);
	/* A length inside that does not fit. */
	all[sizeof(body) + 5]++;
	assert_int_equal(client_hello_parse(all, sizeof(all) - 10, &name), HELLO_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(every_beginning_waits_for_more),
		cmocka_unit_test(records_may_be_small),
		cmocka_unit_test(other_things_are_refused),
		cmocka_unit_test(damage_does_no_harm),
		cmocka_unit_test(a_name_stands_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
