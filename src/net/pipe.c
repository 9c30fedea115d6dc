#include "weir/pipe.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/pace.h"
#include "weir/transport.h"

enum {
	PIPES_MAX = 64,       /* taken and kept; two descriptors each */
	SCARCE_MS = 10 * 1000 /* after the system gave none */
};

static struct {
	struct pipe *kept; /* owned */
	unsigned count;    /* taken and kept */
	uint64_t not_before_ms;
} pipes;

static void
pipe_close(struct pipe *pipe)
{
	close(pipe->fds[0]);
	close(pipe->fds[1]);
	free(pipe);
	pipes.count--;
}

static struct pipe *
pipe_open(void)
{
	struct pipe *pipe;
	int fds[2];

	if (pipes.count >= PIPES_MAX || now_ms < pipes.not_before_ms)
		return NULL;
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) == -1) {
		pipes.not_before_ms = now_ms + SCARCE_MS;
		return NULL;
	}
	/* Beyond a user's share (fs.pipe-user-pages-soft) pipes are too small to be worth it. */
	if (fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE) < PIPE_SIZE) {
		close(fds[0]);
		close(fds[1]);
		pipes.not_before_ms = now_ms + SCARCE_MS;
		return NULL;
	}
	pipe = xcalloc(1, sizeof(*pipe));
	pipe->fds[0] = fds[0];
	pipe->fds[1] = fds[1];
	pipes.count++;
	return pipe;
}

struct pipe *
pipe_take(void)
{
	struct pipe *pipe = pipes.kept;

	if (pipe == NULL)
		return pipe_open();
	pipes.kept = pipe->next;
	return pipe;
}

void
pipe_give(struct pipe *pipe)
{
	if (pipe == NULL)
		return;
	if (pipe->len > 0) { /* nobody else may get these */
		pipe_close(pipe);
		return;
	}
	pipe->next = pipes.kept;
	pipes.kept = pipe;
}

void
pipe_trim(void)
{
	while (pipes.kept != NULL) {
		struct pipe *pipe = pipes.kept;

		pipes.kept = pipe->next;
		pipe_close(pipe);
	}
}

ssize_t
pipe_fill(struct pipe *pipe, struct transport *from)
{
	size_t size = PIPE_SIZE;
	ssize_t n;

	assert(pipe->len == 0 && from->ssl == NULL);
	if (from->paced != NULL && (size = pace_allow(from, PACE_IN, size)) == 0)
		return IO_WAIT;
	do
		n = splice(from->fd, NULL, pipe->fds[1], NULL, size,
		    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		if (from->paced != NULL)
			pace_moved(from, PACE_IN, (size_t)n);
		/* Fewer bytes than asked for say nothing: segments may have filled the pipe. */
		pipe->len = (size_t)n;
		return n;
	}
	if (n == 0)
		return IO_CLOSED;
	if (errno == EAGAIN) {
		from->readable = false;
		return IO_WAIT;
	}
	return IO_ERROR;
}

ssize_t
pipe_drain(struct pipe *pipe, struct transport *to)
{
	size_t size = pipe->len;
	ssize_t n;

	assert(pipe->len > 0 && to->ssl == NULL);
	if (to->paced != NULL && (size = pace_allow(to, PACE_OUT, size)) == 0)
		return IO_WAIT;
	do
		n = splice(
		    pipe->fds[0], NULL, to->fd, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		if (to->paced != NULL)
			pace_moved(to, PACE_OUT, (size_t)n);
		pipe->len -= (size_t)n;
		return n;
	}
	if (n == -1 && errno == EAGAIN) {
		to->writable = false;
		return IO_WAIT;
	}
	if (n == 0)
		errno = EPIPE;
	return IO_ERROR;
}
