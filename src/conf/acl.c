/*
 * The networks of a list, without those that lie in others, are the leaves of two tries, one for
 * each family.  A node decides over the next six bits after those that all below it share:
 *
 *	slot (6 bits)        0   1   2   3 ... 63
 *	inside   (64 bits)   .   1   1   .      .     a network covers the whole slot
 *	children (64 bits)   1   .   .   .      1     networks cover parts of it: see the child
 *	                     |                  |
 *	                     nodes[child + 0]   nodes[child + 1]
 *
 * Bits that make no difference are skipped, so that every node has a network of its own or two
 * children at least: n networks need fewer than 2n nodes.  On the way down what was skipped is not
 * compared; a node keeps the bits shared below it, and whoever lies in a network there has them.
 */
#include "weir/acl.h"

#include <assert.h>
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

__extension__ typedef unsigned __int128 ip_number;

enum {
	IP_BITS = 128,
	STRIDE = 6, /* so that a path has 6 nodes at most for IPv4, 22 for IPv6 */
	SLOTS = 1 << STRIDE
};

/* The first `bits` of an address; the others are zero.  Those of IPv4 stand at the left, too. */
struct prefix {
	ip_number ip;
	unsigned bits;
};

struct node {
	uint64_t inside, children; /* a bit for each slot, never in both */
	uint64_t shared[2];        /* the first `bit` bits of all addresses below it, then zeros */
	uint32_t child;            /* index of the first; the others follow */
	uint8_t bit;               /* where its six bits begin, 0 to 127 */
};

struct acl {
	struct node *ip4, *ip6; /* borrowed from the arena; the first is the root */
	bool is_empty;
};

static ip_number
from_halves(uint64_t high, uint64_t low)
{
	return (ip_number)high << 64 | low;
}

static ip_number
ip_to_number(const struct in6_addr *ip)
{
	uint64_t high, low;

	memcpy(&high, ip->s6_addr, 8);
	memcpy(&low, ip->s6_addr + 8, 8);
	return from_halves(be64toh(high), be64toh(low));
}

/* Do both have the same first `bits`, 0 to 127? */
static bool
is_shared(ip_number a, ip_number b, unsigned bits)
{
	return (a ^ b) >> 1 >> (IP_BITS - 1 - bits) == 0;
}

/* The six bits from `bit` on, zeros behind the last. */
static unsigned
slot_of(ip_number ip, unsigned bit)
{
	return (unsigned)(ip << bit >> (IP_BITS - STRIDE));
}

/* ---- building ---- */

struct builder {
	struct node *nodes; /* owned */
	uint32_t count;
};

/* By address; of those that begin alike the larger network first. */
static int
compare_prefixes(const void *left, const void *right)
{
	const struct prefix *a = left, *b = right;

	if (a->ip != b->ip)
		return a->ip > b->ip ? 1 : -1;
	return (a->bits > b->bits) - (a->bits < b->bits);
}

/* Drops the networks that lie in others.  Returns how many are left. */
static size_t
drop_covered(struct prefix *prefixes, size_t count)
{
	size_t kept = 0;

	qsort(prefixes, count, sizeof(*prefixes), compare_prefixes);
	for (size_t i = 0; i < count; i++) {
		const struct prefix *before = &prefixes[kept > 0 ? kept - 1 : 0];

		if (kept > 0 &&
		    (before->bits == IP_BITS ? before->ip == prefixes[i].ip
					     : is_shared(before->ip, prefixes[i].ip, before->bits)))
			continue;
		prefixes[kept++] = prefixes[i];
	}
	return kept;
}

static unsigned
shared_bits(ip_number a, ip_number b)
{
	uint64_t high = (uint64_t)((a ^ b) >> 64), low = (uint64_t)(a ^ b);

	assert(a != b);
	return (unsigned)(high != 0 ? __builtin_clzll(high) : 64 + __builtin_clzll(low));
}

/*
 * Where the node of these, one at least, decides.  As none lies in another, two differ before the
 * end of either.  For one alone: at its last bits, so that the rest is compared as a whole.
 */
static unsigned
deciding_bit(const struct prefix *prefixes, size_t count)
{
	if (count > 1)
		return shared_bits(prefixes[0].ip, prefixes[count - 1].ip);
	return prefixes->bits > STRIDE ? prefixes->bits - STRIDE : 0;
}

static void build_node(
    struct builder *builder, uint32_t index, const struct prefix *prefixes, size_t count);

/* How many of `prefixes`, one at least, are in the slot of the first. */
static size_t
count_in_slot(const struct prefix *prefixes, size_t count, unsigned bit)
{
	unsigned slot = slot_of(prefixes->ip, bit);
	size_t n = 1;

	while (n < count && slot_of(prefixes[n].ip, bit) == slot)
		n++;
	return n;
}

