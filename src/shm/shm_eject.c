/*
 * shm_eject: which servers are left out because requests to them failed.
 */
#include "shm_priv.h"
#include "weir/clock.h"

struct usage *
shm_usage(const struct shm *shm, uint32_t id)
{
	return (struct usage *)(void *)shm->usages + id;
}

void
shm_mark_start(struct shm *shm, uint32_t id)
{
	atomic_store_explicit(
	    &shm_usage(shm, id)->started_ms, clock_us() / 1000, memory_order_relaxed);
}

bool
shm_eject(struct shm *shm, uint32_t server_id)
{
	return atomic_exchange_explicit(
		   &shm_entity(shm, server_id)->is_ejected, 1, memory_order_acq_rel) == 0;
}

bool
shm_readmit(struct shm *shm, uint32_t pool_id, uint32_t server_id, uint32_t failures)
{
	struct entity *server = shm_entity(shm, server_id);

	if (atomic_load_explicit(&server->is_ejected, memory_order_relaxed) == 0)
		return false;
	atomic_store_explicit(&shm_usage(shm, server_id)->failures, failures, memory_order_relaxed);
	/* Pairs with the exchange of shm_eject(): who ejects it anew sees the failures set here. */
	if (atomic_exchange_explicit(&server->is_ejected, 0, memory_order_acq_rel) == 0)
		return false;
	shm_mark_start(shm, server_id);
	shm_touch_pool(shm, pool_id);
	return true;
}
