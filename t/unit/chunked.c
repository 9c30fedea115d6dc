/* chunked: what is a chunked body, what is not, and that it does not matter how the bytes come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "weir/chunked.h"

static const struct {
	const char *coded, *data;
} good[] = {
	{ "0\r\n\r\n", "" },
	{ "000000000000000\r\n\r\n", "" },
	{ "5\r\nhello\r\n0\r\n\r\n", "hello" },
	{ "5;a=\"b;c\";d\r\nhello\r\n0;e\r\n\r\n", "hello" },
	{ "1;a\r\nx\r\n1;a=b\r\ny\r\n1;a=\"\"\r\nz\r\n0;a=b;c;d=\"\xe9\t\"\r\n\r\n", "xyz" },
	{ "1; a\t= b ; c=\t\"d\" ;e = \"\\\"\\\\;\"\r\nx\r\n0\r\n\r\n", "x" },
	{ "1\r\na\r\n02\r\nbc\r\n00\r\n\r\n", "abc" },
	{ "A\r\n0123456789\r\na\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
	    "01234567890\r\n\r\n0\r\n\r\n" },
	{ "2\r\n\r\n\r\n0\r\nX: y\r\nz:\r\nA:\t\xe9 \r\n\r\n", "\r\n" },
};

static const char *const bad[] = { "\r\n", " 5\r\n", "5 \r\n", "+5\r\n", "0x5\r\n",
	"5x\r\nhello\r\n0\r\n\r\n", "5\nhello", "5\r\r\n", "5\r\nhello0", "5\r\nhello\n",
	"5\r\nhello\r0", "5;a\nb\r\n", "5;\r\n", "5; \r\n", "5;;a\r\n", "5;a;\r\n", "5;a=\r\n",
	"5;a \r\n", "5;a=b \r\n", "5;a=\"b\r\n", "5;a=\"b\\\"\r\n", "5;a=\"b\"c\r\n", "5;a b\r\n",
	"5;a=b c\r\n", "5;=b\r\n", "5;\"a\"\r\n", "5;a=b=c\r\n", "5;a=\"b\" c\r\n", "5;(a)\r\n",
	"5;a=b,c\r\n", "5;a=\"\x01\"\r\n", "5;a=\"\\\x7f\"\r\n", "5;\x01\r\n", "5;\x7f\r\n",
	"1234567890123456\r\n", "ffffffffffffffff\r\n", "0\r\n\n", "0\r\n\rx", "0\r\nX\r\n",
	"0\r\nX : y\r\n", "0\r\n: y\r\n", "0\r\n X: y\r\n", "0\r\nX: y\n", "0\r\nX: y\r\n z\r\n",
	"0\r\nX: \x01\r\n", "0\r\nGET / HTTP/1.1\r\n" };

/* Feed `text` in pieces of `step` bytes; the data goes to `data`.  Returns bytes taken, or -1. */
static ptrdiff_t
feed(const char *text, size_t len, size_t step, char *data, size_t *data_len)
{
	struct chunked c;
	size_t at = 0;

	chunked_init(&c);
	*data_len = 0;
	while (at < len && !chunked_is_end(&c)) {
		size_t piece = len - at < step ? len - at : step, piece_at, piece_len;
		ptrdiff_t n = chunked_next(&c, text + at, piece, &piece_at, &piece_len);

		if (n < 0)
			return -1;
		assert_true(n > 0 && (size_t)n <= piece && piece_at + piece_len <= (size_t)n);
		assert_true(piece_len == 0 || piece_at + piece_len == (size_t)n);
		memcpy(data + *data_len, text + at + piece_at, piece_len);
		*data_len += piece_len;
		at += (size_t)n;
	}
	return chunked_is_end(&c) ? (ptrdiff_t)at : 0;
}

static void
good_bodies(void **state)
{
	char data[256], text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		size_t len = strlen(good[i].coded), data_len;

		snprintf(text, sizeof(text), "%sGET / HTTP/1.1\r\n", good[i].coded);
		for (size_t step = 1; step <= len + 5; step++) {
			struct chunked c;

			assert_int_equal(feed(text, strlen(text), step, data, &data_len), len);
			assert_int_equal(data_len, strlen(good[i].data));
			assert_memory_equal(data, good[i].data, data_len);
			chunked_init(&c);
			assert_int_equal(chunked_skim(&c, text, strlen(text)), len);
			assert_int_equal(chunked_skim(&c, text, 5), 0);
		}
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(feed(text, cut, cut + 1, data, &data_len), 0);
	}
}

static void
bad_bodies(void **state)
{
	char data[256];
	size_t data_len;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (size_t step = 1; step <= strlen(bad[i]); step++)
			assert_int_equal(feed(bad[i], strlen(bad[i]), step, data, &data_len), -1);
}

/* The same bytes shown again, or others, do not make a broken body whole. */
static void
broken_stays_broken(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct chunked c;

		chunked_init(&c);
		assert_int_equal(chunked_skim(&c, bad[i], strlen(bad[i])), -1);
		assert_int_equal(chunked_skim(&c, bad[i], strlen(bad[i])), -1);
		assert_int_equal(chunked_skim(&c, "0\r\n\r\n", 5), -1);
		assert_false(chunked_is_end(&c));
	}
}

/* Extensions and all trailers together are bounded. */
static void
overhead_is_bounded(void **state)
{
	struct chunked c;
	ptrdiff_t n;
	int lines = 0;

	(void)state;
	chunked_init(&c);
	assert_int_equal(chunked_skim(&c, "1;", 2), 2);
	for (lines = 0; lines < 100000 && (n = chunked_skim(&c, "x", 1)) > 0; lines++)
		;
	assert_in_range(lines, 1000, 65536);
	chunked_init(&c);
	assert_int_equal(chunked_skim(&c, "0\r\n", 3), 3);
	for (lines = 0; lines < 100000 && (n = chunked_skim(&c, "a:\r\n", 4)) > 0; lines++)
		;
	assert_in_range(lines, 100, 65536);
	chunked_init(&c);
	for (lines = 0; lines < 10000; lines++)
		assert_int_equal(chunked_skim(&c, "1;ext\r\nx\r\n", 10), 10);
	/* Long ones on short chunks add up. */
	static const char chunk[] = "1;an-extension-of-32-characters-x\r\nx\r\n";

	chunked_init(&c);
	for (lines = 0; lines < 10000 && chunked_skim(&c, chunk, sizeof(chunk) - 1) > 0; lines++)
		;
	assert_in_range(lines, 100, 1000);
}

static void
largest_size(void **state)
{
	struct chunked c;

	(void)state;
	chunked_init(&c);
	assert_int_equal(chunked_skim(&c, "fffffffffffffff\r\n", 17), 17);
	assert_true(c.left == UINT64_C(0xfffffffffffffff));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_bodies),
		cmocka_unit_test(bad_bodies),
		cmocka_unit_test(broken_stays_broken),
		cmocka_unit_test(overhead_is_bounded),
		cmocka_unit_test(largest_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
