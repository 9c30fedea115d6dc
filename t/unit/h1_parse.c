/* h1_parse: heads in every prefix, and what the fields are taken for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/h1_parse.h"

static const struct h1_limits limits = { 1024, 16 };
static struct message m;

/* Each parse has its own allocation, so that a sanitizer sees a read behind the end. */
static enum h1_result
parse_part(const char *text, size_t len, uint32_t *scanned, bool is_request)
{
	static char *copy;

	free(copy);
	copy = malloc(len > 0 ? len : 1);
	memcpy(copy, text, len);
	return is_request ? h1_parse_request(&m, copy, len, scanned, &limits)
			  : h1_parse_response(&m, copy, len, scanned, &limits, false);
}

/* At once, and byte by byte: the result must be the same, and incomplete until then. */
static enum h1_result
parse(const char *text, size_t len, bool is_request)
{
	enum h1_result at_once, result = H1_MORE;
	uint32_t scanned = 0;

	for (size_t i = 1; i <= len && result == H1_MORE; i++)
		result = parse_part(text, i, &scanned, is_request);
	scanned = 0;
	at_once = parse_part(text, len, &scanned, is_request);
	assert_int_equal(result, at_once);
	return at_once;
}

static enum h1_result
request(const char *text)
{
	return parse(text, strlen(text), true);
}

static enum h1_result
response(const char *text)
{
	return parse(text, strlen(text), false);
}

static void
assert_slice(struct slice s, const char *text)
{
	assert_int_equal(s.len, strlen(text));
	assert_memory_equal(s.ptr, text, s.len);
}

static void
requests(void **state)
{
	(void)state;
	assert_int_equal(request("GET /a?b HTTP/1.1\r\nHost: t\r\nX:  y z \t\r\n\r\n"), H1_DONE);
	assert_int_equal(m.head_len, 41);
	assert_int_equal(m.method, METHOD_GET);
	assert_int_equal(m.minor, 1);
	assert_int_equal(m.framing, FRAMING_NONE);
	assert_true(m.keep_alive);
	assert_slice(m.host, "t");
	assert_slice(m.path, "/a?b");
	assert_int_equal(m.field_count, 2);
	assert_slice(message_name(&m, &m.fields[1]), "X");
	assert_slice(message_value(&m, &m.fields[1]), "y z");
	assert_int_equal(
	    request("POST http://o:1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 7\r\n\r\n"), H1_DONE);
	assert_slice(m.host, "o:1");
	assert_slice(m.path, "/x");
	assert_int_equal(m.framing, FRAMING_LENGTH);
	assert_int_equal(m.content_length, 7);
	assert_int_equal(
	    request("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: CHUNKED\r\n\r\n"), H1_DONE);
	assert_int_equal(m.framing, FRAMING_CHUNKED);
	assert_int_equal(request("GET / HTTP/1.0\r\n\r\n"), H1_DONE);
	assert_false(m.keep_alive);
	assert_int_equal(m.host.len, 0);
	assert_non_null(m.host.ptr);
	assert_int_equal(request("GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n"), H1_DONE);
	assert_true(m.keep_alive);
	assert_int_equal(
	    request("GET / HTTP/1.1\r\nHost: t\r\nConnection: keep-alive, close\r\n\r\n"), H1_DONE);
	assert_false(m.keep_alive);
	assert_int_equal(
	    request("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-Continue\r\n\r\n"), H1_DONE);
	assert_true(m.expect_continue);
	assert_int_equal(request("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n"), H1_DONE);
	assert_int_equal(request("CONNECT t:443 HTTP/1.1\r\nHost: t\r\n\r\n"), H1_DONE);
	assert_int_equal(m.method, METHOD_CONNECT);
}

static bool
upgrades(const char *fields)
{
	char text[512];

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: t\r\n%s\r\n", fields);
	assert_int_equal(request(text), H1_DONE);
	return m.upgrade;
}

static void
upgrade(void **state)
{
	(void)state;
	assert_true(upgrades("Connection: upgrade\r\nUpgrade: websocket\r\n"));
	assert_true(upgrades("Upgrade: SPDY/3.1\r\nConnection: a, Upgrade\r\n"));
	assert_false(upgrades("Upgrade: websocket\r\n"));
	assert_false(upgrades("Connection: upgrade\r\n"));
	assert_false(upgrades("Connection: upgrade\r\nUpgrade:\r\n"));
	assert_false(upgrades("Connection: upgrade\r\nUpgrade: h2c\r\n"));
	assert_false(upgrades("Connection: upgrade\r\nUpgrade: websocket, H2C\r\n"));
	assert_false(upgrades("Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n"));
	assert_false(upgrades("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"));
	assert_false(upgrades("Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n"));
	assert_false(upgrades("Connection: upgrade\r\nUpgrade: TLS/1.0\r\n"));
	assert_false(
	    upgrades("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n"));
	assert_false(upgrades(
	    "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n"));
	assert_true(upgrades("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"));
}

