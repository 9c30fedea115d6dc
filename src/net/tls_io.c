/*
 * tls_io: the TLS side of transport.
 *
 * OpenSSL reads through a BIO of our own: it asks for as much as its buffer holds, so records and
 * their headers come with one system call, and a short read is noticed, so that no second one is
 * needed to learn that nothing is left.  It writes through its socket BIO, which is the one that
 * kernel TLS works with.
 *
 * OpenSSL wants a write that could not finish repeated with the same bytes.  Callers are spared
 * that: what SSL_write() was given and the socket did not take is copied to transport.unsent and
 * counts as written.
 */
#include "weir/transport.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

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

static int
bio_read(BIO *bio, char *data, size_t size, size_t *read_len)
{
	struct transport *t = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do
		n = recv(t->fd, data, size, 0);
	while (n == -1 && errno == EINTR);
	*read_len = n > 0 ? (size_t)n : 0;
	if (n > 0) {
		if ((size_t)n < size && !t->peer_closed)
			t->readable = false;
		return 1;
	}
	if (n == -1 && errno == EAGAIN) {
		t->readable = false;
		BIO_set_retry_read(bio);
	}
	return 0;
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *
reading_method(void)
{
	static BIO_METHOD *method; /* lives as long as the process */

	if (method == NULL) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "transport");
		BIO_meth_set_read_ex(method, bio_read);
		BIO_meth_set_ctrl(method, bio_control);
	}
	return method;
}

int
transport_accept_tls(struct transport *t, SSL_CTX *context)
{
	BIO *in = BIO_new(reading_method()), *out = BIO_new_socket(t->fd, BIO_NOCLOSE);

	t->ssl = SSL_new(context);
	if (t->ssl == NULL || in == NULL || out == NULL) {
		BIO_free(in);
		BIO_free(out);
		ERR_clear_error();
		return -1;
	}
	BIO_set_data(in, t);
	BIO_set_init(in, 1);
	SSL_set0_rbio(t->ssl, in);
	SSL_set0_wbio(t->ssl, out);
	SSL_set_read_ahead(t->ssl, 1);
	SSL_set_accept_state(t->ssl);
	return 0;
}

int
transport_handshake(struct transport *t)
{
	int result;

	errno = 0;
	result = SSL_do_handshake(t->ssl);
	if (result != 1)
		return tls_failure(t, result);
	/* The first request may have come along with the end of the handshake. */
	if (!t->readable)
		t->readable = SSL_has_pending(t->ssl);
	return 0;
}

ssize_t
tls_read(struct transport *t, void *data, size_t size)
{
	size_t n;
	int result;

	errno = 0;
	result = SSL_read_ex(t->ssl, data, size, &n);
	if (result == 1) {
		/* The socket may be empty while OpenSSL still holds the next record. */
		if (!t->readable)
			t->readable = SSL_has_pending(t->ssl);
		return (ssize_t)n;
	}
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
	for (int i = 0; i < count;) {
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
