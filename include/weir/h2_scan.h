/*
 * h2_scan: where frames of HTTP/2 begin in received bytes, for what nghttp2 does not tell us of.
 *
 * Runs in: worker.  Used by the front and by the connections to servers.
 */
#ifndef WEIR_H2_SCAN_H
#define WEIR_H2_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum { H2_FRAME_HEAD = 9 };

struct h2_scan {
	uint32_t left; /* bytes until the next frame begins */
	uint8_t have;  /* of its header, when it came in pieces: 0 <= have < H2_FRAME_HEAD */
	uint8_t head[H2_FRAME_HEAD];
};

/*
 * The next header of a frame in `bytes`, from *at on.
 * Returns  where it, or what is here of it, begins: it stands in scan->head then, and *at behind it; -1 when there is no
 *          whole one (*at is `len` then)
 */
ptrdiff_t h2_scan_next(struct h2_scan *scan, const char *bytes, size_t len, size_t *at);

/* Of the header of the moment. */
static inline uint8_t
h2_scan_type(const struct h2_scan *scan)
{
	return scan->head[3];
}

static inline int32_t
h2_scan_id(const struct h2_scan *scan)
{
	const uint8_t *head = scan->head;

	return (int32_t)((uint32_t)(head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 |
			 (uint32_t)head[7] << 8 | head[8]);
}

#endif
