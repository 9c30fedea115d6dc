/*
 * shm_latency: the histograms in shared memory.
 *
 * They are large, and reading a page that nobody has written costs memory too: the tally, which
 * counts a request before its duration is known, tells whether there is anything to read.
 */
#include <assert.h>
#include <string.h>
#include <time.h>

#include "shm_priv.h"

enum { SUM_TRIES = 200 };

struct latency *
shm_latency(const struct shm *shm, int slot, uint32_t id)
{
	assert(slot >= 0 && slot < SHM_SLOTS && id < shm->capacity);
	return (struct latency *)(void *)(shm->latencies + (size_t)slot * shm->latency_stride) + id;
}

static bool
is_used(const struct shm *shm, int slot, uint32_t id)
{
	const struct tally *tally = shm_tally(shm, slot, id);

	return tally_get(tally, TALLY_REQUESTS) != 0 || tally_get(tally, TALLY_CONNECTIONS) != 0;
}

static void
add_number(_Atomic uint64_t *to, uint64_t n)
{
	if (n != 0)
		atomic_store_explicit(
		    to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

static void
move_histogram(struct histogram *to, struct histogram *from)
{
	add_number(&to->sum_us, atomic_load_explicit(&from->sum_us, memory_order_relaxed));
	atomic_store_explicit(&from->sum_us, 0, memory_order_relaxed);
	add_number(&to->count, atomic_load_explicit(&from->count, memory_order_relaxed));
	atomic_store_explicit(&from->count, 0, memory_order_relaxed);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t n = atomic_load_explicit(&from->buckets[i], memory_order_relaxed);

		if (n == 0)
			continue;
		add_number(&to->buckets[i], n);
		atomic_store_explicit(&from->buckets[i], 0, memory_order_relaxed);
	}
}

void
shm_latency_retire(struct shm *shm, int slot, uint32_t id)
{
	struct latency *from, *to;

	if (!is_used(shm, slot, id))
		return;
	from = shm_latency(shm, slot, id);
	to = shm_latency(shm, SHM_SLOT_RETIRED, id);
	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++)
		move_histogram(&to->of[kind], &from->of[kind]);
	for (unsigned i = 0; i < LATENCY_ENDS; i++) {
		add_number(&to->ends[i], atomic_load_explicit(&from->ends[i], memory_order_relaxed));
		atomic_store_explicit(&from->ends[i], 0, memory_order_relaxed);
	}
}

void
shm_latency_clear(struct shm *shm, int slot, uint32_t id)
{
	if (is_used(shm, slot, id))
		memset(shm_latency(shm, slot, id), 0, sizeof(struct latency));
}

/* `brief`: counts and sums alone, without a look at the buckets. */
static void
add_slot(const struct shm *shm, int slot, uint32_t id,
    struct histogram_sum sums[static LATENCY_KINDS], bool brief)
{
	const struct latency *latency;

	if (!is_used(shm, slot, id))
		return;
	latency = shm_latency(shm, slot, id);
	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++) {
		const struct histogram *h = &latency->of[kind];

		if (!brief) {
			histogram_sum_add(&sums[kind], h);
			continue;
		}
		sums[kind].sum_us += atomic_load_explicit(&h->sum_us, memory_order_relaxed);
		sums[kind].count += atomic_load_explicit(&h->count, memory_order_relaxed);
	}
}

static void
clear(struct histogram_sum sums[static LATENCY_KINDS], bool brief)
{
	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++)
		if (brief)
			sums[kind].count = sums[kind].sum_us = 0;
		else
			memset(&sums[kind], 0, sizeof(sums[kind]));
}

/* As for tallies: while counts move to slot 0 they stand in two places, or in none. */
static void
add_up(const struct shm *shm, uint32_t id, struct histogram_sum sums[static LATENCY_KINDS],
    bool brief)
{
	const struct entity *e = shm_entity(shm, id);
	const struct timespec moment = { .tv_nsec = 50000 };
	uint64_t live[SHM_SLOT_WORDS];

	for (int tries = 0; tries < SUM_TRIES; tries++) {
		/* Pairs with the release at the end of retire_entity(). */
		uint32_t count = atomic_load_explicit(&e->retire_count, memory_order_acquire);

		clear(sums, brief);
		shm_live_slots(shm, live);
		add_slot(shm, SHM_SLOT_RETIRED, id, sums, brief);
		for (int word = 0; word < SHM_SLOT_WORDS; word++)
			for (uint64_t bits = live[word]; bits != 0; bits &= bits - 1)
				add_slot(shm, word * 64 + __builtin_ctzll(bits), id, sums, brief);
		atomic_thread_fence(memory_order_acquire); /* pairs with that of retire_begin() */
		if ((count & 1) == 0 &&
		    count == atomic_load_explicit(&e->retire_count, memory_order_relaxed))
			return;
		if ((count & 1) != 0)
			nanosleep(&moment, NULL);
	}
}

void
shm_latency_sum(
    const struct shm *shm, uint32_t id, struct histogram_sum sums[static LATENCY_KINDS])
{
	add_up(shm, id, sums, false);
}

void
shm_latency_count(
    const struct shm *shm, uint32_t id, struct histogram_sum sums[static LATENCY_KINDS])
{
	add_up(shm, id, sums, true);
}

static void
add_ends(const struct shm *shm, int slot, uint32_t id, uint64_t sums[static LATENCY_ENDS])
{
	const struct latency *latency;

	if (!is_used(shm, slot, id))
		return;
	latency = shm_latency(shm, slot, id);
	for (unsigned i = 0; i < LATENCY_ENDS; i++)
		sums[i] += atomic_load_explicit(&latency->ends[i], memory_order_relaxed);
}

void
shm_ends_sum(const struct shm *shm, uint32_t id, uint64_t sums[static LATENCY_ENDS])
{
	uint64_t live[SHM_SLOT_WORDS];

	memset(sums, 0, LATENCY_ENDS * sizeof(*sums));
	shm_live_slots(shm, live);
	add_ends(shm, SHM_SLOT_RETIRED, id, sums);
	for (int word = 0; word < SHM_SLOT_WORDS; word++)
		for (uint64_t bits = live[word]; bits != 0; bits &= bits - 1)
			add_ends(shm, word * 64 + __builtin_ctzll(bits), id, sums);
}

void
shm_latency_copy(struct shm *to, struct shm *from, uint32_t id)
{
	struct histogram_sum sums[LATENCY_KINDS] = { 0 };
	uint64_t ends[LATENCY_ENDS];
	struct latency *latency = NULL;

	shm_latency_sum(from, id, sums);
	shm_ends_sum(from, id, ends);
	for (unsigned i = 0; i < LATENCY_ENDS; i++)
		if (ends[i] != 0)
			atomic_store_explicit(&shm_latency(to, SHM_SLOT_RETIRED, id)->ends[i],
			    ends[i], memory_order_relaxed);
	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++) {
		if (sums[kind].count == 0)
			continue;
		if (latency == NULL)
			latency = shm_latency(to, SHM_SLOT_RETIRED, id);
		atomic_store_explicit(
		    &latency->of[kind].sum_us, sums[kind].sum_us, memory_order_relaxed);
		atomic_store_explicit(
		    &latency->of[kind].count, sums[kind].count, memory_order_relaxed);
		for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
			add_number(&latency->of[kind].buckets[i], sums[kind].buckets[i]);
	}
}
