/*
 * balance_hash: source_hash and tuple_hash by rendezvous hashing.
 *
 * The client's hash and the hash of each server's name give a score; the highest one wins.  Only
 * names count, not the order or number of servers, so all workers and all machines with the same
 * servers choose alike, and a server that goes away moves nobody but its own clients, who spread
 * evenly over the others.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "balance_priv.h"
#include "weir/arena.h"

/*
 * Both hashes are well mixed already; this makes their combination so (a finaliser of two
 * multiplications).
 */
static inline uint64_t
score_of(uint64_t client, uint64_t server)
{
	uint64_t x = (client ^ server) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

struct server *
balance_hash_pick(struct pool *pool, const struct balance_request *request, uint64_t hash)
{
	size_t server_count = pool->conf->server_count;
	struct server *best = NULL;
	uint64_t best_score = 0;

	for (size_t i = 0; i < server_count; i++) {
		uint64_t score = score_of(hash, pool->name_hashes[i]);
		struct server *server = pool->servers[i];

		/* Few come past this line (about ln n), so few entities are read. */
		if (best != NULL && score <= best_score)
			continue;
		if (balance_weight(server) == 0 || balance_is_out(request, server))
			continue;
		best = server;
		best_score = score;
	}
	return best;
}

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
	pool->name_hashes = xcalloc(pool->conf->server_count, sizeof(*pool->name_hashes));
	for (size_t i = 0; i < pool->conf->server_count; i++) {
		const char *name = pool->conf->servers[i].name;

		pool->name_hashes[i] = XXH3_64bits(name, strlen(name));
	}
}

static void
hash_stop(struct pool *pool)
{
	free(pool->name_hashes);
	pool->name_hashes = NULL;
}

const struct balance_algorithm balance_source_hash = {
	.start = hash_start, .stop = hash_stop, .pick = source_pick
};
const struct balance_algorithm balance_tuple_hash = {
	.start = hash_start, .stop = hash_stop, .pick = tuple_pick
};
