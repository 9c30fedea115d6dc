/* acl: a compiled list answers like its networks one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/acl.h"
#include "weir/arena.h"

static uint64_t seed = 42;

static uint32_t
random_bits(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 32);
}

static struct acl *
compile(struct arena *arena, const char *const *texts, size_t count)
{
	struct network *networks = arena_array(arena, count, sizeof(*networks));

	for (size_t i = 0; i < count; i++)
		assert_int_equal(network_parse(&networks[i], texts[i]), 0);
	return acl_compile(arena, networks, count);
}

static bool
contains(const struct acl *acl, const char *text)
{
	struct addr addr;

	assert_int_equal(addr_parse_ip(&addr, text, 4711), 0);
	return acl_contains(acl, &addr);
}

static void
empty_contains_nothing(void **state)
{
	struct arena *arena = arena_new();
	struct acl *acl = acl_compile(arena, NULL, 0);

	(void)state;
	assert_true(acl_is_empty(acl));
	assert_false(contains(acl, "0.0.0.0"));
	assert_false(contains(acl, "::"));
	arena_free(arena);
}

static void
edges_of_networks(void **state)
{
	static const char *const texts[] = { "10.0.0.128/25", "10.0.0.0/25", "10.0.2.0/24",
		"10.0.2.7/32", "2001:db8::/32", "ffff::/16", "::1" };
	struct arena *arena = arena_new();
	struct acl *acl = compile(arena, texts, sizeof(texts) / sizeof(texts[0]));

	(void)state;
	assert_false(acl_is_empty(acl));
	assert_false(contains(acl, "9.255.255.255"));
	assert_true(contains(acl, "10.0.0.0"));
	assert_true(contains(acl, "10.0.0.255"));
	assert_false(contains(acl, "10.0.1.0"));
	assert_true(contains(acl, "10.0.2.255"));
	assert_true(contains(acl, "::ffff:10.0.2.255"));
	assert_false(contains(acl, "10.0.3.0"));
	assert_true(contains(acl, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
	assert_false(contains(acl, "2001:db9::"));
	assert_true(contains(acl, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
	assert_true(contains(acl, "::1"));
	assert_false(contains(acl, "::2"));
	assert_false(contains(acl, "::"));
	arena_free(arena);
}

static void
families_are_apart(void **state)
{
	static const char *const v6[] = { "::/0" }, *const v4[] = { "0.0.0.0/0" };
	static const char *const both[] = { "::/1", "8000::/1", "203.0.113.7" };
	struct arena *arena = arena_new();
	struct acl *all_v6 = compile(arena, v6, 1), *all_v4 = compile(arena, v4, 1);
	struct acl *mixed = compile(arena, both, 3);

	(void)state;
	assert_true(contains(all_v6, "::"));
	assert_true(contains(all_v6, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
	assert_true(contains(all_v6, "::fffe:ffff:ffff"));
	assert_true(contains(all_v6, "::1:0:0:0"));
	assert_false(contains(all_v6, "0.0.0.0"));
	assert_false(contains(all_v6, "255.255.255.255"));
	assert_true(contains(all_v4, "0.0.0.0"));
	assert_true(contains(all_v4, "255.255.255.255"));
	assert_false(contains(all_v4, "::1"));
	assert_true(contains(mixed, "2001:db8::1"));
	assert_true(contains(mixed, "203.0.113.7"));
	assert_false(contains(mixed, "203.0.113.8"));
	arena_free(arena);
}

/* The whole of a family, single addresses, and the last bits of both, where no six are left. */
static void
longest_and_shortest_networks(void **state)
{
	static const char *const texts[] = { "255.255.255.255/32", "255.255.255.252/31", "0.0.0.0/32",
		"2001:db8::fffe/128", "2001:db8::1/128", "2001:db8::8/125",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", "::/128", "8000::/3" };
	static const char *const all[] = { "0.0.0.0/0", "10.0.0.0/8", "10.1.1.1/32", "::/0", "::1" };
	static const char *const inside[] = { "255.255.255.255", "255.255.255.252", "255.255.255.253",
		"0.0.0.0", "2001:db8::fffe", "2001:db8::1", "2001:db8::8", "2001:db8::f",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"::", "9fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:255.255.255.255" };
	static const char *const outside[] = { "255.255.255.254", "255.255.255.251", "0.0.0.1",
		"2001:db8::ffff", "2001:db8::fffd", "2001:db8::", "2001:db8::2", "2001:db8::7",
		"2001:db8::10", "2001:db9::fffe", "2001:db8:1::1",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd", "::1", "a000::", "7fff::",
		"::ffff:255.255.255.254", "::255.255.255.255", "::fffe:255.255.255.255" };
	struct arena *arena = arena_new();
	struct acl *acl = compile(arena, texts, sizeof(texts) / sizeof(texts[0]));
	struct acl *whole = compile(arena, all, sizeof(all) / sizeof(all[0]));

	(void)state;
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		assert_true(contains(acl, inside[i]));
		assert_true(contains(whole, inside[i]));
	}
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		assert_false(contains(acl, outside[i]));
		assert_true(contains(whole, outside[i]));
	}
	arena_free(arena);
}

