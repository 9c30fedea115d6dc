/*
 * shm_source: how often a source address may do something, in all workers together.
 *
 * Runs in: workers.  As the sticky table (shm_sticky.c): sets of eight words, each written by
 * compare-and-swap, so that no process waits for another.  A word tells when the source will have
 * all it may have again (GCRA, as bucket.h does with bytes); one whose moment is over says nothing
 * that an empty place would not say, and so the earliest makes room without harm until eight
 * sources of one set are busy at the same time.
 *
 *	63        42 41                                 0
 *	+-----------+-----------------------------------+
 *	|    tag    |  microsecond of its pause (wraps) |   0: empty
 *	+-----------+-----------------------------------+
 *
 * Clients choose their addresses, but know nothing of the key's seed: who shares a set with whom
 * is not theirs to choose.
 */
#include <assert.h>

#include "shm_priv.h"

enum { MOMENT_BITS = 42, /* 50 days */ TRIES = 8 };

static const uint64_t moment_mask = (UINT64_C(1) << MOMENT_BITS) - 1;
/* A moment further ahead is one of weeks ago. */
static const int64_t ahead_max_us = INT64_C(2) * 3600 * 1000000;

/* Microseconds from now to the moment of the word; 0: it is over, or there is none. */
static int64_t
ahead_of(uint64_t word, uint64_t now_us)
{
	uint64_t distance = (word - now_us) & moment_mask;

	return word == 0 || distance > (uint64_t)ahead_max_us ? 0 : (int64_t)distance;
}

static _Atomic uint64_t *
find_place(_Atomic uint64_t *set, uint64_t key, uint64_t now_us, uint64_t *old)
{
	_Atomic uint64_t *found = NULL;
	int64_t least = INT64_MAX;

	for (int way = 0; way < SHM_STICKY_WAYS; way++) {
		uint64_t word = atomic_load_explicit(&set[way], memory_order_relaxed);
		int64_t ahead = ahead_of(word, now_us);

		if (word != 0 && (word ^ key) >> MOMENT_BITS == 0) {
			*old = word;
			return &set[way];
		}
		if (ahead < least) {
			least = ahead;
			found = &set[way];
			*old = word;
		}
	}
	return found;
}

uint64_t
shm_source_admit(struct shm *shm, uint64_t key, const struct source_rate *rate, uint64_t now_us)
{
	_Atomic uint64_t *set = shm->sources + (key & (SHM_SOURCE_SETS - 1)) * SHM_STICKY_WAYS;
	/* How much before its moment the next one of a burst may come. */
	uint64_t early =
	    rate->burst_us > rate->interval_us ? rate->burst_us - rate->interval_us : 0;

	for (int tries = 0; tries < TRIES; tries++) {
		uint64_t old, next;
		_Atomic uint64_t *place = find_place(set, key, now_us, &old);
		bool is_its_own = old != 0 && (old ^ key) >> MOMENT_BITS == 0;
		uint64_t ahead = is_its_own ? (uint64_t)ahead_of(old, now_us) : 0;

		if (ahead > early)
			return ahead - early;
		next = (key & ~moment_mask) |
		       ((now_us + ahead + rate->interval_us) & moment_mask);
		if (atomic_compare_exchange_strong_explicit(
			place, &old, next, memory_order_relaxed, memory_order_relaxed))
			break;
	}
	return 0;
}
