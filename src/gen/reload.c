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

#include "weir/arena.h"

enum {
	ANSWER_MAX = 1 << 20,
	WAIT_SECONDS = 60,
	REQUEST_MAX = 57344 /* what the control socket takes */
};

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

/* One answer to one line.  NULL with errno set; the caller frees it. */
static char *
ask(const char *path, const char *request, size_t len)
{
	int fd = connect_socket(path), saved;
	char *line = NULL;
	ssize_t n;

	if (fd == -1)
		return NULL;
	while (len > 0) {
		n = send(fd, request, len, MSG_NOSIGNAL);
		if (n == -1 && errno != EINTR)
			break;
		request += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	if (len == 0)
		line = read_line(fd);
	saved = errno;
	close(fd);
	errno = saved;
	return line;
}

int
reload_daemon(const char *path)
{
	static const char request[] = "reload\n";
	char *line = ask(path, request, sizeof(request) - 1);
	int result;

	if (line == NULL) {
		fprintf(stderr, "weirgen: error: %s: cannot tell the daemon to reload: %s\n", path,
		    errno == EAGAIN ? "no answer in time" : strerror(errno));
		return -1;
	}
	result = judge_answer(path, line);
	free(line);
	return result;
}

int
reload_servers(const char *path, const char *change)
{
	char *request = xprintf("apply %s\n", change), *line;
	size_t len = strlen(request);
	json_t *answer;
	int result;

	line = len <= REQUEST_MAX ? ask(path, request, len) : NULL;
	answer = line != NULL ? json_loads(line, 0, NULL) : NULL;
	result = json_is_true(json_object_get(answer, "ok")) ? 0 : -1;
	json_decref(answer);
	free(line);
	free(request);
	return result;
}
