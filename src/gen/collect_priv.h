/*
 * collect: the two containers of weirgen: a growing list of pointers and an index by text.
 *
 * Neither owns what it points to.  Memory that cannot be had ends the process (arena.h).
 */
#ifndef GEN_COLLECT_PRIV_H
#define GEN_COLLECT_PRIV_H

#include <stddef.h>

struct list {
	void **items; /* owned; NULL while empty */
	size_t count, size;
};

void list_add(struct list *list, void *item);
void list_fini(struct list *list);

struct index;

struct index *index_new(void);
/* Frees the index, neither keys nor values.  NULL is allowed. */
void index_free(struct index *index);
/* The value of `key`; NULL if there is none. */
void *index_find(const struct index *index, const char *key);
/*
 * Add `value` under `key`, which is borrowed for the life of the index.
 * Returns NULL; if the key is there already, its value, and nothing changes.
 */
void *index_add(struct index *index, const char *key, void *value);

#endif
