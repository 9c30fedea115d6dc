/* rewrite: heads as they are sent on, whichever way the pieces fall. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "weir/h1_parse.h"
#include "weir/rewrite.h"

static const struct h1_limits limits = { 8192, 128 };
static struct message m;
static struct addr client, server;
static struct forwarded_config forwarded;

static void
collect(const struct outv *out, char *text)
{
	size_t len = 0;

	assert_false(out->failed);
	for (int i = 0; i < out->count; i++) {
		memcpy(text + len, out->v[i].iov_base, out->v[i].iov_len);
		len += out->v[i].iov_len;
	}
	assert_int_equal(len, out->len);
	text[len] = '\0';
}

/* With and without room behind the head, and twice, as for a second attempt. */
static void
assert_request(const char *text, const char *expected, struct request_edits edits)
{
	static char head[16384], result[16384];
	size_t len = strlen(text);
	uint32_t scanned = 0;

	edits.client = &client;
	edits.server = &server;
	edits.forwarded = &forwarded;
	memcpy(head, text, len);
	assert_int_equal(h1_parse_request(&m, head, len, &scanned, &limits), H1_DONE);
	for (int i = 0; i < 4; i++) {
		struct outv out;

		if (i < 1)
			outv_init(&out, NULL, 0);
		else
			outv_init(&out, head + len - 2, i < 3 ? sizeof(head) - len : 9);
		rewrite_request(&out, &m, &edits);
		collect(&out, result);
		assert_string_equal(result, expected);
		outv_fini(&out);
	}
}

static void
requests(void **state)
{
	const struct request_edits none = { .is_tls = false };

	(void)state;
	forwarded = (struct forwarded_config){ .for_ = FORWARDED_FOR_APPEND };
	assert_request("GET / HTTP/1.1\r\nHost: t\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", none);
	assert_request("GET / HTTP/1.1\r\nHost: t\r\nConnection: a\r\nA: b\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", none);
	assert_request("GET / HTTP/1.1\r\nX-Forwarded-For: a \r\nHost: t\r\n\r\n",
	    "GET / HTTP/1.1\r\nX-Forwarded-For: a, 192.0.2.1\r\nHost: t\r\n\r\n", none);
	assert_request("GET / HTTP/1.0\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: 198.51.100.1:80\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", none);
	assert_request("GET http://o?q HTTP/1.1\r\nHost: t\r\n\r\n",
	    "GET /?q HTTP/1.1\r\nHost: o\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", none);
	assert_request("GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\nHost: t\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.1\r\n"
	    "Connection: upgrade\r\nUpgrade: x\r\n\r\n",
	    (struct request_edits){ .upgrade = true });
	forwarded = (struct forwarded_config){ .for_ = FORWARDED_FOR_REPLACE, .proto = true };
	assert_request(
	    "GET / HTTP/1.1\r\nX-Forwarded-For: a\r\nHost: t\r\nX-Forwarded-Proto: b\r\n\r\n",
	    "GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: "
	    "https\r\n\r\n",
	    (struct request_edits){ .is_tls = true });
	forwarded = (struct forwarded_config){ .for_ = FORWARDED_FOR_OFF };
	assert_request(
	    "GET / HTTP/1.1\r\nX-Forwarded-For: a\r\nHost: t\r\nX-Forwarded-Proto: b\r\n\r\n",
	    "GET / HTTP/1.1\r\nX-Forwarded-For: a\r\nHost: t\r\nX-Forwarded-Proto: b\r\n\r\n",
	    none);
}

/* So many pieces that they have to be copied together. */
static void
many_fields(void **state)
{
	char text[8192], expected[8192];
	int n, e;

	(void)state;
	forwarded = (struct forwarded_config){ .for_ = FORWARDED_FOR_APPEND };
	n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: t\r\n");
	e = snprintf(expected, sizeof(expected), "GET / HTTP/1.1\r\nHost: t\r\n");
	for (int i = 0; i < 60; i++) {
		n += snprintf(text + n, sizeof(text) - (size_t)n, "TE: x\r\nA-%d: %060d\r\n", i, i);
		e += snprintf(expected + e, sizeof(expected) - (size_t)e, "A-%d: %060d\r\n", i, i);
	}
	snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
	snprintf(expected + e, sizeof(expected) - (size_t)e, "X-Forwarded-For: 192.0.2.1\r\n\r\n");
	assert_request(text, expected, (struct request_edits){ .is_tls = false });
}

static void
assert_response(const char *text, const char *expected, struct response_edits edits)
{
	static char result[16384];
	struct outv out;
	uint32_t scanned = 0;

	assert_int_equal(
	    h1_parse_response(&m, text, strlen(text), &scanned, &limits, false), H1_DONE);
	outv_init(&out, NULL, 0);
	rewrite_response(&out, &m, &edits);
	collect(&out, result);
	assert_string_equal(result, expected);
	outv_fini(&out);
}

static void
responses(void **state)
{
	const struct response_edits none = { .close = false };

	(void)state;
	assert_response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", none);
	assert_response("HTTP/1.0 200\r\nConnection: x\r\nX: y\r\nA: b\r\n\r\n",
	    "HTTP/1.1 200 \r\nA: b\r\nSet-Cookie: c\r\nConnection: close\r\n\r\n",
	    (struct response_edits){ .close = true, .set_cookie = SLICE("Set-Cookie: c\r\n") });
	assert_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive\r\n\r\n",
	    (struct response_edits){ .keep_alive = true, .drop_coding = true });
	assert_response("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "HTTP/1.1 204 No\r\n\r\n", none);
	assert_response(
	    "HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 204 No\r\n\r\n", none);
	assert_response("HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
	    "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
	    (struct response_edits){ .upgrade = true });
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(many_fields),
		cmocka_unit_test(responses),
	};

	if (addr_parse(&client, "192.0.2.1:1234", 0) == -1 ||
	    addr_parse(&server, "198.51.100.1:80", 0) == -1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
