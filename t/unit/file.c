/* file: reading with a bound, replacing atomically, making directories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "weir/file.h"

static char directory[64];
static char path_buffers[4][128];

static const char *
in_directory(const char *name)
{
	static unsigned next;
	char *path = path_buffers[next++ % 4];

	snprintf(path, sizeof(path_buffers[0]), "%s/%s", directory, name);
	return path;
}

static int
make_directory(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/weir-file-XXXXXX");
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static int
remove_directory(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static void
assert_holds(const char *path, const char *expected)
{
	size_t len;
	char *text = file_read(path, 1000, &len);

	assert_non_null(text);
	assert_int_equal(len, strlen(expected));
	assert_string_equal(text, expected);
	free(text);
}

static void
reads_up_to_the_bound(void **state)
{
	const char *path = in_directory("bound");
	char *data = malloc(200000), *read;
	size_t len;

	(void)state;
	for (size_t i = 0; i < 200000; i++)
		data[i] = (char)(i % 251);
	assert_int_equal(file_write_atomic(path, data, 200000, 0600, NULL), 0);
	read = file_read(path, 200000, &len);
	assert_non_null(read);
	assert_int_equal(len, 200000);
	assert_memory_equal(read, data, len);
	assert_int_equal(read[len], '\0');
	free(read);
	assert_null(file_read(path, 199999, &len));
	assert_int_equal(errno, EFBIG);
	assert_null(file_read("/dev/zero", 1 << 20, &len));
	assert_int_equal(errno, EFBIG);
	assert_null(file_read(directory, 10, &len));
	assert_int_equal(errno, EISDIR);
	assert_null(file_read(in_directory("missing"), 10, &len));
	assert_int_equal(errno, ENOENT);
	free(data);
}

static void
writes_only_changes(void **state)
{
	const char *path = in_directory("written");
	struct stat before, after;
	bool changed;

	(void)state;
	assert_int_equal(file_write_atomic(path, "one", 3, 0640, &changed), 0);
	assert_true(changed);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(before.st_mode & 0777, 0640);
	assert_int_equal(file_write_atomic(path, "one", 3, 0640, &changed), 0);
	assert_false(changed);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	/* Shorter, longer, empty. */
	assert_int_equal(file_write_atomic(path, "on", 2, 0640, &changed), 0);
	assert_true(changed);
	assert_holds(path, "on");
	assert_int_equal(file_write_atomic(path, "ones", 4, 0640, &changed), 0);
	assert_holds(path, "ones");
	assert_int_equal(file_write_atomic(path, "", 0, 0640, &changed), 0);
	assert_true(changed);
	assert_holds(path, "");
}

static void
replaces_links_and_refuses_what_is_no_file(void **state)
{
	const char *path = in_directory("target"), *link = in_directory("link");
	const char *pipe = in_directory("pipe");
	struct stat st;
	bool changed;

	(void)state;
	assert_int_equal(file_write_atomic(path, "old", 3, 0600, NULL), 0);
	assert_int_equal(symlink("target", link), 0);
	assert_int_equal(file_write_atomic(link, "new", 3, 0600, &changed), 0);
	assert_true(changed);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_holds(link, "new");
	assert_holds(path, "old");

	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(file_write_atomic(pipe, "x", 1, 0600, &changed), -1);
	assert_int_equal(errno, EINVAL);
	assert_false(changed);
	assert_int_equal(file_write_atomic("/dev/null", "x", 1, 0600, NULL), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(file_write_atomic(directory, "x", 1, 0600, NULL), -1);
	assert_int_equal(errno, EISDIR);
	assert_int_equal(file_write_atomic(in_directory("missing/file"), "x", 1, 0600, NULL), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(file_write_atomic("", "x", 1, 0600, NULL), -1);
}

static void
makes_directories(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(file_make_dirs(in_directory("a/b//c/"), 0700), 0);
	assert_int_equal(stat(in_directory("a/b/c"), &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(file_make_dirs(in_directory("a/b/c"), 0700), 0);
	assert_int_equal(file_make_dirs("/", 0700), 0);
	assert_int_equal(file_make_dirs("", 0700), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(file_write_atomic(in_directory("a/file"), "x", 1, 0600, NULL), 0);
	assert_int_equal(file_make_dirs(in_directory("a/file"), 0700), -1);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(file_make_dirs(in_directory("a/file/b"), 0700), -1);
	assert_int_equal(errno, ENOTDIR);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_up_to_the_bound),
		cmocka_unit_test(writes_only_changes),
		cmocka_unit_test(replaces_links_and_refuses_what_is_no_file),
		cmocka_unit_test(makes_directories),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
