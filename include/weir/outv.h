/*
 * outv: bytes on their way out, as slices of where they already are.
 *
 * Runs in: worker; lives on the stack of one call.  Slices that follow each other in memory become one, so a head that is
 * passed on unchanged is a single piece, and text added behind the last received byte is written there in place:
 * most messages leave with a plain send().
 */
#ifndef WEIR_OUTV_H
#define WEIR_OUTV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "weir/slice.h"

struct buf;

enum { OUTV_PIECES = 64, OUTV_SCRATCH = 1024 };

struct outv {
	struct iovec v[OUTV_PIECES + 1]; /* one spare, for a body behind the head */
	int count;
	bool failed;       /* more than fits into a large buffer */
	size_t len;        /* bytes in all pieces */
	size_t behind;     /* bytes of a body at the end of the last piece, not counted in len */
	char *tail;        /* where added text may be written in place, once the pieces reach it; NULL: nowhere */
	size_t tail_room;
	struct buf *flat;  /* owned; holds everything once there were too many pieces */
	size_t scratch_used;
	char scratch[OUTV_SCRATCH]; /* added text */
};

/* tail, tail_room: see above; the bytes there are overwritten. */
void outv_init(struct outv *out, char *tail, size_t tail_room);
void outv_fini(struct outv *out);
/* Add bytes that stay where they are until the pieces are written. */
void outv_add(struct outv *out, const char *bytes, size_t len);
/* Add a copy. */
void outv_copy(struct outv *out, const char *bytes, size_t len);

static inline void
outv_text(struct outv *out, struct slice text)
{
	outv_copy(out, text.ptr, text.len);
}

/*
 * Put a body behind the pieces for the write that follows, without counting it: len, outv_rest() and what is added later
 * know nothing of it.  Returns the number of pieces to write.
 */
int outv_behind(struct outv *out, const char *body, size_t len);
/* The bytes behind the first `written` ones, as a buffer that the caller owns; NULL if there are none. */
struct buf *outv_rest(const struct outv *out, size_t written);

#endif
