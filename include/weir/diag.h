/*
 * diag: what is wrong with a file, said as FILE:LINE:COLUMN: error: text.
 *
 * Used by every program.  Findings are collected, so that all faults of all files are told at once; the one who
 * started the work prints them.  Text from files is escaped here (control characters) and cut by the caller.
 */
#ifndef WEIR_DIAG_H
#define WEIR_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A place in a file.  file NULL: none (the line then starts with the program's name); line 0: the file as a whole. */
struct where {
	const char *file; /* borrowed; lives as long as the diag */
	unsigned line;    /* from 1 */
	unsigned column;  /* from 1, in bytes */
};

enum diag_level { DIAG_WARNING = 0, DIAG_ERROR };

struct diag;

struct diag *diag_new(void);
void diag_free(struct diag *diag);
void diag_error(struct diag *diag, struct where where, const char *format, ...) __attribute__((format(printf, 3, 4)));
void diag_warning(struct diag *diag, struct where where, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t diag_errors(const struct diag *diag);
size_t diag_warnings(const struct diag *diag);
/* Every warning so far and from now on counts as an error (weirgen --strict). */
void diag_be_strict(struct diag *diag);

/*
 * Print all findings, ordered by file (in order of first mention), line and column; equal ones once.
 * program  stands in front of findings that have no file.
 */
void diag_print(const struct diag *diag, const char *program, FILE *out);
/* The same as text; the caller frees it. */
char *diag_text(const struct diag *diag, const char *program);
/* Calls `each` for every finding, in the order of diag_print(). */
void diag_each(const struct diag *diag, void (*each)(void *arg, enum diag_level level, const char *line),
    const char *program, void *arg);

#endif
