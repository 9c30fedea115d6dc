/*
 * balance_power: power of two choices.
 *
 * Two servers are drawn at random, in proportion to their weights, and the one with fewer requests
 * in progress for its weight, those of all workers counted, is chosen.  That is nearly as even as
 * looking at all of them, for the price of two looks, whatever the number of servers; and workers
 * that know nothing of one another do not all run to the same one.
 *
 * Drawing takes one look into a table (Vose's alias method): each column belongs to one server and,
 * from a threshold on, to another, such that each server has as much of the table as its weight
 * says.
 */
#include <stdlib.h>

#include "balance_priv.h"
#include "weir/arena.h"

enum { DRAWS_MAX = 16 /* for two servers that are not out */ };

struct column {
	uint32_t threshold; /* a random number below: `own`; in 1/2^32 */
	uint32_t own, other;
};

struct power {
	uint32_t round;         /* of the weights that the table was made from */
	uint64_t random;        /* state, never 0 */
	size_t count;           /* columns: servers with a weight */
	struct column *columns; /* owned */
	uint64_t *parts; /* owned; while the table is made: of each column, in 1/count of all */
	uint32_t *small, *large; /* owned; likewise: columns with less or more than their part */
};

static uint64_t
power_random(struct power *power)
{
	/* xorshift64* */
	power->random ^= power->random >> 12;
	power->random ^= power->random << 25;
	power->random ^= power->random >> 27;
	return power->random * UINT64_C(0x2545f4914f6cdd1d);
}

/* Servers with a weight, and that times their number: so the mean is the sum of the weights. */
static uint64_t
collect(struct pool *pool, struct power *power)
{
	uint64_t sum = 0;

	power->count = 0;
	for (size_t i = 0; i < pool->conf->server_count; i++) {
		uint32_t weight = pool->weights->of[i];

		if (weight == 0)
			continue;
		power->columns[power->count] =
		    (struct column){ UINT32_MAX, (uint32_t)i, (uint32_t)i };
		power->parts[power->count++] = weight;
		sum += weight;
	}
	for (size_t i = 0; i < power->count; i++)
		power->parts[i] *= power->count;
	return sum;
}

static void
make_table(struct pool *pool, struct power *power)
{
	uint64_t sum = collect(pool, power);
	size_t small_count = 0, large_count = 0;

	for (size_t i = 0; i < power->count; i++)
		if (power->parts[i] < sum)
			power->small[small_count++] = (uint32_t)i;
		else
			power->large[large_count++] = (uint32_t)i;
	while (small_count > 0 && large_count > 0) {
		uint32_t s = power->small[--small_count], l = power->large[large_count - 1];

		power->columns[s].threshold =
		    (uint32_t)((long double)power->parts[s] / (long double)sum * UINT32_MAX);
		power->columns[s].other = power->columns[l].own;
		power->parts[l] -= sum - power->parts[s];
		if (power->parts[l] < sum) {
			large_count--;
			power->small[small_count++] = l;
		}
	}
	power->round = pool->weights->round;
}

static struct server *
draw(struct pool *pool, struct power *power)
{
	uint64_t random = power_random(power);
	const struct column *column =
	    &power->columns[(random >> 32) * (uint64_t)power->count >> 32];

	return pool->servers[(uint32_t)random < column->threshold ? column->own : column->other];
}

static uint64_t
load_of(const struct server *server)
{
	int32_t active = atomic_load_explicit(&server->usage->active, memory_order_relaxed);

	return active > 0 ? (uint64_t)active : 0;
}

static bool
is_busier(const struct server *a, const struct server *b)
{
	return load_of(a) * balance_weight(b) > load_of(b) * balance_weight(a);
}

static struct server *
power_pick(struct pool *pool, const struct balance_request *request)
{
	struct power *power = pool->power;
	struct server *first = NULL;

	if (power->round != pool->weights->round)
		make_table(pool, power);
	if (power->count == 0)
		return NULL;
	for (int draws = 0; draws < DRAWS_MAX; draws++) {
		struct server *server = draw(pool, power);

		if (server == first || balance_is_out(request, server))
			continue;
		if (first == NULL)
			first = server;
		else
			return is_busier(first, server) ? server : first;
	}
	/* Few are left, or one has nearly all the weight. */
	return first != NULL ? first : balance_find_any(pool, request);
}

static void
power_start(struct pool *pool)
{
	size_t server_count = pool->conf->server_count;
	struct power *power = xcalloc(1, sizeof(*power));

	pool->power = power;
	power->random = pool->first | 1;
	power->columns = xcalloc(server_count, sizeof(*power->columns));
	power->parts = xcalloc(server_count, sizeof(*power->parts));
	power->small = xcalloc(server_count, sizeof(*power->small));
	power->large = xcalloc(server_count, sizeof(*power->large));
	for (int i = 0; i < 8; i++)
		power_random(power); /* away from a state of few bits */
}

static void
power_stop(struct pool *pool)
{
	struct power *power = pool->power;

	if (power == NULL)
		return;
	free(power->columns);
	free(power->parts);
	free(power->small);
	free(power->large);
	free(power);
	pool->power = NULL;
}

static void
power_changed(struct pool *pool, const struct server *server)
{
	(void)pool;
	(void)server; /* what is in progress is read where it stands */
}

const struct balance_algorithm balance_power_of_two = { power_start, power_stop, power_pick,
	power_changed };
