/*
 * tls_stream: TLS 1.3 connections that go on without OpenSSL's SSL.
 *
 * OpenSSL tells the traffic secrets to its key log, and the record layer behind them is small:
 * data, two alerts and KeyUpdate.  Records are opened from one buffer of the process into the
 * reader's own, and sealed, several at a time, into another, from which one send() takes them.
 */
#include "tls_priv.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "weir/buf.h"
#include "weir/clock.h"

enum {
	WIRE_SIZE = 64 * 1024 + 2 * TLS_RECORD_MAX,
	SEALED_SIZE = 80 * 1024,
	SILENT_MAX = 32,     /* records in a row without data */
	SMALL_RECORD = 1369, /* sealed and with its headers it fits an Ethernet frame */
	BURST_SMALL = 16 * 1024,
	BURST_OVER_MS = 1000
};

/* Of the process: nothing in them outlives a call. */
static uint8_t wire[WIRE_SIZE], sealed[SEALED_SIZE], inner[TLS_SEALED_BODY_MAX];

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "LABEL CLIENT-RANDOM SECRET", the last two in hex. */
static bool
parse_secret(const char *line, uint8_t secret[static TLS_SECRET_MAX])
{
	const char *text = strrchr(line, ' ') + 1;
	size_t len = strlen(text) / 2;

	if (len > TLS_SECRET_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		secret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void
tls_catch_secret(const SSL *ssl, const char *line)
{
	static const char of_server[] = "SERVER_TRAFFIC_SECRET_0 ",
			  of_client[] = "CLIENT_TRAFFIC_SECRET_0 ";
	struct tls *tls = SSL_get_app_data(ssl);

	if (tls == NULL)
		return;
	if (strncmp(line, of_server, sizeof(of_server) - 1) == 0) {
		tls->secrets += parse_secret(line, tls->seal.secret);
		tls->seal.seq = 0;
		tls->counts = true;
	} else if (strncmp(line, of_client, sizeof(of_client) - 1) == 0) {
		tls->secrets += parse_secret(line, tls->open.secret);
	}
}

bool tls_takes_over;

void
tls_take_over(struct transport *t)
{
	struct tls *tls = t->ssl;
	const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->ssl);
	const struct tls_suite *suite =
	    cipher != NULL ? tls_suite_find(SSL_CIPHER_get_protocol_id(cipher)) : NULL;

	/* A client that wants short records (RFC 6066 §4) gets them from OpenSSL. */
	if (SSL_version(tls->ssl) != TLS1_3_VERSION || suite == NULL || tls->secrets != 2 ||
	    SSL_SESSION_get_max_fragment_length(SSL_get_session(tls->ssl)) != 0 ||
	    SSL_has_pending(tls->ssl) || BIO_get_ktls_send(SSL_get_wbio(tls->ssl)))
		return;
	if (tls_key_start(&tls->seal, suite, true) == -1 ||
	    tls_key_start(&tls->open, suite, false) == -1)
		return;
	SSL_free(tls->ssl);
	tls->ssl = NULL;
}

/* How long the next record may be: short ones can be read before all of a window has come. */
static size_t
record_limit(struct tls *tls)
{
	if (now_ms - tls->written_ms > BURST_OVER_MS)
		tls->burst = 0;
	tls->written_ms = now_ms;
	return tls->burst < BURST_SMALL ? SMALL_RECORD : TLS_CONTENT_MAX;
}

/* ---- writing ---- */

/* The rest of what send() did not take; it fits two large buffers. */
static void
keep_unsent(struct transport *t, const uint8_t *data, size_t len)
{
	struct tls *tls = t->ssl;
	struct buf **places[] = { &t->unsent, &tls->unsent_more };

	for (size_t i = 0; i < 2 && len > 0; i++) {
		struct buf *buf = buf_take(
		    i == 0 && len <= 16 * 1024 - sizeof(struct buf) ? BUF_SMALL : BUF_LARGE);
		size_t n = len < buf_room(buf) ? len : buf_room(buf);

		memcpy(buf->data, data, n);
		buf->end = (uint32_t)n;
		*places[i] = buf;
		data += n;
		len -= n;
	}
	assert(len == 0);
	t->writable = false;
}

/* Returns the bytes sent, or IO_WAIT or IO_ERROR. */
static ssize_t
send_bytes(struct transport *t, const void *data, size_t len)
{
	ssize_t n;

	do
		n = send(t->fd, data, len, MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN) {
		t->writable = false;
		return IO_WAIT;
	}
	tls_set_error(strerror(errno));
	t->tls_failed = true;
	return IO_ERROR;
}

int
tls_stream_flush(struct transport *t)
{
	while (t->unsent != NULL) {
		ssize_t n = send_bytes(t, buf_head(t->unsent), buf_len(t->unsent));

		if (n < 0)
			return (int)n;
		buf_consume(t->unsent, (size_t)n);
		if (buf_len(t->unsent) == 0) {
			buf_give(t->unsent);
			t->unsent = t->ssl->unsent_more;
			t->ssl->unsent_more = NULL;
		}
	}
	return 0;
}

/* Send what stands in `sealed`, or keep it. */
static int
send_sealed(struct transport *t, size_t len)
{
	ssize_t n = send_bytes(t, sealed, len);

	if (n == IO_ERROR)
		return IO_ERROR;
	if (n == IO_WAIT)
		n = 0;
	if ((size_t)n < len)
		keep_unsent(t, sealed + n, len - (size_t)n);
	return 0;
}

/* The key is used up, or the peer asked for another: returns the length of the record that says so.
 */
static size_t
seal_update(struct tls *tls, uint8_t *out)
{
	static const uint8_t update[] = { 24, 0, 0, 1, 0 }; /* KeyUpdate, update_not_requested */
	size_t len = tls_record_seal(&tls->seal, out, update, sizeof(update), TLS_TYPE_HANDSHAKE);

	tls->owes_update = false;
	return len > 0 && tls_key_update(&tls->seal, true) == 0 ? len : 0;
}

/* A place in what the caller gave. */
struct cursor {
	const struct iovec *v;
	int count; /* with v, which is not used up */
	size_t at; /* in v */
};

static void
cursor_skip_empty(struct cursor *c)
{
	while (c->count > 0 && c->at == c->v->iov_len) {
		c->v++;
		c->count--;
		c->at = 0;
	}
}

/*
 * Up to `limit` bytes, in one piece: where they are if they are so already, else gathered at `out`.
 * Returns their number.
 */
static size_t
cursor_take(struct cursor *c, size_t limit, uint8_t *out, const void **content)
{
	size_t len = c->v->iov_len - c->at, n;

	*content = (const char *)c->v->iov_base + c->at;
	if (len >= limit || c->count == 1) {
		len = len < limit ? len : limit;
		c->at += len;
		cursor_skip_empty(c);
		return len;
	}
	*content = out;
	for (len = 0; c->count > 0 && len < limit; len += n) {
		n = c->v->iov_len - c->at;
		n = n < limit - len ? n : limit - len;
		memcpy(out + len, (const char *)c->v->iov_base + c->at, n);
		c->at += n;
		cursor_skip_empty(c);
	}
	return len;
}

/* Seal as many records as there is room for.  Returns their length, with *taken; 0: failed. */
static size_t
seal_some(struct tls *tls, struct cursor *c, size_t *taken)
{
	size_t len = 0;

	while (c->count > 0) {
		size_t limit = record_limit(tls), n;
		const void *content;

		if (SEALED_SIZE - len < limit + 3 * TLS_SEALED_MORE)
			break;
		if (tls->owes_update || tls->seal.seq >= TLS_SEALS_MAX) {
			n = seal_update(tls, sealed + len);
			if (n == 0)
				return 0;
			len += n;
		}
		n = cursor_take(c, limit, sealed + len + TLS_HEADER, &content);
		*taken += n;
		tls->burst = tls->burst + n < UINT32_MAX ? tls->burst + (uint32_t)n : UINT32_MAX;
		n = tls_record_seal(&tls->seal, sealed + len, content, n, TLS_TYPE_DATA);
		if (n == 0)
			return 0;
		len += n;
	}
	return len;
}

ssize_t
tls_stream_writev(struct transport *t, const struct iovec *iov, int count)
{
	struct cursor c = { iov, count, 0 };
	size_t total = 0;

	if (t->unsent != NULL) {
		int result = tls_stream_flush(t);

		if (result != 0)
			return result;
	}
	cursor_skip_empty(&c);
	while (c.count > 0 && t->unsent == NULL) {
		size_t len = seal_some(t->ssl, &c, &total);

		if (len == 0) {
			t->tls_failed = true;
			tls_set_error("a record could not be sealed");
			errno = EPROTO;
			return IO_ERROR;
		}
		if (send_sealed(t, len) == IO_ERROR)
			return IO_ERROR;
	}
	return (ssize_t)total;
}

/* Best effort: what does not fit the socket now is not sent. */
static void
send_alert(struct transport *t, uint8_t level, uint8_t alert)
{
	const uint8_t content[] = { level, alert };
	size_t len =
	    tls_record_seal(&t->ssl->seal, sealed, content, sizeof(content), TLS_TYPE_ALERT);

	if (len > 0 && t->unsent == NULL)
		send_bytes(t, sealed, len);
}

void
tls_stream_shutdown(struct transport *t)
{
	if (t->tls_failed || t->unsent != NULL || t->ssl->close_sent)
		return;
	t->ssl->close_sent = true;
	send_alert(t, 1, 0); /* close_notify */
}

/* ---- reading ---- */

static int
fail(struct transport *t, int alert, const char *text)
{
	if (!t->tls_failed)
		send_alert(t, 2, (uint8_t)alert);
	t->tls_failed = true;
	t->ssl->ended = IO_ERROR;
	tls_set_error(text);
	return IO_ERROR;
}

static int
on_alert(struct transport *t, const uint8_t *content, size_t len)
{
	if (len != 2)
		return fail(t, TLS_ALERT_UNEXPECTED, "malformed alert");
	switch (content[1]) {
	case SSL3_AD_CLOSE_NOTIFY:
		t->ssl->ended = IO_CLOSED;
		return IO_CLOSED;
	case TLS1_AD_USER_CANCELLED: /* close_notify follows */
		return 0;
	default:
		t->tls_failed = true;
		t->ssl->ended = IO_ERROR;
		tls_set_error(SSL_alert_desc_string_long(content[1]));
		return IO_ERROR;
	}
}

/*
 * All that a client may still say is that it changes its key (§4.6.3), in as many records as it
 *likes, but nothing may follow in the last one: that has the next key.
 *
 *	| type (1) = 24 | length (3) = 1 | shall we too? (1) = 0, 1 |
 */
static int
on_handshake(struct transport *t, const uint8_t *content, size_t len)
{
	static const uint8_t update[] = { 24, 0, 0, 1 };
	struct tls *tls = t->ssl;
	size_t known;

	if (len == 0 || len > sizeof(tls->message) - tls->message_len)
		return fail(t, TLS_ALERT_UNEXPECTED, "unexpected handshake message");
	memcpy(tls->message + tls->message_len, content, len);
	tls->message_len += (uint8_t)len;
	known = tls->message_len < sizeof(update) ? tls->message_len : sizeof(update);
	if (tls->message[0] != update[0])
		return fail(t, TLS_ALERT_UNEXPECTED, "unexpected handshake message");
	if (memcmp(tls->message, update, known) != 0)
		return fail(t, TLS_ALERT_DECODE, "malformed KeyUpdate");
	if (tls->message_len < sizeof(tls->message))
		return 0;
	if (tls->message[4] > 1)
		return fail(t, TLS_ALERT_ILLEGAL, "malformed KeyUpdate");
	if (tls_key_update(&tls->open, false) == -1)
		return fail(t, TLS_ALERT_INTERNAL, "the next key could not be made");
	tls->message_len = 0;
	tls->owes_update = tls->owes_update || tls->message[4] == 1;
	return 0;
}

/* A record that holds no data.  Returns 0 when reading may go on. */
static int
on_other(struct transport *t, uint8_t type, const uint8_t *content, size_t len)
{
	/* Each costs the same as one with data: a peer that sends nothing else wastes our time. */
	if (++t->ssl->silent_records > SILENT_MAX)
		return fail(t, TLS_ALERT_UNEXPECTED, "too many records without data");
	if (type != TLS_TYPE_HANDSHAKE && t->ssl->message_len > 0) /* §5.1 */
		return fail(t, TLS_ALERT_UNEXPECTED, "record within a message of another type");
	switch (type) {
	case TLS_TYPE_DATA:
		return 0;
	case TLS_TYPE_ALERT:
		return on_alert(t, content, len);
	case TLS_TYPE_HANDSHAKE:
		return on_handshake(t, content, len);
	default:
		return fail(t, TLS_ALERT_UNEXPECTED, "record of an unknown type");
	}
}

static const char *
fault_text(int alert)
{
	switch (alert) {
	case TLS_ALERT_BAD_MAC:
		return "bad record mac";
	case TLS_ALERT_OVERFLOW:
		return "record too long";
	default:
		return "unexpected record";
	}
}

/* The length of the record at `at`; 0: not there as a whole yet; below 0: -alert. */
static int
next_record(size_t at, size_t len)
{
	int body_len;

	if (len - at < TLS_HEADER)
		return 0;
	body_len = tls_record_body_len(wire + at);
	if (body_len < 0)
		return body_len;
	return len - at >= TLS_HEADER + (size_t)body_len ? TLS_HEADER + body_len : 0;
}

static struct buf *
buf_of(const uint8_t *data, size_t len)
{
	struct buf *buf = buf_take(len <= 16 * 1024 - sizeof(struct buf) ? BUF_SMALL : BUF_LARGE);

	assert(len <= buf_room(buf));
	memcpy(buf->data, data, len);
	buf->end = (uint32_t)len;
	return buf;
}

/*
 * Open what is complete among the `len` bytes of `wire` and fits into data.
 * Returns the bytes of data, which may be none; *used of `wire` are done with.
 */
static size_t
open_some(struct transport *t, size_t len, uint8_t *data, size_t size, size_t *used)
{
	struct tls *tls = t->ssl;
	size_t at = 0, out = 0;
	int record_len;

	while (tls->ended == 0 && tls->plain == NULL && (record_len = next_record(at, len)) != 0) {
		size_t body_len = (size_t)record_len - TLS_HEADER;
		bool fits = record_len > 0 && size - out >= body_len;
		uint8_t *place = fits ? data + out : inner, type = 0;
		int n = record_len;

		if (n > 0 && !fits && out > 0)
			break;
		if (n > 0)
			n = tls_record_open(&tls->open, wire + at, body_len, place, &type);
		if (n < 0) {
			fail(t, -n, fault_text(-n));
			break;
		}
		at += (size_t)record_len;
		if (type != TLS_TYPE_DATA || n == 0 || tls->message_len > 0) {
			on_other(t, type, place, (size_t)n);
			continue;
		}
		tls->silent_records = 0;
		if (!fits) {
			size_t part = (size_t)n < size ? (size_t)n : size;

			memcpy(data, inner, part);
			if (part < (size_t)n)
				tls->plain = buf_of(inner + part, (size_t)n - part);
			n = (int)part;
		}
		out += (size_t)n;
	}
	*used = at;
	return out;
}

static ssize_t
take_plain(struct tls *tls, void *data, size_t size)
{
	size_t len = buf_len(tls->plain);

	len = len < size ? len : size;
	memcpy(data, buf_head(tls->plain), len);
	buf_consume(tls->plain, len);
	if (buf_len(tls->plain) == 0) {
		buf_give(tls->plain);
		tls->plain = NULL;
	}
	return (ssize_t)len;
}

/* More bytes into `wire` behind the `len` that are there.  Returns their number or IO_*. */
static ssize_t
receive(struct transport *t, size_t len, size_t size)
{
	/* No more than the reader can take, but at least a record. */
	size_t wanted = size < TLS_RECORD_MAX ? TLS_RECORD_MAX : size;
	ssize_t n;

	if (wanted > sizeof(wire) - len)
		wanted = sizeof(wire) - len;
	do
		n = recv(t->fd, wire + len, wanted, 0);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		if ((size_t)n < wanted && !t->peer_closed)
			t->readable = false;
		return n;
	}
	if (n == -1 && errno == EAGAIN) {
		t->readable = false;
		return IO_WAIT;
	}
	/* A connection cut without close_notify must not pass for a complete one. */
	t->tls_failed = true;
	t->ssl->ended = IO_ERROR;
	tls_set_error(n == 0 ? "connection closed without close_notify" : strerror(errno));
	if (n == 0)
		errno = ECONNRESET;
	return IO_ERROR;
}

