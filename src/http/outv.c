#include "weir/outv.h"

#include "weir/buf.h"

void
outv_init(struct outv *out, char *tail, size_t tail_room)
{
	out->count = 0;
	out->failed = false;
	out->len = 0;
	out->tail = tail;
	out->tail_room = tail != NULL ? tail_room : 0;
	out->flat = NULL;
	out->scratch_used = 0;
	out->behind = 0;
}

void
outv_fini(struct outv *out)
{
	buf_give(out->flat);
	out->flat = NULL;
}

static void
append_flat(struct outv *out, const char *bytes, size_t len)
{
	if (buf_room(out->flat) < len) {
		out->failed = true;
		return;
	}
	memcpy(out->flat->data + out->flat->end, bytes, len);
	out->flat->end += (uint32_t)len;
	out->v[0].iov_len += len;
	out->len += len;
}

/* Too many pieces, or too much added text: from here on everything is one copied piece. */
static void
flatten(struct outv *out)
{
	int count = out->count;

	out->flat = buf_take(BUF_LARGE);
	out->len = 0;
	out->count = 1;
	for (int i = 0; i < count; i++) {
		struct iovec piece = out->v[i];

		if (i == 0)
			out->v[0] = (struct iovec){ .iov_base = out->flat->data };
		append_flat(out, piece.iov_base, piece.iov_len);
	}
	if (count == 0)
		out->v[0] = (struct iovec){ .iov_base = out->flat->data };
}

void
outv_add(struct outv *out, const char *bytes, size_t len)
{
	struct iovec *last = out->count > 0 ? &out->v[out->count - 1] : NULL;

	if (len == 0)
		return;
	if (out->flat != NULL) {
		append_flat(out, bytes, len);
		return;
	}
	if (last != NULL && (char *)last->iov_base + last->iov_len == bytes) {
		last->iov_len += len;
		out->len += len;
		return;
	}
	if (out->count == OUTV_PIECES) {
		flatten(out);
		append_flat(out, bytes, len);
		return;
	}
	out->v[out->count++] =
	    (struct iovec){ .iov_base = (char *)(uintptr_t)bytes, .iov_len = len };
	out->len += len;
}

void
outv_copy(struct outv *out, const char *bytes, size_t len)
{
	struct iovec *last = out->count > 0 ? &out->v[out->count - 1] : NULL;
	char *place;

	if (len == 0)
		return;
	if (out->flat == NULL && last != NULL && out->tail_room >= len &&
	    (char *)last->iov_base + last->iov_len == out->tail) {
		memcpy(out->tail, bytes, len);
		out->tail += len;
		out->tail_room -= len;
		last->iov_len += len;
		out->len += len;
		return;
	}
	if (out->flat == NULL && OUTV_SCRATCH - out->scratch_used < len)
		flatten(out);
	if (out->flat != NULL) {
		append_flat(out, bytes, len);
		return;
	}
	place = out->scratch + out->scratch_used;
	memcpy(place, bytes, len);
	out->scratch_used += len;
	outv_add(out, place, len);
}

int
outv_behind(struct outv *out, const char *body, size_t len)
{
	struct iovec *last = out->count > 0 ? &out->v[out->count - 1] : NULL;

	if (len == 0)
		return out->count;
	if (last != NULL && (char *)last->iov_base + last->iov_len == body) {
		out->behind = len;
		last->iov_len += len;
		return out->count;
	}
	out->v[out->count] = (struct iovec){ .iov_base = (char *)(uintptr_t)body, .iov_len = len };
	return out->count + 1;
}

struct buf *
outv_rest(const struct outv *out, size_t written)
{
	size_t left = out->len - written;
	struct buf *rest;

	if (left == 0)
		return NULL;
	rest = buf_take(BUF_LARGE);
	assert(left <= buf_room(rest));
	for (int i = 0; i < out->count; i++) {
		size_t len = out->v[i].iov_len - (i == out->count - 1 ? out->behind : 0);
		size_t skip = written < len ? written : len;

		memcpy(rest->data + rest->end, (char *)out->v[i].iov_base + skip, len - skip);
		rest->end += (uint32_t)(len - skip);
		written -= skip;
	}
	return rest;
}
