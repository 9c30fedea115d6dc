#include "weir/server_names.h"

#include <string.h>

#include "weir/arena.h"

#include "namemap_priv.h"

enum { NAME_MAX_LEN = 253 };

struct server_names {
	struct namemap map;
	struct arena *arena; /* borrowed */
};

struct server_names *
server_names_new(struct arena *arena)
{
	struct server_names *names = arena_alloc(arena, sizeof(*names));

	names->arena = arena;
	namemap_init(&names->map, arena);
	return names;
}

/*
 * Copies `name` in lower case; the names of the table are written so.
 * Returns false for what no host is called: such a name is one that nobody has.
 */
static bool
fold(char folded[static NAME_MAX_LEN + 1], const char *name, size_t len)
{
	if (len == 0 || len > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' &&
		    c != '_')
			return false;
		folded[i] = c;
	}
	folded[len] = '\0';
	return true;
}

bool
server_names_add(struct server_names *names, const char *name, void *value)
{
	char folded[NAME_MAX_LEN + 2] = "*";
	bool wild = name[0] == '*';

	if (!fold(folded + wild, name + wild, strnlen(name + wild, NAME_MAX_LEN + 1)))
		return false;
	return namemap_add(&names->map, arena_strdup(names->arena, folded), value);
}

/* With its first label replaced by "*"; changes the name. */
static void *
find_wild(const struct server_names *names, char *folded, size_t len)
{
	char *dot = strchr(folded, '.');

	if (!dot || dot == folded)
		return NULL;
	dot[-1] = '*';
	return namemap_find(&names->map, dot - 1, len - (size_t)(dot - 1 - folded));
}

void *
server_names_find(const struct server_names *names, const char *name, size_t len)
{
	char folded[NAME_MAX_LEN + 1];
	void *value;

	if (!fold(folded, name, len))
		return NULL;
	value = namemap_find(&names->map, folded, len);
	return value ? value : find_wild(names, folded, len);
}

void *
server_names_find_wild(const struct server_names *names, const char *name, size_t len)
{
	char folded[NAME_MAX_LEN + 1];

	return fold(folded, name, len) ? find_wild(names, folded, len) : NULL;
}
