/*
 * balance_hash_priv: what the hashing methods keep of a pool.
 */
#ifndef WEIR_BALANCE_HASH_PRIV_H
#define WEIR_BALANCE_HASH_PRIV_H

#include "balance_priv.h"

enum { HASH_SLOT_BITS = 20, HASH_SLOTS = 1 << HASH_SLOT_BITS, HASH_SLOT_MASK = HASH_SLOTS - 1 };

/* Odd; HASH_FACTOR * HASH_FACTOR_INVERSE is 1 modulo 2^32. */
#define HASH_FACTOR UINT32_C(0x9e3779b1)
#define HASH_FACTOR_INVERSE UINT32_C(0x0e8b2f51)

/* A server, and the order that it puts the slots into: all from the hash of its name. */
struct hash_server {
	uint64_t hash;
	uint32_t flip, shift, factor, inverse; /* factor * inverse is 1 modulo 2^32 */
	bool counts;                           /* has a weight, and is no backup, or those are used */
};

struct hash {
	uint32_t round; /* of the weights that were read */
	size_t server_count;
	struct hash_server *servers; /* owned; as those of the pool */

	/* The table of owners: large pools only. */
	bool has_table;          /* it is complete */
	uint32_t *owners;        /* owned; by slot: index of the server, plus 1; 0: nobody claimed it */
	uint32_t *places;        /* owned; while it is made; by slot: in the owner's order */
	size_t next_server;      /* who claims next, ... */
	uint32_t next_place;     /* ... from which place of its order on, ... */
	uint32_t claims;         /* ... of so many */
};

#endif
