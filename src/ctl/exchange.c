#include "exchange_priv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "weir/arena.h"

enum { ANSWER_MAX = 256 << 20 };

static int
exchange_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *hint = "";
	int fd = -1, error = ENAMETOOLONG;

	if (strlen(path) >= sizeof(address.sun_path))
		goto fail;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd != -1 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = errno;
	if (error == ENOENT || error == ECONNREFUSED)
		hint = "; is weir running?";

fail:
	fprintf(stderr, "weirctl: cannot connect to %s: %s%s\n", path, strerror(error), hint);
	if (fd != -1)
		close(fd);
	return -1;
}

static int
exchange_send(int fd, const char *line)
{
	char *request = xprintf("%s\n", line);
	size_t len = strlen(request), sent = 0;

	while (sent < len) {
		ssize_t n = send(fd, request + sent, len - sent, MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			break;
		sent += (size_t)n;
	}
	free(request);
	return sent == len ? 0 : -1;
}

/* The socket waits no longer than what is left of the deadline.  Returns false once it has passed.
 */
static bool
exchange_set_deadline(int fd, const struct timespec *end)
{
	struct timespec now;
	struct timeval left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec >= end->tv_sec)
		return false;
	left = (struct timeval){ .tv_sec = end->tv_sec - now.tv_sec };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof(left));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left));
	return true;
}

/* Returns the answer, or NULL with errno set. */
static char *
exchange_receive(int fd, const struct timespec *end)
{
	size_t size = 64 * 1024, len = 0;
	char *answer = xmalloc(size), *newline;

	errno = EAGAIN;
	while (exchange_set_deadline(fd, end)) {
		ssize_t n = recv(fd, answer + len, size - len, 0);

		if (n == -1 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n == 0)
			errno = ECONNRESET;
		if (n <= 0)
			break;
		newline = memchr(answer + len, '\n', (size_t)n);
		len += (size_t)n;
		if (newline != NULL) {
			*newline = '\0';
			return answer;
		}
		errno = EMSGSIZE;
		if (len >= ANSWER_MAX)
			break;
		if (len == size)
			answer = xrealloc(answer, size *= 2);
		errno = EAGAIN;
	}
	free(answer);
	return NULL;
}

char *
exchange_ask(const char *path, const char *line, unsigned timeout_s)
{
	int fd = exchange_connect(path);
	struct timespec end;
	char *answer = NULL;

	if (fd == -1)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += timeout_s;
	exchange_set_deadline(fd, &end);
	/* A daemon that has no room for us closes at once, but what it said before that counts. */
	if (exchange_send(fd, line) == 0 || errno == EPIPE)
		answer = exchange_receive(fd, &end);
	if (answer == NULL && errno == EAGAIN)
		fprintf(stderr, "weirctl: no answer from %s within %u seconds\n", path, timeout_s);
	else if (answer == NULL)
		fprintf(stderr, "weirctl: no answer from %s: %s\n", path,
		    errno == ECONNRESET ? "connection closed" : strerror(errno));
	close(fd);
	return answer;
}
