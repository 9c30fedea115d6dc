/* tls_stream: TLS 1.3 without OpenSSL's SSL on weir's side, against OpenSSL on the other. */
#include "tls_setup.h"

#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/transport.h"

#include "../../src/net/tls_priv.h"

enum { LARGE = 300000 };

struct pair {
	struct event_base *base;
	struct transport server;
	SSL_CTX *context;
	SSL *client;
	int client_fd;
};

static char large[LARGE], got[LARGE];
static uint8_t wanted_fragment; /* TLSEXT_max_fragment_length_... */
static struct setup setup;

static SSL_CTX *
context(void)
{
	return tls_context_ssl(setup.listeners[0].tls_context);
}

static void
on_ready(struct transport *transport)
{
	(void)transport;
}

/* Both ends run by turns, as there is one thread. */
static void
shake_hands(struct pair *p)
{
	int client = 0, server = IO_WAIT;

	for (int i = 0; i < 20 && (client != 1 || server == IO_WAIT); i++) {
		transport_turn();
		if (client != 1)
			client = SSL_do_handshake(p->client);
		if (server == IO_WAIT) {
			p->server.readable = true;
			server = transport_handshake(&p->server);
		}
	}
	assert_int_equal(client, 1);
	assert_int_equal(server, 0);
}

static void
pair_init(struct pair *p, const char *suite, int version)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	p->base = event_base_new();
	p->client_fd = fds[1];
	assert_int_equal(transport_open(&p->server, p->base, fds[0], on_ready), 0);
	assert_int_equal(transport_accept_tls(&p->server, context()), 0);
	p->context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(p->context, version);
	if (suite != NULL)
		assert_int_equal(SSL_CTX_set_ciphersuites(p->context, suite), 1);
	SSL_CTX_set_mode(
	    p->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (wanted_fragment != 0)
		assert_int_equal(
		    SSL_CTX_set_tlsext_max_fragment_length(p->context, wanted_fragment), 1);
	p->client = SSL_new(p->context);
	SSL_set_fd(p->client, fds[1]);
	SSL_set_connect_state(p->client);
	shake_hands(p);
}

static void
pair_fini(struct pair *p)
{
	now_ms += 2000; /* it lasted: see take_over_pays() */
	transport_close(&p->server, false);
	SSL_free(p->client);
	SSL_CTX_free(p->context);
	close(p->client_fd);
	event_base_free(p->base);
	ERR_clear_error();
}

static bool
is_taken_over(const struct pair *p)
{
	return p->server.ssl->ssl == NULL;
}

/* Client to server; `size` is what the reader has room for at a time. */
static void
move_up(struct pair *p, size_t len, size_t size)
{
	size_t sent = 0, received = 0, n;
	ssize_t result;

	while (received < len) {
		if (sent < len && SSL_write_ex(p->client, large + sent, len - sent, &n) == 1)
			sent += n;
		p->server.readable = true;
		while (p->server.readable && received < len) {
			result = transport_read(&p->server, got + received,
			    size < len - received ? size : len - received);
			if (result == IO_WAIT)
				continue;
			assert_true(result > 0);
			received += (size_t)result;
		}
	}
	assert_memory_equal(got, large, len);
}

/* Server to client, in `count` pieces. */
static void
move_down(struct pair *p, size_t len, int count)
{
	struct iovec iov[8];
	size_t at = 0, received = 0, n;

	for (int i = 0; i < count; i++) {
		size_t piece = i == count - 1 ? len - at : len / (size_t)count;

		iov[i] = (struct iovec){ large + at, piece };
		at += piece;
	}
	for (size_t sent = 0; received < len;) {
		if (sent < len) {
			struct iovec rest[8];
			size_t skip = sent;
			int rest_count = 0;
			ssize_t result;

			for (int i = 0; i < count; i++) {
				size_t cut = skip < iov[i].iov_len ? skip : iov[i].iov_len;

				skip -= cut;
				rest[rest_count++] = (struct iovec){ (char *)iov[i].iov_base + cut,
					iov[i].iov_len - cut };
			}
			result = transport_writev(&p->server, rest, rest_count);
			assert_true(result > 0 || result == IO_WAIT);
			sent += result > 0 ? (size_t)result : 0;
		} else {
			assert_int_not_equal(transport_flush(&p->server), IO_ERROR);
		}
		while (SSL_read_ex(p->client, got + received, len - received, &n) == 1)
			received += n;
	}
	assert_memory_equal(got, large, len);
	assert_int_equal(transport_flush(&p->server), 0);
}

