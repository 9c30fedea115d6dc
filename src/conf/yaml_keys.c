/* The keys of a text: most stand in it again and again, and share one copy. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

#include "yaml_priv.h"

struct yaml_key {
	const char *text; /* in the arena; NULL: free */
	size_t len;
	size_t hash;
};

static size_t
hash_of(const char *text, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	return (size_t)(hash ^ hash >> 32);
}

static void
grow(struct yaml_keys *keys)
{
	size_t size = keys->items != NULL ? 2 * (keys->mask + 1) : 64;
	struct yaml_key *old = keys->items, *items = xcalloc(size, sizeof(*items));

	for (size_t i = 0; old != NULL && i <= keys->mask; i++) {
		size_t at = old[i].hash & (size - 1);

		if (old[i].text == NULL)
			continue;
		while (items[at].text != NULL)
			at = (at + 1) & (size - 1);
		items[at] = old[i];
	}
	free(old);
	keys->items = items;
	keys->mask = size - 1;
}

const char *
yaml_keys_keep(struct yaml_keys *keys, struct arena *arena, const char *text, size_t len)
{
	size_t hash = hash_of(text, len), at;

	if (keys->items == NULL || keys->count > keys->mask / 2)
		grow(keys);
	for (at = hash & keys->mask; keys->items[at].text != NULL; at = (at + 1) & keys->mask)
		if (keys->items[at].hash == hash && keys->items[at].len == len &&
		    memcmp(keys->items[at].text, text, len) == 0)
			return keys->items[at].text;
	keys->items[at] = (struct yaml_key){ arena_strndup(arena, text, len), len, hash };
	keys->count++;
	return keys->items[at].text;
}

void
yaml_keys_fini(struct yaml_keys *keys)
{
	free(keys->items);
	*keys = (struct yaml_keys){ 0 };
}
