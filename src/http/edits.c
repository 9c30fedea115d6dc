#include "weir/edits.h"

void
edits_put(struct field_edits *edits, enum edit_op op, struct slice name, struct slice value)
{
	if (edits->count == EDITS_MAX) {
		edits->failed = true;
		return;
	}
	edits->v[edits->count++] = (struct field_edit){ op, name, value };
}

void
edits_forget(struct field_edits *edits, struct slice name)
{
	for (unsigned i = 0; i < edits->count; i++)
		if (edits->v[i].op == EDIT_SET && slice_equal_nocase(edits->v[i].name, name))
			edits->v[i].op = EDIT_REMOVE;
}

void
edits_write(struct field_edits *edits, struct slice bytes)
{
	if (bytes.len > EDITS_TEXT_SIZE - edits->used) {
		edits->failed = true;
		return;
	}
	if (bytes.len > 0)
		memcpy(edits->text + edits->used, bytes.ptr, bytes.len);
	edits->used += bytes.len;
}

bool
edits_hide(const struct field_edits *edits, struct slice name)
{
	if (edits == NULL)
		return false;
	for (unsigned i = 0; i < edits->count; i++)
		if (edits->v[i].op != EDIT_ADD && slice_equal_nocase(edits->v[i].name, name))
			return true;
	return false;
}
