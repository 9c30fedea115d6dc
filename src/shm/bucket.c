#include "weir/bucket.h"

static const uint64_t second_ns = 1000000000;

/* The time that `len` bytes are worth, rounded up: the rate is not exceeded by many small ones. */
static uint64_t
worth_ns(const struct bucket_rate *rate, uint64_t len)
{
	return (len * second_ns + rate->bytes_per_s - 1) / rate->bytes_per_s;
}

/* What was saved for longer than a burst is lost. */
static uint64_t
kept_since(uint64_t paid_ns, const struct bucket_rate *rate, uint64_t now_ns)
{
	uint64_t oldest = now_ns > rate->burst_ns ? now_ns - rate->burst_ns : 0;

	return paid_ns > oldest ? paid_ns : oldest;
}

int64_t
bucket_credit(const struct bucket *bucket, const struct bucket_rate *rate, uint64_t now_ns)
{
	uint64_t paid_ns = kept_since(
	    atomic_load_explicit(&bucket->paid_ns, memory_order_relaxed), rate, now_ns);

	if (paid_ns > now_ns) /* in two parts: a debt may be long */
		return -(int64_t)((paid_ns - now_ns) / second_ns * rate->bytes_per_s +
				  (paid_ns - now_ns) % second_ns * rate->bytes_per_s / second_ns);
	return (int64_t)((now_ns - paid_ns) * rate->bytes_per_s / second_ns);
}

void
bucket_take(struct bucket *bucket, const struct bucket_rate *rate, uint64_t len, uint64_t now_ns)
{
	uint64_t paid_ns = atomic_load_explicit(&bucket->paid_ns, memory_order_relaxed);
	uint64_t cost_ns = worth_ns(rate, len), next_ns;

	do
		next_ns = kept_since(paid_ns, rate, now_ns) + cost_ns;
	while (!atomic_compare_exchange_weak_explicit(
	    &bucket->paid_ns, &paid_ns, next_ns, memory_order_relaxed, memory_order_relaxed));
}

uint64_t
bucket_wait_ns(const struct bucket *bucket, const struct bucket_rate *rate, uint64_t len,
    uint64_t now_ns)
{
	uint64_t ready_ns = kept_since(atomic_load_explicit(&bucket->paid_ns, memory_order_relaxed),
				rate, now_ns) +
			    worth_ns(rate, len);

	return ready_ns > now_ns ? ready_ns - now_ns : 0;
}