/* However they lie: 80 bytes a network at most, and as few for long lists of neighbours. */
static void
memory_is_bounded(void **state)
{
	enum { COUNT = 4096 };
	struct network *networks = xcalloc(COUNT, sizeof(*networks));

	(void)state;
	for (unsigned stride = 0; stride <= 120; stride += 6) {
		struct arena *arena = arena_new();
		size_t before;

		memset(networks, 0, COUNT * sizeof(*networks));
		for (unsigned i = 0; i < COUNT; i++) {
			networks[i].bits = 128;
			networks[i].base.s6_addr[0] = 0x20;
			for (unsigned bit = 0; bit < 12; bit++) /* its bits of the number, far apart */
				if (i >> bit & 1)
					networks[i].base.s6_addr[15 - (3 + bit * stride / 11) / 8 % 15] |=
					    (uint8_t)(1U << (3 + bit * stride / 11) % 8);
		}
		before = arena_used(arena);
		acl_compile(arena, networks, COUNT);
		assert_in_range(arena_used(arena) - before, 1, 80 * COUNT + 256);
		arena_free(arena);
	}
	free(networks);
}

/* Networks of all sizes, half of each family, crowded so that they nest, overlap and touch. */
static struct network
random_network(void)
{
	struct network network = { .bits = 128 };
	bool is_v4 = random_bits() % 2 == 0;
	unsigned host;

	for (int i = 0; i < 16; i++)
		network.base.s6_addr[i] = (uint8_t)random_bits();
	if (is_v4) {
		memset(&network.base, 0, 12);
		network.base.s6_addr[10] = network.base.s6_addr[11] = 0xff;
		host = random_bits() % 17;
	} else {
		network.base.s6_addr[0] = 0x20;
		network.base.s6_addr[1] &= 0x03;
		host = random_bits() % 113;
	}
	network.bits = (uint8_t)(128 - host);
	for (unsigned bit = 0; bit < host; bit++)
		network.base.s6_addr[15 - bit / 8] &= (uint8_t) ~(1U << bit % 8);
	return network;
}

static bool
contains_naively(const struct network *networks, size_t count, const struct in6_addr *ip)
{
	for (size_t i = 0; i < count; i++)
		if (network_contains(&networks[i], ip))
			return true;
	return false;
}

/* An address within, at an edge of, or just outside a network of the list. */
static struct in6_addr
random_ip_near(const struct network *network)
{
	struct in6_addr ip = network->base;
	unsigned host = 128U - network->bits, mode = random_bits() % 4;

	for (unsigned bit = 0; bit < host; bit++)
		if (mode == 1 || (mode == 2 && random_bits() % 2 == 0))
			ip.s6_addr[15 - bit / 8] |= (uint8_t)(1U << bit % 8);
	if (mode == 3) /* one before the first */
		for (int i = 15; i >= 0 && ip.s6_addr[i]-- == 0; i--)
			;
	return ip;
}

static void
agree(size_t count, unsigned checks)
{
	struct network *networks = xcalloc(count, sizeof(*networks));
	struct arena *arena = arena_new();
	unsigned inside = 0;
	struct acl *acl;

	for (size_t i = 0; i < count; i++)
		networks[i] = random_network();
	acl = acl_compile(arena, networks, count);
	for (unsigned i = 0; i < checks; i++) {
		struct addr addr = { .len = sizeof(addr.in6) };
		struct network other = random_network();
		bool is_inside;

		addr.in6.sin6_family = AF_INET6;
		addr.in6.sin6_addr = i % 2 == 0 ? random_ip_near(&networks[random_bits() % count]) :
						  random_ip_near(&other);
		is_inside = contains_naively(networks, count, &addr.in6.sin6_addr);
		assert_int_equal(acl_contains(acl, &addr), is_inside);
		inside += is_inside;
		if (IN6_IS_ADDR_V4MAPPED(&addr.in6.sin6_addr)) {
			struct addr plain = { .len = sizeof(plain.in) };

			plain.in.sin_family = AF_INET;
			memcpy(&plain.in.sin_addr, addr.in6.sin6_addr.s6_addr + 12, 4);
			assert_int_equal(acl_contains(acl, &plain), is_inside);
		}
	}
	assert_in_range(inside, checks / 4, checks - 1);
	arena_free(arena);
	free(networks);
}

static void
small_lists_agree_with_naive_search(void **state)
{
	(void)state;
	for (size_t count = 1; count <= 50; count++)
		agree(count, 200);
}

static void
large_list_agrees_with_naive_search(void **state)
{
	(void)state;
	agree(100000, 400);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_contains_nothing),
		cmocka_unit_test(edges_of_networks),
		cmocka_unit_test(families_are_apart),
		cmocka_unit_test(longest_and_shortest_networks),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(small_lists_agree_with_naive_search),
		cmocka_unit_test(large_list_agrees_with_naive_search),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
