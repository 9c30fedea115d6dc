#include "weir/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

#include "weir/arena.h"

/*
 * Steps and memory of one match.  The interpreter counts each call of its matching function,
 * compiled code each backtracking: some milliseconds in both cases.
 */
enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 10000, HEAP_LIMIT_KIB = 1024, FAULT_SIZE = 128 };

struct regex {
	pcre2_code *code;             /* owned */
	pcre2_match_data *data;       /* owned */
	pcre2_match_context *context; /* owned */
};

static pcre2_code *
compile(const char *text, char *fault)
{
	PCRE2_UCHAR8 message[FAULT_SIZE - 32];
	PCRE2_SIZE at;
	int error;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
	    PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP, &error,
	    &at, NULL);

	if (code == NULL && fault != NULL) {
		pcre2_get_error_message(error, message, sizeof(message));
		snprintf(fault, FAULT_SIZE, "at byte %zu: %s", at, (const char *)message);
	}
	return code;
}

struct regex *
regex_new(const char *text, char *fault)
{
	pcre2_code *code = compile(text, fault);
	struct regex *regex;

	if (code == NULL)
		return NULL;
	regex = xcalloc(1, sizeof(*regex));
	regex->code = code;
	/* Where there is no compiler for this machine, or no memory that may be executed, the
	 * interpreter serves. */
	pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	regex->data = pcre2_match_data_create(REGEX_GROUPS, NULL);
	regex->context = pcre2_match_context_create(NULL);
	if (regex->data == NULL || regex->context == NULL) {
		regex_free(regex);
		if (fault != NULL)
			snprintf(fault, FAULT_SIZE, "out of memory");
		return NULL;
	}
	pcre2_set_match_limit(regex->context, MATCH_LIMIT);
	pcre2_set_depth_limit(regex->context, DEPTH_LIMIT);
	pcre2_set_heap_limit(regex->context, HEAP_LIMIT_KIB);
	return regex;
}

void
regex_free(struct regex *regex)
{
	if (regex == NULL)
		return;
	pcre2_code_free(regex->code);
	pcre2_match_data_free(regex->data);
	pcre2_match_context_free(regex->context);
	free(regex);
}

enum regex_result
regex_match(const struct regex *regex, struct slice text, struct slice *groups)
{
	const PCRE2_SIZE *pairs;
	int count = pcre2_match(regex->code, (PCRE2_SPTR)(text.len > 0 ? text.ptr : ""), text.len,
	    0, 0, regex->data, regex->context);

	if (count == PCRE2_ERROR_NOMATCH)
		return REGEX_NO;
	if (count < 0)
		return REGEX_LIMIT;
	if (groups == NULL)
		return REGEX_YES;
	if (count == 0)
		count = REGEX_GROUPS; /* there are more groups than are asked for */
	pairs = pcre2_get_ovector_pointer(regex->data);
	for (int i = 0; i < REGEX_GROUPS; i++) {
		groups[i] = (struct slice){ NULL, 0 };
		if (i < count && pairs[2 * i] != PCRE2_UNSET && pairs[2 * i + 1] > pairs[2 * i])
			groups[i] = (struct slice){ text.ptr + pairs[2 * i],
				pairs[2 * i + 1] - pairs[2 * i] };
	}
	return REGEX_YES;
}

unsigned
regex_groups(const struct regex *regex)
{
	uint32_t count = 0;

	pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &count);
	return count;
}
