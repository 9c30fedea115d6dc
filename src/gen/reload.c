#include "reload_priv.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 1 << 20, WAIT_SECONDS = 60 };

static int
connect_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = WAIT_SECONDS };
	int fd, saved;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
	    connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* One line; NULL with errno set.  The caller frees it. */
static char *
read_line(int fd)
{
	char *line = malloc(ANSWER_MAX + 1);
	size_t len = 0;

	while (line != NULL && len < ANSWER_MAX) {
		ssize_t n = recv(fd, line + len, ANSWER_MAX - len, 0);
		char *end;

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = ECONNRESET;
			break;
		}
		end = memchr(line + len, '\n', (size_t)n);
		len += (size_t)n;
		if (end != NULL) {
			*end = '\0';
			return line;
		}
	}
	free(line);
	return NULL;
}

/* {"ok": true, ...} or {"ok": false, "error": "..."} */
static int
judge_answer(const char *path, const char *line)
{
	json_t *answer = json_loads(line, 0, NULL);
	const char *error = json_string_value(json_object_get(answer, "error"));
	int result = json_is_true(json_object_get(answer, "ok")) ? 0 : -1;

	if (result == -1)
		fprintf(stderr, "weirgen: error: %s: reload refused: %s\n", path,
		    error != NULL ? error : "the answer is not understood");
	json_decref(answer);
	return result;
}

int
reload_daemon(const char *path)
{
	static const char request[] = "reload\n";
	char *line = NULL;
	int result = -1, fd = connect_socket(path);

	if (fd == -1)
		goto fail;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
		goto fail;
	line = read_line(fd);
	if (line == NULL)
		goto fail;
	result = judge_answer(path, line);
	free(line);
	close(fd);
	return result;

fail:
	fprintf(stderr, "weirgen: error: %s: cannot tell the daemon to reload: %s\n", path,
	    errno == EAGAIN ? "no answer in time" : strerror(errno));
	if (fd != -1)
		close(fd);
	return -1;
}
