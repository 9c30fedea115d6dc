#include "weir/tunnel.h"

#include "weir/buf.h"
#include "weir/pipe.h"
#include "weir/upstream.h"

enum {
	READS_MAX = 16, /* in one go, so that a fast sender cannot starve other connections */
	/*
	 * A read of so many bytes makes the next one go through a pipe, a smaller one makes it copy
	 * again: below, the copy costs less than the handling of pages and one more system call.
	 */
	BULK_MIN = 32 * 1024
};

void
tunnel_init(struct tunnel *tunnel, struct transport *client, struct upstream *server)
{
	*tunnel = (struct tunnel){
		.in = { .from = client, .to = &server->transport, .to_server = server },
		.out = { .from = &server->transport, .from_server = server, .to = client },
	};
}

void
tunnel_allow_splice(struct tunnel *tunnel)
{
	bool is_plain = tunnel->in.from->ssl == NULL && tunnel->in.to->ssl == NULL;

	tunnel->in.may_splice = tunnel->out.may_splice = is_plain;
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
	pipe_give(tunnel->in.pipe);
	pipe_give(tunnel->out.pipe);
	tunnel->in.pending = tunnel->out.pending = NULL;
	tunnel->in.pipe = tunnel->out.pipe = NULL;
}

static ssize_t
write_some(struct tunnel_way *way)
{
	struct iovec iov = { buf_head(way->pending), buf_len(way->pending) };

	if (way->to_server != NULL)
		return upstream_write(way->to_server, iov.iov_base, iov.iov_len);
	return transport_writev(way->to, &iov, 1);
}

static ssize_t
read_some(struct tunnel_way *way)
{
	struct buf *to = way->pending;

	if (way->from_server != NULL)
		return upstream_read(way->from_server, to->data, to->size);
	return transport_read(way->from, to->data, to->size);
}

/* Returns 0 when all that is pending was written. */
static int
write_pending(struct tunnel_way *way)
{
	while (way->pending != NULL) {
		ssize_t n = way->to->writable ? write_some(way) : IO_WAIT;

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

/* The same for what is in the pipe. */
static int
drain_pipe(struct tunnel_way *way)
{
	while (way->pipe != NULL) {
		ssize_t n = way->to->writable ? pipe_drain(way->pipe, way->to) : IO_WAIT;

		if (n < 0)
			return (int)n;
		way->bytes += (uint64_t)n;
		if (way->pipe->len == 0) {
			pipe_give(way->pipe);
			way->pipe = NULL;
		}
	}
	return 0;
}

/* Returns the bytes that are in the pipe or the buffer then, or IO_*. */
static ssize_t
read_more(struct tunnel_way *way)
{
	ssize_t n;

	if (way->may_splice && way->is_bulk && (way->pipe = pipe_take()) != NULL) {
		n = pipe_fill(way->pipe, way->from);
		if (n < 0) {
			pipe_give(way->pipe);
			way->pipe = NULL;
		}
	} else {
		way->pending = buf_take(BUF_LARGE);
		n = read_some(way);
		if (n > 0) {
			way->pending->end = (uint32_t)n;
			/* A reset that came with these bytes has no edge of its own. */
			way->from->readable = true;
		} else {
			buf_give(way->pending);
			way->pending = NULL;
		}
	}
	if (n > 0)
		way->is_bulk = n >= BULK_MIN;
	return n;
}

/* Tell `to` that nothing follows. */
static int
end_way(struct tunnel_way *way)
{
	int result =
	    way->to_server != NULL ? upstream_finish(way->to_server) : transport_finish(way->to);

	way->told = result == 0;
	return result;
}

/* Returns 0 when this direction has ended. */
static int
run_way(struct tunnel_way *way)
{
	for (int reads = 0; !way->told; reads++) {
		int result = write_pending(way);
		ssize_t n;

		if (result == 0)
			result = drain_pipe(way);
		if (result != 0)
			return result == IO_WAIT ? IO_WAIT : IO_ERROR;
		if (way->ended)
			return end_way(way);
		if (!way->from->readable)
			return IO_WAIT;
		if (reads == READS_MAX) {
			if (way->from_server != NULL)
				upstream_yield(way->from_server);
			else
				transport_yield(way->from);
			return IO_WAIT;
		}
		n = read_more(way);
		if (n == IO_CLOSED) {
			way->ended = true;
		} else if (n < 0) {
			way->failed = n != IO_WAIT;
			return (int)n;
		}
	}
	return 0;
}

/*
 * While `to` takes nothing, `from` is not read from, and so its reset would not be seen.  Such an
 * event moves nothing, so this asks seldom.
 */
static bool
was_cut(struct tunnel_way *way)
{
	if (way->pending == NULL && way->pipe == NULL)
		return false;
	way->failed = transport_has_failed(way->from);
	return way->failed;
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
	if (!*moved && (was_cut(&tunnel->in) || was_cut(&tunnel->out)))
		return IO_ERROR;
	return in == 0 && out == 0 ? 0 : IO_WAIT;
}
