/*
 * families: the text format of Prometheus, in which all samples of a family stand together under its HELP and TYPE.
 *
 * Runs in: control.  Knows nothing of what is counted.  Source: Prometheus "Exposition formats", text format 0.0.4.
 */
#ifndef WEIR_FAMILIES_PRIV_H
#define WEIR_FAMILIES_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text_priv.h"
#include "weir/slice.h"

struct family {
	const char *name; /* without "weir_" */
	const char *help;
	bool is_gauge; /* else a counter, and its name ends in _total */
};

/* The name as samples of the family have it; for thousands of them, so it is made once. */
struct sample_name {
	char text[128];
	size_t len;
};

/* object: what comes between "weir_" and the name, as "server_"; or "". */
void family_head(struct text *text, const char *object, const struct family *family);
void family_name(struct text *text, const char *object, const struct family *family);
void family_name_init(struct sample_name *name, const char *object, const struct family *family);
/* " VALUE" and the end of the line. */
void family_sample_end(struct text *text, uint64_t value);
/*
 * A whole line.
 * labels  with the braces: {pool="default/api:80",server="a"}
 * Cost    one call for each sample: most of an answer is made here
 */
void family_sample(struct text *text, const struct sample_name *name, struct slice labels, uint64_t value);

#endif