static int
prepare(void **state)
{
	if (make_all(state) == -1)
		return -1;
	setup_init(&setup, 1, "both");
	assert_int_equal(setup_load(&setup), 0);
	clock_update();
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)(i * 7 + i / 251);
	return 0;
}

static int
clean_up(void **state)
{
	setup_fini(&setup);
	buf_trim();
	return remove_all(state);
}

static void
moves_everything(const char *suite)
{
	static const size_t sizes[] = { 1, 100, 1369, 1370, 16384, 16385, 65536, LARGE };
	struct pair p;

	pair_init(&p, suite, TLS1_3_VERSION);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		move_up(&p, sizes[i], 64 * 1024);
		move_up(&p, sizes[i], 16 * 1024);
		move_down(&p, sizes[i], 1);
		if (sizes[i] >= 8)
			move_down(&p, sizes[i], 8);
	}
	move_up(&p, 40000, 77);
	pair_fini(&p);
}

static void
bytes_pass_under_every_suite(void **state)
{
	static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
		"TLS_CHACHA20_POLY1305_SHA256" };
	struct pair p;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		pair_init(&p, suites[i], TLS1_3_VERSION);
		assert_true(is_taken_over(&p));
		pair_fini(&p);
		moves_everything(suites[i]);
	}
}

/* Before TLS 1.3 OpenSSL goes on. */
static void
openssl_goes_on_before_1_3(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, NULL, TLS1_2_VERSION);
	assert_false(is_taken_over(&p));
	move_up(&p, LARGE, 64 * 1024);
	move_down(&p, LARGE, 3);
	pair_fini(&p);
}

static void
an_idle_connection_owns_no_buffer(void **state)
{
	size_t before = buf_taken();
	struct pair p;

	(void)state;
	pair_init(&p, NULL, TLS1_3_VERSION);
	assert_int_equal(buf_taken(), before);
	move_up(&p, 100000, 16 * 1024);
	move_down(&p, 100000, 2);
	assert_int_equal(buf_taken(), before);
	pair_fini(&p);
}

static void
keys_change(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, NULL, TLS1_3_VERSION);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(SSL_key_update(p.client, i % 2 ? SSL_KEY_UPDATE_REQUESTED
								: SSL_KEY_UPDATE_NOT_REQUESTED),
		    1);
		move_up(&p, 5000, 16 * 1024);
		move_down(&p, 5000, 1);
	}
	/* Our own, as when a key has sealed enough. */
	p.server.ssl->owes_update = true;
	move_down(&p, 5000, 1);
	assert_false(p.server.ssl->owes_update);
	assert_true(p.server.ssl->seal.seq < 10);
	move_up(&p, 5000, 16 * 1024);
	pair_fini(&p);
}

static void
keys_do_not_change_all_the_time(void **state)
{
	ssize_t n;
	struct pair p;

	(void)state;
	pair_init(&p, NULL, TLS1_3_VERSION);
	for (int i = 0; i < 100; i++) {
		SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED);
		SSL_do_handshake(p.client);
	}
	p.server.readable = true;
	n = transport_read(&p.server, got, sizeof(got));
	assert_int_equal(n, IO_ERROR);
	assert_string_equal(transport_tls_error(), "too many records without data");
	pair_fini(&p);
}

