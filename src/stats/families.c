#include "families_priv.h"

#include <stdio.h>
#include <string.h>

void
family_head(struct text *text, const char *object, const struct family *family)
{
	const char *suffix = family->is_gauge ? "" : "_total";

	text_printf(text, "# HELP weir_%s%s%s %s\n", object, family->name, suffix, family->help);
	text_printf(text, "# TYPE weir_%s%s%s %s\n", object, family->name, suffix,
	    family->is_gauge ? "gauge" : "counter");
}

void
family_name_init(struct sample_name *name, const char *object, const struct family *family)
{
	int len = snprintf(name->text, sizeof(name->text), "weir_%s%s%s", object, family->name,
	    family->is_gauge ? "" : "_total");

	name->len = len > 0 && (size_t)len < sizeof(name->text) ? (size_t)len : 0;
}

void
family_name(struct text *text, const char *object, const struct family *family)
{
	struct sample_name name;

	family_name_init(&name, object, family);
	text_add(text, name.text, name.len);
}

void
family_sample_end(struct text *text, uint64_t value)
{
	text_add(text, " ", 1);
	text_uint(text, value);
	text_add(text, "\n", 1);
}

void
family_sample(struct text *text, const struct sample_name *name, struct slice labels, uint64_t value)
{
	char *p = text_room(text, name->len + labels.len + 32);

	memcpy(p, name->text, name->len);
	p += name->len;
	memcpy(p, labels.ptr, labels.len);
	p += labels.len;
	*p++ = ' ';
	p += text_print_uint(p, value);
	*p++ = '\n';
	text_advance(text, p);
}
