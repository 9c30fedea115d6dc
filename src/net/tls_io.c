/*
 * tls_io: the TLS side of transport: handshakes, and connections that stay with OpenSSL.
 *
 * OpenSSL reads through a BIO of our own.  During the handshake it takes from it what it needs and
 * no byte more, so that all that follows can be read without it (tls_stream.c).  Where OpenSSL goes
 * on (before TLS 1.3, kernel TLS) it asks for as much as its buffer holds, so records and their
 * headers come with one system call, and a short read is noticed, so that no second one is needed
 * to learn that nothing is left.  It writes through its socket BIO, which is the one that kernel
 * TLS works with.
 *
 * OpenSSL wants a write that could not finish repeated with the same bytes.  Callers are spared
 * that: what SSL_write() was given and the socket did not take is copied to transport.unsent and
 * counts as written.
 */
#include "tls_priv.h"
#include "tls_client_priv.h"
#include "tls_set_priv.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/conf.h"
#include "weir/slab.h"
#include "weir/tls_servers.h"

enum { RECORD_SIZE = 16 * 1024 - 64 }; /* one TLS record, and one small buffer */

static struct slab all; /* struct tls; lives as long as the process */

static ssize_t
receive(struct transport *t, void *data, size_t size)
{
	ssize_t n;

	do
		n = recv(t->fd, data, size, 0);
	while (n == -1 && errno == EINTR);
	if ((n > 0 && (size_t)n < size && !t->peer_closed) || (n == -1 && errno == EAGAIN))
		t->readable = false;
	return n;
}

/* What was read ahead of OpenSSL.  Returns the bytes that are there, or as receive(). */
static ssize_t
fill_raw(struct transport *t)
{
	struct tls *tls = t->ssl;
	ssize_t n;

	if (tls->raw != NULL)
		return (ssize_t)buf_len(tls->raw);
	tls->raw = buf_take(BUF_SMALL);
	n = receive(t, tls->raw->data, tls->raw->size);
	if (n > 0) {
		tls->raw->end = (uint32_t)n;
		/* No record begins with a letter, a request in the clear does. */
		if (!tls->was_read)
			tls->spoke_http = tls->raw->data[0] >= 'A' && tls->raw->data[0] <= 'Z';
		tls->was_read = true;
		return n;
	}
	buf_give(tls->raw);
	tls->raw = NULL;
	return n;
}

static size_t
take_raw(struct tls *tls, char *data, size_t size)
{
	size_t len = buf_len(tls->raw);

	len = len < size ? len : size;
	memcpy(data, buf_head(tls->raw), len);
	buf_consume(tls->raw, len);
	if (buf_len(tls->raw) == 0) {
		buf_give(tls->raw);
		tls->raw = NULL;
	}
	return len;
}

