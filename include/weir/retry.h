/*
 * retry: how often another server is tried, so that a sick pool does not get a multiple of its load.
 *
 * Runs in: worker.  Each request earns a part of a retry, each retry costs a whole one; some can be saved up.  Each
 * worker counts for itself, which bounds the sum as well.
 */
#ifndef WEIR_RETRY_H
#define WEIR_RETRY_H

#include "weir/pool.h"

enum { RETRY_COST = 100, RETRY_CREDIT_MAX = 10 * RETRY_COST };

/* A request begins. */
static inline void
retry_earn(struct pool *pool)
{
	if (pool->conf->retry.budget == 0)
		return;
	pool->retry_credit += pool->conf->retry.budget;
	if (pool->retry_credit > RETRY_CREDIT_MAX)
		pool->retry_credit = RETRY_CREDIT_MAX;
}

/*
 * May another server be tried for a request?  Counts a refusal for want of credit.
 * attempts  servers tried so far
 * Pair      retry_pay() if there is another server
 */
bool retry_is_allowed(struct pool *pool, unsigned attempts);
void retry_pay(struct pool *pool);

#endif
