#include "weir/series.h"

#include "weir/arena.h"

struct series *
series_new(const struct config *config, const struct shm *shm, int slot)
{
	struct series *all = xcalloc(config->route_series_count + 1, sizeof(*all));

	for (size_t i = 0; i < config->route_series_count; i++) {
		const struct route_series *conf = &config->route_series[i];

		all[i] = (struct series){ conf, shm_tally(shm, slot, conf->id),
			shm_latency(shm, slot, conf->id) };
	}
	return all;
}