static int
bio_read(BIO *bio, char *data, size_t size, size_t *read_len)
{
	struct transport *t = BIO_get_data(bio);
	struct tls *tls = t->ssl;
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (tls->raw == NULL && SSL_get_read_ahead(tls->ssl)) {
		n = receive(t, data, size);
		*read_len = n > 0 ? (size_t)n : 0;
	} else {
		n = fill_raw(t);
		*read_len = n > 0 ? take_raw(tls, data, size) : 0;
	}
	if (n > 0)
		return 1;
	if (n == -1 && errno == EAGAIN)
		BIO_set_retry_read(bio);
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

/* Records that OpenSSL seals with the key that tls_stream.c may take over. */
static void
on_message(int is_write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	struct tls *tls = arg;

	(void)version;
	(void)data;
	(void)len;
	(void)ssl;
	if (is_write && type == SSL3_RT_HEADER && tls->counts)
		tls->seal.seq++;
}

static void
tls_free(struct tls *tls)
{
	tls_turn_leave(tls);
	SSL_free(tls->ssl);
	tls_client_free(tls->client);
	SSL_CTX_free(tls->shown);
	tls_key_fini(&tls->open);
	tls_key_fini(&tls->seal);
	buf_give(tls->raw);
	buf_give(tls->plain);
	buf_give(tls->unsent_more);
	slab_give(&all, tls);
}

/* Takes `ssl` over (NULL: memory was short).  Returns 0 or -1. */
static int
attach(struct transport *t, SSL *ssl)
{
	BIO *in = BIO_new(reading_method()), *out = BIO_new_socket(t->fd, BIO_NOCLOSE);
	struct tls *tls;

	if (all.object_size == 0)
		slab_init(&all, sizeof(*tls));
	tls = slab_take(&all);
	*tls = (struct tls){ .ssl = ssl };
	if (tls->ssl == NULL || in == NULL || out == NULL) {
		BIO_free(in);
		BIO_free(out);
		tls_free(tls);
		ERR_clear_error();
		return -1;
	}
	t->ssl = tls;
	BIO_set_data(in, t);
	BIO_set_init(in, 1);
	SSL_set0_rbio(tls->ssl, in);
	SSL_set0_wbio(tls->ssl, out);
	SSL_set_app_data(tls->ssl, tls);
	SSL_set_msg_callback(tls->ssl, on_message);
	SSL_set_msg_callback_arg(tls->ssl, tls);
	SSL_set_read_ahead(tls->ssl, 0);
	return 0;
}

/* What clients of this worker are like; see take_over_pays(). */
static struct {
	unsigned open;
	unsigned
	    short_lived; /* share of those that ended, out of SHARE_ALL; recent ones count most */
} clients;

enum { SHORT_MS = 1000, SHARE_ALL = 1024, SHARE_MOST = 900, SHARE_SHIFT = 4, OPEN_MANY = 256 };

/*
 * OpenSSL tells its secrets in hex, which costs a seventh of a handshake.  That is well spent on a
 * connection that lasts or waits, and lost on one that asks once and goes: while nearly all do, and
 * few are open, nothing is taken over.
 */
static bool
take_over_pays(void)
{
	return clients.short_lived < SHARE_MOST || clients.open > OPEN_MANY;
}

static void
note_end(const struct tls *tls)
{
	bool was_short = now_ms - tls->born_ms < SHORT_MS;

	clients.open--;
	clients.short_lived -= clients.short_lived >> SHARE_SHIFT;
	if (was_short)
		clients.short_lived += SHARE_ALL >> SHARE_SHIFT;
}

int
transport_accept_tls(struct transport *t, SSL_CTX *context)
{
	if (tls_takes_over)
		SSL_CTX_set_keylog_callback(context, take_over_pays() ? tls_catch_secret : NULL);
	if (attach(t, SSL_new(context)) == -1)
		return -1;
	SSL_set_accept_state(t->ssl->ssl);
	t->ssl->born_ms = now_ms;
	clients.open++;
	return 0;
}

static bool
is_same_name(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

int
transport_connect_tls(struct transport *t, SSL *ssl, struct tls_session *session)
{
	if (attach(t, ssl) == -1)
		return -1;
	t->ssl->session = session;
	/* A session stands for a certificate that was verified, but for one name and with the
	 * authorities of then. */
	if (session->session != NULL &&
	    session->set == tls_member_of(SSL_get_SSL_CTX(ssl))->set->number &&
	    is_same_name(session->name, transport_tls_name(t)) &&
	    SSL_SESSION_is_resumable(session->session))
		SSL_set_session(ssl, session->session);
	return 0;
}

const char *
transport_tls_name(const struct transport *t)
{
	return SSL_get_servername(t->ssl->ssl, TLSEXT_NAMETYPE_host_name);
}

const char *
transport_tls_fault(const struct transport *t)
{
	return t->ssl != NULL && t->ssl->ssl != NULL ? tls_servers_fault(t->ssl->ssl) : NULL;
}

/* The certificate; as a whole where it may matter which hosts it is for. */
static void
note_shown(struct tls *tls)
{
	SSL_CTX *context = SSL_get_SSL_CTX(tls->ssl);
	const struct tls_member *member = tls_member_of(context);

	tls->served = member->served < UINT16_MAX ? (uint16_t)member->served : UINT16_MAX;
	if (member->names != NULL && SSL_CTX_up_ref(context) == 1)
		tls->shown = context;
}

static void
note_protocol(struct tls *tls)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->ssl);
	const unsigned char *name;
	unsigned len;

	tls->version = SSL_get_version(tls->ssl);
	tls->cipher = cipher != NULL ? SSL_CIPHER_get_name(cipher) : NULL;
	tls->resumed = SSL_session_reused(tls->ssl);

	SSL_get0_alpn_selected(tls->ssl, &name, &len);
	tls->is_h2 = len == 2 && memcmp(name, "h2", 2) == 0;
}