static void
each_side_ends_by_itself(void **state)
{
	size_t n;
	struct pair p;

	(void)state;
	pair_init(&p, NULL, TLS1_3_VERSION);
	assert_int_equal(SSL_write_ex(p.client, "bye", 3, &n), 1);
	SSL_shutdown(p.client);
	p.server.readable = true;
	assert_int_equal(transport_read(&p.server, got, sizeof(got)), 3);
	assert_true(p.server.readable);
	assert_int_equal(transport_read(&p.server, got, sizeof(got)), IO_CLOSED);
	/* The other way goes on until its own end. */
	move_down(&p, 1000, 1);
	transport_shutdown(&p.server);
	assert_int_equal(SSL_read_ex(p.client, got, 10, &n), 0);
	assert_int_equal(SSL_get_error(p.client, 0), SSL_ERROR_ZERO_RETURN);
	pair_fini(&p);

	pair_init(&p, NULL, TLS1_3_VERSION);
	shutdown(p.client_fd, SHUT_WR);
	p.server.readable = true;
	assert_int_equal(transport_read(&p.server, got, sizeof(got)), IO_ERROR);
	assert_string_equal(transport_tls_error(), "connection closed without close_notify");
	pair_fini(&p);
}

/* What the client gets to hear about bytes that are no record of its. */
static void
refuses(const void *bytes, size_t len, const char *why, int alert)
{
	struct pair p;
	size_t n;

	pair_init(&p, NULL, TLS1_3_VERSION);
	assert_int_equal(write(p.client_fd, bytes, len), len);
	p.server.readable = true;
	assert_int_equal(transport_read(&p.server, got, sizeof(got)), IO_ERROR);
	assert_string_equal(transport_tls_error(), why);
	assert_int_equal(transport_read(&p.server, got, sizeof(got)), IO_ERROR);
	transport_close(&p.server, false);
	assert_int_equal(SSL_read_ex(p.client, got, 10, &n), 0);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + alert);
	pair_fini(&p);
}

static void
what_is_no_record_is_refused(void **state)
{
	static const unsigned char clear[] = { 21, 3, 3, 0, 2, 1, 0 }, old[] = { 23, 3, 1, 0, 20 },
				   change[] = { 20, 3, 3, 0, 1, 1 },
				   large_one[] = { 23, 3, 3, 0x41, 1 },
				   empty[] = { 23, 3, 3, 0, 16 };
	unsigned char wrong[60] = { 23, 3, 3, 0, 55 };

	(void)state;
	refuses(clear, sizeof(clear), "unexpected record", SSL_AD_UNEXPECTED_MESSAGE);
	refuses(old, sizeof(old), "unexpected record", SSL_AD_UNEXPECTED_MESSAGE);
	refuses(change, sizeof(change), "unexpected record", SSL_AD_UNEXPECTED_MESSAGE);
	refuses(large_one, sizeof(large_one), "record too long", SSL_AD_RECORD_OVERFLOW);
	refuses(empty, sizeof(empty), "bad record mac", SSL_AD_BAD_RECORD_MAC);
	refuses(wrong, sizeof(wrong), "bad record mac", SSL_AD_BAD_RECORD_MAC);
}

/* A key of the client's side of the connection. */
static void
take_key(const struct pair *p, struct tls_traffic_key *key)
{
	*key = (struct tls_traffic_key){ 0 };
	memcpy(key->secret, p->server.ssl->open.secret, sizeof(key->secret));
	assert_int_equal(tls_key_start(key, p->server.ssl->open.suite, true), 0);
}

static void
send_record(const struct pair *p, struct tls_traffic_key *key, const void *content, size_t len,
    uint8_t type)
{
	static uint8_t record[TLS_RECORD_MAX];
	size_t n = tls_record_seal(key, record, content, len, type);

	assert_int_equal(n, len + TLS_SEALED_MORE);
	assert_int_equal(write(p->client_fd, record, n), n);
}

