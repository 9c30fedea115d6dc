#include "weir/faults.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "weir/clock.h"

enum {
	EXCERPT_BEFORE = FAULT_EXCERPT_SIZE * 3 / 4, /* of the fault's position */
	READ_TRIES = 8,
};

static void
copy_name(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from != NULL ? from : "");
}

/* Mark an entry as being written. */
static void
begin(struct fault *fault)
{
	uint32_t sequence = atomic_load_explicit(&fault->sequence, memory_order_relaxed);

	atomic_store_explicit(&fault->sequence, sequence | 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release); /* pairs with the second one of faults_read() */
}

static void
finish(struct fault *fault)
{
	uint32_t sequence = atomic_load_explicit(&fault->sequence, memory_order_relaxed) + 1;

	/* Pairs with the acquire of faults_read(). */
	atomic_store_explicit(
	    &fault->sequence, sequence != 0 ? sequence : 2, memory_order_release);
}

static void
copy_excerpt(struct fault *fault, const struct fault_report *report)
{
	size_t at = report->position != FAULT_NOWHERE && report->position <= report->len
			? report->position
			: 0;
	size_t from = at > EXCERPT_BEFORE ? at - EXCERPT_BEFORE : 0;
	size_t len = report->len - from < FAULT_EXCERPT_SIZE ? report->len - from
							     : FAULT_EXCERPT_SIZE;

	fault->len = (uint32_t)report->len;
	fault->position = (uint32_t)report->position;
	fault->excerpt_at = (uint32_t)from;
	fault->excerpt_len = (uint32_t)len;
	if (len > 0)
		memcpy(fault->excerpt, report->data + from, len);
}

void
faults_add(struct fault_ring *ring, const struct fault_report *report)
{
	uint32_t next = atomic_load_explicit(&ring->next, memory_order_relaxed);
	struct fault *fault = &ring->faults[next % FAULTS_KEPT];
	struct timespec now;

	atomic_store_explicit(&ring->next, next + 1, memory_order_relaxed);
	begin(fault);
	fault->at_us = clock_us();
	clock_gettime(CLOCK_REALTIME, &now);
	fault->wall_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	fault->kind = report->kind;
	addr_print(report->client, fault->client);
	copy_name(fault->listener, sizeof(fault->listener), report->listener);
	copy_name(fault->pool, sizeof(fault->pool), report->pool);
	copy_name(fault->server, sizeof(fault->server), report->server);
	copy_name(fault->reason, sizeof(fault->reason), report->reason);
	copy_excerpt(fault, report);
	finish(fault);
}

/* What a process that was taken over may have written is made safe to use. */
static void
make_sane(struct fault *fault)
{
	fault->client[sizeof(fault->client) - 1] = '\0';
	fault->listener[sizeof(fault->listener) - 1] = '\0';
	fault->pool[sizeof(fault->pool) - 1] = '\0';
	fault->server[sizeof(fault->server) - 1] = '\0';
	fault->reason[sizeof(fault->reason) - 1] = '\0';
	if (fault->excerpt_len > FAULT_EXCERPT_SIZE)
		fault->excerpt_len = 0;
}

bool
faults_read(const struct fault_ring *ring, unsigned index, struct fault *copy)
{
	const struct fault *fault = &ring->faults[index];

	for (int tries = 0; tries < READ_TRIES; tries++) {
		/* Pairs with the release of finish(). */
		uint32_t sequence = atomic_load_explicit(&fault->sequence, memory_order_acquire);

		if (sequence == 0)
			return false;
		if ((sequence & 1) != 0)
			continue;
		memcpy(copy, fault, sizeof(*copy));
		atomic_thread_fence(memory_order_acquire); /* pairs with that of begin() */
		if (sequence != atomic_load_explicit(&fault->sequence, memory_order_relaxed))
			continue;
		make_sane(copy);
		return true;
	}
	return false;
}

/* An empty entry, or the oldest. */
static struct fault *
find_oldest(struct fault_ring *ring)
{
	struct fault *oldest = &ring->faults[0];

	for (unsigned i = 0; i < FAULTS_KEPT; i++)
		if (ring->faults[i].at_us < oldest->at_us)
			oldest = &ring->faults[i];
	return oldest;
}

void
faults_merge(struct fault_ring *to, const struct fault_ring *from)
{
	const size_t body = offsetof(struct fault, kind);

	if (atomic_load_explicit(&from->next, memory_order_relaxed) == 0)
		return;
	for (unsigned i = 0; i < FAULTS_KEPT; i++) {
		struct fault copy, *oldest = find_oldest(to);

		if (!faults_read(from, i, &copy) || copy.at_us < oldest->at_us)
			continue;
		begin(oldest);
		memcpy((char *)oldest + body, (char *)&copy + body, sizeof(copy) - body);
		finish(oldest);
		atomic_store_explicit(&to->next, 1, memory_order_relaxed); /* not empty */
	}
}

void
faults_clear(struct fault_ring *ring)
{
	if (atomic_load_explicit(&ring->next, memory_order_relaxed) != 0)
		memset(ring, 0, sizeof(*ring));
}
