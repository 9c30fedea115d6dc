#include "weir/tunnel.h"

#include "weir/buf.h"
#include "weir/transport.h"

enum { READS_MAX = 16 }; /* in one go, so that a fast sender cannot starve other connections */

void
tunnel_init(struct tunnel *tunnel, struct transport *client, struct transport *server)
{
	*tunnel = (struct tunnel){
		.in = { .from = client, .to = server },
		.out = { .from = server, .to = client },
	};
}

void
tunnel_take_pending(struct tunnel_way *way, struct buf *buf)
{
	if (buf != NULL && buf_len(buf) == 0) {
		buf_give(buf);
		buf = NULL;
	}
	way->pending = buf;
}

void
tunnel_fini(struct tunnel *tunnel)
{
	buf_give(tunnel->in.pending);
	buf_give(tunnel->out.pending);
	tunnel->in.pending = tunnel->out.pending = NULL;
}

/* Returns 0 when all that is pending was written. */
static int
write_pending(struct tunnel_way *way)
{
	while (way->pending != NULL) {
		struct iovec iov = { buf_head(way->pending), buf_len(way->pending) };
		ssize_t n = way->to->writable ? transport_writev(way->to, &iov, 1) : IO_WAIT;

		if (n < 0)
			return (int)n;
		buf_consume(way->pending, (size_t)n);
		way->bytes += (uint64_t)n;
		if (buf_len(way->pending) == 0) {
			buf_give(way->pending);
			way->pending = NULL;
		}
	}
	return 0;
}

/* Returns 0 when this direction has ended. */
static int
run_way(struct tunnel_way *way)
{
	for (int reads = 0; !way->told; reads++) {
		int result = write_pending(way);
		ssize_t n;

		if (result != 0)
			return result == IO_WAIT ? IO_WAIT : IO_ERROR;
		if (way->ended) {
			result = transport_flush(way->to);
			if (result != 0)
				return result;
			transport_shutdown(way->to);
			way->told = true;
			break;
		}
		if (!way->from->readable)
			return IO_WAIT;
		if (reads == READS_MAX) {
			transport_yield(way->from);
			return IO_WAIT;
		}
		way->pending = buf_take(BUF_LARGE);
		n = transport_read(way->from, way->pending->data, way->pending->size);
		if (n > 0) {
			way->pending->end = (uint32_t)n;
			continue;
		}
		buf_give(way->pending);
		way->pending = NULL;
		if (n == IO_CLOSED)
			way->ended = true;
		else
			return (int)n;
	}
	return 0;
}

int
tunnel_run(struct tunnel *tunnel, bool *moved)
{
	uint64_t before = tunnel->in.bytes + tunnel->out.bytes;
	int in = run_way(&tunnel->in);
	int out = run_way(
	    &tunnel->out); /* also when the other failed: what has come is still handed on */

	*moved = tunnel->in.bytes + tunnel->out.bytes != before;
	if (in == IO_ERROR || out == IO_ERROR)
		return IO_ERROR;
	return in == 0 && out == 0 ? 0 : IO_WAIT;
}
