#include "weir/acl.h"

#include <stdint.h>
#include <stdlib.h>

#include "weir/arena.h"

__extension__ typedef unsigned __int128 ip_number;

struct range {
	ip_number first, last; /* both are in it */
};

struct acl {
	size_t count;
	struct range *ranges; /* borrowed from the arena; sorted, not touching each other */
};

/* The IPv4-mapped addresses, ::ffff:0:0/96. */
static const ip_number mapped_first = (ip_number)0xffff << 32;
static const ip_number mapped_last = (ip_number)0xffff << 32 | 0xffffffff;

static ip_number
ip_to_number(const struct in6_addr *ip)
{
	ip_number n = 0;

	for (int i = 0; i < 16; i++)
		n = n << 8 | ip->s6_addr[i];
	return n;
}

static int
compare_ranges(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	return (a->first > b->first) - (a->first < b->first);
}

/*
 * Adds the ranges of one network, two at most.  An IPv6 network that has the mapped addresses
 * within it ("::/0") does not mean IPv4 clients: who allows all of IPv6 has not allowed IPv4.
 */
static void
add_network(struct acl *acl, const struct network *network)
{
	ip_number host_bits = network->bits < 128 ? ~(ip_number)0 >> network->bits : 0;
	ip_number first = ip_to_number(&network->base) & ~host_bits, last = first | host_bits;

	if (network->bits < 96 && first <= mapped_first && last >= mapped_last) {
		acl->ranges[acl->count++] = (struct range){ first, mapped_first - 1 };
		first = mapped_last + 1;
	}
	acl->ranges[acl->count++] = (struct range){ first, last };
}

/* Sorts the ranges and joins those that overlap or follow each other. */
static void
merge_ranges(struct acl *acl)
{
	size_t kept = 0;

	if (acl->count == 0)
		return;
	qsort(acl->ranges, acl->count, sizeof(*acl->ranges), compare_ranges);
	for (size_t i = 1; i < acl->count; i++) {
		struct range *before = &acl->ranges[kept], *range = &acl->ranges[i];

		if (before->last != ~(ip_number)0 && range->first > before->last + 1)
			acl->ranges[++kept] = *range;
		else if (range->last > before->last)
			before->last = range->last;
	}
	acl->count = kept + 1;
}

struct acl *
acl_compile(struct arena *arena, const struct network *networks, size_t count)
{
	struct acl *acl = arena_alloc(arena, sizeof(*acl));
	size_t size = count;

	for (size_t i = 0; i < count; i++)
		size += networks[i].bits < 96; /* may become two */
	acl->ranges = arena_array(arena, size, sizeof(*acl->ranges));
	for (size_t i = 0; i < count; i++)
		add_network(acl, &networks[i]);
	merge_ranges(acl);
	return acl;
}

bool
acl_is_empty(const struct acl *acl)
{
	return acl->count == 0;
}

bool
acl_contains(const struct acl *acl, const struct addr *addr)
{
	struct in6_addr ip6 = addr_ip6(addr);
	ip_number ip = ip_to_number(&ip6);
	size_t low = 0, high = acl->count;

	/* Ranges below `low` end before ip, those from `high` on do not. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (acl->ranges[middle].last < ip)
			low = middle + 1;
		else
			high = middle;
	}
	return low < acl->count && acl->ranges[low].first <= ip;
}
