#include "collect_priv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "weir/arena.h"

void
list_add(struct list *list, void *item)
{
	if (list->count == list->size) {
		list->size = list->size ? list->size * 2 : 8;
		list->items = xrealloc(list->items, list->size * sizeof(*list->items));
	}
	list->items[list->count++] = item;
}

void
list_fini(struct list *list)
{
	free(list->items);
	*list = (struct list){ 0 };
}

struct slot {
	const char *key; /* NULL: free */
	uint64_t hash;
	void *value;
};

/* Open addressing; at most two thirds full, so that a search ends at a free slot soon. */
struct index {
	struct slot *slots; /* owned; size is a power of two */
	size_t count, size;
	uint64_t seed; /* nobody outside can choose keys that collide */
};

struct index *
index_new(void)
{
	struct index *index = xcalloc(1, sizeof(*index));

	index->size = 64;
	index->slots = xcalloc(index->size, sizeof(*index->slots));
	if (getrandom(&index->seed, sizeof(index->seed), GRND_NONBLOCK) == -1)
		index->seed = (uintptr_t)index;
	return index;
}

void
index_free(struct index *index)
{
	if (index == NULL)
		return;
	free(index->slots);
	free(index);
}

static uint64_t
hash_text(const struct index *index, const char *text)
{
	uint64_t h = index->seed ^ 0x9e3779b97f4a7c15u;

	for (; *text != '\0'; text++) {
		h = (h ^ (unsigned char)*text) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	return h;
}

static struct slot *
find_slot(const struct index *index, const char *key, uint64_t hash)
{
	size_t i = (size_t)hash & (index->size - 1);

	while (index->slots[i].key != NULL) {
		if (index->slots[i].hash == hash && strcmp(index->slots[i].key, key) == 0)
			break;
		i = (i + 1) & (index->size - 1);
	}
	return &index->slots[i];
}

static void
double_size(struct index *index)
{
	struct slot *old = index->slots;
	size_t old_size = index->size;

	index->size *= 2;
	index->slots = xcalloc(index->size, sizeof(*index->slots));
	for (size_t i = 0; i < old_size; i++)
		if (old[i].key != NULL)
			*find_slot(index, old[i].key, old[i].hash) = old[i];
	free(old);
}

void *
index_find(const struct index *index, const char *key)
{
	return find_slot(index, key, hash_text(index, key))->value;
}

void *
index_add(struct index *index, const char *key, void *value)
{
	uint64_t hash = hash_text(index, key);
	struct slot *slot = find_slot(index, key, hash);

	if (slot->key != NULL)
		return slot->value;
	*slot = (struct slot){ .key = key, .hash = hash, .value = value };
	index->count++;
	if (index->count * 3 > index->size * 2)
		double_size(index);
	return NULL;
}