int
transport_handshake(struct transport *t)
{
	struct tls *tls = t->ssl;
	bool has_input = t->readable || tls->raw != NULL;
	int result;

	if (tls->born_ms != 0) {
		if (!has_input && !tls->was_read)
			return IO_WAIT; /* nothing has come yet */
		if (has_input && !tls_turn_take(t))
			return IO_WAIT;
	}
	errno = 0;
	if (!tls->was_read && tls->born_ms != 0 && fill_raw(t) > 0 && tls->spoke_http) {
		t->tls_failed = true;
		tls_set_error("request without TLS");
		tls_set_fault(TLS_FAULT_PLAIN);
		errno = EPROTO;
		return IO_ERROR;
	}
	errno = 0;
	result = SSL_do_handshake(tls->ssl);
	if (result != 1)
		return tls_failure(t, result);
	note_protocol(tls);
	if (tls->session == NULL) {
		tls->client = tls_client_note(tls->ssl);
		note_shown(tls);
	}
	tls_take_over(t);
	/* The first request may have come along with the end of the handshake. */
	t->readable = t->readable || tls->raw != NULL;
	if (tls->ssl == NULL)
		return 0;
	SSL_set_read_ahead(tls->ssl, 1); /* a record's header and body in one system call */
	SSL_set_msg_callback(tls->ssl, NULL);
	t->readable = t->readable || SSL_has_pending(tls->ssl);
	return 0;
}

bool
transport_leave_tls(struct transport *t)
{
	if (!t->ssl->spoke_http)
		return false;
	tls_free(t->ssl);
	t->ssl = NULL;
	t->tls_failed = false;
	return true;
}

const struct client_cert *
transport_client_cert(const struct transport *t)
{
	return t->ssl != NULL ? t->ssl->client : NULL;
}

const struct server_names *
transport_shown(const struct transport *t)
{
	return t->ssl != NULL && t->ssl->shown != NULL ? tls_member_of(t->ssl->shown)->names : NULL;
}

unsigned
transport_certificate(const struct transport *t)
{
	if (t->ssl == NULL)
		return SERIES_NONE;
	if (t->ssl->ssl == NULL)
		return t->ssl->served < UINT16_MAX ? t->ssl->served : SERIES_NONE;
	return tls_member_of(SSL_get_SSL_CTX(t->ssl->ssl))->served;
}

const char *
transport_tls_version(const struct transport *t)
{
	return t->ssl != NULL ? t->ssl->version : NULL;
}

const char *
transport_tls_cipher(const struct transport *t)
{
	return t->ssl != NULL ? t->ssl->cipher : NULL;
}

bool
transport_tls_resumed(const struct transport *t)
{
	return t->ssl != NULL && t->ssl->resumed;
}

bool
transport_is_h2(const struct transport *t)
{
	return t->ssl != NULL && t->ssl->is_h2;
}

ssize_t
tls_read(struct transport *t, void *data, size_t size)
{
	size_t n;
	int result;

	if (t->ssl->ssl == NULL)
		return tls_stream_read(t, data, size);
	errno = 0;
	result = SSL_read_ex(t->ssl->ssl, data, size, &n);
	if (result == 1) {
		/* The socket may be empty while OpenSSL still holds the next record. */
		t->readable = t->readable || t->ssl->raw != NULL || SSL_has_pending(t->ssl->ssl);
		return (ssize_t)n;
	}
	return tls_failure(t, result);
}

/*
 * One record, or several if the client wants short ones; what the socket holds back goes to unsent.
 * Returns `len` or IO_ERROR.
 */
static ssize_t
write_record(struct transport *t, const char *data, size_t len)
{
	size_t done = 0, n;

	while (done < len) {
		int result, failure;

		errno = 0;
		result = SSL_write_ex(t->ssl->ssl, data + done, len - done, &n);
		if (result == 1) {
			done += n;
			continue;
		}
		failure = tls_failure(t, result);
		if (failure != IO_WAIT)
			return IO_ERROR;
		t->writable = false;
		break;
	}
	if (done < len) {
		t->unsent = buf_take(BUF_SMALL);
		memcpy(t->unsent->data, data + done, len - done);
		t->unsent->end = (uint32_t)(len - done);
	}
	return (ssize_t)len;
}

int
tls_flush(struct transport *t)
{
	if (t->ssl->ssl == NULL)
		return tls_stream_flush(t);
	while (t->unsent != NULL) {
		size_t n = 0;
		int result;

		errno = 0;
		result = SSL_write_ex(t->ssl->ssl, buf_head(t->unsent), buf_len(t->unsent), &n);
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

	if (t->ssl->ssl == NULL)
		return tls_stream_writev(t, iov, count);
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
	SSL *ssl = t->ssl->ssl;

	if (ssl == NULL) {
		tls_stream_shutdown(t);
		return;
	}
	if (!t->tls_failed && t->unsent == NULL && SSL_is_init_finished(ssl) &&
	    !(SSL_get_shutdown(ssl) & SSL_SENT_SHUTDOWN))
		SSL_shutdown(ssl);
	ERR_clear_error();
}

void
tls_close(struct transport *t)
{
	tls_shutdown(t);
	if (t->ssl->born_ms != 0)
		note_end(t->ssl);
	tls_free(t->ssl);
	t->ssl = NULL;
	buf_give(t->unsent);
	t->unsent = NULL;
}
