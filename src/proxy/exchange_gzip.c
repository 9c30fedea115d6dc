/*
 * Response bodies that are compressed between the server and the client.
 */
#include <assert.h>
#include <stdio.h>

#include "exchange_priv.h"
#include "weir/buf.h"
#include "weir/compress.h"
#include "weir/gzip.h"
#include "weir/upstream.h"

/* Around the bytes of one chunk: its size and CR LF before them, CR LF and the last chunk behind.
 */
enum { CHUNK_BEFORE = 8, CHUNK_BEHIND = 8 };

void
exchange_choose_coding(struct exchange *x, struct message *response)
{
	const struct compression_config *conf = &x->listener->conf->compression;
	struct tally *tally = x->listener->tally;

	x->compress = (uint8_t)compress_choose(conf, &x->request, response);
	if (x->compress != COMPRESS_YES || x->framing == FRAMING_NONE)
		return;
	x->gzip = gzip_take(conf->level, x->worker->config->global.limits.compressions);
	if (x->gzip != NULL) {
		tally_add(tally, TALLY_COMPRESSED, 1);
		return;
	}
	tally_add(tally, TALLY_COMPRESS_SKIPPED, 1);
	x->compress = COMPRESS_VARY;
}

void
exchange_drop_coding(struct exchange *x)
{
	gzip_give(x->gzip);
	buf_give(x->coded);
	x->gzip = NULL;
	x->coded = NULL;
}

/* Compress what is ready into `at`; returns the number of bytes, or -1 when the server's framing is
 * broken. */
static ssize_t
compress(struct exchange *x, bool flush, char *at, size_t room)
{
	struct tally *tally = x->listener->tally;
	size_t made = 0, taken;
	bool done;

	while (made < room && !x->coding_ended) {
		if (x->ready == 0 && !x->response_complete && exchange_frame(x) < 0)
			return -1;
		if (x->ready > 0) {
			struct buf *in = x->upstream->in;

			made += gzip_run(x->gzip, GZIP_GO, buf_head(in), x->ready, &taken,
			    at + made, room - made, &done);
			buf_consume(in, taken);
			x->ready -= taken;
			x->coding_holds = true;
			tally_add(tally, TALLY_COMPRESS_IN, taken);
		} else if (x->response_complete) {
			made += gzip_run(x->gzip, GZIP_END, NULL, 0, &taken, at + made, room - made,
			    &x->coding_ended);
		} else if (flush && x->coding_holds) {
			made += gzip_run(
			    x->gzip, GZIP_FLUSH, NULL, 0, &taken, at + made, room - made, &done);
			x->coding_holds = !done;
		} else {
			break;
		}
	}
	tally_add(tally, TALLY_COMPRESS_OUT, made);
	return (ssize_t)made;
}

/* Fill x->coded, which is empty.  Returns -1 when the server's framing is broken. */
static int
fill(struct exchange *x, bool flush)
{
	struct buf *out = x->coded != NULL ? x->coded : buf_take(BUF_SMALL);
	char size[CHUNK_BEFORE + 1];
	ssize_t made;
	int len;

	x->coded = out;
	out->start = out->end = CHUNK_BEFORE;
	made = compress(x, flush, out->data + out->start, buf_room(out) - CHUNK_BEHIND);
	if (made < 0)
		return -1;
	out->end += (uint32_t)made;
	if (x->wants_decoded)
		return 0;
	if (made > 0) {
		len = snprintf(size, sizeof(size), "%zx\r\n", (size_t)made);
		assert(len > 0 && len <= CHUNK_BEFORE);
		out->start -= (uint32_t)len;
		memcpy(buf_head(out), size, (size_t)len);
		memcpy(out->data + out->end, "\r\n", 2);
		out->end += 2;
	}
	if (x->coding_ended) {
		memcpy(out->data + out->end, "0\r\n\r\n", 5);
		out->end += 5;
	}
	return 0;
}

/* Is there anything that compress() would do? */
static bool
has_work(const struct exchange *x, bool flush)
{
	return !x->coding_ended &&
	       (x->ready > 0 || x->response_complete || (flush && x->coding_holds));
}

enum step
exchange_deliver_coded(
    struct exchange *x, const struct message *head, const struct field_edits *edits, bool flush)
{
	do {
		struct response_piece piece = { .head = head, .edits = edits };
		size_t taken = 0;
		int sent;

		if (x->coded == NULL && fill(x, flush) < 0)
			return exchange_response_failed(
			    x, head != NULL ? END_RESPONSE_MALFORMED : END_RESPONSE_TRUNCATED);
		piece.body = buf_head(x->coded);
		piece.len = buf_len(x->coded);
		piece.is_coded = true;
		piece.is_last = x->coding_ended;
		sent = x->ops->send(x, &piece, &taken);
		if (sent < 0)
			return exchange_send_failed(x, sent);
		head = NULL;
		edits = NULL;
		assert(taken <= piece.len);
		if (taken < piece.len) {
			buf_consume(x->coded, taken);
			timer_clear(&x->upstream->timer); /* as in deliver() */
			return STEP_WAIT;
		}
		buf_give(x->coded);
		x->coded = NULL;
		x->last_sent = piece.is_last;
	} while (has_work(x, flush));
	return STEP_NEXT;
}