static void
build_children(struct builder *builder, uint32_t index, const struct prefix *prefixes, size_t count)
{
	struct node *node = &builder->nodes[index];
	uint32_t child = node->child;
	size_t n;

	builder->count += (uint32_t)__builtin_popcountll(node->children);
	for (size_t i = 0; i < count; i += n) {
		n = count_in_slot(prefixes + i, count - i, node->bit);
		if (node->children >> slot_of(prefixes[i].ip, node->bit) & 1)
			build_node(builder, child++, prefixes + i, n);
	}
}

/* Calls itself at most 21 times below itself: those behind a child share six bits more. */
static void
build_node(struct builder *builder, uint32_t index, const struct prefix *prefixes, size_t count)
{
	struct node *node = &builder->nodes[index];
	unsigned bit = deciding_bit(prefixes, count);
	ip_number shared = bit > 0 ? prefixes->ip >> (IP_BITS - bit) << (IP_BITS - bit) : 0;

	*node = (struct node){ .bit = (uint8_t)bit,
		.shared = { (uint64_t)(shared >> 64), (uint64_t)shared },
		.child = builder->count };
	for (size_t i = 0; i < count; i++) {
		unsigned slot = slot_of(prefixes[i].ip, bit), end = bit + STRIDE;

		if (prefixes[i].bits > end)
			node->children |= UINT64_C(1) << slot;
		else /* it covers 1 slot, or 2, 4... 64 */
			node->inside |= ~UINT64_C(0) >> (SLOTS - (1U << (end - prefixes[i].bits)))
							    << slot;
	}
	build_children(builder, index, prefixes, count);
}

static struct node *
build_trie(struct arena *arena, struct prefix *prefixes, size_t count)
{
	struct builder builder = { .count = 1 };
	struct node *nodes;

	if (count == 0)
		return arena_alloc(arena, sizeof(*nodes));
	count = drop_covered(prefixes, count);
	builder.nodes = xcalloc(2 * count, sizeof(*nodes));
	build_node(&builder, 0, prefixes, count);
	assert(builder.count < 2 * count);
	nodes = arena_array(arena, builder.count, sizeof(*nodes));
	memcpy(nodes, builder.nodes, builder.count * sizeof(*nodes));
	free(builder.nodes);
	return nodes;
}

/*
 * The prefixes of one family.  An IPv6 network that has the mapped addresses within it ("::/0")
 * does not mean IPv4 clients: who allows all of IPv6 has not allowed IPv4.
 */
static size_t
take_family(struct prefix *prefixes, const struct network *networks, size_t count, bool is_ip4)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct network *network = &networks[i];
		bool is_mapped = network->bits >= 96 && IN6_IS_ADDR_V4MAPPED(&network->base);

		if (is_mapped != is_ip4)
			continue;
		prefixes[n].ip = ip_to_number(&network->base) << (is_ip4 ? 96 : 0);
		prefixes[n++].bits = network->bits - (is_ip4 ? 96U : 0U);
	}
	return n;
}

struct acl *
acl_compile(struct arena *arena, const struct network *networks, size_t count)
{
	struct acl *acl = arena_alloc(arena, sizeof(*acl));
	struct prefix *prefixes = xcalloc(count + 1, sizeof(*prefixes));

	acl->is_empty = count == 0;
	acl->ip4 = build_trie(arena, prefixes, take_family(prefixes, networks, count, true));
	acl->ip6 = build_trie(arena, prefixes, take_family(prefixes, networks, count, false));
	free(prefixes);
	return acl;
}

/* ---- looking up ---- */

bool
acl_is_empty(const struct acl *acl)
{
	return acl->is_empty;
}

static bool
trie_contains(const struct node *nodes, ip_number ip)
{
	const struct node *node = nodes;

	for (;;) {
		unsigned slot = slot_of(ip, node->bit);
		uint64_t below = (UINT64_C(1) << slot) - 1;

		if (node->inside >> slot & 1)
			return is_shared(
			    ip, from_halves(node->shared[0], node->shared[1]), node->bit);
		if (!(node->children >> slot & 1))
			return false;
		node = nodes + node->child + __builtin_popcountll(node->children & below);
	}
}

bool
acl_contains(const struct acl *acl, const struct addr *addr)
{
	struct in6_addr ip6;

	if (addr->sa.sa_family != AF_INET6)
		return trie_contains(acl->ip4, (ip_number)ntohl(addr->in.sin_addr.s_addr) << 96);
	ip6 = addr->in6.sin6_addr;
	if (IN6_IS_ADDR_V4MAPPED(&ip6))
		return trie_contains(acl->ip4, ip_to_number(&ip6) << 96);
	return trie_contains(acl->ip6, ip_to_number(&ip6));
}
