#include "weir/shm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shm_priv.h"
#include "weir/arena.h"
#include "weir/conf.h"

static const uint64_t shm_magic = 0x7765697273686d31; /* "weirshm1" */

enum {
	SHM_VERSION = 4,
	SHM_PAGE = 4096, /* parts start at multiples: a slot can be given back to the kernel */
	SHM_SUM_TRIES = 200,
	SHM_RETIRE_TRIES = 100000,
};

static size_t
round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Where the parts are, all from capacity and sticky_sets. */
static void
shm_lay_out(struct shm *shm)
{
	size_t entities = round_up(sizeof(struct shm_header), SHM_PAGE);
	size_t sticky = entities + round_up(shm->capacity * sizeof(struct entity), SHM_PAGE);
	size_t sticky_size = shm->sticky_sets * SHM_STICKY_WAYS * sizeof(uint64_t);
	size_t slots = sticky + round_up(sticky_size, SHM_PAGE), history, usages, buckets, sources;

	shm->slot_stride = round_up(shm->capacity * sizeof(struct tally), SHM_PAGE);
	shm->latency_stride = round_up(shm->capacity * sizeof(struct latency), SHM_PAGE);
	shm->size = slots + SHM_SLOTS * (shm->slot_stride + shm->latency_stride) +
		    round_up(SHM_SLOTS * sizeof(struct fault_ring), SHM_PAGE);
	history = shm->size;
	shm->history_head_size = round_up(sizeof(struct history_head), SHM_PAGE);
	shm->size += shm->history_head_size +
		     round_up(shm->capacity * sizeof(struct history), SHM_PAGE);
	usages = shm->size;
	shm->size += round_up(shm->capacity * sizeof(struct usage), SHM_PAGE);
	buckets = shm->size;
	shm->size += round_up(shm->capacity * SHM_BUCKETS * sizeof(struct bucket), SHM_PAGE);
	sources = shm->size;
	shm->size += round_up(SHM_SOURCE_SETS * SHM_STICKY_WAYS * sizeof(uint64_t), SHM_PAGE);
	if (shm->map == NULL)
		return;
	shm->header = (struct shm_header *)(void *)shm->map;
	shm->entities = (struct entity *)(void *)(shm->map + entities);
	shm->sticky = (_Atomic uint64_t *)(void *)(shm->map + sticky);
	shm->slots = shm->map + slots;
	shm->latencies = shm->slots + SHM_SLOTS * shm->slot_stride;
	shm->faults = shm->latencies + SHM_SLOTS * shm->latency_stride;
	shm->history = shm->map + history;
	shm->usages = shm->map + usages;
	shm->buckets = (struct bucket *)(void *)(shm->map + buckets);
	shm->sources = (_Atomic uint64_t *)(void *)(shm->map + sources);
}

static int
shm_map(struct shm *shm)
{
	void *map =
	    mmap(NULL, shm->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, shm->fd, 0);

	if (map == MAP_FAILED)
		return -1;
	shm->map = map;
	shm_lay_out(shm);
	return 0;
}

