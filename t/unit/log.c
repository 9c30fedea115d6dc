/* The error log: whole lines, escaped, and of one kind never a flood. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "weir/clock.h"
#include "weir/log.h"

static char text[1 << 20];

/* What was written since the last look. */
static size_t
lines(FILE *file)
{
	size_t count = 0, len;

	rewind(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = '\0';
	assert_int_equal(ftruncate(fileno(file), 0), 0);
	for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		count++;
	return count;
}

static void
a_flood_is_held_back(void **state)
{
	FILE *file = tmpfile();

	(void)state;
	clock_update();
	log_set_fd(fileno(file));
	assert_int_equal(fcntl(fileno(file), F_SETFL, O_APPEND), 0);
	for (int i = 0; i < 5000; i++)
		log_warnx("peer %d misbehaves", i);
	assert_int_equal(lines(file), 100);
	assert_non_null(strstr(text, "warn weir["));
	assert_non_null(strstr(text, "]: peer 99 misbehaves\n"));
	for (int i = 0; i < 3; i++)
		log_errorx("another kind of line");
	assert_int_equal(lines(file), 3);
	log_set_fd(STDERR_FILENO);
	fclose(file);
}

static void
control_characters_are_escaped(void **state)
{
	FILE *file = tmpfile();

	(void)state;
	log_set_fd(fileno(file));
	log_warnx("a%sb", "\n\x1b[31m\x7f");
	assert_int_equal(lines(file), 1);
	assert_non_null(strstr(text, "]: a\\x0a\\x1b[31m\\x7fb\n"));
	log_set_fd(STDERR_FILENO);
	fclose(file);
}

static void
a_full_pipe_does_not_block(void **state)
{
	static char block[4096];
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	while (write(ends[1], block, sizeof(block)) > 0)
		;
	assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
	log_set_fd(ends[1]);
	log_warnx("nobody reads this");
	log_set_fd(STDERR_FILENO);
	close(ends[0]);
	close(ends[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_is_held_back),
		cmocka_unit_test(control_characters_are_escaped),
		cmocka_unit_test(a_full_pipe_does_not_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
