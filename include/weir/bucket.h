/*
 * bucket: token buckets that processes share: so many bytes a second, by whoever sends them.
 *
 * Runs in: workers; the bucket lies in shared memory and is a single word, so that nobody waits for anybody and a worker
 * that dies leaves nothing behind.  The word is the moment up to which all that was taken is paid for: taking moves it
 * on by the time that the bytes are worth, and what lies more than `burst_ns` back is lost.  When it lies ahead, the
 * bucket is in debt: workers that took at the same moment, or a datagram larger than what was left; the debt is paid
 * before anybody gets more, so the rate is kept over any second.
 *
 * Does not know what is limited, nor the time: callers bring it.
 */
#ifndef WEIR_BUCKET_H
#define WEIR_BUCKET_H

#include <stdatomic.h>
#include <stdint.h>

struct bucket {
	_Alignas(64) _Atomic uint64_t paid_ns; /* CLOCK_MONOTONIC */
};

struct bucket_rate {
	uint64_t bytes_per_s; /* 1 to UINT32_MAX */
	uint64_t burst_ns;    /* at most a second: what was not used is kept for so long */
};

/* Returns the bytes that may be taken now; 0 and below: the debt. */
int64_t bucket_credit(const struct bucket *bucket, const struct bucket_rate *rate, uint64_t now_ns);
/* Take `len` bytes, be they there or not. */
void bucket_take(struct bucket *bucket, const struct bucket_rate *rate, uint64_t len, uint64_t now_ns);
/* Returns the nanoseconds until `len` bytes (no more than a burst has) may be taken, if nobody takes any; 0: now. */
uint64_t bucket_wait_ns(const struct bucket *bucket, const struct bucket_rate *rate, uint64_t len, uint64_t now_ns);

#endif
