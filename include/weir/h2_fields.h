/*
 * h2_fields: the fields of one header block of HTTP/2, made of those of an HTTP/1 head.
 *
 * Runs in: worker.  Large: lives in static memory (one worker, one thread) and is filled anew for each block.  nghttp2
 * copies what it is given.
 */
#ifndef WEIR_H2_FIELDS_H
#define WEIR_H2_FIELDS_H

#include <nghttp2/nghttp2.h>

#include "weir/edits.h"
#include "weir/message.h"
#include "weir/slice.h"

enum {
	H2_FIELDS_MAX = FIELDS_MAX + EDITS_MAX + 16, /* with pseudo-fields and what weir adds */
	H2_FIELDS_NAMES = 96 * 1024                  /* no more than heads and edits can have */
};

struct h2_fields {
	nghttp2_nv v[H2_FIELDS_MAX];
	size_t count;
	size_t names_used;
	bool failed; /* there were more: the block must not be sent */
	char names[H2_FIELDS_NAMES];
};

static inline void
h2_fields_init(struct h2_fields *f)
{
	f->count = f->names_used = 0;
	f->failed = false;
}

/* The name is copied, in lower case (RFC 9113 section 8.2); the value stays where it is. */
void h2_fields_add(struct h2_fields *f, struct slice name, struct slice value);
/*
 * Take the next "Name: value" CR LF of *rest, without the blanks around the value.
 * Returns false when there is none: at the end, and at the empty line behind a head.
 */
bool h2_fields_next_line(struct slice *rest, struct slice *name, struct slice *value);
/* Add those of the lines that may stand behind a body. */
void h2_fields_add_trailers(struct h2_fields *f, struct slice lines);

#endif
