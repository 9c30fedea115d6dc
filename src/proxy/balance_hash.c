/*
 * balance_hash: source_hash and tuple_hash by consistent hashing.
 *
 * The hash of the client falls into one of 2^20 slots.  Each server puts all slots into an order of
 * its own, made from its name alone; a slot belongs to the server in whose order it comes first
 * (rendezvous hashing).  Weights above 0 count alike.  Only names count, not the order or number of
 * servers, so all workers and all machines with the same servers choose alike; a server that goes
 * away leaves its slots to all others evenly, one that comes takes some of each, and no other slot
 * moves.
 *
 * A client whose server cannot be used (down, drained, full, tried before) goes to the server of
 * another slot that its hash leads to, so it comes back when the server does.
 *
 * Finding the owner of a slot takes a look at each server.  In a large pool a table of the owners
 * is made, some of it in each pick: every server claims its first slots, just so many that nearly
 * all slots are claimed by somebody.  The number of claims does not depend on that of the servers.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "balance_hash_priv.h"
#include "weir/arena.h"

enum {
	TABLE_SERVERS_MIN = 65, /* below, looking at each costs little */
	CLAIMS_PER_PICK = 1024,
	DETOURS_MAX = 16, /* slots tried before the best of those that can be used is searched */
};

/* ---- the order of the slots ---- */

/* Both ways: what one does in its last step the other undoes in its first. */
static inline uint32_t
place_of(const struct hash_server *server, uint32_t slot)
{
	uint32_t x = (slot ^ server->flip) * HASH_FACTOR & HASH_SLOT_MASK;

	x ^= x >> HASH_SLOT_BITS / 2;
	x = (x * server->factor + server->shift) & HASH_SLOT_MASK;
	return x ^ x >> HASH_SLOT_BITS / 2;
}

static inline uint32_t
slot_at(const struct hash_server *server, uint32_t place)
{
	uint32_t x = place ^ place >> HASH_SLOT_BITS / 2;

	x = (x - server->shift) * server->inverse & HASH_SLOT_MASK;
	x ^= x >> HASH_SLOT_BITS / 2;
	return (x * HASH_FACTOR_INVERSE & HASH_SLOT_MASK) ^ server->flip;
}

/* That of an odd number modulo 2^32, by Newton's method: each step doubles the bits that are right.
 */
static uint32_t
inverse_of(uint32_t odd)
{
	uint32_t inverse = odd; /* three bits */

	for (int i = 0; i < 4; i++)
		inverse *= 2 - odd * inverse;
	return inverse;
}

static void
order_slots(struct hash_server *server, const char *name)
{
	uint64_t hash = XXH3_64bits(name, strlen(name));

	server->hash = hash;
	server->flip = (uint32_t)hash & HASH_SLOT_MASK;
	server->shift = (uint32_t)(hash >> HASH_SLOT_BITS) & HASH_SLOT_MASK;
	server->factor = ((uint32_t)(hash >> 2 * HASH_SLOT_BITS) & HASH_SLOT_MASK) | 1;
	server->inverse = inverse_of(server->factor);
}

/* Has `a` a better right to a slot, which is at the same place for both? */
static inline bool
is_first(const struct hash_server *a, const struct hash_server *b)
{
	return a->hash > b->hash;
}

/* ---- owners ---- */

/* Of those that count; `request` not NULL: and can be used for it. */
static struct hash_server *
find_owner(const struct pool *pool, uint32_t slot, const struct balance_request *request)
{
	struct hash *hash = pool->hash;
	struct hash_server *best = NULL;
	uint32_t best_place = UINT32_MAX;

	for (size_t i = 0; i < hash->server_count; i++) {
		struct hash_server *server = &hash->servers[i];
		uint32_t place = place_of(server, slot);

		/* Few come past this line, about ln n. */
		if (place > best_place || !server->counts)
			continue;
		if (place == best_place && !is_first(server, best))
			continue;
		if (request != NULL && (balance_weight(pool->servers[i]) == 0 ||
					   balance_is_out(request, pool->servers[i])))
			continue;
		best = server;
		best_place = place;
	}
	return best;
}

/*
 * How many slots does each server claim?  As many as leave a slot out by all with a probability of
 * 2^-26: 1 - exp(-18 / n) of them.
 */
static uint32_t
claims_of_each(size_t count)
{
	/* By repeated squaring of exp(y) = 1 + y for a small y. */
	double left = 1 - 18 / (double)count / 65536;

	for (int i = 0; i < 16; i++)
		left *= left;
	return (uint32_t)((1 - left) * HASH_SLOTS) + 1;
}

static void
claim(struct hash *hash, size_t index, uint32_t place)
{
	const struct hash_server *server = &hash->servers[index];
	uint32_t slot = slot_at(server, place), owner = hash->owners[slot];

	if (owner != 0 &&
	    (hash->places[slot] < place ||
		(hash->places[slot] == place && !is_first(server, &hash->servers[owner - 1]))))
		return;
	hash->owners[slot] = (uint32_t)index + 1;
	hash->places[slot] = place;
}

