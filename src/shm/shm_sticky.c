/*
 * shm_sticky: source-address stickiness.
 *
 * Runs in: workers.  A set is one cache line of eight words; each word is written by
 * compare-and-swap, and a race that is lost costs at most one entry, so that no process ever waits
 * for another.
 *
 *	63        48 47     44 43              22 21              0
 *	+-----------+---------+------------------+-----------------+
 *	|    tag    | incarn. | entity id plus 1 |  second (wraps) |   0: empty
 *	+-----------+---------+------------------+-----------------+
 *
 * The set is chosen by low bits of the key, the tag are its high bits.  A false match (another
 * address with the same set and tag, 1 in 8,000 for a full set) sends a new client to a server that
 * it might have got anyway.
 */
#include <assert.h>
#include <string.h>

#include "shm_priv.h"
#include "weir/clock.h"

enum {
	SECOND_BITS = 22, /* 48 days */
	ID_BITS = 22,
	INCARNATION_BITS = 4,
	ID_SHIFT = SECOND_BITS,
	INCARNATION_SHIFT = ID_SHIFT + ID_BITS,
	TAG_SHIFT = INCARNATION_SHIFT + INCARNATION_BITS,
	/*
	 * now_ms of two processes differs by their turns of the event loop: so much may lie in the
	 * future.
	 */
	AHEAD_MAX = 3600,
	STORE_TRIES = 4,
};

static const uint32_t second_mask = (UINT32_C(1) << SECOND_BITS) - 1;
static const uint64_t incarnation_mask = ((UINT64_C(1) << INCARNATION_BITS) - 1)
					 << INCARNATION_SHIFT;

_Static_assert(TAG_SHIFT + 16 == 64, "all bits are used");
_Static_assert(SHM_STICKY_SETS_MAX <= 1 << (TAG_SHIFT - ID_SHIFT), "a set fits where the entity stands");
_Static_assert(SHM_CAPACITY_MAX + 1 < 1 << ID_BITS, "each entity id plus 1 fits");

static uint32_t
second_now(void)
{
	return (uint32_t)(now_ms / 1000) & second_mask;
}

/* Seconds since the entry was used. */
static uint32_t
age_of(uint64_t word)
{
	uint32_t age = (second_now() - (uint32_t)word) & second_mask;

	return age > second_mask - AHEAD_MAX ? 0 : age;
}

static uint32_t
id_of(uint64_t word)
{
	return (uint32_t)(word >> ID_SHIFT & ((1U << ID_BITS) - 1)) - 1;
}

static uint64_t
incarnation_bits(const struct shm *shm, uint32_t id)
{
	uint64_t n = atomic_load_explicit(&shm->entities[id].incarnation, memory_order_relaxed);

	return n << INCARNATION_SHIFT & incarnation_mask;
}

static bool
same_tag(uint64_t word, uint64_t key)
{
	return word != 0 && (word ^ key) >> TAG_SHIFT == 0;
}

static _Atomic uint64_t *
set_of(const struct shm *shm, uint64_t key)
{
	return &shm->sticky[(key & (shm->sticky_sets - 1)) * SHM_STICKY_WAYS];
}

/* Does the entry still mean the server that it was made for? */
static bool
names_server(const struct shm *shm, uint64_t word)
{
	uint32_t id = id_of(word);

	return id < shm->capacity && ((word ^ incarnation_bits(shm, id)) & incarnation_mask) == 0;
}

uint32_t
shm_sticky_find(struct shm *shm, uint64_t key, uint32_t timeout_s)
{
	_Atomic uint64_t *set = set_of(shm, key);

	for (int way = 0; way < SHM_STICKY_WAYS; way++) {
		uint64_t word = atomic_load_explicit(&set[way], memory_order_relaxed);
		uint64_t renewed = (word & ~(uint64_t)second_mask) | second_now();

		if (!same_tag(word, key) || age_of(word) > timeout_s || !names_server(shm, word))
			continue;
		/* Written once a second at most; the entry of a process that was faster will do. */
		if (renewed != word)
			atomic_compare_exchange_strong_explicit(
			    &set[way], &word, renewed, memory_order_relaxed, memory_order_relaxed);
		return id_of(word);
	}
	return UINT32_MAX;
}

/*
 * Where an entry for `key` goes: over its old one, into an empty place, over the one unused for
 * longest.
 */
