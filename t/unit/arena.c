/* arena: zeroed, aligned, apart from each other, and all freed at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/arena.h"

static void
pieces_are_apart(void **state)
{
	enum { PIECES = 3000 };
	struct arena *arena = arena_new();
	unsigned char *pieces[PIECES];
	size_t sizes[PIECES], sum = 0;

	(void)state;
	for (size_t i = 0; i < PIECES; i++) {
		/*
		 * Most are small; some have a chunk of their own, between and beyond the sizes of
		 * chunks.
		 */
		sizes[i] = i % 100 == 99 ? i * 40 : i * 37 % 300;
		sum += sizes[i];
		pieces[i] = arena_alloc(arena, sizes[i]);
		assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(pieces[i][j], 0);
		memset(pieces[i], (int)(i % 256), sizes[i]);
	}
	for (size_t i = 0; i < PIECES; i++)
		for (size_t j = 0; j < sizes[i]; j++)
			if (pieces[i][j] != i % 256)
				fail_msg("piece %zu was overwritten", i);
	assert_in_range(arena_used(arena), sum, sum + PIECES * 16);
	arena_free(arena);
	arena_free(NULL);
}

static void
first_piece_may_be_large(void **state)
{
	struct arena *arena = arena_new();
	char *large = arena_alloc(arena, 100000), *small = arena_alloc(arena, 1);

	(void)state;
	memset(large, 1, 100000);
	assert_int_equal(*small, 0);
	arena_free(arena);
}

static void
grows(void **state)
{
	struct arena *arena = arena_new();
	int *old = arena_array(arena, 4, sizeof(*old)), *grown;

	(void)state;
	for (int i = 0; i < 4; i++)
		old[i] = i + 1;
	grown = arena_grow(arena, old, 4 * sizeof(*old), 8 * sizeof(*old));
	for (int i = 0; i < 8; i++)
		assert_int_equal(grown[i], i < 4 ? i + 1 : 0);
	grown = arena_grow(arena, NULL, 0, 4);
	assert_int_equal(grown[0], 0);
	arena_free(arena);
}

static void
makes_strings(void **state)
{
	struct arena *arena = arena_new();
	char *printed = xprintf("%s-%d", "a", 7);

	(void)state;
	assert_string_equal(arena_strdup(arena, "text"), "text");
	assert_string_equal(arena_strndup(arena, "text", 2), "te");
	assert_string_equal(arena_strndup(arena, NULL, 0), "");
	assert_string_equal(arena_printf(arena, "%s %d", "n", 42), "n 42");
	assert_string_equal(printed, "a-7");
	free(printed);
	arena_free(arena);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_apart),
		cmocka_unit_test(first_piece_may_be_large),
		cmocka_unit_test(grows),
		cmocka_unit_test(makes_strings),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
