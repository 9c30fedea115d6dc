/* The PROXY protocol: what is read, what is refused, and that what is written is read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "weir/proxyproto.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define PARSE(text, header) parse((text), sizeof(text) - 1, (header))

/* Every prefix of a good header wants more; bytes behind it do not count. */
static enum proxyproto_result
parse(const char *text, size_t len, struct proxyproto *header)
{
	enum proxyproto_result result;
	uint8_t data[8192];

	memcpy(data, text, len);
	result = proxyproto_parse(data, len, header);
	if (result == PROXYPROTO_DONE)
		for (size_t i = 0; i < header->len; i++) {
			struct proxyproto part;

			assert_int_equal(proxyproto_parse(data, i, &part), PROXYPROTO_MORE);
		}
	return result;
}

static void
assert_addr(const struct addr *addr, const char *expected)
{
	char text[ADDR_TEXT_SIZE];

	assert_string_equal(addr_print(addr, text), expected);
}

static void
version_1(void **state)
{
	struct proxyproto h;

	(void)state;
	assert_int_equal(PARSE("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET", &h), PROXYPROTO_DONE);
	assert_int_equal(h.len, 45);
	assert_true(h.has_addresses);
	assert_addr(&h.source, "192.0.2.1:56324");
	assert_addr(&h.destination, "198.51.100.1:443");
	assert_int_equal(PARSE("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", &h), PROXYPROTO_DONE);
	assert_addr(&h.source, "[2001:db8::1]:0");
	assert_addr(&h.destination, "[::1]:65535");
	assert_int_equal(PARSE("PROXY UNKNOWN\r\n", &h), PROXYPROTO_DONE);
	assert_false(h.has_addresses);
	assert_int_equal(PARSE("PROXY UNKNOWN ffff:f...f:ffff 65535 x\r\nx", &h), PROXYPROTO_DONE);
	assert_false(h.has_addresses);
	assert_int_equal(h.len, 39);
}

static void
version_1_refused(void **state)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1\r\n",
		"PROXY\r\n",
		"PROXY \r\n",
		"PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
		"PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n",
		"PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
		"PROXY TCP4 192.0.2.1  198.51.100.1 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 -1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 99999999999 2\r\n",
		"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
		"PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n",
		"PROXY TCP4 ::1 ::1 1 2\r\n",
		"PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\rX",
		"PROXY UNKNOWN 4567890123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901\r\n",
	};
	struct proxyproto h;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(bad[i], strlen(bad[i]), &h), PROXYPROTO_BAD);
	assert_int_equal(PARSE("PROXY TCP4 192.0.2.1\0 198.51.100.1 1 2\r\n", &h), PROXYPROTO_BAD);
}

static void
version_2(void **state)
{
	struct proxyproto h;

	(void)state;
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbbGET", &h),
	    PROXYPROTO_DONE);
	assert_int_equal(h.len, 28);
	assert_addr(&h.source, "192.0.2.1:56324");
	assert_addr(&h.destination, "198.51.100.1:443");
	/* With an extension without a value. */
	assert_int_equal(
	    PARSE(V2 "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb\x04\x00\x00GET", &h),
	    PROXYPROTO_DONE);
	assert_int_equal(h.len, 31);
	assert_int_equal(PARSE(V2 "\x20\x00\x00\x00", &h), PROXYPROTO_DONE);
	assert_false(h.has_addresses);
	assert_int_equal(PARSE(V2 "\x20\x11\x00\x02zz", &h), PROXYPROTO_DONE);
	assert_false(h.has_addresses);
	assert_int_equal(PARSE(V2 "\x21\x00\x00\x00", &h), PROXYPROTO_DONE);
	assert_false(h.has_addresses);
}

#define IP4 "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"

