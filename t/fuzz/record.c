/*
 * What a client may say after its handshake, as records of TLS 1.3.  Whatever comes, reading ends;
 * and what was read is the data of the records, in order, up to the first that was refused.
 *
 * The first byte: bits 0 and 1 choose the suite, the others how much is read at a time.  Then, as
 * long as there is something: a byte that says what to do (0: a record is sealed, 1: likewise, and
 * the key is changed behind it, 2: a byte of it is broken, 3: the bytes go out as they are), its
 * type, its length (two bytes, high one first), and so many bytes.
 */
#include <assert.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/transport.h"

#include "../../src/net/tls_priv.h"

enum { SEAL = 0, SEAL_AND_CHANGE, BREAK, PLAIN, WAYS };
enum { STEP_HEADER = 4, SENT_MAX = 256 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct event_base *base;
static SSL_CTX *context;
static uint8_t sent[SENT_MAX], got[SENT_MAX];
static size_t sent_len; /* data that whoever reads may get */

static void
on_ready(struct transport *transport)
{
	(void)transport;
}

static void
prepare(void)
{
	base = event_base_new();
	context = SSL_CTX_new(TLS_server_method());
	assert(base != NULL && context != NULL);
	clock_update();
}

static void
key_init(struct tls_traffic_key *key, unsigned suite, bool seals)
{
	memset(key, 0, sizeof(*key));
	memset(key->secret, 0x5a, sizeof(key->secret));
	assert(tls_key_start(key, tls_suite_find(0x1301 + suite), seals) == 0);
}

/* A connection as it is when its keys were taken over. */
static void
open_connection(struct transport *t, int fd, unsigned suite)
{
	assert(transport_open(t, base, fd, on_ready) == 0);
	assert(transport_accept_tls(t, context) == 0);
	SSL_free(t->ssl->ssl);
	t->ssl->ssl = NULL;
	key_init(&t->ssl->open, suite, false);
	key_init(&t->ssl->seal, suite, true);
}

static void
put(int fd, const void *bytes, size_t len)
{
	/* The socket has room for all that one input can say, or the rest is not said. */
	if (write(fd, bytes, len) != (ssize_t)len)
		shutdown(fd, SHUT_WR);
}

static void
say(int fd, struct tls_traffic_key *key, uint8_t way, uint8_t type, const uint8_t *content,
    size_t len)
{
	static uint8_t record[TLS_CONTENT_MAX + TLS_SEALED_MORE];
	size_t record_len = tls_record_seal(key, record, content, len, type);

	assert(record_len == len + TLS_SEALED_MORE);
	if (way == BREAK)
		record[len % record_len] ^= 1;
	put(fd, record, record_len);
	if (way == SEAL_AND_CHANGE)
		assert(tls_key_update(key, true) == 0);
	/* Zeros behind the type are padding; a record of "type" 0 has it among its content. */
	while (type == 0 && len > 0)
		type = content[--len];
	if (type == TLS_TYPE_DATA && sent_len + len <= SENT_MAX) {
		memcpy(sent + sent_len, content, len);
		sent_len += len;
	}
}

static void
say_all(int fd, unsigned suite, const uint8_t *data, size_t size)
{
	struct tls_traffic_key key;

	key_init(&key, suite, true);
	sent_len = 0;
	while (size >= STEP_HEADER) {
		uint8_t way = data[0] % WAYS, type = data[1];
		size_t len = (size_t)data[2] << 8 | data[3];

		data += STEP_HEADER;
		size -= STEP_HEADER;
		len = len < size ? len : size;
		len = len < TLS_CONTENT_MAX ? len : TLS_CONTENT_MAX;
		if (way == PLAIN)
			put(fd, data, len);
		else
			say(fd, &key, way, type, data, len);
		data += len;
		size -= len;
	}
	tls_key_fini(&key);
}

static size_t
read_all(struct transport *t, size_t piece)
{
	size_t len = 0;

	t->readable = true;
	while (t->readable && len < SENT_MAX) {
		ssize_t n =
		    transport_read(t, got + len, piece < SENT_MAX - len ? piece : SENT_MAX - len);

		if (n == IO_CLOSED || n == IO_ERROR)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	return len;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct transport t = { .fd = -1 };
	unsigned suite = size > 0 ? (data[0] & 3) % 3 : 0;
	size_t piece = size > 0 ? 1 + (size_t)(data[0] >> 2) * 521 : 1, len, before;
	int fds[2];

	if (base == NULL)
		prepare();
	before = buf_taken();
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	open_connection(&t, fds[0], suite);
	if (size > 0)
		say_all(fds[1], suite, data + 1, size - 1);
	shutdown(fds[1], SHUT_WR);
	len = read_all(&t, piece);
	assert(len <= sent_len && memcmp(got, sent, len) == 0);
	transport_close(&t, false);
	close(fds[1]);
	assert(buf_taken() == before);
	return 0;
}
