#include "pidfile_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/arena.h"
#include "weir/file.h"

static pid_t
read_number(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	char *end;
	long number;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	number = strtol(text, &end, 10);
	return end != text && number > 0 && number <= INT32_MAX ? (pid_t)number : 0;
}

/*
 * A lock of the open file: it lasts as long as the descriptor, and can be asked for without being
 * taken (flock(2) locks cannot, so that `weir -s` could be in the way of a start).
 */
static int
lock_command(int fd, int command, short *type)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int result = fcntl(fd, command, &lock);

	*type = lock.l_type;
	return result;
}

/* Another may have removed or replaced the file between our open() and the lock. */
static bool
is_still_there(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

static int
open_and_lock(const char *path, pid_t *owner)
{
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644), saved;
		short type;

		if (fd == -1)
			return -1;
		if (lock_command(fd, F_OFD_SETLK, &type) == -1) {
			saved = errno == EACCES ? EAGAIN : errno;
			*owner = read_number(fd);
			close(fd);
			errno = saved;
			return -1;
		}
		if (is_still_there(fd, path))
			return fd;
		close(fd);
	}
}

static void
make_directory_of(const char *path)
{
	char *copy = xstrdup(path);

	file_make_dirs(dirname(copy), 0755); /* what is wrong with it, open() tells */
	free(copy);
}

/* One pwrite() of all bytes, so that a reader finds the old number or the new one, never half of
 * it. */
int
pidfile_write(int fd)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (pwrite(fd, text, (size_t)len, 0) != len)
		return -1;
	return ftruncate(fd, len);
}

int
pidfile_open(const char *path, struct where where, struct diag *diag)
{
	pid_t owner = 0;
	int fd;

	make_directory_of(path);
	fd = open_and_lock(path, &owner);
	if (fd == -1 && errno == EAGAIN)
		diag_error(
		    diag, where, "pid file %s: weir runs already, as process %d", path, (int)owner);
	else if (fd == -1)
		diag_error(diag, where, "cannot write pid file %s: %s", path, strerror(errno));
	else if (pidfile_write(fd) == -1) {
		diag_error(diag, where, "cannot write pid file %s: %s", path, strerror(errno));
		close(fd);
		fd = -1;
	}
	return fd;
}

void
pidfile_close(int fd, const char *path)
{
	if (fd == -1)
		return;
	if (is_still_there(fd, path))
		unlink(path);
	close(fd);
}

pid_t
pidfile_owner(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	pid_t owner = 0;
	short type;

	if (fd == -1)
		return errno == ENOENT ? 0 : -1;
	if (lock_command(fd, F_OFD_GETLK, &type) == 0 && type != F_UNLCK)
		owner = read_number(fd);
	close(fd);
	return owner;
}
