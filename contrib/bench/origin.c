/*
 * origin: the server behind the proxies of `make bench`.
 *
 *	origin PORT BYTES [ADDRESS]
 *
 * Answers every request head on ADDRESS:PORT (127.0.0.1) with 200 and BYTES bytes, and keeps the connection, but where
 * "Connection: close" is read.  One process, one epoll, one read and one write per request: it must never be what limits
 * a measurement.  Requests with bodies are not for it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNS_MAX = 65536, BODY_MAX = 1 << 20 };

/* How much of the blank line that ends a head was seen, per descriptor: reads may end anywhere. */
static unsigned char matched[CONNS_MAX];
static char *response;
static size_t response_len;

/* Counts the ends of request heads in `buf`. */
static unsigned
count_heads(int fd, const char *buf, ssize_t len)
{
	static const char end[] = "\r\n\r\n";
	unsigned char at = matched[fd];
	unsigned heads = 0;

	for (ssize_t i = 0; i < len; i++) {
		if (buf[i] == end[at])
			at++;
		else
			at = buf[i] == '\r';
		if (at == 4) {
			heads++;
			at = 0;
		}
	}
	matched[fd] = at;
	return heads;
}

/* Looked for where a request came in one piece, as short ones do. */
static bool
is_last(const char *buf, ssize_t len)
{
	static const char field[] = "\r\nConnection: close\r\n";

	return memmem(buf, (size_t)len, field, sizeof(field) - 1) != NULL;
}

/* Small responses fit into the socket buffer of a peer that reads; one that does not is not worth waiting for. */
static int
answer(int fd, unsigned heads)
{
	for (; heads > 0; heads--)
		for (size_t sent = 0; sent < response_len;) {
			ssize_t n = send(fd, response + sent, response_len - sent, MSG_NOSIGNAL);

			if (n == -1 && errno == EAGAIN)
				continue;
			if (n <= 0)
				return -1;
			sent += (size_t)n;
		}
	return 0;
}

static void
serve(int fd)
{
	char buf[16384];

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0 || answer(fd, count_heads(fd, buf, n)) == -1 || is_last(buf, n)) {
			close(fd);
			return;
		}
		if (n < (ssize_t)sizeof(buf))
			return; /* level-triggered: what comes later wakes us again */
	}
}

static void
accept_all(int epoll, int listener)
{
	int fd, one = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

		if (fd >= CONNS_MAX) {
			close(fd);
			continue;
		}
		matched[fd] = 0;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	}
}

static int
listen_on(const char *address, unsigned short port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1) {
		fprintf(stderr, "origin: no IPv4 address: %s\n", address);
		exit(2);
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd == -1 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 || listen(fd, 4096) == -1) {
		fprintf(stderr, "origin: port %u: %s\n", port, strerror(errno));
		exit(1);
	}
	return fd;
}

static void
make_response(size_t bytes)
{
	char head[128];
	int len = snprintf(head, sizeof(head),
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", bytes);

	response_len = (size_t)len + bytes;
	response = malloc(response_len);
	if (response == NULL)
		exit(1);
	memcpy(response, head, (size_t)len);
	memset(response + len, 'x', bytes);
}

int
main(int argc, char **argv)
{
	bool has_args = argc == 3 || argc == 4;
	long port = has_args ? strtol(argv[1], NULL, 10) : 0, bytes = has_args ? strtol(argv[2], NULL, 10) : -1;
	struct epoll_event events[256], event = { .events = EPOLLIN };
	int epoll, listener;

	if (port < 1 || port > 65535 || bytes < 0 || bytes > BODY_MAX) {
		fprintf(stderr, "usage: origin PORT BYTES [ADDRESS]\n");
		return 2;
	}
	make_response((size_t)bytes);
	listener = listen_on(argc == 4 ? argv[3] : "127.0.0.1", (unsigned short)port);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	event.data.fd = listener;
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int n = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_all(epoll, listener);
			else
				serve(events[i].data.fd);
		}
	}
}
