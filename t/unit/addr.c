/* addr: addresses and networks from and to text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "weir/addr.h"

static void
parses_and_prints(void **state)
{
	static const struct {
		const char *text;
		uint16_t default_port;
		const char *printed; /* NULL: refused */
	} cases[] = {
		{ "192.0.2.1:80", 0, "192.0.2.1:80" },
		{ "255.255.255.255:65535", 0, "255.255.255.255:65535" },
		{ "0.0.0.0:1", 0, "0.0.0.0:1" },
		{ "[2001:DB8::1]:80", 0, "[2001:db8::1]:80" },
		{ "[::]:443", 0, "[::]:443" },
		{ "[1111:2222:3333:4444:5555:6666:7777:8888]:65535", 0,
		    "[1111:2222:3333:4444:5555:6666:7777:8888]:65535" },
		{ "[::ffff:192.0.2.1]:80", 0, "192.0.2.1:80" },
		{ "*:80", 0, "[::]:80" },
		{ "*", 80, "[::]:80" },
		{ "192.0.2.1", 80, "192.0.2.1:80" },
		{ "192.0.2.1:81", 80, "192.0.2.1:81" },
		{ "[::1]", 80, "[::1]:80" },
		{ "192.0.2.1", 0, NULL },
		{ "[::1]", 0, NULL },
		{ "192.0.2.1:", 80, NULL },
		{ "192.0.2.1:65536", 0, NULL },
		{ "192.0.2.1:99999999999999999999", 0, NULL },
		{ "192.0.2.1:-1", 0, NULL },
		{ "192.0.2.1:+1", 0, NULL },
		{ "192.0.2.1:8 0", 0, NULL },
		{ " 192.0.2.1:80", 0, NULL },
		{ "192.0.2.1.5:80", 0, NULL },
		{ "192.0.2:80", 0, NULL },
		{ "192.0.2.01:80", 0, NULL },
		{ "256.0.2.1:80", 0, NULL },
		{ "::1:80", 0, NULL },
		{ "2001:db8::1", 80, NULL },
		{ "[192.0.2.1]:80", 0, NULL },
		{ "[::1:80", 0, NULL },
		{ "[::1]80", 0, NULL },
		{ "[]:80", 0, NULL },
		{ "[*]:80", 0, NULL },
		{ "[::1%lo]:80", 0, NULL },
		{ "", 80, NULL },
		{ ":80", 0, NULL },
		{ "example.com:80", 0, NULL },
		{ "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:]:80", 0,
		    NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[ADDR_TEXT_SIZE];
		struct addr addr;
		int result = addr_parse(&addr, cases[i].text, cases[i].default_port);

		if (result != (cases[i].printed != NULL ? 0 : -1))
			fail_msg("%s: %d", cases[i].text, result);
		if (cases[i].printed != NULL)
			assert_string_equal(addr_print(&addr, text), cases[i].printed);
	}
}

static void
prints_every_octet(void **state)
{
	char text[ADDR_TEXT_SIZE], expected[ADDR_TEXT_SIZE];
	struct addr addr, again;

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		snprintf(expected, sizeof(expected), "%u.%u.%u.%u", i, 255 - i, i / 2, i * 7 % 256);
		assert_int_equal(addr_parse_ip(&addr, expected, 7), 0);
		assert_string_equal(addr_print_ip(&addr, text), expected);
		assert_int_equal(addr_port(&addr), 7);
		snprintf(expected, sizeof(expected), "2001:db8::%x:1", i + 1);
		assert_int_equal(addr_parse_ip(&addr, expected, 0), 0);
		assert_string_equal(addr_print_ip(&addr, text), expected);
		assert_int_equal(addr_parse_ip(&again, text, 0), 0);
		assert_true(addr_equal(&addr, &again));
	}
}

static void
compares(void **state)
{
	struct addr a, b;
	struct in6_addr ip_a, ip_b;

	(void)state;
	addr_parse(&a, "192.0.2.1:80", 0);
	addr_parse(&b, "192.0.2.1:81", 0);
	assert_false(addr_equal(&a, &b));
	addr_set_port(&b, 80);
	assert_true(addr_equal(&a, &b));
	/* The same host, but not the same address to bind or connect to. */
	addr_parse(&b, "[::ffff:192.0.2.1]:80", 0);
	assert_false(addr_equal(&a, &b));
	ip_a = addr_ip6(&a);
	ip_b = addr_ip6(&b);
	assert_memory_equal(&ip_a, &ip_b, sizeof(ip_a));
	addr_set_port(&b, 443);
	assert_int_equal(addr_port(&b), 443);
}

static void
parses_networks(void **state)
{
	static const struct {
		const char *text;
		int result;
		const char *printed;
	} cases[] = {
		{ "203.0.113.0/24", 0, "203.0.113.0/24" },
		{ "203.0.113.7", 0, "203.0.113.7/32" },
		{ "0.0.0.0/0", 0, "0.0.0.0/0" },
		{ "2001:db8::/32", 0, "2001:db8::/32" },
		{ "2001:db8::1", 0, "2001:db8::1/128" },
		{ "::/0", 0, "::/0" },
		{ "::ffff:10.0.0.0/104", 0, "10.0.0.0/8" },
		{ "203.0.113.1/24", -2, NULL },
		{ "128.0.0.0/0", -2, NULL },
		{ "2001:db8::1/127", -2, NULL },
		{ "203.0.113.0/33", -1, NULL },
		{ "2001:db8::/129", -1, NULL },
		{ "203.0.113.0/", -1, NULL },
		{ "203.0.113.0/-1", -1, NULL },
		{ "203.0.113.0/24/8", -1, NULL },
		{ "203.0.113/24", -1, NULL },
		{ "[2001:db8::]/32", -1, NULL },
		{ "/24", -1, NULL },
		{ "", -1, NULL },
		{ "all", -1, NULL },
		{ "0000000000000000000000000000000000000000000000000000000000000000::/8", -1,
		    NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[ADDR_TEXT_SIZE];
		struct network network;

		assert_int_equal(network_parse(&network, cases[i].text), cases[i].result);
		if (cases[i].result == 0)
			assert_string_equal(network_print(&network, text), cases[i].printed);
	}
}

static bool
contains(const char *network_text, const char *ip_text)
{
	struct network network;
	struct in6_addr ip;
	struct addr addr;

	assert_int_equal(network_parse(&network, network_text), 0);
	assert_int_equal(addr_parse_ip(&addr, ip_text, 0), 0);
	ip = addr_ip6(&addr);
	return network_contains(&network, &ip);
}

static void
networks_contain(void **state)
{
	(void)state;
	assert_true(contains("203.0.113.0/24", "203.0.113.255"));
	assert_false(contains("203.0.113.0/24", "203.0.114.0"));
	assert_true(contains("203.0.113.0/24", "::ffff:203.0.113.1"));
	assert_true(contains("203.0.113.128/25", "203.0.113.128"));
	assert_false(contains("203.0.113.128/25", "203.0.113.127"));
	assert_true(contains("0.0.0.0/0", "255.255.255.255"));
	assert_false(contains("0.0.0.0/0", "2001:db8::1"));
	assert_true(contains("::/0", "2001:db8::1"));
	assert_false(contains("::/0", "203.0.113.1"));
	assert_true(contains("2001:db8::/31", "2001:db9::1"));
	assert_false(contains("2001:db8::/32", "2001:db9::1"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_prints),
		cmocka_unit_test(prints_every_octet),
		cmocka_unit_test(compares),
		cmocka_unit_test(parses_networks),
		cmocka_unit_test(networks_contain),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
