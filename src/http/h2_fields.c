#include "weir/h2_fields.h"

void
h2_fields_add(struct h2_fields *f, struct slice name, struct slice value)
{
	char *lower = f->names + f->names_used;

	if (name.len > H2_FIELDS_NAMES - f->names_used || f->count == H2_FIELDS_MAX) {
		f->failed = true;
		return;
	}
	for (size_t i = 0; i < name.len; i++)
		lower[i] = (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] | 0x20
									   : name.ptr[i]);
	f->names_used += name.len;
	f->v[f->count++] = (nghttp2_nv){
		.name = (uint8_t *)lower,
		.namelen = name.len,
		.value = (uint8_t *)(uintptr_t)value.ptr,
		.valuelen = value.len,
	};
}

bool
h2_fields_next_line(struct slice *rest, struct slice *name, struct slice *value)
{
	const char *end = rest->len > 0 ? memchr(rest->ptr, '\n', rest->len) : NULL;
	size_t len = end != NULL ? (size_t)(end - rest->ptr) + 1 : 0;
	const char *colon = len > 2 ? memchr(rest->ptr, ':', len - 2) : NULL;

	if (colon == NULL || end[-1] != '\r')
		return false;
	*name = (struct slice){ rest->ptr, (size_t)(colon - rest->ptr) };
	*value = slice_trim((struct slice){ colon + 1, len - name->len - 3 }); /* ':' CR LF */
	rest->ptr += len;
	rest->len -= len;
	return true;
}

void
h2_fields_add_trailers(struct h2_fields *f, struct slice lines)
{
	struct slice name, value;

	while (h2_fields_next_line(&lines, &name, &value))
		if (field_may_trail(name))
			h2_fields_add(f, name, value);
}
