/*
 * slab: objects of one size, taken and given back all the time.
 *
 * Runs in: worker.  Objects come from chunks of about 64 KiB, so that an idle connection costs its own size and no
 * allocator overhead; chunks are kept until slab_fini().
 */
#ifndef WEIR_SLAB_H
#define WEIR_SLAB_H

#include <stddef.h>

struct slab_chunk;

struct slab {
	size_t object_size;        /* bytes; rounded up to 16 */
	void *free_list;           /* given-back objects, linked through their first word */
	struct slab_chunk *chunks; /* owned */
	size_t taken;
};

void slab_init(struct slab *slab, size_t object_size);
/* Frees all objects, taken ones too. */
void slab_fini(struct slab *slab);
/* An object with unspecified contents; never NULL.  Pair: slab_give(). */
void *slab_take(struct slab *slab);
void slab_give(struct slab *slab, void *object);

#endif