static void
extensions(void **state)
{
	static const char good[] = V2 "\x21\x11\x00\x1b" IP4 "\x04\x00\x02" "ab" "\x03\x00\x04" "\xce\x17\x3d\xbc" "\x04\x00\x00";
	struct proxyproto h;

	(void)state;
	assert_int_equal(PARSE(good, &h), PROXYPROTO_DONE);
	assert_addr(&h.source, "192.0.2.1:56324");
	/* Each bit behind the kind of header is in the checksum. */
	for (size_t bit = 16 * 8; bit < (sizeof(good) - 1) * 8; bit++) {
		char bad[sizeof(good)];

		memcpy(bad, good, sizeof(good));
		bad[bit / 8] = (char)(bad[bit / 8] ^ 1 << bit % 8);
		if (bit / 8 == 33) /* the type of what was the checksum: there is none then */
			continue;
		assert_int_equal(parse(bad, sizeof(bad) - 1, &h), PROXYPROTO_BAD);
	}
	/* Cut in the head of one, in its value, a second checksum, one of another length. */
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x0e" IP4 "\x04\x00", &h), PROXYPROTO_BAD);
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x10" IP4 "\x04\x00\x02z", &h), PROXYPROTO_BAD);
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x0f" IP4 "\x03\x00\x00", &h), PROXYPROTO_BAD);
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x0f" IP4 "\x04\xff\xff", &h), PROXYPROTO_BAD);
	/* Who speaks for itself may add what it likes. */
	assert_int_equal(PARSE(V2 "\x20\x11\x00\x0e" IP4 "\x04\x00", &h), PROXYPROTO_DONE);
	assert_false(h.has_addresses);
}

static void
version_2_refused(void **state)
{
	struct proxyproto h;

	(void)state;
	assert_int_equal(PARSE("\r\n\r\nX", &h), PROXYPROTO_BAD);
	assert_int_equal(PARSE(V2 "\x11\x11\x00\x0c", &h), PROXYPROTO_BAD); /* version */
	assert_int_equal(PARSE(V2 "\x22\x11\x00\x0c", &h), PROXYPROTO_BAD); /* command */
	assert_int_equal(PARSE(V2 "\x21\x12\x00\x0czzzzzzzzzzzz", &h), PROXYPROTO_BAD); /* UDP */
	assert_int_equal(PARSE(V2 "\x21\x31\x00\x00", &h), PROXYPROTO_BAD); /* Unix */
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x0bzzzzzzzzzzz", &h), PROXYPROTO_BAD);
	assert_int_equal(PARSE(V2 "\x21\x21\x00\x0czzzzzzzzzzzz", &h), PROXYPROTO_BAD);
	assert_int_equal(PARSE(V2 "\x21\x11\xff\xff", &h), PROXYPROTO_BAD); /* too long */
}

static void
print_and_parse(const char *source, const char *destination, const char *expected_v1)
{
	uint8_t out[PROXYPROTO_PRINT_MAX];
	struct addr from, to;
	struct proxyproto h;
	size_t len;

	assert_int_equal(addr_parse(&from, source, 0), 0);
	assert_int_equal(addr_parse(&to, destination, 0), 0);
	len = proxyproto_print(1, false, &from, &to, out);
	assert_int_equal(len, strlen(expected_v1));
	assert_memory_equal(out, expected_v1, len);
	assert_int_equal(parse((char *)out, len, &h), PROXYPROTO_DONE);
	len = proxyproto_print(2, false, &from, &to, out);
	assert_int_equal(parse((char *)out, len, &h), PROXYPROTO_DONE);
	assert_int_equal(h.len, len);
	from = (struct addr){ .len = 0 };
	assert_int_equal(addr_parse(&from, source, 0), 0);
	assert_int_equal(addr_port(&h.source), addr_port(&from));
	assert_int_equal(addr_port(&h.destination), addr_port(&to));
	len = proxyproto_print(2, true, &h.source, &h.destination, out);
	assert_int_equal(out[13] & 15, 2);
	assert_int_equal(parse((char *)out, len, &h), PROXYPROTO_BAD); /* no UDP comes in */
}

static void
written(void **state)
{
	uint8_t out[PROXYPROTO_PRINT_MAX];
	struct proxyproto h;

	(void)state;
	print_and_parse("192.0.2.1:1000", "10.0.0.1:443", "PROXY TCP4 192.0.2.1 10.0.0.1 1000 443\r\n");
	print_and_parse("[::ffff:192.0.2.1]:1000", "10.0.0.1:443", "PROXY TCP4 192.0.2.1 10.0.0.1 1000 443\r\n");
	print_and_parse("[2001:db8::1]:65535", "[::1]:1", "PROXY TCP6 2001:db8::1 ::1 65535 1\r\n");
	print_and_parse("192.0.2.1:1000", "[::1]:443", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1000 443\r\n");
	for (unsigned version = 1; version <= 2; version++) {
		size_t len = proxyproto_print(version, false, NULL, NULL, out);

		assert_int_equal(parse((char *)out, len, &h), PROXYPROTO_DONE);
		assert_false(h.has_addresses);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1),
		cmocka_unit_test(version_1_refused),
		cmocka_unit_test(version_2),
		cmocka_unit_test(extensions),
		cmocka_unit_test(version_2_refused),
		cmocka_unit_test(written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
