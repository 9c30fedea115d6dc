/*
 * tls_io: the TLS side of transport.
 *
 * OpenSSL wants a write that could not finish repeated with the same bytes.  Callers are spared that: what SSL_write()
 * was given and the socket did not take is copied to transport.unsent and counts as written.
 */
#include "weir/transport.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "weir/buf.h"

enum { RECORD_SIZE = 16 * 1024 - 64 }; /* one TLS record, and one small buffer */

static const char *last_error = "";

const char *
transport_tls_error(void)
{
	return last_error;
}

/* Maps the failure of an SSL call to IO_*, and leaves OpenSSL's queue empty. */
static int
tls_failure(struct transport *t, int result)
{
	int saved = errno, error = SSL_get_error(t->ssl, result);
	unsigned long code = ERR_peek_error();
	const char *reason = ERR_reason_error_string(code);

	ERR_clear_error();
	switch (error) {
	case SSL_ERROR_WANT_READ:
		t->readable = false;
		return IO_WAIT;
	case SSL_ERROR_WANT_WRITE:
		t->writable = false;
		return IO_WAIT;
	case SSL_ERROR_ZERO_RETURN:
		return IO_CLOSED;
	case SSL_ERROR_SYSCALL:
		t->tls_failed = true;
		last_error = saved != 0 ? strerror(saved) : "connection closed";
		errno = saved != 0 ? saved : ECONNRESET;
		return IO_ERROR;
	default:
		t->tls_failed = true;
		last_error = reason != NULL ? reason : "unknown TLS error";
		errno = EPROTO;
		return IO_ERROR;
	}
}

int
transport_accept_tls(struct transport *t, SSL_CTX *context)
{
	t->ssl = SSL_new(context);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, t->fd) != 1) {
		ERR_clear_error();
		return -1;
	}
	SSL_set_accept_state(t->ssl);
	return 0;
}

int
transport_handshake(struct transport *t)
{
	int result;

	errno = 0;
	result = SSL_do_handshake(t->ssl);
	return result == 1 ? 0 : tls_failure(t, result);
}

ssize_t
tls_read(struct transport *t, void *data, size_t size)
{
	size_t n;
	int result;

	errno = 0;
	result = SSL_read_ex(t->ssl, data, size, &n);
	if (result == 1)
		return (ssize_t)n;
	return tls_failure(t, result);
}

/* One SSL_write; what it holds back goes to unsent.  Returns `len` or IO_ERROR. */
static ssize_t
write_record(struct transport *t, const char *data, size_t len)
{
	size_t n = 0;
	int result;

	errno = 0;
	result = SSL_write_ex(t->ssl, data, len, &n);
	if (result != 1) {
		int failure = tls_failure(t, result);

		if (failure != IO_WAIT)
			return IO_ERROR;
		t->writable = false;
	}
	if (n < len) {
		t->unsent = buf_take(BUF_SMALL);
		memcpy(t->unsent->data, data + n, len - n);
		t->unsent->end = (uint32_t)(len - n);
	}
	return (ssize_t)len;
}

int
tls_flush(struct transport *t)
{
	while (t->unsent != NULL) {
		size_t n = 0;
		int result;

		errno = 0;
		result = SSL_write_ex(t->ssl, buf_head(t->unsent), buf_len(t->unsent), &n);
		if (result != 1) {
			int failure = tls_failure(t, result);

			if (failure == IO_WAIT)
				t->writable = false;
			return failure == IO_WAIT ? IO_WAIT : IO_ERROR;
		}
		buf_consume(t->unsent, n);
		if (buf_len(t->unsent) == 0) {
			buf_give(t->unsent);
			t->unsent = NULL;
		}
	}
	return 0;
}

/* Small pieces become one record; a long piece is written from where it is. */
ssize_t
tls_writev(struct transport *t, const struct iovec *iov, int count)
{
	static char gathered[RECORD_SIZE]; /* one worker, one thread */
	size_t total = 0;

	if (t->unsent != NULL) {
		int result = tls_flush(t);

		if (result != 0)
			return result;
	}
	for (int i = 0; i < count; ) {
		size_t len = 0;
		ssize_t n;

		if (iov[i].iov_len >= RECORD_SIZE || i == count - 1) {
			const char *data = iov[i].iov_base;

			for (size_t done = 0; done < iov[i].iov_len; done += len) {
				len = iov[i].iov_len - done;
				len = len < RECORD_SIZE ? len : RECORD_SIZE;
				if (t->unsent != NULL)
					return (ssize_t)total;
				n = write_record(t, data + done, len);
				if (n < 0)
					return n;
				total += len;
			}
			i++;
			continue;
		}
		for (; i < count && len + iov[i].iov_len <= RECORD_SIZE; i++) {
			memcpy(gathered + len, iov[i].iov_base, iov[i].iov_len);
			len += iov[i].iov_len;
		}
		if (t->unsent != NULL)
			return (ssize_t)total;
		n = write_record(t, gathered, len);
		if (n < 0)
			return n;
		total += len;
	}
	return (ssize_t)total;
}

void
tls_shutdown(struct transport *t)
{
	if (!t->tls_failed && t->unsent == NULL && SSL_is_init_finished(t->ssl))
		SSL_shutdown(t->ssl);
	ERR_clear_error();
}

void
tls_close(struct transport *t)
{
	if (!(SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN))
		tls_shutdown(t);
	SSL_free(t->ssl);
	t->ssl = NULL;
	buf_give(t->unsent);
	t->unsent = NULL;
}
