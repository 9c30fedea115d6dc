#include "weir/rate.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include <xxhash.h>

#include "weir/addr.h"

enum { SOURCE_SETS = 1024, SET_SIZE = 4, NS_PER_S = 1000000000 };

/*
 * A source address.  Two workers may take the same place for two sources at once: then one of them
 * starts anew, which a limit can bear.
 */
struct source {
	_Atomic uint64_t key;     /* hash of the address; 0: free */
	_Atomic uint64_t full_ns; /* when all its requests are forgotten */
};

struct rate {
	_Alignas(64) _Atomic uint64_t full_ns;
	_Alignas(64) struct source sources[SOURCE_SETS][SET_SIZE]; /* pages that nobody uses cost nothing */
};

typedef void limit_fn(struct route_limit_config *limit, void *user);

static void
each_limit(struct config *config, limit_fn *run, void *user)
{
	for (size_t i = 0; i < config->listener_count; i++)
		for (size_t k = 0; k < config->listeners[i].route_count; k++)
			if (config->listeners[i].routes[k].limit.on)
				run(&config->listeners[i].routes[k].limit, user);
}

static void
count_limit(struct route_limit_config *limit, void *user)
{
	(void)limit;
	++*(size_t *)user;
}

static void
place_limit(struct route_limit_config *limit, void *user)
{
	limit->rate = (*(struct rate **)user)++;
}

int
rate_open(struct config *config, struct diag *diag)
{
	size_t count = 0;
	struct rate *next;

	each_limit(config, count_limit, &count);
	if (count == 0)
		return 0;
	next = mmap(NULL, count * sizeof(*next), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	    -1, 0);
	if (next == MAP_FAILED) {
		diag_error(diag, (struct where){ .file = config->file },
		    "cannot make shared memory for %zu limits: %s", count, strerror(errno));
		return -1;
	}
	config->rates = next;
	config->rates_size = count * sizeof(*next);
	each_limit(config, place_limit, &next);
	return 0;
}

void
rate_close(struct config *config)
{
	if (config->rates != NULL)
		munmap(config->rates, config->rates_size);
	config->rates = NULL;
}

/* `rate` a second, and `capacity` at once after a pause. */
static bool
take(_Atomic uint64_t *full_ns, uint64_t rate, uint64_t capacity, uint64_t now_ns)
{
	uint64_t interval = NS_PER_S / rate, most = (capacity - 1) * interval, start;
	uint64_t full = atomic_load_explicit(full_ns, memory_order_relaxed);

	do {
		start = full > now_ns ? full : now_ns;
		if (start - now_ns > most)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
	    full_ns, &full, start + interval, memory_order_relaxed, memory_order_relaxed));
	return true;
}

/* Its place, or that of the one in the same set that has been quiet longest. */
static struct source *
find_source(struct rate *rate, const struct addr *client)
{
	struct in6_addr ip = addr_ip6(client);
	uint64_t key = XXH3_64bits(&ip, sizeof(ip)) | 1, oldest = UINT64_MAX;
	struct source *set = rate->sources[(key >> 1) % SOURCE_SETS], *found = set;

	for (int i = 0; i < SET_SIZE; i++) {
		uint64_t full = atomic_load_explicit(&set[i].full_ns, memory_order_relaxed);

		if (atomic_load_explicit(&set[i].key, memory_order_relaxed) == key)
			return &set[i];
		if (full < oldest) {
			oldest = full;
			found = &set[i];
		}
	}
	atomic_store_explicit(&found->full_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&found->key, key, memory_order_relaxed);
	return found;
}

static uint64_t
larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

bool
rate_take(const struct route_limit_config *limit, const struct addr *client, uint64_t now_us)
{
	uint64_t now_ns = now_us * 1000;
	/* bursts are of all requests together, where these have a limit */
	uint64_t source_burst = limit->requests > 0 ? 0 : limit->burst;

	if (limit->per_source > 0 &&
	    !take(&find_source(limit->rate, client)->full_ns, limit->per_source,
		larger(limit->per_source, source_burst), now_ns))
		return false;
	return limit->requests == 0 || take(&limit->rate->full_ns, limit->requests,
					   larger(limit->requests, limit->burst), now_ns);
}
