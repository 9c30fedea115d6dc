#include "weir/histogram.h"

_Static_assert(sizeof(struct latency) % 64 == 0, "the next one begins with a cache line");

const char *const latency_names[LATENCY_KINDS] = {
	[LATENCY_CONNECT] = "connect",
	[LATENCY_FIRST_BYTE] = "first_byte",
	[LATENCY_TOTAL] = "total",
};

uint64_t
histogram_lower_us(unsigned index)
{
	unsigned exact = 1U << HISTOGRAM_EXACT_BITS, octave;
	uint64_t part, base;

	if (index < exact)
		return index;
	octave = HISTOGRAM_EXACT_BITS + (index - exact) / HISTOGRAM_PARTS;
	part = (index - exact) % HISTOGRAM_PARTS;
	base = UINT64_C(1) << octave;
	/* The least `us` of which (us - base) * PARTS / base is `part`. */
	return base + (part * base + HISTOGRAM_PARTS - 1) / HISTOGRAM_PARTS;
}

uint64_t
histogram_upper_us(unsigned index)
{
	return histogram_lower_us(index + 1);
}

void
histogram_sum_add(struct histogram_sum *sum, const struct histogram *h)
{
	sum->sum_us += atomic_load_explicit(&h->sum_us, memory_order_relaxed);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t n = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);

		sum->buckets[i] += n;
		sum->count += n;
	}
}

static uint64_t
difference(uint64_t later, uint64_t earlier)
{
	return later > earlier ? later - earlier : 0;
}

void
histogram_sum_subtract(struct histogram_sum *sum, const struct histogram_sum *earlier)
{
	sum->sum_us = difference(sum->sum_us, earlier->sum_us);
	sum->count = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		sum->buckets[i] = difference(sum->buckets[i], earlier->buckets[i]);
		sum->count += sum->buckets[i];
	}
}

uint64_t
histogram_percentile_us(const struct histogram_sum *sum, unsigned per_mille)
{
	/* Rounded up, and without overflow: the count is divided first. */
	uint64_t rank = sum->count / 1000 * per_mille +
			(sum->count % 1000 * per_mille + 999) / 1000;
	uint64_t seen = 0;

	if (sum->count == 0)
		return 0;
	if (rank == 0)
		rank = 1;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += sum->buckets[i];
		if (seen >= rank)
			return (histogram_lower_us(i) + histogram_upper_us(i)) / 2;
	}
	return histogram_lower_us(HISTOGRAM_BUCKETS - 1);
}

uint64_t
histogram_count_below(const struct histogram_sum *sum, uint64_t us)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t lower = histogram_lower_us(i), upper = histogram_upper_us(i);

		if (us + 1 < upper) {
			if (us + 1 > lower)
				count += sum->buckets[i] * (us + 1 - lower) / (upper - lower);
			break;
		}
		count += sum->buckets[i];
	}
	return count;
}
