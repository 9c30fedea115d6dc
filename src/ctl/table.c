#include "table_priv.h"

#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

enum { TABLE_GAP = 2 };

void
table_init(struct table *table, size_t columns)
{
	*table = (struct table){ .columns = columns };
}

void
table_fini(struct table *table)
{
	for (size_t i = 0; i < table->cells; i++)
		free(table->text[i]);
	free(table->text);
}

void
table_add(struct table *table, const char *text)
{
	char *copy = xstrdup(text);

	for (char *p = copy; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	if (table->cells == table->size) {
		table->size = table->size > 0 ? table->size * 2 : 64;
		table->text = xrealloc(table->text, table->size * sizeof(*table->text));
	}
	table->text[table->cells++] = copy;
}

/* Characters of UTF-8 text; each counts as one column. */
static size_t
text_width(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void
print_cell(const char *text, size_t width, bool right, bool last, FILE *out)
{
	int pad = (int)(width - text_width(text));

	if (right)
		fprintf(out, "%*s%s", pad, "", text);
	else
		fprintf(out, "%s%*s", text, last ? 0 : pad, "");
	fprintf(out, "%*s", last ? 0 : TABLE_GAP, "");
}

void
table_print(const struct table *table, FILE *out)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < table->cells; i++) {
		size_t width = text_width(table->text[i]), *widest = &widths[i % table->columns];

		if (width > *widest)
			*widest = width;
	}
	for (size_t i = 0; i < table->cells; i++) {
		size_t column = i % table->columns;
		bool last = column + 1 == table->columns;

		print_cell(table->text[i], widths[column], table->right[column], last, out);
		if (last)
			putc('\n', out);
	}
}
