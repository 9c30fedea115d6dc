#include "weir/buf.h"

#include <stdlib.h>

#include "weir/arena.h"

static const struct {
	uint32_t size;      /* with the header: what malloc is asked for */
	size_t kept_max;    /* buffers */
} classes[BUF_CLASSES] = {
	[BUF_SMALL] = { 16 * 1024, 1024 },
	[BUF_LARGE] = { 64 * 1024, 256 },
};

static struct {
	struct buf *first; /* owned */
	size_t count;
} kept[BUF_CLASSES];

static size_t taken;

struct buf *
buf_take(enum buf_class size_class)
{
	struct buf *buf = kept[size_class].first;

	taken++;
	if (buf != NULL) {
		kept[size_class].first = buf->next;
		kept[size_class].count--;
		return buf;
	}
	buf = xmalloc(classes[size_class].size);
	buf->next = NULL;
	buf->start = buf->end = 0;
	buf->size = classes[size_class].size - (uint32_t)offsetof(struct buf, data);
	buf->size_class = size_class;
	return buf;
}

void
buf_give(struct buf *buf)
{
	if (buf == NULL)
		return;
	assert(taken > 0);
	taken--;
	if (kept[buf->size_class].count >= classes[buf->size_class].kept_max) {
		free(buf);
		return;
	}
	buf->start = buf->end = 0;
	buf->next = kept[buf->size_class].first;
	kept[buf->size_class].first = buf;
	kept[buf->size_class].count++;
}

size_t
buf_taken(void)
{
	return taken;
}

size_t
buf_kept(void)
{
	size_t bytes = 0;

	for (int i = 0; i < BUF_CLASSES; i++)
		bytes += kept[i].count * classes[i].size;
	return bytes;
}

int
buf_append(struct buf **buf, const void *bytes, size_t len)
{
	if (*buf == NULL)
		*buf = buf_take(BUF_SMALL);
	if (buf_room(*buf) < len && (*buf)->size_class == BUF_SMALL) {
		struct buf *larger = buf_take(BUF_LARGE);

		memcpy(larger->data, buf_head(*buf), buf_len(*buf));
		larger->end = (uint32_t)buf_len(*buf);
		buf_give(*buf);
		*buf = larger;
	}
	if (buf_room(*buf) < len)
		return -1;
	if (len == 0)
		return 0; /* and no bytes: they may be NULL */
	memcpy((*buf)->data + (*buf)->end, bytes, len);
	(*buf)->end += (uint32_t)len;
	return 0;
}

void
buf_trim(void)
{
	for (int i = 0; i < BUF_CLASSES; i++) {
		while (kept[i].first != NULL) {
			struct buf *buf = kept[i].first;

			kept[i].first = buf->next;
			free(buf);
		}
		kept[i].count = 0;
	}
}
