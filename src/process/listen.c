#include "listen_priv.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	BACKLOG = 65535,       /* net.core.somaxconn cuts it */
	UDP_BUFFER = 4 << 20,
	TCP_FLAGS_OFFSET = 13, /* RFC 9293 section 3.1 */
	FLAG_SYN = 0x02,
	FLAG_ACK = 0x10
};

static int
close_failed(int fd)
{
	int saved = errno;

	if (fd != -1)
		close(fd);
	errno = saved;
	return -1;
}

static int
set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int
open_socket(const struct addr *addr, bool is_udp, bool v6only, bool reuseport)
{
	int type = (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
	int fd = socket(addr->sa.sa_family, type, 0);

	if (fd == -1)
		return -1;
	/* With UDP it would let others take the port. */
	if (!is_udp && set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) == -1)
		return close_failed(fd);
	if (reuseport && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) == -1)
		return close_failed(fd);
	if (addr->sa.sa_family == AF_INET6 &&
	    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6only) == -1)
		return close_failed(fd);
	/*
	 * Datagrams wait there while a worker is busy, and answers until they have left.  Less room
	 * than this is no fault.
	 */
	if (is_udp && set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, UDP_BUFFER) == -1)
		set_option(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER);
	if (is_udp && set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, UDP_BUFFER) == -1)
		set_option(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER);
	return fd;
}

static int
bind_socket(const struct addr *addr, bool is_udp, bool v6only, bool reuseport)
{
	int fd = open_socket(addr, is_udp, v6only, reuseport);

	if (fd != -1 && bind(fd, &addr->sa, addr->len) == -1)
		return close_failed(fd);
	return fd;
}

int
listen_probe(const struct addr *addr, bool is_udp, bool v6only)
{
	int fd = bind_socket(addr, is_udp, v6only, false);

	if (fd == -1)
		return -1;
	close(fd);
	return 0;
}

int
listen_bind(const struct addr *addr, bool v6only)
{
	return bind_socket(addr, false, v6only, true);
}

int
listen_open_udp(const struct addr *addr, bool v6only)
{
	return open_socket(addr, true, v6only, true);
}

int
listen_start_udp(int fd, const struct addr *addr)
{
	return bind(fd, &addr->sa, addr->len);
}

int
listen_start(int fd)
{
	return listen(fd, BACKLOG);
}

/* A file at the place of our socket may go only if it is a socket that nobody listens on. */
static int
remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, result;

	if (lstat(address->sun_path, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	result = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	if (result == -1 && errno == ECONNREFUSED) {
		close(fd);
		return unlink(address->sun_path);
	}
	close(fd);
	errno = EADDRINUSE;
	return -1;
}

int
listen_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, result;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	if (remove_stale(&address) == -1)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	mask = umask(0117); /* mode 0660 from the first moment on */
	result = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (result == -1 || listen(fd, BACKLOG) == -1)
		return close_failed(fd);
	return fd;
}

int
listen_stop_new(int fd)
{
	/* A socket filter of TCP sees the segment from the TCP header on; it returns how many bytes
	 * to keep. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_OFFSET),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, FLAG_SYN | FLAG_ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FLAG_SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

unsigned
listen_queued(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	/* Of a listening socket the kernel tells the length of its queue there. */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1)
		return 0;
	return info.tcpi_unacked;
}
