/* gzip: what goes in comes out again, however the bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "weir/gzip.h"

enum { SIZE = 100000 };

static char plain[SIZE], coded[2 * SIZE], back[SIZE + 1];

static size_t
inflate_all(size_t len)
{
	z_stream z = { .next_in = (Bytef *)coded, .avail_in = (uInt)len };
	int result;

	z.next_out = (Bytef *)back;
	z.avail_out = sizeof(back);
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	result = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	assert_int_equal(result, Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	return sizeof(back) - z.avail_out;
}

/* in_max, out_max: bytes given and room for one call; flush: after each piece. */
static void
round_trip(unsigned level, size_t in_max, size_t out_max, bool flush)
{
	struct gzip *gzip = gzip_take(level, 10);
	size_t at = 0, len = 0, taken;
	bool done = false;

	assert_non_null(gzip);
	while (at < SIZE) {
		size_t n = SIZE - at < in_max ? SIZE - at : in_max;

		len += gzip_run(gzip, GZIP_GO, plain + at, n, &taken, coded + len, out_max, &done);
		assert_true(taken <= n);
		at += taken;
		for (done = !flush; !done;)
			len += gzip_run(
			    gzip, GZIP_FLUSH, NULL, 0, &taken, coded + len, out_max, &done);
	}
	for (done = false; !done;)
		len += gzip_run(gzip, GZIP_END, NULL, 0, &taken, coded + len, out_max, &done);
	gzip_give(gzip);
	assert_int_equal(inflate_all(len), SIZE);
	assert_memory_equal(back, plain, SIZE);
}

static void
any_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		plain[i] = i * i % 251 > 100 ? (char)('a' + i % 26) : (char)rand();
	round_trip(1, SIZE, SIZE, false);
	round_trip(9, SIZE, 1000, false);
	round_trip(4, 1, SIZE / 2, false);
	round_trip(4, 7000, 64, true);
	round_trip(6, 1000, SIZE / 2, true);
	round_trip(1, 16384, 8, false);
	gzip_trim();
}

static void
no_more_than_allowed(void **state)
{
	struct gzip *a = gzip_take(1, 2), *b = gzip_take(1, 2);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_null(gzip_take(1, 2));
	gzip_give(a);
	a = gzip_take(9, 2);
	assert_non_null(a);
	gzip_give(a);
	gzip_give(b);
	gzip_give(NULL);
	gzip_trim();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_cut),
		cmocka_unit_test(no_more_than_allowed),
	};

	return cmocka_run_group_tests_name("gzip", tests, NULL, NULL);
}
