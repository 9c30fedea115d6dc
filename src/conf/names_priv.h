/*
 * names: named objects in order of their names, for 10,000 of them too.
 */
#ifndef CONF_NAMES_PRIV_H
#define CONF_NAMES_PRIV_H

#include <stddef.h>

#include "conf_priv.h"

struct named {
	const char *name;
	struct where where;
	void *item;
};

struct names {
	struct named *items; /* owned */
	const char **names;  /* owned */
	size_t count;
	unsigned guesses; /* made already by names_nearest(), which goes through all names */
};

/*
 * Of `count` objects of `size` bytes each, whose name and place stand at the offsets; those without a name are left
 * out.
 */
void names_init(struct names *names, void *items, size_t count, size_t size, size_t name_offset, size_t where_offset);
void names_fini(struct names *names);
/* The object; NULL if there is none of that name. */
void *names_find(const struct names *names, const char *name);
/* For diagnostics: ", did you mean ...?" or nothing.  The caller frees it. */
char *names_nearest(struct names *names, const char *name);
/* what: "pools" */
void names_report_duplicates(struct load *load, const struct names *names, const char *what);

#endif
