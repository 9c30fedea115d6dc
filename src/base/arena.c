#include "weir/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGN = 16, ARENA_CHUNK = 32 * 1024 };

struct chunk {
	struct chunk *next; /* owned */
	size_t size;        /* bytes in data */
	_Alignas(ARENA_ALIGN) char data[];
};

struct arena {
	struct chunk *chunks; /* owned; the first one is being filled */
	size_t filled;        /* bytes taken from the first chunk */
	size_t used;
};

static void
out_of_memory(void)
{
	fputs("weir: out of memory\n", stderr);
	abort();
}

void *
xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
xcalloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
xrealloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

char *
xstrdup(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(xmalloc(size), text, size);
}

char *
xvprintf(const char *format, va_list args)
{
	char *text;

	if (vasprintf(&text, format, args) == -1)
		out_of_memory();
	return text;
}

char *
xprintf(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = xvprintf(format, args);
	va_end(args);
	return text;
}

struct arena *
arena_new(void)
{
	return xcalloc(1, sizeof(struct arena));
}

void
arena_free(struct arena *arena)
{
	if (arena == NULL)
		return;
	for (struct chunk *c = arena->chunks, *next; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(arena);
}

static struct chunk *
chunk_new(size_t size)
{
	struct chunk *c = xcalloc(1, sizeof(*c) + size);

	c->size = size;
	return c;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
	struct chunk *c = arena->chunks;

	if (size > SIZE_MAX / 2)
		out_of_memory();
	size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	arena->used += size;
	if (c != NULL && size <= c->size - arena->filled) {
		arena->filled += size;
		return c->data + arena->filled - size;
	}
	if (c != NULL && size > ARENA_CHUNK / 4) {
		/* A chunk of its own behind the first one, which small pieces go on filling. */
		struct chunk *own = chunk_new(size);

		own->next = c->next;
		c->next = own;
		return own->data;
	}
	c = chunk_new(size > ARENA_CHUNK ? size : ARENA_CHUNK);
	c->next = arena->chunks;
	arena->chunks = c;
	arena->filled = size;
	return c->data;
}

void *
arena_array(struct arena *arena, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / 2 / size)
		out_of_memory();
	return arena_alloc(arena, count * size);
}

void *
arena_grow(struct arena *arena, const void *old, size_t old_size, size_t new_size)
{
	void *p = arena_alloc(arena, new_size);

	if (old_size > 0)
		memcpy(p, old, old_size < new_size ? old_size : new_size);
	return p;
}

char *
arena_strndup(struct arena *arena, const char *text, size_t len)
{
	char *p;

	if (len == SIZE_MAX)
		out_of_memory();
	p = arena_alloc(arena, len + 1);
	if (len > 0)
		memcpy(p, text, len);
	return p;
}

char *
arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *
arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text, *copy;

	va_start(args, format);
	text = xvprintf(format, args);
	va_end(args);
	copy = arena_strdup(arena, text);
	free(text);
	return copy;
}

size_t
arena_used(const struct arena *arena)
{
	return arena->used;
}