static bool
dropped(const char *connection, const char *name)
{
	char text[512];

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: t\r\nConnection: %s\r\n%s: x\r\n\r\n",
	    connection, name);
	assert_int_equal(request(text), H1_DONE);
	assert_true(m.fields[1].dropped);
	return m.fields[2].dropped;
}

static void
hop_by_hop(void **state)
{
	(void)state;
	assert_true(dropped("x", "Keep-Alive"));
	assert_true(dropped("x", "Proxy-Connection"));
	assert_true(dropped("x", "TE"));
	assert_true(dropped("x", "Upgrade"));
	assert_true(dropped("x-SECRET", "X-Secret"));
	assert_true(dropped("close, foo", "Foo"));
	assert_false(dropped("foo", "Foo2"));
	assert_false(dropped("authorization", "Authorization"));
	assert_false(dropped("cookie", "Cookie"));
	assert_false(dropped("x-forwarded-for", "X-Forwarded-For"));
	assert_false(dropped("x-forwarded-anything", "X-Forwarded-Anything"));
	assert_false(dropped("forwarded", "Forwarded"));
	assert_false(dropped("trailer", "Expect"));
}

static void
responses(void **state)
{
	uint32_t scanned = 0;
	const char *text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

	(void)state;
	assert_int_equal(response(text), H1_DONE);
	assert_int_equal(m.status, 200);
	assert_int_equal(m.framing, FRAMING_LENGTH);
	assert_int_equal(
	    h1_parse_response(&m, text, strlen(text), &scanned, &limits, true), H1_DONE);
	assert_int_equal(m.framing, FRAMING_NONE);
	assert_int_equal(response("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), H1_DONE);
	assert_int_equal(m.framing, FRAMING_NONE);
	assert_int_equal(response("HTTP/1.0 200 OK\r\n\r\n"), H1_DONE);
	assert_int_equal(m.framing, FRAMING_CLOSE);
	assert_false(m.keep_alive);
	assert_int_equal(response("HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n"), H1_DONE);
	assert_int_equal(m.framing, FRAMING_NONE);
	assert_int_equal(
	    response("HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n"), H1_DONE);
	assert_int_equal(m.framing, FRAMING_NONE);
	assert_int_equal(
	    response("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), H1_DONE);
	assert_true(m.upgrade);
	assert_int_equal(response("HTTP/1.1 600 X\r\n\r\n"), H1_BAD);
	assert_int_equal(response("HTTP/1.1 99 X\r\n\r\n"), H1_BAD);
	assert_int_equal(response("HTTP/2 200\r\n\r\n"), H1_BAD);
	assert_int_equal(response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), H1_BAD);
	assert_int_equal(
	    response("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"), H1_BAD);
}

static void
limits_hold(void **state)
{
	char text[4096];
	int n;

	(void)state;
	n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %0991d\r\n\r\n", 0);
	assert_int_equal(n, 1017);
	assert_int_equal(request(text), H1_DONE);
	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %01000d\r\n\r\n", 0);
	assert_int_equal(request(text), H1_TOO_LARGE);
	snprintf(text, sizeof(text), "GET /%01100d HTTP/1.1\r\nHost: t\r\n\r\n", 0);
	assert_int_equal(request(text), H1_TARGET_TOO_LONG);
	n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: t\r\n");
	for (int i = 0; i < 16; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "X: y\r\n");
	snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
	assert_int_equal(request(text), H1_TOO_LARGE);
}

/* Any octet in any place of a request: what is accepted must be accounted for byte by byte. */
static void
any_octet(void **state)
{
	static const char text[] = "GET /x HTTP/1.1\r\nHost: t\r\nA: b\r\n\r\n";
	char changed[sizeof(text)];

	(void)state;
	for (size_t at = 0; at < sizeof(text) - 1; at++)
		for (int c = 0; c < 256; c++) {
			uint32_t scanned = 0;
			enum h1_result result;

			memcpy(changed, text, sizeof(text));
			changed[at] = (char)c;
			result = h1_parse_request(&m, changed, sizeof(text) - 1, &scanned, &limits);
			if (result != H1_DONE)
				continue;
			assert_int_equal(m.head_len, sizeof(text) - 1);
			assert_true(
			    c == '\t' || (c >= ' ' && c != 0x7f) || (unsigned char)text[at] == c);
		}
}

static void
faults(void **state)
{
	size_t at = 0;

	(void)state;
	assert_int_equal(request("GET / HTTP/1.1\r\nHost: t\r\nA b: c\r\n\r\n"), H1_BAD);
	assert_string_equal(h1_fault(&at), "malformed field name");
	assert_int_equal(at, 26);
	assert_int_equal(request("GET / HTTP/1.2\r\nHost: t\r\n\r\n"), H1_VERSION);
	assert_int_equal(request("\x16\x03\x01"), H1_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(upgrade),
		cmocka_unit_test(hop_by_hop),
		cmocka_unit_test(responses),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(any_octet),
		cmocka_unit_test(faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
