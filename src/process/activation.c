#include "activation_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sockets_priv.h"
#include "weir/addr.h"
#include "weir/log.h"

enum { FIRST_FD = 3, FDS_MAX = 1024 };

/* How many there are; 0: none, or they are meant for another process. */
static int
announced(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	long long number = pid != NULL ? strtoll(pid, NULL, 10) : 0;
	long fds = count != NULL ? strtol(count, NULL, 10) : 0;

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return number == (long long)getpid() && fds > 0 && fds <= FDS_MAX ? (int)fds : 0;
}

/* The value of a socket option; -1 with errno set. */
static int
option_of(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = 0;

	return getsockopt(fd, level, name, &value, &len) == -1 ? -1 : value;
}

/* Returns 0; -1: it is no socket that can be used, `why` says so. */
static int
take_one(struct sockets *sockets, int fd, const char **why)
{
	struct addr addr = { .len = sizeof(addr.in6) };
	int type, flags;

	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 || (flags = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1) {
		*why = strerror(errno);
		return -1;
	}
	type = option_of(fd, SOL_SOCKET, SO_TYPE);
	if ((type != SOCK_STREAM && type != SOCK_DGRAM) ||
	    getsockname(fd, &addr.sa, &addr.len) == -1 ||
	    (addr.sa.sa_family != AF_INET && addr.sa.sa_family != AF_INET6)) {
		*why = "neither TCP nor UDP";
		return -1;
	}
	if (type == SOCK_STREAM && option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1) {
		*why = "not listening (Accept=yes?)";
		return -1;
	}
	/* Each worker has a socket of its own at the address. */
	if (option_of(fd, SOL_SOCKET, SO_REUSEPORT) != 1) {
		*why = "its socket unit needs ReusePort=yes";
		return -1;
	}
	sockets_take_listening(sockets, &addr, type == SOCK_DGRAM,
	    addr.sa.sa_family == AF_INET6 && option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1, fd);
	return 0;
}

int
activation_take(struct sockets *sockets)
{
	int count = announced(), result = 0;
	const char *why;

	for (int fd = FIRST_FD; fd < FIRST_FD + count; fd++) {
		if (take_one(sockets, fd, &why) == 0)
			continue;
		log_errorx("socket %d of the service manager cannot be used: %s", fd - FIRST_FD + 1,
		    why);
		result = -1;
	}
	return result;
}
