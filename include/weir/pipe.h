/*
 * pipe: kernel buffers through which long streams pass from socket to socket without being copied (splice(2)).
 *
 * Runs in: worker; one small pool per process, no locks.  A pipe is taken while bytes are under way and given back when
 * it has run empty, so a few serve many connections.
 */
#ifndef WEIR_PIPE_H
#define WEIR_PIPE_H

#include <stddef.h>
#include <sys/types.h>

struct transport;

struct pipe {
	struct pipe *next; /* in the pool's list */
	int fds[2];        /* owned; read and write end */
	size_t len;        /* bytes in it */
};

enum { PIPE_SIZE = 256 * 1024 };

/* NULL when there are enough of them, or the system has no more: copy instead.  Pair: pipe_give(). */
struct pipe *pipe_take(void);
/* What is still in it is lost.  NULL is allowed and does nothing. */
void pipe_give(struct pipe *pipe);
/* Move bytes from a plain transport into the empty `pipe`.  Returns their number (above 0) or IO_*. */
ssize_t pipe_fill(struct pipe *pipe, struct transport *from);
/* Move bytes out of `pipe`, which holds some, to a plain transport.  Returns their number (above 0) or IO_*. */
ssize_t pipe_drain(struct pipe *pipe, struct transport *to);
/* Close those that are kept (at the end of a process). */
void pipe_trim(void);

#endif