static int
choose_way(_Atomic uint64_t *set, uint64_t key, uint64_t *old)
{
	uint32_t oldest_age = 0;
	int chosen = -1;

	for (int way = 0; way < SHM_STICKY_WAYS; way++) {
		uint64_t word = atomic_load_explicit(&set[way], memory_order_relaxed);
		uint32_t age = word == 0 ? UINT32_MAX : age_of(word);

		if (same_tag(word, key)) {
			*old = word;
			return way;
		}
		if (chosen == -1 || age > oldest_age) {
			chosen = way;
			oldest_age = age;
			*old = word;
		}
	}
	return chosen;
}

void
shm_sticky_store(struct shm *shm, uint64_t key, uint32_t server_id, uint32_t timeout_s)
{
	_Atomic uint64_t *set = set_of(shm, key);
	uint64_t word, old;

	assert(server_id < shm->capacity);
	if (timeout_s == 0)
		return;
	word = (key >> TAG_SHIFT << TAG_SHIFT) | incarnation_bits(shm, server_id) |
	       (uint64_t)(server_id + 1) << ID_SHIFT | second_now();
	for (int tries = 0; tries < STORE_TRIES; tries++) {
		int way = choose_way(set, key, &old);

		if (atomic_compare_exchange_strong_explicit(
			&set[way], &old, word, memory_order_relaxed, memory_order_relaxed))
			return;
	}
}

void
shm_sticky_each(
    const struct shm *shm, void (*each)(void *arg, uint32_t server_id, uint32_t age_s), void *arg)
{
	for (size_t i = 0; i < shm->sticky_sets * SHM_STICKY_WAYS; i++) {
		uint64_t word = atomic_load_explicit(&shm->sticky[i], memory_order_relaxed);

		if (word != 0 && names_server(shm, word))
			each(arg, id_of(word), age_of(word));
	}
}

void
shm_sticky_forget(struct shm *shm, uint64_t key)
{
	_Atomic uint64_t *set = set_of(shm, key);

	for (int way = 0; way < SHM_STICKY_WAYS; way++) {
		uint64_t word = atomic_load_explicit(&set[way], memory_order_relaxed);

		if (same_tag(word, key))
			atomic_compare_exchange_strong_explicit(
			    &set[way], &word, 0, memory_order_relaxed, memory_order_relaxed);
	}
}

/* Puts a word of another table into a set, over an older one. */
static void
set_adopt(_Atomic uint64_t *set, uint64_t word)
{
	uint64_t old;
	int way = choose_way(set, word, &old);

	if (old == 0 || age_of(old) > age_of(word))
		atomic_store_explicit(&set[way], word, memory_order_relaxed);
}

/*
 * The word does not hold enough of its key to tell which of the sets of a larger table it belongs
 * to: it goes into each that it may belong to, which fills the larger table just as the smaller one
 * was.
 */
void
shm_sticky_copy(struct shm *to, struct shm *from)
{
	size_t common = to->sticky_sets < from->sticky_sets ? to->sticky_sets : from->sticky_sets;

	for (size_t i = 0; i < from->sticky_sets * SHM_STICKY_WAYS; i++) {
		uint64_t word = atomic_load_explicit(&from->sticky[i], memory_order_relaxed);
		size_t set = i / SHM_STICKY_WAYS & (common - 1);

		if (word == 0)
			continue;
		for (; set < to->sticky_sets; set += common)
			set_adopt(&to->sticky[set * SHM_STICKY_WAYS], word);
	}
}

/* ---- for a file ---- */

bool
shm_sticky_means(const struct shm *shm, uint64_t word)
{
	return word != 0 && names_server(shm, word) &&
	       shm->entities[id_of(word)].kind == ENTITY_SERVER;
}

uint32_t
shm_sticky_id(uint64_t word)
{
	return id_of(word);
}

uint64_t
shm_sticky_pack(uint64_t word, size_t set)
{
	return word >> TAG_SHIFT << TAG_SHIFT | (uint64_t)set << ID_SHIFT | age_of(word);
}

bool
shm_sticky_unpack(struct shm *shm, uint64_t packed, size_t sets, uint32_t server_id, uint64_t gone_s)
{
	uint64_t age = (packed & second_mask) + gone_s;
	size_t set = (size_t)(packed << 16 >> 16 >> ID_SHIFT), common;
	uint64_t word;

	if (age > second_mask - AHEAD_MAX || set >= sets)
		return false;
	word = packed >> TAG_SHIFT << TAG_SHIFT | incarnation_bits(shm, server_id) |
	       (uint64_t)(server_id + 1) << ID_SHIFT | ((second_now() - (uint32_t)age) & second_mask);
	/* As in shm_sticky_copy(). */
	common = sets < shm->sticky_sets ? sets : shm->sticky_sets;
	for (set &= common - 1; set < shm->sticky_sets; set += common)
		set_adopt(&shm->sticky[set * SHM_STICKY_WAYS], word);
	return true;
}
