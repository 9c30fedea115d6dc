/*
 * udp: both ends of the UDP benchmark, and the least that could stand between them.
 *
 *	udp echo PORT                              sends each datagram back
 *	udp load PORT FLOWS BYTES SECONDS WINDOW   FLOWS clients, each with WINDOW datagrams under way
 *	udp relay PORT ECHO_PORT                   the floor for a proxy: the system calls without which a
 *	                                           client's datagram cannot reach a server, and its answer
 *	                                           the client, from a socket for each client
 *
 * The load prints the datagrams that came back, and those that it took for lost (and sent again).
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 64,
	DATAGRAM_MAX = 2048, /* bytes; the batch fits into a cache */
	EVENTS = 256,
	LOST_MS = 1000, /* longer than a slow proxy takes for all that is under way */
	BUFFER = 8 << 20
};

static char data[BATCH][DATAGRAM_MAX];

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct sockaddr_in
loopback(const char *port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int
listen_at(const char *port)
{
	struct sockaddr_in at = loopback(port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = BUFFER;

	if (fd == -1 || bind(fd, (struct sockaddr *)&at, sizeof(at)) == -1)
		fail("bind");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return fd;
}

static struct mmsghdr msgs[BATCH];
static struct sockaddr_in names[BATCH];
static struct iovec iov[BATCH];

/* Returns how many datagrams came; each message is ready to be sent back. */
static int
receive(int fd, int flags)
{
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ data[i], DATAGRAM_MAX };
		msgs[i].msg_hdr = (struct msghdr){ .msg_name = &names[i],
			.msg_namelen = sizeof(names[i]),
			.msg_iov = &iov[i],
			.msg_iovlen = 1 };
	}
	n = recvmmsg(fd, msgs, BATCH, flags, NULL);
	for (int i = 0; i < n; i++)
		iov[i].iov_len = msgs[i].msg_len;
	return n;
}

static void
echo(const char *port)
{
	int fd = listen_at(port);

	for (;;) {
		int n = receive(fd, MSG_WAITFORONE);

		if (n > 0)
			sendmmsg(fd, msgs, (unsigned)n, 0);
	}
}

/* ---- the floor ---- */

/* By the client's port, in network order: its socket towards the server; 0: none yet. */
static int towards[65536];

static void
relay_datagrams(int fd, int epoll, const struct sockaddr_in *to)
{
	int n;

	do {
		n = receive(fd, MSG_DONTWAIT);
		for (int i = 0; i < n; i++) {
			uint16_t port = names[i].sin_port;

			if (towards[port] == 0) {
				struct epoll_event event = { .events = EPOLLIN | EPOLLET,
					.data.u32 = port };

				towards[port] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
				if (towards[port] == -1 ||
				    connect(towards[port], (const struct sockaddr *)to,
					sizeof(*to)) == -1 ||
				    epoll_ctl(epoll, EPOLL_CTL_ADD, towards[port], &event) == -1)
					fail("socket");
			}
			send(towards[port], data[i], msgs[i].msg_len, MSG_DONTWAIT);
		}
	} while (n == BATCH);
}

/* Puts the answers to one client behind `count` others; sends them when there is no more room. */
static unsigned
relay_answers(int fd, uint16_t port, unsigned count)
{
	ssize_t len;

	while ((len = recv(towards[port], data[count], DATAGRAM_MAX, 0)) != -1) {
		names[count] = loopback("0");
		names[count].sin_port = port;
		iov[count] = (struct iovec){ data[count], (size_t)len };
		msgs[count].msg_hdr = (struct msghdr){ .msg_name = &names[count],
			.msg_namelen = sizeof(names[count]),
			.msg_iov = &iov[count],
			.msg_iovlen = 1 };
		if (++count == BATCH) {
			sendmmsg(fd, msgs, count, MSG_DONTWAIT);
			count = 0;
		}
	}
	return count;
}

static void
relay(const char *port, const char *echo_port)
{
	enum { LISTENER = 65536 };
	int fd = listen_at(port), epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = LISTENER };
	struct sockaddr_in to = loopback(echo_port);

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	for (;;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll, events, EVENTS, -1);
		unsigned count = 0, has_datagrams = 0;

		for (int k = 0; k < n; k++)
			if (events[k].data.u32 == LISTENER)
				has_datagrams = 1;
			else
				count = relay_answers(fd, (uint16_t)events[k].data.u32, count);
		if (count > 0)
			sendmmsg(fd, msgs, count, MSG_DONTWAIT);
		if (has_datagrams)
			relay_datagrams(fd, epoll, &to);
	}
}

/* ---- the load ---- */

static void
send_window(int fd, size_t len, unsigned count)
{
	while (count-- > 0)
		send(fd, data[0], len, 0);
}

static void
load(const char *port, unsigned flows, size_t len, unsigned seconds, unsigned window)
{
	struct sockaddr_in to = loopback(port);
	int *fds = calloc(flows, sizeof(*fds)), epoll = epoll_create1(0);
	uint64_t *sent_ms = calloc(flows, sizeof(*sent_ms));
	uint64_t end_ms = now_ms() + seconds * UINT64_C(1000), swept_ms = now_ms(), now = swept_ms;
	unsigned *waiting = calloc(flows, sizeof(*waiting)); /* for so many answers */
	uint64_t answers = 0, lost = 0;

	if (len > DATAGRAM_MAX) {
		fprintf(stderr, "udp: at most %d bytes\n", DATAGRAM_MAX);
		exit(2);
	}
	memset(data[0], 'x', len);
	for (unsigned i = 0; i < flows; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		if (fds[i] == -1 || connect(fds[i], (struct sockaddr *)&to, sizeof(to)) == -1 ||
		    epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) == -1)
			fail("socket");
		send_window(fds[i], len, window);
		waiting[i] = window;
		sent_ms[i] = now;
	}
	for (; now < end_ms; now = now_ms()) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll, events, EVENTS, 10);

		for (int k = 0; k < n; k++) {
			unsigned i = events[k].data.u32;

			while (waiting[i] > 0 &&
			       recv(fds[i], data[1], DATAGRAM_MAX, 0) == (ssize_t)len) {
				answers++;
				waiting[i]--;
			}
			if (waiting[i] == 0) {
				send_window(fds[i], len, window);
				waiting[i] = window;
				sent_ms[i] = now;
			}
		}
		if (now - swept_ms < LOST_MS)
			continue;
		swept_ms = now;
		for (unsigned i = 0; i < flows; i++)
			if (now - sent_ms[i] >= LOST_MS) {
				lost += waiting[i];
				send_window(fds[i], len, window);
				waiting[i] = window;
				sent_ms[i] = now;
			}
	}
	printf("%llu answers, %llu lost\n", (unsigned long long)answers, (unsigned long long)lost);
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "echo") == 0)
		echo(argv[2]);
	if (argc == 4 && strcmp(argv[1], "relay") == 0)
		relay(argv[2], argv[3]);
	if (argc != 7 || strcmp(argv[1], "load") != 0) {
		fprintf(stderr, "usage: udp echo PORT | udp load PORT FLOWS BYTES SECONDS WINDOW | "
				"udp relay PORT ECHO_PORT\n");
		return 2;
	}
	load(argv[2], (unsigned)atoi(argv[3]), (size_t)atoi(argv[4]), (unsigned)atoi(argv[5]),
	    (unsigned)atoi(argv[6]));
	return 0;
}
