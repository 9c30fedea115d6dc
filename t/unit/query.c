/* query: heads of requests to the stats endpoint, whole and in every possible piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/stats/query_priv.h"

/* A copy of exactly `len` bytes: reading past them is found by the sanitizers. */
static bool
parse(struct query *query, const char *text, size_t len)
{
	char *copy = malloc(len + (len == 0));
	bool done;

	assert_non_null(copy);
	memcpy(copy, text, len);
	done = query_parse(query, copy, len);
	free(copy);
	return done;
}

static void
good_heads_are_partial_until_their_end(void **state)
{
	static const struct {
		const char *text, *path;
		bool is_head, closes;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "/", false, false },
		{ "HEAD /metrics?a=b?c HTTP/1.1\r\nhOST:x\r\nX:\r\n\r\n", "/metrics", true, false },
		{ "GET /a HTTP/1.1\r\nHost: x\r\nConnection: a , CLOSE\r\n\r\n", "/a", false,
		    true },
		{ "GET /a HTTP/1.1\r\nHost: x\r\nConnection: closed\r\nContent-Length: 0\r\n\r\n",
		    "/a", false, false },
		{ "GET /a HTTP/1.0\r\n\r\n", "/a", false, true },
		{ "GET HTTP://h:80/a?b HTTP/1.1\r\nHost: \xe4\xf6\r\n\r\n", "/a", false, false },
		{ "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", "/", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *text = cases[i].text;
		size_t len = strlen(text);
		struct query query;

		for (size_t part = 0; part < len; part++)
			assert_false(parse(&query, text, part));
		assert_true(query_parse(&query, text, len));
		assert_int_equal(query.status, 0);
		assert_int_equal(query.len, len);
		assert_int_equal(query.is_head, cases[i].is_head);
		assert_int_equal(query.closes, cases[i].closes);
		assert_true(slice_equal(query.path, slice_of(cases[i].path)));
	}
}

static void
only_the_first_head_is_taken(void **state)
{
	static const char text[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\n";
	struct query query;

	(void)state;
	assert_true(query_parse(&query, text, strlen(text)));
	assert_int_equal(query.status, 0);
	assert_int_equal(query.len, 28);
}

static void
every_byte_in_every_place(void **state)
{
	static const char good[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
	char text[sizeof(good)];
	struct query query;

	(void)state;
	for (size_t at = 0; at < strlen(good); at++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			memcpy(text, good, sizeof(good));
			text[at] = (char)byte;
			if (!parse(&query, text, strlen(good)))
				continue;
			assert_true(query.len <= strlen(good));
			if (byte == 0 ||
			    (byte < 0x20 && byte != '\t' && byte != '\r' && byte != '\n'))
				assert_int_not_equal(query.status, 0);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_heads_are_partial_until_their_end),
		cmocka_unit_test(only_the_first_head_is_taken),
		cmocka_unit_test(every_byte_in_every_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
