/* The writer of access logs on a disk that is full: what is torn is ended, and what is lost is counted. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "weir/log_writer.h"

static FILE *file;
static _Atomic uint64_t torn, lost[2];
static struct log_writer *writers[2]; /* as of two workers */

static int
setup(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	file = tmpfile();
	assert_int_equal(fcntl(fileno(file), F_SETFL, O_APPEND), 0);
	torn = 0;
	for (int i = 0; i < 2; i++) {
		lost[i] = 0;
		writers[i] = log_writer_new(fileno(file), "test", NULL, &lost[i], &torn);
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		log_writer_free(writers[i]);
	fclose(file);
	return 0;
}

/* The disk ends there. */
static void
limit(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size != 0 ? size : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void
add(struct log_writer *writer, const char *line)
{
	log_line_begin(writer, "test");
	log_line_add(writer, "%s", line);
	log_line_end(writer);
}

static void
expect_file(const char *wanted)
{
	char text[256];
	ssize_t len = pread(fileno(file), text, sizeof(text) - 1, 0);

	assert_true(len >= 0);
	text[len] = '\0';
	assert_string_equal(text, wanted);
}

static void
another_writer_ends_a_torn_line(void **state)
{
	(void)state;
	limit(9);
	add(writers[0], "first");
	add(writers[0], "second");
	add(writers[0], "third");
	log_writer_flush(writers[0]);
	expect_file("first\nsec");
	assert_int_equal(lost[0], 2);
	add(writers[1], "lost");
	log_writer_flush(writers[1]);
	expect_file("first\nsec");
	assert_int_equal(lost[1], 1);
	limit(0);
	add(writers[1], "other");
	log_writer_flush(writers[1]);
	add(writers[0], "fourth");
	log_writer_flush(writers[0]);
	expect_file("first\nsec\nother\nfourth\n");
	assert_int_equal(lost[0] + lost[1], 3);
}

static void
a_line_that_lacks_its_end_alone_is_not_lost(void **state)
{
	(void)state;
	limit(5);
	add(writers[0], "first");
	add(writers[0], "second");
	log_writer_flush(writers[0]);
	expect_file("first");
	assert_int_equal(lost[0], 1);
	limit(0);
	add(writers[1], "third");
	log_writer_flush(writers[1]);
	expect_file("first\nthird\n");
}

static void
whole_lines_leave_nothing_to_end(void **state)
{
	(void)state;
	limit(6);
	add(writers[0], "first");
	add(writers[0], "second");
	log_writer_flush(writers[0]);
	assert_int_equal(lost[0], 1);
	limit(0);
	add(writers[1], "third");
	log_writer_flush(writers[1]);
	expect_file("first\nthird\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(another_writer_ends_a_torn_line, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_line_that_lacks_its_end_alone_is_not_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(whole_lines_leave_nothing_to_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
