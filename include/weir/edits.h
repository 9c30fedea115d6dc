/*
 * edits: changes of a head's fields, as data: the same for HTTP/1 and HTTP/2.
 *
 * Runs in: worker.  A list lives as long as one head is built; names and values are borrowed or stand in its text.
 */
#ifndef WEIR_EDITS_H
#define WEIR_EDITS_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/conf.h"
#include "weir/slice.h"

enum { EDITS_MAX = 64, EDITS_TEXT_SIZE = 24 * 1024 };

struct field_edit {
	enum edit_op op; /* EDIT_SET, EDIT_REMOVE: fields of that name are left out; EDIT_SET, EDIT_ADD: this one is added */
	struct slice name, value;
};

struct field_edits {
	unsigned count;
	bool failed; /* too many, or too long: the head must not be sent */
	size_t used;
	struct field_edit v[EDITS_MAX];
	char text[EDITS_TEXT_SIZE];
};

static inline void
edits_init(struct field_edits *edits)
{
	edits->count = 0;
	edits->failed = false;
	edits->used = 0;
}

void edits_put(struct field_edits *edits, enum edit_op op, struct slice name, struct slice value);
/* Fields of this name that are set so far are only left out. */
void edits_forget(struct field_edits *edits, struct slice name);
/* Copy bytes behind those that were copied last; the value under way is text from `edits->used` before to after. */
void edits_write(struct field_edits *edits, struct slice bytes);
/* Is a field of this name left out?  NULL is allowed: no. */
bool edits_hide(const struct field_edits *edits, struct slice name);

#endif
