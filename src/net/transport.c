#include "weir/transport.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/pace.h"

enum { PIECES_MAX = 128 }; /* more than anybody writes at once */

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	(void)fd;
	clock_update();
	if (what & EV_READ)
		t->readable = true;
	if (what & EV_WRITE)
		t->writable = true;
	if (what & EV_CLOSED)
		t->peer_closed = t->readable = true;
	if (t->unsent != NULL && t->writable)
		tls_flush(t); /* an error comes back to the owner's next call */
	t->on_ready(t);
}

int
transport_open(
    struct transport *t, struct event_base *base, int fd, void (*on_ready)(struct transport *))
{
	*t = (struct transport){ .fd = fd, .writable = true, .on_ready = on_ready };
	if (event_assign(&t->event, base, fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST,
		on_event, t) == -1 ||
	    event_add(&t->event, NULL) == -1) {
		int saved = errno;

		close(fd);
		t->fd = -1;
		errno = saved;
		return -1;
	}
	return 0;
}

static ssize_t
read_now(struct transport *t, void *data, size_t size)
{
	ssize_t n;

	assert(size > 0);
	if (t->ssl != NULL)
		return tls_read(t, data, size);
	do
		n = recv(t->fd, data, size, 0);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		/* Read short: the next bytes come with a new edge.  Not so a FIN that the kernel
		 * reported already. */
		if ((size_t)n < size && !t->peer_closed)
			t->readable = false;
		return n;
	}
	if (n == 0)
		return IO_CLOSED;
	if (errno == EAGAIN) {
		t->readable = false;
		return IO_WAIT;
	}
	return IO_ERROR;
}

/* No more than the bandwidth limit allows. */
static ssize_t
read_paced(struct transport *t, void *data, size_t size)
{
	size_t allowed = pace_allow(t, PACE_IN, size);
	ssize_t n = allowed > 0 ? read_now(t, data, allowed) : IO_WAIT;

	if (n > 0)
		pace_moved(t, PACE_IN, (size_t)n);
	return n;
}

ssize_t
transport_read(struct transport *t, void *data, size_t size)
{
	return t->paced == NULL ? read_now(t, data, size) : read_paced(t, data, size);
}

ssize_t
transport_peek(struct transport *t, void *data, size_t size)
{
	ssize_t n;

	do
		n = recv(t->fd, data, size, MSG_PEEK);
	while (n == -1 && errno == EINTR);
	if (n > 0)
		return n;
	if (n == 0)
		return IO_CLOSED;
	if (errno != EAGAIN)
		return IO_ERROR;
	t->readable = false;
	return IO_WAIT;
}

static ssize_t
write_now(struct transport *t, const struct iovec *iov, int count)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = (size_t)count };
	ssize_t n;

	if (t->ssl != NULL)
		return tls_writev(t, iov, count);
	do {
		if (count == 1)
			n = send(t->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
		else
			n = sendmsg(t->fd, &msg, MSG_NOSIGNAL);
	} while (n == -1 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN) {
		t->writable = false;
		return IO_WAIT;
	}
	return IO_ERROR;
}

/* The first `allowed` bytes of the pieces.  Returns the number of pieces. */
static int
cut_pieces(struct iovec *cut, const struct iovec *iov, size_t allowed)
{
	int count = 0;

	for (; allowed > 0; count++) {
		assert(count < PIECES_MAX);
		cut[count] = iov[count];
		if (cut[count].iov_len > allowed)
			cut[count].iov_len = allowed;
		allowed -= cut[count].iov_len;
	}
	return count;
}

/* No more than the bandwidth limit allows; if that is less than there is, the next turn is waited for. */
static ssize_t
write_paced(struct transport *t, const struct iovec *iov, int count)
{
	struct iovec cut[PIECES_MAX];
	size_t len = 0, allowed;
	ssize_t n;

	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	allowed = pace_allow(t, PACE_OUT, len);
	if (allowed == 0 && len > 0)
		return IO_WAIT;
	if (allowed == len)
		n = write_now(t, iov, count);
	else
		n = write_now(t, cut, cut_pieces(cut, iov, allowed));
	if (n > 0)
		pace_moved(t, PACE_OUT, (size_t)n);
	if (n > 0 && (size_t)n == allowed && allowed < len)
		pace_hold(t, PACE_OUT);
	return n;
}

ssize_t
transport_writev(struct transport *t, const struct iovec *iov, int count)
{
	return t->paced == NULL ? write_now(t, iov, count) : write_paced(t, iov, count);
}

int
transport_write_buf(struct transport *t, struct buf **buf)
{
	struct iovec iov = { buf_head(*buf), buf_len(*buf) };
	ssize_t n = t->writable ? transport_writev(t, &iov, 1) : IO_WAIT;

	if (n < 0)
		return (int)n;
	buf_consume(*buf, (size_t)n);
	if (buf_len(*buf) == 0) {
		buf_give(*buf);
		*buf = NULL;
	}
	return 0;
}

int
transport_flush(struct transport *t)
{
	return t->unsent != NULL ? tls_flush(t) : 0;
}

void
transport_yield(struct transport *t)
{
	event_active(&t->event, t->readable ? EV_READ : 0, 0);
}

void
transport_shutdown(struct transport *t)
{
	if (t->ssl != NULL)
		tls_shutdown(t);
	shutdown(t->fd, SHUT_WR);
}

int
transport_finish(struct transport *t)
{
	int result = transport_flush(t);

	if (result == 0)
		transport_shutdown(t);
	return result;
}

bool
transport_has_failed(const struct transport *t)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1 || error != 0;
}

bool
transport_is_quiet(struct transport *t)
{
	char byte;

	/* Session tickets of TLS 1.3 come when they like, and are no noise. */
	if (t->ssl != NULL)
		return tls_read(t, &byte, 1) == IO_WAIT;
	return recv(t->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

void
transport_close(struct transport *t, bool reset)
{
	if (t->fd == -1)
		return;
	/* What was cut must not look complete. */
	t->tls_failed = t->tls_failed || reset;
	if (t->ssl != NULL)
		tls_close(t);
	if (t->paced != NULL)
		pace_end(t);
	event_del(&t->event);
	if (reset) {
		static const struct linger none = { .l_onoff = 1, .l_linger = 0 };

		setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	}
	close(t->fd);
	t->fd = -1;
}
