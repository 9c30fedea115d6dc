/*
 * gzip: compress bodies on their way.
 *
 * Runs in: worker.  A compressor takes GZIP_MEMORY bytes; those given back are kept for the next ones, up to a bound.
 */
#ifndef WEIR_GZIP_H
#define WEIR_GZIP_H

#include <stdbool.h>
#include <stddef.h>

struct gzip;

enum { GZIP_MEMORY = 136 * 1024 }; /* about; see gzip.c */

enum gzip_step {
	GZIP_GO = 0, /* keep what compresses better with more */
	GZIP_FLUSH,  /* let everything out that went in */
	GZIP_END     /* and nothing follows */
};

/* level: 1 (fast) to 9.  Returns NULL when there are `max` already, or memory is exhausted.  Pair: gzip_give(). */
struct gzip *gzip_take(unsigned level, unsigned max);
/* NULL is allowed and does nothing. */
void gzip_give(struct gzip *gzip);
/*
 * taken  set to the bytes of `in` that were taken
 * done   set to true when nothing of GZIP_FLUSH or GZIP_END is left to do
 * Returns the bytes written to `out`.
 */
size_t gzip_run(struct gzip *gzip, enum gzip_step step, const char *in, size_t len, size_t *taken, char *out,
    size_t room, bool *done);
/* Free what is kept (at the end of a process). */
void gzip_trim(void);

#endif