struct shm *
shm_new(size_t capacity, size_t sticky_entries)
{
	struct shm *shm;
	int saved;

	if (capacity == 0 || capacity > SHM_CAPACITY_MAX) {
		errno = EINVAL;
		return NULL;
	}
	shm = xcalloc(1, sizeof(*shm));
	shm->capacity = capacity;
	shm->sticky_sets = 1;
	/* Four places for each: then hardly a set gets more of them than it has places. */
	while (shm->sticky_sets * SHM_STICKY_WAYS < 4 * sticky_entries &&
	       shm->sticky_sets < SHM_STICKY_SETS_MAX)
		shm->sticky_sets *= 2;
	shm_lay_out(shm);
	shm->fd = memfd_create("weir", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (shm->fd == -1 || ftruncate(shm->fd, (off_t)shm->size) == -1)
		goto fail;
	/*
	 * A worker that was taken over must not be able to shrink the region under the others
	 * (SIGBUS).
	 */
	if (fcntl(shm->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
		goto fail;
	if (shm_map(shm) == -1 || getrandom(&shm->header->seed, sizeof(shm->header->seed), 0) == -1)
		goto fail;
	shm->header->version = SHM_VERSION;
	shm->header->header_size = sizeof(struct shm_header);
	shm->header->entity_size = sizeof(struct entity);
	shm->header->tally_size = sizeof(struct tally);
	shm->header->tally_fields = TALLY_FIELDS;
	shm->header->slots = SHM_SLOTS;
	shm->header->latency_size = sizeof(struct latency);
	shm->header->fault_size = sizeof(struct fault_ring);
	shm->header->history_size = sizeof(struct history_head) + sizeof(struct history);
	shm->header->usage_size = sizeof(struct usage);
	shm->header->buckets_size = SHM_BUCKETS * sizeof(struct bucket);
	shm->header->source_sets = SHM_SOURCE_SETS;
	shm->header->capacity = shm->capacity;
	shm->header->sticky_sets = shm->sticky_sets;
	shm->header->size = shm->size;
	shm->header->magic = shm_magic;
	return shm;

fail:
	saved = errno;
	shm_free(shm);
	errno = saved;
	return NULL;
}

void
shm_free(struct shm *shm)
{
	if (shm == NULL)
		return;
	if (shm->map != NULL)
		munmap(shm->map, shm->size);
	if (shm->fd != -1)
		close(shm->fd);
	free(shm);
}

int
shm_fd(const struct shm *shm)
{
	return shm->fd;
}

static bool
header_fits(const struct shm_header *h)
{
	return h->magic == shm_magic && h->version == SHM_VERSION && h->header_size == sizeof(*h) &&
	       h->entity_size == sizeof(struct entity) && h->tally_size == sizeof(struct tally) &&
	       h->tally_fields == TALLY_FIELDS && h->slots == SHM_SLOTS &&
	       h->latency_size == sizeof(struct latency) &&
	       h->fault_size == sizeof(struct fault_ring) &&
	       h->history_size == sizeof(struct history_head) + sizeof(struct history) &&
	       h->usage_size == sizeof(struct usage) &&
	       h->buckets_size == SHM_BUCKETS * sizeof(struct bucket) &&
	       h->source_sets == SHM_SOURCE_SETS &&
	       h->capacity > 0 &&
	       h->capacity <= SHM_CAPACITY_MAX && h->sticky_sets > 0 &&
	       h->sticky_sets <= SHM_STICKY_SETS_MAX &&
	       (h->sticky_sets & (h->sticky_sets - 1)) == 0;
}

struct shm *
shm_attach_take(int fd)
{
	struct shm *shm = xcalloc(1, sizeof(*shm));
	struct shm_header header;
	struct stat st;
	ssize_t n;
	int saved;

	shm->fd = -1; /* the caller's until all has gone well */
	n = pread(fd, &header, sizeof(header), 0);
	if (n == -1 || fstat(fd, &st) == -1)
		goto fail;
	errno = EPROTO;
	if ((size_t)n != sizeof(header) || !header_fits(&header))
		goto fail;
	shm->capacity = header.capacity;
	shm->sticky_sets = header.sticky_sets;
	shm_lay_out(shm);
	if (shm->size != header.size || shm->size != (size_t)st.st_size)
		goto fail;
	shm->fd = fd;
	if (shm_map(shm) == -1 || fcntl(fd, F_SETFD, FD_CLOEXEC) == -1) {
		saved = errno;
		shm->fd = -1;
		errno = saved;
		goto fail;
	}
	return shm;

fail:
	saved = errno;
	shm_free(shm);
	errno = saved;
	return NULL;
}

size_t
shm_capacity(const struct shm *shm)
{
	return shm->capacity;
}

size_t
shm_used(const struct shm *shm)
{
	size_t used = atomic_load_explicit(&shm->header->used, memory_order_relaxed);

	return used < shm->capacity ? used : shm->capacity;
}

struct shm_global *
shm_global(const struct shm *shm)
{
	return &shm->header->global;
}

struct slot_info *
shm_slot_info(const struct shm *shm, int slot)
{
	assert(slot >= 0 && slot < SHM_SLOTS);
	return &shm->header->info[slot];
}

struct entity *
shm_entity(const struct shm *shm, uint32_t id)
{
	assert(id < shm->capacity);
	return &shm->entities[id];
}

struct tally *
shm_tally(const struct shm *shm, int slot, uint32_t id)
{
	assert(slot >= 0 && slot < SHM_SLOTS && id < shm->capacity);
	return (struct tally *)(void *)(shm->slots + (size_t)slot * shm->slot_stride) + id;
}

struct fault_ring *
shm_faults(const struct shm *shm, int slot)
{
	assert(slot >= 0 && slot < SHM_SLOTS);
	return (struct fault_ring *)(void *)shm->faults + slot;
}

struct bucket *
shm_buckets(const struct shm *shm, uint32_t id)
{
	assert(id < shm->capacity);
	return shm->buckets + (size_t)id * SHM_BUCKETS;
}

uint64_t
shm_source_seed(const struct shm *shm)
{
	return shm->header->seed;
}

/* Slots */

static void
slot_info_clear(struct slot_info *info)
{
	atomic_store_explicit(&info->pid, 0, memory_order_relaxed);
	atomic_store_explicit(&info->revision, 0, memory_order_relaxed);
	atomic_store_explicit(&info->state, SLOT_FREE, memory_order_relaxed);
	atomic_store_explicit(&info->log_lines_lost, 0, memory_order_relaxed);
	atomic_store_explicit(&info->pongs, 0, memory_order_relaxed);
}

int
shm_take_slot(struct shm *shm)
{
	for (int slot = 1; slot < SHM_SLOTS; slot++) {
		uint64_t bit = UINT64_C(1) << (slot % 64);

		/* Atomic: an old and a new master may do this side by side in an upgrade. */
		if ((atomic_fetch_or(&shm->header->live[slot / 64], bit) & bit) == 0) {
			slot_info_clear(&shm->header->info[slot]);
			return slot;
		}
	}
	return -1;
}

static bool
tally_is_zero(const struct tally *tally)
{
	uint64_t bits = 0;

	for (unsigned field = 0; field < TALLY_FIELDS; field++)
		bits |= tally_get(tally, field);
	return bits == 0;
}

/*
 * Makes the entity's retire_count odd.  Two masters may retire workers side by side in an upgrade,
 * hence the wait for one another; a count that stays odd is that of a master that died here, and is
 * taken over.
 */
static uint32_t
retire_begin(struct entity *e)
{
	uint32_t count = atomic_load_explicit(&e->retire_count, memory_order_relaxed);

	for (int tries = 0; tries < SHM_RETIRE_TRIES; tries++) {
		count &= ~1U;
		if (atomic_compare_exchange_weak_explicit(&e->retire_count, &count, count + 1,
			memory_order_acquire, memory_order_relaxed))
			break;
	}
	atomic_thread_fence(memory_order_release); /* pairs with the fence of shm_sum_all() */
	return count | 1U;
}

/* The dead hold nothing. */
static void
usage_retire(struct usage *usage, const struct tally *from)
{
	uint64_t counted = tally_get(from, TALLY_COUNTED), queued = tally_get(from, TALLY_QUEUED);

	if (counted != 0)
		atomic_fetch_sub_explicit(&usage->active, (int32_t)counted, memory_order_relaxed);
	if (queued != 0)
		atomic_fetch_sub_explicit(&usage->queued, (int32_t)queued, memory_order_relaxed);
}

static void
retire_entity(struct shm *shm, int slot, uint32_t id)
{
	struct tally *from = shm_tally(shm, slot, id), *to = shm_tally(shm, SHM_SLOT_RETIRED, id);
	struct entity *e = &shm->entities[id];
	uint32_t count;

	if (tally_is_zero(from))
		return;
	usage_retire(shm_usage(shm, id), from);
	count = retire_begin(e);
	shm_latency_retire(shm, slot, id);
	for (unsigned field = 0; field < TALLY_FIELDS; field++) {
		if (!tally_table[field].is_gauge)
			tally_add(to, field, tally_get(from, field));
		atomic_store_explicit(&from->v[field], 0, memory_order_relaxed);
	}
	/* Pairs with the acquire of shm_sum_all(). */
	atomic_store_explicit(&e->retire_count, count + 1, memory_order_release);
}

void
shm_retire_slot(struct shm *shm, int slot)
{
	size_t used = shm_used(shm);

	assert(slot > SHM_SLOT_RETIRED && slot < SHM_SLOTS);
	for (uint32_t id = 0; id < used; id++)
		retire_entity(shm, slot, id);
	/* All is zero now, so the pages may go; that this may fail does not matter. */
	madvise(shm->slots + (size_t)slot * shm->slot_stride, shm->slot_stride, MADV_REMOVE);
	madvise(shm->latencies + (size_t)slot * shm->latency_stride, shm->latency_stride,
	    MADV_REMOVE);
	faults_merge(shm_faults(shm, SHM_SLOT_RETIRED), shm_faults(shm, slot));
	faults_clear(shm_faults(shm, slot));
	atomic_fetch_add(&shm->header->global.log_lines_lost,
	    atomic_load(&shm->header->info[slot].log_lines_lost));
	slot_info_clear(&shm->header->info[slot]);
	atomic_fetch_and(&shm->header->live[slot / 64], ~(UINT64_C(1) << (slot % 64)));
}

void
shm_live_slots(const struct shm *shm, uint64_t words[static SHM_SLOTS / 64])
{
	for (int i = 0; i < SHM_SLOT_WORDS; i++)
		words[i] = atomic_load_explicit(&shm->header->live[i], memory_order_acquire);
}

/* Sums */

static void
add_slot(const struct shm *shm, int slot, uint32_t id, uint64_t sums[static TALLY_FIELDS])
{
	const struct tally *tally = shm_tally(shm, slot, id);

	for (unsigned field = 0; field < TALLY_FIELDS; field++)
		sums[field] += tally_get(tally, field);
}

static void
add_slots(const struct shm *shm, uint32_t id, uint64_t sums[static TALLY_FIELDS])
{
	uint64_t live[SHM_SLOT_WORDS];

	memset(sums, 0, TALLY_FIELDS * sizeof(*sums));
	shm_live_slots(shm, live);
	add_slot(shm, SHM_SLOT_RETIRED, id, sums);
	for (int word = 0; word < SHM_SLOT_WORDS; word++)
		for (uint64_t bits = live[word]; bits != 0; bits &= bits - 1)
			add_slot(shm, word * 64 + __builtin_ctzll(bits), id, sums);
}

/*
 * While counts move to slot 0 they stand in two places, and a sum taken then would later seem to go
 * back: so sum again.  After many tries the master must have died in the middle; then any sum will
 * do.
 */
void
shm_sum_all(const struct shm *shm, uint32_t id, uint64_t sums[static TALLY_FIELDS])
{
	const struct entity *e = shm_entity(shm, id);
	const struct timespec moment = { .tv_nsec = 50000 };

	for (int tries = 0; tries < SHM_SUM_TRIES; tries++) {
		/* Pairs with the release at the end of retire_entity(). */
		uint32_t count = atomic_load_explicit(&e->retire_count, memory_order_acquire);

		add_slots(shm, id, sums);
		atomic_thread_fence(memory_order_acquire); /* pairs with that of retire_begin() */
		if ((count & 1) == 0 &&
		    count == atomic_load_explicit(&e->retire_count, memory_order_relaxed))
			return;
		if ((count & 1) != 0)
			nanosleep(&moment, NULL);
	}
}

uint64_t
shm_sum(const struct shm *shm, uint32_t id, enum tally_field field)
{
	uint64_t sums[TALLY_FIELDS];

	shm_sum_all(shm, id, sums);
	return sums[field];
}

/* Servers */

void
shm_touch_pool(struct shm *shm, uint32_t pool_id)
{
	/*
	 * Pairs with the acquire of the workers (balance_wrr.c): who sees the count sees the change
	 * before it.
	 */
	atomic_fetch_add_explicit(&shm_entity(shm, pool_id)->changes, 1, memory_order_release);
}

void
shm_set_health(struct shm *shm, uint32_t pool_id, uint32_t server_id, enum health_state state)
{
	struct entity *server = shm_entity(shm, server_id);
	uint32_t before = atomic_exchange_explicit(&server->health, state, memory_order_relaxed);

	if (before == state)
		return;
	if (before == HEALTH_DOWN)
		shm_mark_start(shm, server_id);
	shm_touch_pool(shm, pool_id);
	shm_history_event(shm, pool_id, server_id, HISTORY_HEALTH, before, state);
}

void
shm_set_admin(struct shm *shm, uint32_t pool_id, uint32_t server_id, enum admin_state state)
{
	struct entity *server = shm_entity(shm, server_id);
	uint32_t before = atomic_exchange_explicit(&server->admin, state, memory_order_relaxed);

	if (before == state)
		return;
	if (state == ADMIN_READY)
		shm_mark_start(shm, server_id);
	shm_touch_pool(shm, pool_id);
	shm_history_event(shm, pool_id, server_id, HISTORY_ADMIN, before, state);
}

void
shm_set_weight(struct shm *shm, uint32_t pool_id, uint32_t server_id, int weight)
{
	struct entity *server = shm_entity(shm, server_id);

	assert(weight >= WEIGHT_FROM_CONFIG && weight <= SHM_WEIGHT_MAX);
	if (atomic_exchange_explicit(&server->weight, weight, memory_order_relaxed) != weight)
		shm_touch_pool(shm, pool_id);
}

unsigned
shm_weight(const struct shm *shm, const struct server_config *server)
{
	int32_t weight =
	    atomic_load_explicit(&shm_entity(shm, server->id)->weight, memory_order_relaxed);

	if (weight < 0)
		return server->weight;
	return weight < SHM_WEIGHT_MAX ? (unsigned)weight : SHM_WEIGHT_MAX;
}

bool
shm_server_usable(const struct shm *shm, const struct server_config *server)
{
	const struct entity *e = shm_entity(shm, server->id);

	return atomic_load_explicit(&e->health, memory_order_relaxed) != HEALTH_DOWN &&
	       atomic_load_explicit(&e->admin, memory_order_relaxed) == ADMIN_READY &&
	       atomic_load_explicit(&e->is_ejected, memory_order_relaxed) == 0 &&
	       shm_weight(shm, server) > 0;
}

bool
shm_server_stickable(const struct shm *shm, const struct server_config *server)
{
	const struct entity *e = shm_entity(shm, server->id);

	return atomic_load_explicit(&e->health, memory_order_relaxed) != HEALTH_DOWN &&
	       atomic_load_explicit(&e->admin, memory_order_relaxed) != ADMIN_MAINT &&
	       atomic_load_explicit(&e->is_ejected, memory_order_relaxed) == 0;
}
