/*
 * udp_flows: many UDP clients in one process, for t/22-udp-flows.t.
 *
 *	udp_flows PORT FLOWS WINDOW
 *
 * Clients are addresses of 127.16.0.0/12 with one socket among them.  They ask in turn, at most WINDOW at a time, as long
 * as standard input lasts; a server answers NAME:DATAGRAM.  Prints "ready" after the first round, and at the end how
 * many datagrams were sent, lost (no answer in WAIT_MS), answered to another client or by another server than before.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 15000, TEXT_SIZE = 64, BUFFER = 8 << 20, BASE = 127 << 24 | 16 << 16 };

struct flow {
	uint64_t asked_ms; /* 0: it waits for nothing */
	unsigned long number;
	char server;
};

static struct {
	unsigned long sent, lost, strange, moved;
} counts;

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
ask(int fd, const struct sockaddr_in *to, unsigned i, struct flow *flow)
{
	char text[TEXT_SIZE];
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = { 0 };
	struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl(BASE + i + 1) };
	struct iovec iov = { text, 0 };
	struct msghdr msg = { .msg_name = (void *)(uintptr_t)to,
		.msg_namelen = sizeof(*to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.data,
		.msg_controllen = sizeof(control.data) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	flow->asked_ms = now_ms();
	flow->number = ++counts.sent;
	iov.iov_len = (size_t)snprintf(text, sizeof(text), "%u %lu", i, flow->number);
	if (sendmsg(fd, &msg, 0) == -1) {
		perror("sendmsg");
		exit(1);
	}
}

/* Returns whether it was the answer to what its client had asked. */
static int
hear(int fd, struct flow *flows, unsigned count)
{
	char text[TEXT_SIZE] = "", server;
	char control[256];
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	unsigned i, to = 0;
	unsigned long number;

	if (recvmsg(fd, &msg, MSG_DONTWAIT) == -1)
		return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			to = ntohl(info.ipi_addr.s_addr) - BASE - 1;
		}
	if (sscanf(text, "%c:%u %lu", &server, &i, &number) != 3 || i >= count || to != i) {
		counts.strange++;
		return 0;
	}
	if (flows[i].server != 0 && flows[i].server != server)
		counts.moved++;
	flows[i].server = server;
	if (flows[i].asked_ms == 0 || flows[i].number != number)
		return 0; /* it was taken for lost */
	flows[i].asked_ms = 0;
	return 1;
}

static int
has_input(void)
{
	struct pollfd p = { STDIN_FILENO, POLLIN, 0 };

	return poll(&p, 1, 0) == 0;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	unsigned count, window, waiting = 0, next = 0, oldest = 0;
	struct pollfd p = { socket(AF_INET, SOCK_DGRAM, 0), POLLIN, 0 };
	int one = 1, size = BUFFER;
	struct flow *flows;

	if (argc != 4)
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[1]));
	count = (unsigned)atoi(argv[2]);
	window = (unsigned)atoi(argv[3]);
	flows = calloc(count, sizeof(*flows));
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(p.fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	while (waiting > 0 || has_input()) {
		/* The clients take turns: `oldest` is the first that may still wait. */
		while (waiting < window && flows[next].asked_ms == 0 && has_input()) {
			ask(p.fd, &to, next, &flows[next]);
			waiting++;
			next = (next + 1) % count;
			if (counts.sent == count) {
				puts("ready");
				fflush(stdout);
			}
		}
		poll(&p, 1, 100);
		while (waiting > 0 && poll(&p, 1, 0) == 1)
			waiting -= (unsigned)hear(p.fd, flows, count);
		while (waiting > 0 && flows[oldest].asked_ms == 0)
			oldest = (oldest + 1) % count;
		if (waiting > 0 && now_ms() - flows[oldest].asked_ms > WAIT_MS) {
			flows[oldest].asked_ms = 0;
			counts.lost++;
			waiting--;
		}
	}
	printf("sent %lu lost %lu strange %lu moved %lu\n", counts.sent, counts.lost,
	    counts.strange, counts.moved);
	return 0;
}
