#include "weir/throttle.h"

#include <xxhash.h>

#include "weir/clock.h"
#include "weir/listener.h"
#include "weir/shm.h"
#include "weir/worker.h"

enum throttled { THROTTLED_CONNECTION = 0, THROTTLED_REQUEST };

static const uint64_t hour_us = UINT64_C(3600) * 1000000;

static uint64_t
admit(const struct listener *listener, const struct addr *client, enum throttled what,
    uint32_t per_hour, uint64_t now_us)
{
	const struct listener_rate_config *conf = &listener->conf->rate;
	struct shm *shm = listener->worker->shm;
	const struct source_rate rate = { (hour_us + per_hour / 2) / per_hour,
		(uint64_t)conf->burst_ms * 1000 };
	const struct {
		struct in6_addr ip;
		uint32_t listener, what;
	} key = { addr_source(client, conf->ipv6_prefix), listener->conf->id, what };

	return shm_source_admit(shm,
	    XXH3_64bits_withSeed(&key, sizeof(key), shm_source_seed(shm)), &rate, now_us);
}

uint64_t
throttle_connection(const struct listener *listener, const struct addr *client)
{
	return admit(listener, client, THROTTLED_CONNECTION, listener->conf->rate.connections,
	    clock_us());
}

uint64_t
throttle_request(const struct listener *listener, const struct addr *client, uint64_t now_us)
{
	return admit(
	    listener, client, THROTTLED_REQUEST, listener->conf->rate.requests, now_us);
}
