/*
 * acl: what one look-up in an access list costs, by family and number of networks, what the list
 * takes in memory, and the time to build it.  `make bench-acl` builds and runs it.
 *
 * Nanoseconds of processor time of this thread, the best of several rounds; addresses come in
 * random order, hits lie within a random network of the list.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "weir/acl.h"
#include "weir/arena.h"

enum { LOOKUPS = 1 << 20, ROUNDS = 7, ADDRESSES = 1 << 14 };

static double
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static uint64_t random_state = 88172645463325252U;

static uint64_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void
set_random(struct in6_addr *ip, bool is_ip4)
{
	for (int i = 0; i < 16; i++)
		ip->s6_addr[i] = (uint8_t)(next_random() >> 32);
	ip->s6_addr[0] = (uint8_t)(0x20 | (ip->s6_addr[0] & 0x0f));
	if (is_ip4) {
		memset(ip, 0, 10);
		ip->s6_addr[10] = ip->s6_addr[11] = 0xff;
		ip->s6_addr[12] = (uint8_t)(1 + ip->s6_addr[12] % 223);
	}
}

/* Gives `ip` the first bits of the network. */
static void
move_into(struct in6_addr *ip, const struct network *network)
{
	for (unsigned bit = 0; bit < network->bits; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		ip->s6_addr[bit / 8] = (uint8_t)((ip->s6_addr[bit / 8] & ~mask) |
						 (network->base.s6_addr[bit / 8] & mask));
	}
}

/* Of IPv4 /16 to /32, of IPv6 /32 to /64 and each fourth a /128. */
static void
set_network(struct network *network, bool is_ip4)
{
	struct in6_addr ip;

	memset(network, 0, sizeof(*network));
	set_random(&ip, is_ip4);
	network->bits = (uint8_t)(is_ip4 ? 112 + next_random() % 17 : 32 + next_random() % 33);
	if (!is_ip4 && next_random() % 4 == 0)
		network->bits = 128;
	move_into(&network->base, &(struct network){ .base = ip, .bits = network->bits });
}

static struct addr addresses[ADDRESSES];

static void
set_addresses(
    const struct acl *acl, const struct network *networks, size_t count, bool is_ip4, bool are_hits)
{
	for (unsigned i = 0; i < ADDRESSES; i++) {
		struct addr *addr = &addresses[i];
		struct in6_addr ip;

		do {
			set_random(&ip, is_ip4);
			if (are_hits)
				move_into(&ip, &networks[next_random() % count]);
			memset(addr, 0, sizeof(*addr));
			addr->in6.sin6_family = AF_INET6;
			addr->in6.sin6_addr = ip;
			addr->len = sizeof(addr->in6);
		} while (acl_contains(acl, addr) != are_hits);
		if (!is_ip4)
			continue;
		memset(addr, 0, sizeof(*addr));
		addr->in.sin_family = AF_INET;
		memcpy(&addr->in.sin_addr, &ip.s6_addr[12], 4);
		addr->len = sizeof(addr->in);
	}
}

static double
measure(const struct acl *acl)
{
	static volatile unsigned found;
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double begin = now_ns(), ns;

		for (unsigned i = 0; i < LOOKUPS; i++)
			found += acl_contains(acl, &addresses[i % ADDRESSES]);
		ns = (now_ns() - begin) / LOOKUPS;
		best = ns < best ? ns : best;
	}
	return best;
}

static void
run(size_t count, bool is_ip4)
{
	struct network *networks = xcalloc(count, sizeof(*networks));
	struct arena *arena = arena_new();
	struct acl *acl;
	double begin, hit, built;
	size_t before;

	for (size_t i = 0; i < count; i++)
		set_network(&networks[i], is_ip4);
	before = arena_used(arena);
	begin = now_ns();
	acl = acl_compile(arena, networks, count);
	built = now_ns() - begin;
	set_addresses(acl, networks, count, is_ip4, true);
	hit = measure(acl);
	set_addresses(acl, networks, count, is_ip4, false);
	printf("%s %10zu %10.1f %10.1f %10.1f %10.2f\n", is_ip4 ? "IPv4" : "IPv6", count, hit,
	    measure(acl), (double)(arena_used(arena) - before) / (double)count, built / 1e6);
	arena_free(arena);
	free(networks);
}

int
main(void)
{
	static const size_t counts[] = { 10, 1000, 100000 };

	printf("       networks     hit ns    miss ns  bytes each   build ms\n");
	for (size_t i = 0; i < 2 * sizeof(counts) / sizeof(counts[0]); i++)
		run(counts[i / 2], i % 2 == 0);
	return 0;
}
