#include "weir/retry.h"

bool
retry_is_allowed(struct pool *pool, unsigned attempts)
{
	if (attempts >= pool->conf->retry.attempts)
		return false;
	if (pool->conf->retry.budget == 0 || pool->retry_credit >= RETRY_COST)
		return true;
	tally_add(pool->tally, TALLY_RETRIES_REFUSED, 1);
	return false;
}

void
retry_pay(struct pool *pool)
{
	if (pool->conf->retry.budget != 0)
		pool->retry_credit -= RETRY_COST;
	tally_add(pool->tally, TALLY_RETRIES, 1);
}
