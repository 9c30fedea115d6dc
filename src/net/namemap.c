#include "namemap_priv.h"

#include <stdint.h>
#include <string.h>

#include "weir/arena.h"

struct namemap_slot {
	uint64_t hash;
	const char *name; /* borrowed */
	size_t len;
	void *value; /* borrowed; NULL: the slot is free */
};

void
namemap_init(struct namemap *map, struct arena *arena)
{
	*map = (struct namemap){ .arena = arena };
}

static uint64_t
hash_name(const char *name, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3;
	return hash ^ hash >> 32;
}

/* The slot that holds `name`, or the free one where it belongs. */
static struct namemap_slot *
find_slot(const struct namemap *map, const char *name, size_t len, uint64_t hash)
{
	for (size_t i = hash & (map->size - 1);; i = (i + 1) & (map->size - 1)) {
		struct namemap_slot *slot = &map->slots[i];

		if (!slot->value)
			return slot;
		if (slot->hash == hash && slot->len == len && memcmp(slot->name, name, len) == 0)
			return slot;
	}
}

void *
namemap_find(const struct namemap *map, const char *name, size_t len)
{
	return map->size ? find_slot(map, name, len, hash_name(name, len))->value : NULL;
}

static void
grow(struct namemap *map)
{
	struct namemap old = *map;

	map->size = old.size ? old.size * 2 : 16;
	map->slots = arena_array(map->arena, map->size, sizeof(*map->slots));
	for (size_t i = 0; i < old.size; i++) {
		const struct namemap_slot *from = &old.slots[i];

		if (from->value)
			*find_slot(map, from->name, from->len, from->hash) = *from;
	}
}

bool
namemap_add(struct namemap *map, const char *name, void *value)
{
	size_t len = strlen(name);
	uint64_t hash = hash_name(name, len);
	struct namemap_slot *slot;

	if ((map->count + 1) * 4 > map->size * 3)
		grow(map);
	slot = find_slot(map, name, len, hash);
	if (slot->value)
		return false;
	*slot = (struct namemap_slot){ hash, name, len, value };
	map->count++;
	return true;
}
