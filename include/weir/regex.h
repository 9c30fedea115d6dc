/*
 * regex: regular expressions on bytes (PCRE2), bounded in time and memory.
 *
 * Used by every program: the configuration tests expressions, workers match paths.  An expression begins at the start
 * of the text and may end before it does.
 */
#ifndef WEIR_REGEX_H
#define WEIR_REGEX_H

#include <stddef.h>

#include "weir/slice.h"

struct regex;

enum { REGEX_GROUPS = 10 }; /* group 0 is what was matched as a whole */

enum regex_result {
	REGEX_NO = 0,
	REGEX_YES,
	REGEX_LIMIT /* the expression needs too many steps for this text */
};

/*
 * Returns an expression that the caller owns; NULL when `text` is none.
 * fault  NULL, or at least 128 bytes that get what is wrong and where, as a phrase.
 */
struct regex *regex_new(const char *text, char *fault);
/* NULL is allowed. */
void regex_free(struct regex *regex);
/* groups  NULL, or REGEX_GROUPS slices of `text`; those that took no part are empty. */
enum regex_result regex_match(const struct regex *regex, struct slice text, struct slice *groups);
/* The highest group that the expression has. */
unsigned regex_groups(const struct regex *regex);

#endif