ssize_t
tls_stream_read(struct transport *t, void *data, size_t size)
{
	struct tls *tls = t->ssl;
	size_t len = 0, used = 0, out = 0;
	ssize_t n = 0;

	if (tls->plain != NULL)
		return take_plain(tls, data, size);
	if (tls->ended != 0) {
		errno = EPROTO;
		return tls->ended;
	}
	if (tls->raw != NULL) {
		len = buf_len(tls->raw);
		memcpy(wire, buf_head(tls->raw), len);
		buf_give(tls->raw);
		tls->raw = NULL;
	}
	size = size < 64 * 1024 ? size : 64 * 1024;
	while (out == 0 && tls->ended == 0) {
		if (next_record(0, len) == 0) {
			n = receive(t, len, size);
			if (n < 0)
				break;
			len += (size_t)n;
		}
		out = open_some(t, len, data, size, &used);
		len -= used;
		memmove(wire, wire + used, len);
	}
	if (len > 0 && tls->ended == 0) {
		tls->raw = buf_of(wire, len);
		if (next_record(0, len) != 0)
			t->readable = true;
	}
	if (tls->plain != NULL || tls->ended != 0)
		t->readable = true;
	if (out > 0)
		return (ssize_t)out;
	if (tls->ended == IO_ERROR && n != IO_ERROR)
		errno = EPROTO;
	return tls->ended != 0 ? tls->ended : IO_WAIT;
}
