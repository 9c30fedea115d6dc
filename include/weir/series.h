/*
 * series: one route as a worker counts it.
 *
 * Runs in: worker; made by front_new(), one for each of config->route_series.  Routes without counters of their own have
 * none: a request costs nothing for them.
 */
#ifndef WEIR_SERIES_H
#define WEIR_SERIES_H

#include <stddef.h>

#include "weir/conf.h"
#include "weir/shm.h"

struct series {
	const struct route_series *conf; /* borrowed */
	struct tally *tally;             /* shared memory, this worker's own */
	struct latency *latency;         /* likewise */
};

/* As config->route_series, owned by the caller: free(). */
struct series *series_new(const struct config *config, const struct shm *shm, int slot);

/*
 * A request or session of it begins.
 * number   as the configuration has it
 * Returns  NULL when it is not counted.
 * Pair     each other result with one series_end().
 */
static inline struct series *
series_begin(struct series *all, unsigned number)
{
	struct series *series;

	if (number == SERIES_NONE)
		return NULL;
	series = &all[number];
	tally_add(series->tally, TALLY_REQUESTS, 1);
	tally_add(series->tally, TALLY_ACTIVE, 1);
	return series;
}

/* The same request goes on as something else, which must end it too. */
static inline struct series *
series_share(struct series *series)
{
	if (series != NULL)
		tally_add(series->tally, TALLY_ACTIVE, 1);
	return series;
}

/* NULL is allowed, for both. */
static inline void
series_add_bytes(struct series *series, uint64_t in, uint64_t out)
{
	if (series == NULL)
		return;
	tally_add(series->tally, TALLY_BYTES_IN, in);
	tally_add(series->tally, TALLY_BYTES_OUT, out);
}

static inline void
series_end(struct series *series)
{
	if (series != NULL)
		tally_sub(series->tally, TALLY_ACTIVE, 1);
}

#endif
