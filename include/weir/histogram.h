/*
 * histogram: how long things took, counted in buckets that grow with the duration.
 *
 * Runs in: workers write, each only its own (see shm.h); control adds them up and reads percentiles.  Below 16 us each
 * microsecond has a bucket; above, each doubling is parted into ten equal ones, so that the middle of a bucket is within
 * 5 % of all that it holds.  Histograms of several workers are merged by adding them.
 */
#ifndef WEIR_HISTOGRAM_H
#define WEIR_HISTOGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HISTOGRAM_EXACT_BITS = 4,  /* below 1 << 4 us: one bucket each */
	HISTOGRAM_RANGE_BITS = 31, /* 36 minutes and above are all in the last bucket */
	HISTOGRAM_PARTS = 10,      /* of each doubling */
	HISTOGRAM_BUCKETS = (1 << HISTOGRAM_EXACT_BITS) +
			    (HISTOGRAM_RANGE_BITS - HISTOGRAM_EXACT_BITS) * HISTOGRAM_PARTS,
};

struct histogram {
	_Atomic uint64_t sum_us, count;
	_Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
};

enum latency_kind {
	LATENCY_CONNECT = 0, /* pool, server: from the start of a connection to a server until it stands */
	LATENCY_FIRST_BYTE,  /* from the request head to the response head */
	LATENCY_TOTAL,       /* from the request head to the end of the response */
	LATENCY_KINDS
};

enum { LATENCY_ENDS = 48 };

/* Of one listener, pool or server.  Whole cache lines, so that two processes never write to the same one. */
struct latency {
	_Alignas(64) struct histogram of[LATENCY_KINDS];
	_Atomic uint64_t ends[LATENCY_ENDS]; /* listener: how requests and sessions ended, by enum end */
};

/* Context: only the process that owns it. */
static inline void
latency_count_end(struct latency *latency, unsigned end)
{
	_Atomic uint64_t *count = &latency->ends[end];

	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* JSON and /metrics: "connect", "first_byte", "total". */
extern const char *const latency_names[LATENCY_KINDS];

static inline unsigned
histogram_index(uint64_t us)
{
	unsigned octave;

	if (us >> HISTOGRAM_EXACT_BITS == 0)
		return (unsigned)us;
	if (us >> HISTOGRAM_RANGE_BITS != 0)
		return HISTOGRAM_BUCKETS - 1;
	octave = 63 - (unsigned)__builtin_clzll(us);
	return (1U << HISTOGRAM_EXACT_BITS) + (octave - HISTOGRAM_EXACT_BITS) * HISTOGRAM_PARTS +
	       (unsigned)((us - (UINT64_C(1) << octave)) * HISTOGRAM_PARTS >> octave);
}

/*
 * Count one duration; `index` is histogram_index(us), made once for several histograms.
 * Context: only the process that owns this histogram.
 */
static inline void
histogram_add(struct histogram *h, unsigned index, uint64_t us)
{
	_Atomic uint64_t *bucket = &h->buckets[index];

	atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + 1, memory_order_relaxed);
	atomic_store_explicit(
	    &h->sum_us, atomic_load_explicit(&h->sum_us, memory_order_relaxed) + us, memory_order_relaxed);
	atomic_store_explicit(&h->count, atomic_load_explicit(&h->count, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Bounds of a bucket in microseconds: lower <= us < upper.  The last one's upper bound is that of the range. */
uint64_t histogram_lower_us(unsigned index);
uint64_t histogram_upper_us(unsigned index);

/* What is read of histograms: plain numbers, one process's own. */
struct histogram_sum {
	uint64_t count, sum_us;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_sum_add(struct histogram_sum *sum, const struct histogram *h);
/* What came since `earlier`, a sum of the same histograms. */
void histogram_sum_subtract(struct histogram_sum *sum, const struct histogram_sum *earlier);
/*
 * The duration in microseconds that `per_mille` of 1000 did not exceed, within 5 %; 0 if nothing was counted.
 */
uint64_t histogram_percentile_us(const struct histogram_sum *sum, unsigned per_mille);
/* How many took at most `us`; inside a bucket in proportion.  Never less for more. */
uint64_t histogram_count_below(const struct histogram_sum *sum, uint64_t us);

#endif