static void
expect_refused(struct pair *p, const char *why, int alert)
{
	size_t n;

	p->server.readable = true;
	assert_int_equal(transport_read(&p->server, got, sizeof(got)), IO_ERROR);
	assert_string_equal(transport_tls_error(), why);
	if (alert != 0) {
		assert_int_equal(SSL_read_ex(p->client, got, 10, &n), 0);
		assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + alert);
	}
	pair_fini(p);
}

/* Sealed with the right key, and wrong inside. */
static void
seal_and_refuse(const void *content, size_t len, uint8_t type, const char *why, int alert)
{
	struct tls_traffic_key key;
	struct pair p;

	pair_init(&p, NULL, TLS1_3_VERSION);
	take_key(&p, &key);
	send_record(&p, &key, content, len, type);
	tls_key_fini(&key);
	expect_refused(&p, why, alert);
}

static void
what_no_client_may_say_is_refused(void **state)
{
	static const unsigned char hello[] = { 1, 0, 0, 1, 0 }, odd[] = { 24, 0, 0, 1, 2 },
				   two[] = { 24, 0, 0, 1, 0, 24, 0, 0, 1, 0 }, alert[] = { 2, 40 },
				   ticket[] = { 4, 0, 0, 0 }, certificate[] = { 11, 0, 0, 0 },
				   empty_update[] = { 24, 0, 0, 0 },
				   long_update[] = { 24, 0, 0, 2 };
	static const char *const unexpected = "unexpected handshake message";

	(void)state;
	seal_and_refuse(hello, 5, 22, unexpected, SSL_AD_UNEXPECTED_MESSAGE);
	seal_and_refuse(ticket, 4, 22, unexpected, SSL_AD_UNEXPECTED_MESSAGE);
	seal_and_refuse(certificate, 4, 22, unexpected, SSL_AD_UNEXPECTED_MESSAGE);
	seal_and_refuse(odd, 5, 22, "malformed KeyUpdate", SSL_AD_ILLEGAL_PARAMETER);
	seal_and_refuse(empty_update, 4, 22, "malformed KeyUpdate", SSL_AD_DECODE_ERROR);
	seal_and_refuse(long_update, 4, 22, "malformed KeyUpdate", SSL_AD_DECODE_ERROR);
	seal_and_refuse(two, 10, 22, unexpected, SSL_AD_UNEXPECTED_MESSAGE);
	seal_and_refuse(two, 0, 22, unexpected, SSL_AD_UNEXPECTED_MESSAGE);
	seal_and_refuse(alert, 1, 21, "malformed alert", SSL_AD_UNEXPECTED_MESSAGE);
	seal_and_refuse(alert, 0, 21, "malformed alert", SSL_AD_UNEXPECTED_MESSAGE);
	seal_and_refuse(alert, 2, 21, "handshake failure", 0);
	seal_and_refuse(alert, 2, 20, "record of an unknown type", SSL_AD_UNEXPECTED_MESSAGE);
	seal_and_refuse(alert, 2, 24, "record of an unknown type", SSL_AD_UNEXPECTED_MESSAGE);
	seal_and_refuse("", 0, 0, "unexpected record", SSL_AD_UNEXPECTED_MESSAGE); /* zeros alone */
	/* One byte of padding more than a record may have. */
	seal_and_refuse(
	    large, TLS_CONTENT_MAX + 1, TLS_TYPE_DATA, "record too long", SSL_AD_RECORD_OVERFLOW);
}

