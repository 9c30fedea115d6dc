#include "weir/gzip.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

/*
 * zlib takes 2^(WINDOW_BITS + 2) + 2^(MEM_LEVEL + 9) bytes: 128 KiB and some more.  A window of 16
 * KiB compresses pages and JSON within a few percent of what twice the memory does.
 */
enum { WINDOW_BITS = 14, GZIP_WRAP = 16, MEM_LEVEL = 7, KEPT_MAX = 32 };

struct gzip {
	z_stream stream;
	struct gzip *next; /* while it is kept */
	unsigned level;
};

/* Per process, like the buffers. */
static struct gzip *kept;
static unsigned kept_count, taken_count;

static struct gzip *
make(unsigned level)
{
	struct gzip *gzip = calloc(1, sizeof(*gzip));

	if (gzip == NULL)
		return NULL;
	gzip->level = level;
	if (deflateInit2(&gzip->stream, (int)level, Z_DEFLATED, WINDOW_BITS + GZIP_WRAP, MEM_LEVEL,
		Z_DEFAULT_STRATEGY) == Z_OK)
		return gzip;
	free(gzip);
	return NULL;
}

static void
destroy(struct gzip *gzip)
{
	deflateEnd(&gzip->stream);
	free(gzip);
}

struct gzip *
gzip_take(unsigned level, unsigned max)
{
	struct gzip *gzip = kept;

	if (taken_count >= max)
		return NULL;
	if (gzip != NULL) {
		kept = gzip->next;
		kept_count--;
		if (gzip->level != level &&
		    deflateParams(&gzip->stream, (int)level, Z_DEFAULT_STRATEGY) != Z_OK) {
			destroy(gzip);
			return NULL;
		}
		gzip->level = level;
	} else {
		gzip = make(level);
	}
	taken_count += gzip != NULL;
	return gzip;
}

void
gzip_give(struct gzip *gzip)
{
	if (gzip == NULL)
		return;
	taken_count--;
	if (kept_count == KEPT_MAX || deflateReset(&gzip->stream) != Z_OK) {
		destroy(gzip);
		return;
	}
	gzip->next = kept;
	kept = gzip;
	kept_count++;
}

void
gzip_trim(void)
{
	while (kept != NULL) {
		struct gzip *gzip = kept;

		kept = gzip->next;
		destroy(gzip);
	}
	kept_count = 0;
}

size_t
gzip_run(struct gzip *gzip, enum gzip_step step, const char *in, size_t len, size_t *taken,
    char *out, size_t room, bool *done)
{
	static const int flushes[] = {
		[GZIP_GO] = Z_NO_FLUSH, [GZIP_FLUSH] = Z_SYNC_FLUSH, [GZIP_END] = Z_FINISH
	};
	z_stream *z = &gzip->stream;
	int result;

	z->next_in = (Bytef *)(uintptr_t)in;
	z->avail_in = (uInt)len;
	z->next_out = (Bytef *)out;
	z->avail_out = (uInt)room;
	result = deflate(z, flushes[step]);
	assert(result != Z_STREAM_ERROR);
	*taken = len - z->avail_in;
	/* zlib.h: a flush is over when there is room left. */
	*done = step == GZIP_END ? result == Z_STREAM_END : z->avail_out > 0;
	return room - z->avail_out;
}
