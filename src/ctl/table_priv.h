/*
 * table: rows of words in aligned columns.
 *
 * Used by: weirctl.
 */
#ifndef WEIR_TABLE_PRIV_H
#define WEIR_TABLE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 16 };

struct table {
	size_t columns, cells, size;
	bool right[TABLE_COLUMNS_MAX]; /* numbers */
	char **text;                   /* owned, each cell too; row by row */
};

void table_init(struct table *table, size_t columns);
void table_fini(struct table *table);
/* The next cell; the text is copied, with control characters made harmless for a terminal. */
void table_add(struct table *table, const char *text);
void table_print(const struct table *table, FILE *out);

#endif