static void
messages_may_come_in_pieces(void **state)
{
	static const unsigned char update[] = { 24, 0, 0, 1, 1 };
	struct tls_traffic_key key;
	struct pair p;

	(void)state;
	pair_init(&p, NULL, TLS1_3_VERSION);
	take_key(&p, &key);
	for (size_t i = 0; i < sizeof(update); i++)
		send_record(&p, &key, update + i, 1, TLS_TYPE_HANDSHAKE);
	assert_int_equal(tls_key_update(&key, true), 0);
	send_record(&p, &key, "after", 5, TLS_TYPE_DATA);
	p.server.readable = true;
	assert_int_equal(transport_read(&p.server, got, sizeof(got)), 5);
	assert_true(p.server.ssl->owes_update);
	/* But nothing may come between them. */
	send_record(&p, &key, update, 2, TLS_TYPE_HANDSHAKE);
	send_record(&p, &key, "between", 7, TLS_TYPE_DATA);
	tls_key_fini(&key);
	expect_refused(&p, "record within a message of another type", SSL_AD_UNEXPECTED_MESSAGE);
}

/* Content, type and zeros: as many as the sender likes. */
static void
padding_is_taken_off(void **state)
{
	static uint8_t content[TLS_CONTENT_MAX];
	static const size_t lens[] = { 1, 2, 1000, TLS_CONTENT_MAX };
	struct tls_traffic_key key;
	struct pair p;

	(void)state;
	pair_init(&p, NULL, TLS1_3_VERSION);
	take_key(&p, &key);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		/* "x", the type, and zeros, of which tls_record_seal() adds the last one. */
		memset(content, 0, sizeof(content));
		content[0] = 'x';
		content[1] = TLS_TYPE_DATA;
		send_record(
		    &p, &key, content, lens[i] > 1 ? lens[i] : 1, lens[i] > 1 ? 0 : TLS_TYPE_DATA);
		p.server.readable = true;
		assert_int_equal(transport_read(&p.server, got, sizeof(got)), 1);
		assert_int_equal(got[0], 'x');
	}
	tls_key_fini(&key);
	pair_fini(&p);
}

static void
a_client_may_want_short_records(void **state)
{
	struct pair p;

	(void)state;
	wanted_fragment = TLSEXT_max_fragment_length_512;
	pair_init(&p, NULL, TLS1_3_VERSION);
	wanted_fragment = TLSEXT_max_fragment_length_DISABLED;
	assert_false(is_taken_over(&p));
	move_up(&p, 5000, 16 * 1024);
	move_down(&p, 50000, 2);
	pair_fini(&p);
}

/* Records torn at every place. */
static void
records_may_come_torn(void **state)
{
	uint8_t record[200];
	struct tls_traffic_key key = { 0 };
	struct pair p;

	(void)state;
	pair_init(&p, NULL, TLS1_3_VERSION);
	memcpy(key.secret, p.server.ssl->open.secret, sizeof(key.secret));
	assert_int_equal(tls_key_start(&key, p.server.ssl->open.suite, true), 0);
	for (int turn = 0; turn < 3; turn++) {
		size_t len = tls_record_seal(&key, record, "torn", 4, TLS_TYPE_DATA);

		for (size_t i = 0; i < len; i++) {
			ssize_t n;

			assert_int_equal(write(p.client_fd, record + i, 1), 1);
			p.server.readable = true;
			n = transport_read(&p.server, got, sizeof(got));
			assert_int_equal(n, i == len - 1 ? 4 : IO_WAIT);
		}
	}
	tls_key_fini(&key);
	pair_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_pass_under_every_suite),
		cmocka_unit_test(openssl_goes_on_before_1_3),
		cmocka_unit_test(an_idle_connection_owns_no_buffer),
		cmocka_unit_test(keys_change),
		cmocka_unit_test(keys_do_not_change_all_the_time),
		cmocka_unit_test(each_side_ends_by_itself),
		cmocka_unit_test(what_is_no_record_is_refused),
		cmocka_unit_test(what_no_client_may_say_is_refused),
		cmocka_unit_test(messages_may_come_in_pieces),
		cmocka_unit_test(padding_is_taken_off),
		cmocka_unit_test(a_client_may_want_short_records),
		cmocka_unit_test(records_may_come_torn),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, prepare, clean_up);
}
