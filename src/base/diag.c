#include "weir/diag.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

struct finding {
	struct where where;
	size_t file_rank; /* order in which the files were first mentioned */
	size_t rank;      /* order of coming, for a stable sort */
	enum diag_level level;
	char *text; /* owned; as it was given */
};

struct diag {
	struct finding *items; /* owned */
	size_t count, size;
	char **files; /* owned; copies of the names, in order of first mention */
	size_t file_count;
	size_t errors, warnings;
	bool strict;
};

struct diag *
diag_new(void)
{
	return xcalloc(1, sizeof(struct diag));
}

void
diag_free(struct diag *diag)
{
	if (diag == NULL)
		return;
	for (size_t i = 0; i < diag->count; i++)
		free(diag->items[i].text);
	free(diag->items);
	for (size_t i = 0; i < diag->file_count; i++)
		free(diag->files[i]);
	free(diag->files);
	free(diag);
}

/* U+0080 to U+009F, which terminals take for commands too, in UTF-8: C2 80 to C2 9F. */
static bool
is_c1_control(const unsigned char *p)
{
	return p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;
}

/* Control characters could forge lines or talk to the terminal: they become \xNN. */
static char *
escape(const char *text)
{
	char *out = xmalloc(strlen(text) * 4 + 1), *p = out;

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f || is_c1_control((const unsigned char *)text))
			p += sprintf(p, "\\x%02x", c);
		else
			*p++ = (char)c;
	}
	*p = '\0';
	return out;
}

/*
 * The findings may outlive the tree whose places they name (a load that failed), so the diag has
 * its own file names.
 */
static size_t
file_rank(struct diag *diag, const char *file)
{
	if (file == NULL)
		return SIZE_MAX;
	for (size_t i = diag->file_count; i > 0; i--)
		if (strcmp(diag->files[i - 1], file) == 0)
			return i - 1;
	diag->files = xrealloc(diag->files, (diag->file_count + 1) * sizeof(*diag->files));
	diag->files[diag->file_count] = xstrdup(file);
	return diag->file_count++;
}

__attribute__((format(printf, 4, 0))) static void
add(struct diag *diag, enum diag_level level, struct where where, const char *format, va_list args)
{
	struct finding *f;

	if (diag->count == diag->size) {
		diag->size = diag->size ? diag->size * 2 : 16;
		diag->items = xrealloc(diag->items, diag->size * sizeof(*diag->items));
	}
	if (level == DIAG_WARNING && diag->strict)
		level = DIAG_ERROR;
	f = &diag->items[diag->count];
	*f = (struct finding){ .where = where, .level = level, .rank = diag->count };
	f->text = xvprintf(format, args);
	f->file_rank = file_rank(diag, where.file);
	if (where.file != NULL)
		f->where.file = diag->files[f->file_rank];
	diag->count++;
	if (level == DIAG_ERROR)
		diag->errors++;
	else
		diag->warnings++;
}

void
diag_error(struct diag *diag, struct where where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diag, DIAG_ERROR, where, format, args);
	va_end(args);
}

void
diag_warning(struct diag *diag, struct where where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diag, DIAG_WARNING, where, format, args);
	va_end(args);
}

size_t
diag_errors(const struct diag *diag)
{
	return diag->errors;
}

size_t
diag_warnings(const struct diag *diag)
{
	return diag->warnings;
}

void
diag_be_strict(struct diag *diag)
{
	diag->strict = true;
	for (size_t i = 0; i < diag->count; i++)
		diag->items[i].level = DIAG_ERROR;
	diag->errors += diag->warnings;
	diag->warnings = 0;
}

#define ORDER(a, b) \
	do { \
		if ((a) != (b)) \
			return (a) < (b) ? -1 : 1; \
	} while (0)

static int
compare(const void *left, const void *right)
{
	const struct finding *a = *(const struct finding *const *)left;
	const struct finding *b = *(const struct finding *const *)right;

	ORDER(a->file_rank, b->file_rank);
	ORDER(a->where.line, b->where.line);
	ORDER(a->where.column, b->where.column);
	ORDER(a->rank, b->rank);
	return 0;
}

static bool
same_place(const struct finding *a, const struct finding *b)
{
	return a->file_rank == b->file_rank && a->where.line == b->where.line &&
	       a->where.column == b->where.column;
}

/* Was the same said before?  Findings of one place stand together. */
static bool
is_repeated(const struct finding **sorted, size_t i)
{
	const struct finding *f = sorted[i];

	for (; i > 0 && same_place(sorted[i - 1], f); i--)
		if (sorted[i - 1]->level == f->level && strcmp(sorted[i - 1]->text, f->text) == 0)
			return true;
	return false;
}

static char *
format_line(const struct finding *f, const char *program)
{
	const char *word = f->level == DIAG_ERROR ? "error" : "warning";

	if (f->where.file == NULL)
		return xprintf("%s: %s: %s", program, word, f->text);
	if (f->where.line == 0)
		return xprintf("%s: %s: %s", f->where.file, word, f->text);
	return xprintf(
	    "%s:%u:%u: %s: %s", f->where.file, f->where.line, f->where.column, word, f->text);
}

void
diag_each(const struct diag *diag, void (*each)(void *arg, enum diag_level level, const char *line),
    const char *program, void *arg)
{
	const struct finding **sorted = xcalloc(diag->count, sizeof(const struct finding *));

	for (size_t i = 0; i < diag->count; i++)
		sorted[i] = &diag->items[i];
	if (diag->count > 0)
		qsort(sorted, diag->count, sizeof(*sorted), compare);
	for (size_t i = 0; i < diag->count; i++) {
		char *line, *escaped;

		if (is_repeated(sorted, i))
			continue;
		line = format_line(sorted[i], program);
		escaped = escape(line); /* file names come from outside as well */
		each(arg, sorted[i]->level, escaped);
		free(escaped);
		free(line);
	}
	free(sorted);
}

static void
print_line(void *arg, enum diag_level level, const char *line)
{
	(void)level;
	fprintf(arg, "%s\n", line);
}

void
diag_print(const struct diag *diag, const char *program, FILE *out)
{
	diag_each(diag, print_line, program, out);
}

char *
diag_text(const struct diag *diag, const char *program)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return xstrdup("");
	diag_print(diag, program, out);
	fclose(out);
	return text;
}
