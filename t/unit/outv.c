/* outv: pieces that touch become one, text is written in place where it may be, nothing is lost
 * when there are many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/buf.h"
#include "weir/outv.h"

/* What would be written, of `count` pieces. */
static size_t
collect(const struct outv *out, int count, char *text)
{
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		memcpy(text + len, out->v[i].iov_base, out->v[i].iov_len);
		len += out->v[i].iov_len;
	}
	return len;
}

static void
assert_out(const struct outv *out, const char *expected)
{
	static char text[128 * 1024];
	size_t len = collect(out, out->count, text);

	assert_int_equal(len, strlen(expected));
	assert_int_equal(out->len, len);
	assert_memory_equal(text, expected, len);
}

static void
touching_pieces(void **state)
{
	const char *text = "abcdefgh";
	struct outv out;

	(void)state;
	outv_init(&out, NULL, 0);
	outv_add(&out, text, 2);
	outv_add(&out, text + 2, 3);
	assert_int_equal(out.count, 1);
	outv_add(&out, text + 6, 2);
	outv_add(&out, text, 0);
	assert_int_equal(out.count, 2);
	assert_out(&out, "abcdegh");
	outv_fini(&out);
}

static void
text_in_place(void **state)
{
	char text[32] = "abc......";
	struct outv out;

	(void)state;
	outv_init(&out, text + 3, 4);
	outv_text(&out, SLICE("1")); /* nothing before it: elsewhere */
	outv_add(&out, text, 3);
	outv_text(&out, SLICE("xy"));
	assert_memory_equal(text, "abcxy....", 9);
	outv_text(&out, SLICE("zzz")); /* no room */
	assert_memory_equal(text, "abcxy....", 9);
	outv_text(&out, SLICE("w"));
	assert_out(&out, "1abcxyzzzw");
	outv_fini(&out);
}

static void
body_behind(void **state)
{
	char text[] = "headbody", all[32];
	const char *other = "BODY";
	struct outv out;
	struct buf *rest;

	(void)state;
	outv_init(&out, NULL, 0);
	outv_add(&out, text, 4);
	assert_int_equal(outv_behind(&out, text + 4, 4), 1);
	assert_int_equal(collect(&out, 1, all), 8);
	assert_int_equal(out.len, 4);
	rest = outv_rest(&out, 1);
	assert_int_equal(buf_len(rest), 3);
	assert_memory_equal(buf_head(rest), "ead", 3);
	buf_give(rest);
	assert_null(outv_rest(&out, 4));
	outv_fini(&out);

	outv_init(&out, NULL, 0);
	outv_add(&out, text, 4);
	assert_int_equal(outv_behind(&out, other, 4), 2);
	assert_int_equal(collect(&out, 2, all), 8);
	assert_memory_equal(all, "headBODY", 8);
	assert_int_equal(outv_behind(&out, NULL, 0), 1);
	outv_fini(&out);
}

/* Many pieces, each of its own memory, with text between them. */
static void
many_pieces(void **state)
{
	static char expected[4096], text[1024];
	struct outv out;
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	outv_init(&out, NULL, 0);
	for (size_t i = 0; i < 200; i++) {
		outv_add(&out, text + 3 * i, 2);
		memcpy(expected + len, text + 3 * i, 2);
		outv_text(&out, SLICE("--------"));
		memcpy(expected + len + 2, "--------", 8);
		len += 10;
	}
	assert_false(out.failed);
	assert_out(&out, expected);
	for (size_t written = 0; written < len; written += 7) {
		struct buf *rest = outv_rest(&out, written);

		assert_int_equal(buf_len(rest), len - written);
		assert_memory_equal(buf_head(rest), expected + written, len - written);
		buf_give(rest);
	}
	outv_fini(&out);
	assert_int_equal(buf_taken(), 0);
}

static void
too_much(void **state)
{
	char *large = calloc(1, 70000);
	struct outv out;

	(void)state;
	outv_init(&out, NULL, 0);
	outv_copy(&out, large, 40000);
	assert_false(out.failed);
	outv_copy(&out, large, 40000);
	assert_true(out.failed);
	outv_fini(&out);
	assert_int_equal(buf_taken(), 0);
	buf_trim();
	free(large);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(touching_pieces),
		cmocka_unit_test(text_in_place),
		cmocka_unit_test(body_behind),
		cmocka_unit_test(many_pieces),
		cmocka_unit_test(too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
