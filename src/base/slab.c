#include "weir/slab.h"

#include <assert.h>
#include <stdlib.h>

#include "weir/arena.h"

enum { SLAB_ALIGN = 16, SLAB_CHUNK = 64 * 1024 };

struct slab_chunk {
	struct slab_chunk *next; /* owned */
	_Alignas(SLAB_ALIGN) char data[];
};

void
slab_init(struct slab *slab, size_t object_size)
{
	*slab = (struct slab){ .object_size = (object_size + SLAB_ALIGN - 1) & ~(size_t)(SLAB_ALIGN - 1) };
}

void
slab_fini(struct slab *slab)
{
	while (slab->chunks != NULL) {
		struct slab_chunk *chunk = slab->chunks;

		slab->chunks = chunk->next;
		free(chunk);
	}
	slab->free_list = NULL;
	slab->taken = 0;
}

static void
add_chunk(struct slab *slab)
{
	size_t count = SLAB_CHUNK / slab->object_size;
	struct slab_chunk *chunk;

	count = count > 0 ? count : 1;
	chunk = xmalloc(sizeof(*chunk) + count * slab->object_size);
	chunk->next = slab->chunks;
	slab->chunks = chunk;
	while (count-- > 0) {
		void **object = (void **)(void *)(chunk->data + count * slab->object_size);

		*object = slab->free_list;
		slab->free_list = object;
	}
}

void *
slab_take(struct slab *slab)
{
	void **object;

	if (slab->free_list == NULL)
		add_chunk(slab);
	object = slab->free_list;
	slab->free_list = *object;
	slab->taken++;
	return object;
}

void
slab_give(struct slab *slab, void *object)
{
	void **link = object;

	assert(slab->taken > 0);
	slab->taken--;
	*link = slab->free_list;
	slab->free_list = link;
}