/* Some of the table, until it is there. */
static void
make_table(struct hash *hash)
{
	for (unsigned claims = 0; claims < CLAIMS_PER_PICK; claims++) {
		size_t index = hash->next_server;

		if (hash->servers[index].counts && hash->next_place < hash->claims) {
			claim(hash, index, hash->next_place++);
			continue;
		}
		hash->next_place = 0;
		if (++hash->next_server == hash->server_count) {
			hash->has_table = true;
			free(hash->places);
			hash->places = NULL;
			return;
		}
	}
}

static void
begin_table(struct hash *hash, size_t count)
{
	free(hash->owners);
	free(hash->places);
	hash->owners = hash->places = NULL;
	hash->has_table = false;
	if (count < TABLE_SERVERS_MIN)
		return;
	hash->owners = xcalloc(HASH_SLOTS, sizeof(*hash->owners));
	hash->places = xcalloc(HASH_SLOTS, sizeof(*hash->places));
	hash->next_server = 0;
	hash->next_place = 0;
	hash->claims = claims_of_each(count);
}

/*
 * Whatever health says: a server that is down for a while keeps its slots.  Backups own slots only
 * while they are used.
 */
static void
read_weights(struct pool *pool)
{
	struct hash *hash = pool->hash;
	bool use_backups = pool->weights->has_backups && pool->weights->on_backups, is_same = true;
	size_t count = 0;

	hash->round = pool->weights->round;
	for (size_t i = 0; i < hash->server_count; i++) {
		const struct server_config *conf = pool->servers[i]->conf;
		bool counts = conf->backup == use_backups && shm_weight(pool->shm, conf) > 0;

		is_same = is_same && counts == hash->servers[i].counts;
		hash->servers[i].counts = counts;
		count += counts;
	}
	if (!is_same)
		begin_table(hash, count);
}

static struct hash_server *
owner_of(const struct pool *pool, uint32_t slot)
{
	struct hash *hash = pool->hash;

	/* Slots that nobody claimed are searched for. */
	if (hash->has_table && hash->owners[slot] != 0)
		return &hash->servers[hash->owners[slot] - 1];
	return find_owner(pool, slot, NULL);
}

struct server *
balance_hash_pick(struct pool *pool, const struct balance_request *request, uint64_t client)
{
	struct hash *hash = pool->hash;
	struct hash_server *owner;

	weights_refresh(pool);
	if (hash->round != pool->weights->round)
		read_weights(pool);
	if (hash->owners != NULL && !hash->has_table)
		make_table(hash);
	for (int detours = 0; detours < DETOURS_MAX; detours++) {
		struct server *server;

		owner = owner_of(pool, (uint32_t)(client >> (64 - HASH_SLOT_BITS)));
		if (owner == NULL)
			return NULL;
		server = pool->servers[owner - hash->servers];
		if (balance_weight(server) > 0 && !balance_is_out(request, server))
			return server;
		client = (client ^ client >> 32) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	}
	owner = find_owner(pool, (uint32_t)(client >> (64 - HASH_SLOT_BITS)), request);
	return owner != NULL ? pool->servers[owner - hash->servers] : NULL;
}

/* ---- methods ---- */

static struct server *
source_pick(struct pool *pool, const struct balance_request *request)
{
	struct in6_addr ip = addr_ip6(request->client);

	return balance_hash_pick(pool, request, XXH3_64bits(&ip, sizeof(ip)));
}

static struct server *
tuple_pick(struct pool *pool, const struct balance_request *request)
{
	struct {
		struct in6_addr client, local;
		in_port_t client_port, local_port;
	} tuple;

	memset(&tuple, 0, sizeof(tuple));
	tuple.client = addr_ip6(request->client);
	tuple.client_port = htons(addr_port(request->client));
	tuple.local = addr_ip6(request->local);
	tuple.local_port = htons(addr_port(request->local));
	return balance_hash_pick(pool, request, XXH3_64bits(&tuple, sizeof(tuple)));
}

static void
hash_start(struct pool *pool)
{
	struct hash *hash = xcalloc(1, sizeof(*hash));

	pool->hash = hash;
	hash->server_count = pool->conf->server_count;
	hash->servers = xcalloc(hash->server_count, sizeof(*hash->servers));
	for (size_t i = 0; i < hash->server_count; i++)
		order_slots(&hash->servers[i], pool->conf->servers[i].name);
	read_weights(pool);
}

static void
hash_stop(struct pool *pool)
{
	struct hash *hash = pool->hash;

	if (hash == NULL)
		return;
	free(hash->servers);
	free(hash->owners);
	free(hash->places);
	free(hash);
	pool->hash = NULL;
}

const struct balance_algorithm balance_source_hash = {
	.start = hash_start, .stop = hash_stop, .pick = source_pick
};
const struct balance_algorithm balance_tuple_hash = {
	.start = hash_start, .stop = hash_stop, .pick = tuple_pick
};
