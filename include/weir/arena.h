/*
 * arena: memory with one lifetime.
 *
 * Used by every program: a configuration generation, the objects of one weirgen run.  Allocation cannot fail (the
 * process ends with a message when memory is exhausted), single pieces are never freed, arena_free() frees all.
 * Not for the data path, which has pools of fixed size (buf.h, slab.h).
 */
#ifndef WEIR_ARENA_H
#define WEIR_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena *arena_new(void);
/* Frees everything that came from `arena`.  NULL is allowed. */
void arena_free(struct arena *arena);

/* Zeroed memory, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size);
/* The same for `count` items of `size` bytes; a product that overflows ends the process. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* A copy of `old_size` bytes at `old` in a new, zero-filled place of `new_size` bytes; `old` stays as it is. */
void *arena_grow(struct arena *arena, const void *old, size_t old_size, size_t new_size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Bytes handed out so far. */
size_t arena_used(const struct arena *arena);

/* malloc and friends for start-up code: they end the process instead of returning NULL. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
char *xprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *xvprintf(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

#endif
