#include "weir/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "weir/arena.h"

static char *
read_all(int fd, size_t max, size_t *len)
{
	size_t size = 64 * 1024, filled = 0;
	char *data = xmalloc(size + 1);

	for (;;) {
		ssize_t n = read(fd, data + filled, size - filled);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			break;
		if (n == 0) {
			data[filled] = '\0';
			*len = filled;
			return data;
		}
		filled += (size_t)n;
		if (filled > max) {
			errno = EFBIG;
			break;
		}
		if (filled == size) {
			size *= 2;
			data = xrealloc(data, size + 1);
		}
	}
	free(data);
	return NULL;
}

static uint64_t reads_seen;

void
file_watch_reads(void)
{
	reads_seen = 0;
}

uint64_t
file_reads_seen(void)
{
	return reads_seen;
}

/* In any order: whose caller walks a directory may find the files in another one. */
static void
see_read(const char *path, const char *data, size_t len)
{
	reads_seen += XXH3_64bits_withSeed(data, len, XXH3_64bits(path, strlen(path)));
}

char *
file_read(const char *path, size_t max, size_t *len)
{
	int fd, saved;
	char *data;

	if (strcmp(path, "-") == 0)
		return read_all(STDIN_FILENO, max, len);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return NULL;
	data = read_all(fd, max, len);
	saved = errno;
	close(fd);
	errno = saved;
	if (data != NULL)
		see_read(path, data, *len);
	return data;
}

static bool
holds_already(const char *path, const void *data, size_t len)
{
	size_t old_len;
	char *old = file_read(path, len, &old_len);
	bool same = old != NULL && old_len == len && memcmp(old, data, len) == 0;

	free(old);
	return same;
}

static int
write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A rename lasts over a crash only once its directory is on disk too. */
static void
sync_directory(const char *path)
{
	char *copy = xstrdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd != -1) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}

/*
 * A pipe or device is no file to replace: reading it could block, and the rename would put a file
 * in its place (think of /dev/null and root).
 */
static int
check_target(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	if (S_ISREG(st.st_mode))
		return 0;
	errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	return -1;
}

static int
replace(const char *path, const void *data, size_t len, mode_t mode)
{
	char *temporary = xprintf("%s.XXXXXX", path);
	int fd, saved;

	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd == -1)
		goto fail;
	if (write_all(fd, data, len) == -1 || fchmod(fd, mode) == -1 || fsync(fd) == -1)
		goto fail;
	if (rename(temporary, path) == -1)
		goto fail;
	close(fd);
	free(temporary);
	sync_directory(path);
	return 0;

fail:
	saved = errno;
	if (fd != -1) {
		close(fd);
		unlink(temporary);
	}
	free(temporary);
	errno = saved;
	return -1;
}

int
file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, bool *changed)
{
	if (changed != NULL)
		*changed = false;
	if (check_target(path) == -1)
		return -1;
	if (holds_already(path, data, len))
		return 0;
	if (replace(path, data, len, mode) == -1)
		return -1;
	if (changed != NULL)
		*changed = true;
	return 0;
}

int
file_make_dirs(const char *path, mode_t mode)
{
	char *copy = xstrdup(path);
	size_t len = strlen(path);
	int result = 0, saved = 0;
	struct stat st;

	for (size_t i = 1; i < len && result == 0; i++) {
		if (copy[i] != '/')
			continue;
		copy[i] = '\0';
		if (mkdir(copy, mode) == -1 && errno != EEXIST)
			result = -1;
		saved = errno;
		copy[i] = '/';
	}
	free(copy);
	errno = saved;
	if (result == -1 || mkdir(path, mode) == 0)
		return result;
	if (errno != EEXIST || stat(path, &st) == -1)
		return -1;
	errno = ENOTDIR;
	return S_ISDIR(st.st_mode) ? 0 : -1;
}
