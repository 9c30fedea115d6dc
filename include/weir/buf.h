/*
 * buf: the buffers of a worker, taken when bytes arrive and given back when they have gone.
 *
 * Runs in: worker, control; one pool per process, no locks.  An idle connection owns no buffer.  Given-back buffers are
 * kept for the next taker (last in, first out: still in the cache), up to a bound; the rest goes back to the system.
 */
#ifndef WEIR_BUF_H
#define WEIR_BUF_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum buf_class {
	BUF_SMALL = 0, /* heads and short bodies: 16 KiB */
	BUF_LARGE,     /* streams, and heads beyond 16 KiB: 64 KiB */
	BUF_CLASSES
};

/* 0 <= start <= end <= size: [start, end) is filled and not yet consumed. */
struct buf {
	struct buf *next; /* in the pool's list */
	uint32_t start, end, size;
	enum buf_class size_class;
	char data[];
};

/* Never NULL.  Pair: buf_give(). */
struct buf *buf_take(enum buf_class size_class);
/* NULL is allowed and does nothing. */
void buf_give(struct buf *buf);
/* Buffers taken and not given back, and bytes kept for the next takers. */
size_t buf_taken(void);
size_t buf_kept(void);
/* Free what is kept (at the end of a process, so that leak checkers see only leaks). */
void buf_trim(void);

/*
 * Put bytes behind those that are there; *buf is taken when it is NULL, and replaced by a large one when it is too
 * small.  Returns 0, or -1 when a large one has no room for them either: then nothing was put.
 */
int buf_append(struct buf **buf, const void *bytes, size_t len);

static inline size_t
buf_len(const struct buf *buf)
{
	return buf->end - buf->start;
}

static inline size_t
buf_room(const struct buf *buf)
{
	return buf->size - buf->end;
}

static inline char *
buf_head(struct buf *buf)
{
	return buf->data + buf->start;
}

/* What is not consumed moves to the front. */
static inline void
buf_pack(struct buf *buf)
{
	memmove(buf->data, buf_head(buf), buf_len(buf));
	buf->end -= buf->start;
	buf->start = 0;
}

static inline void
buf_consume(struct buf *buf, size_t len)
{
	assert(len <= buf_len(buf));
	buf->start += (uint32_t)len;
	if (buf->start == buf->end)
		buf->start = buf->end = 0;
}

#endif
