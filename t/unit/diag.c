/* diag: what is printed, in which order, and that text from outside cannot forge lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/diag.h"

static void
assert_printed(const struct diag *diag, const char *expected)
{
	char *text = diag_text(diag, "weirgen");

	assert_string_equal(text, expected);
	free(text);
}

static void
orders_by_place(void **state)
{
	struct diag *diag = diag_new();

	(void)state;
	diag_error(diag, (struct where){ "b.yaml", 9, 1 }, "nine");
	diag_error(diag, (struct where){ "b.yaml", 10, 2 }, "ten");
	diag_warning(diag, (struct where){ NULL, 0, 0 }, "no file");
	diag_error(diag, (struct where){ "a.yaml", 1, 1 }, "second file");
	diag_error(diag, (struct where){ "b.yaml", 9, 1 }, "nine again");
	diag_warning(diag, (struct where){ "b.yaml", 2, 5 }, "two %d", 2);
	diag_error(diag, (struct where){ "b.yaml", 0, 0 }, "whole");
	assert_int_equal(diag_errors(diag), 5);
	assert_int_equal(diag_warnings(diag), 2);
	assert_printed(diag,
	    "b.yaml: error: whole\n"
	    "b.yaml:2:5: warning: two 2\n"
	    "b.yaml:9:1: error: nine\n"
	    "b.yaml:9:1: error: nine again\n"
	    "b.yaml:10:2: error: ten\n"
	    "a.yaml:1:1: error: second file\n"
	    "weirgen: warning: no file\n");
	diag_free(diag);
}

static void
says_the_same_once(void **state)
{
	struct diag *diag = diag_new();
	struct where where = { "a.yaml", 1, 1 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		diag_error(diag, where, "one");
		diag_error(diag, where, "other");
		diag_warning(diag, where, "one");
		diag_error(diag, (struct where){ "a.yaml", 1, 2 }, "one");
	}
	assert_printed(diag,
	    "a.yaml:1:1: error: one\n"
	    "a.yaml:1:1: error: other\n"
	    "a.yaml:1:1: warning: one\n"
	    "a.yaml:1:2: error: one\n");
	diag_free(diag);
}

static void
escapes_what_comes_from_outside(void **state)
{
	struct diag *diag = diag_new();

	(void)state;
	diag_error(diag, (struct where){ "a\nb.yaml", 1, 1 }, "\"%s\"", "x\ny\x1b[2J\x7f\t");
	diag_error(
	    diag, (struct where){ "a\nb.yaml", 2, 1 }, "\xc2\x9b and \xc3\xa9 and \xc2\xa0.");
	assert_printed(diag,
	    "a\\x0ab.yaml:1:1: error: \"x\\x0ay\\x1b[2J\\x7f\\x09\"\n"
	    "a\\x0ab.yaml:2:1: error: \\xc2\x9b and \xc3\xa9 and \xc2\xa0.\n");
	diag_free(diag);
}

static void
strict_makes_errors(void **state)
{
	struct diag *diag = diag_new();

	(void)state;
	diag_warning(diag, (struct where){ "a", 1, 1 }, "early");
	diag_be_strict(diag);
	diag_warning(diag, (struct where){ "a", 1, 1 }, "late");
	assert_int_equal(diag_errors(diag), 2);
	assert_int_equal(diag_warnings(diag), 0);
	assert_printed(diag, "a:1:1: error: early\na:1:1: error: late\n");
	diag_free(diag);
}

/* The tree whose places were named may be gone when they are printed. */
static void
owns_file_names(void **state)
{
	struct diag *diag = diag_new();
	char name[] = "gone.yaml";

	(void)state;
	diag_error(diag, (struct where){ name, 1, 1 }, "text");
	memset(name, 'x', sizeof(name) - 1);
	assert_printed(diag, "gone.yaml:1:1: error: text\n");
	diag_free(diag);
	diag = diag_new();
	assert_printed(diag, "");
	diag_free(diag);
	diag_free(NULL);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(orders_by_place),
		cmocka_unit_test(says_the_same_once),
		cmocka_unit_test(escapes_what_comes_from_outside),
		cmocka_unit_test(strict_makes_errors),
		cmocka_unit_test(owns_file_names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
