#include "names_priv.h"

#include <stdlib.h>
#include <string.h>

enum { GUESSES_MAX = 50 };

static int
compare_named(const void *left, const void *right)
{
	const struct named *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	return order != 0 ? order : (a->item > b->item) - (a->item < b->item);
}

void
names_init(struct names *names, void *items, size_t count, size_t size, size_t name_offset,
    size_t where_offset)
{
	names->items = xcalloc(count, sizeof(*names->items));
	names->names = NULL;
	names->count = 0;
	names->guesses = 0;
	for (size_t i = 0; i < count; i++) {
		char *item = (char *)items + i * size;
		const char *name = *(const char **)(item + name_offset);

		if (name != NULL)
			names->items[names->count++] =
			    (struct named){ name, *(struct where *)(item + where_offset), item };
	}
	if (names->count > 0)
		qsort(names->items, names->count, sizeof(*names->items), compare_named);
}

void
names_fini(struct names *names)
{
	free(names->items);
	free(names->names);
}

void *
names_find(const struct names *names, const char *name)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, names->items[middle].name);

		if (order == 0)
			return names->items[middle].item;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* For diagnostics: ", did you mean ...?" or nothing. */
char *
names_nearest(struct names *names, const char *name)
{
	const char *nearest;

	if (names->guesses++ >= GUESSES_MAX)
		return xstrdup("");
	if (names->names == NULL) {
		names->names = xcalloc(names->count, sizeof(*names->names));
		for (size_t i = 0; i < names->count; i++)
			names->names[i] = names->items[i].name;
	}
	nearest = yaml_nearest(name, names->names, names->count, conf_near(name));
	return nearest != NULL ? xprintf(", did you mean \"%s\"?", nearest) : xstrdup("");
}

void
names_report_duplicates(struct load *l, const struct names *names, const char *what)
{
	for (size_t i = 1, first = 0; i < names->count; i++) {
		const struct named *a = &names->items[first], *b = &names->items[i];

		if (strcmp(a->name, b->name) != 0)
			first = i;
		else
			diag_error(l->diag, b->where,
			    "there are two %s \"%s\", the first at line %u; each needs its own "
			    "name",
			    what, b->name, a->where.line);
	}
}
