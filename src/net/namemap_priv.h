/*
 * namemap: a table from names to pointers, filled once and then only read.
 *
 * Runs in: master (fill), workers (find).  Holds thousands of names at O(1) per search; lives in an arena, so there is
 * nothing to free.  Names and values are borrowed and must live as long as the map.  The names come from the
 * configuration, so nobody outside can choose them to collide.
 */
#ifndef WEIR_NAMEMAP_PRIV_H
#define WEIR_NAMEMAP_PRIV_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct namemap_slot;

struct namemap {
	struct arena *arena;        /* borrowed */
	struct namemap_slot *slots; /* in the arena; NULL while empty */
	size_t size;                /* of slots: a power of two, at least 4/3 of count */
	size_t count;
};

void namemap_init(struct namemap *map, struct arena *arena);
/* Returns the value of `name`, NULL if it is not there. */
void *namemap_find(const struct namemap *map, const char *name, size_t len);
/* Returns false, and changes nothing, if `name` is there already.  value is not NULL. */
bool namemap_add(struct namemap *map, const char *name, void *value);

#endif
