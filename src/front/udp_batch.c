/*
 * udp_batch: datagrams that are received or sent with one system call, and those that the kernel
 * handles as one (UDP_GRO, UDP_SEGMENT; udp(7)): datagrams of one size and one direction that follow
 * each other pass through the network stack together.
 */
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <string.h>

#include "udp_priv.h"
#include "weir/arena.h"

enum {
	SEGMENTS_MAX = 64,
	SEGMENTED_MAX = 65000, /* bytes: with any headers less than 64 KiB */
	/*
	 * From one place to the next.  Were it a power of two, the beginnings of all places, which
	 * is what most datagrams fill, would share a few lines of each cache: so each begins 21
	 * lines further.
	 */
	PLACE_STRIDE = UDP_DATAGRAM_MAX + 21 * 64
};

void
batch_init(struct udp_batch *batch)
{
	batch->data = xmalloc((size_t)UDP_BATCH * PLACE_STRIDE);
	for (size_t i = 0; i < UDP_BATCH; i++)
		batch->iov[i].iov_base = batch->data + i * PLACE_STRIDE;
}

void
batch_clear(struct udp_batch *batch, unsigned first, unsigned count, bool with_names)
{
	for (unsigned i = first; i < first + count; i++) {
		struct msghdr *h = &batch->msgs[i].msg_hdr;

		batch->iov[i].iov_len = UDP_DATAGRAM_MAX;
		h->msg_iov = &batch->iov[i];
		h->msg_iovlen = 1;
		h->msg_name = with_names ? &batch->names[i].sa : NULL;
		h->msg_namelen = with_names ? sizeof(batch->names[i].in6) : 0;
		h->msg_control = batch->controls[i].data;
		h->msg_controllen = sizeof(batch->controls[i].data);
	}
}

int
batch_receive(struct udp_batch *batch, int fd, unsigned first, unsigned count)
{
	return recvmmsg(fd, batch->msgs + first, count, MSG_DONTWAIT, NULL);
}

int
batch_receive_one(struct udp_batch *batch, int fd, unsigned place)
{
	ssize_t n = recv(fd, batch->iov[place].iov_base, UDP_DATAGRAM_MAX, MSG_DONTWAIT);

	if (n == -1)
		return -1;
	batch->msgs[place].msg_len = (unsigned)n;
	batch->msgs[place].msg_hdr.msg_controllen = 0;
	return 1;
}

size_t
batch_segment(const struct mmsghdr *m)
{
	struct msghdr *h = (struct msghdr *)(uintptr_t)&m->msg_hdr;
	int segment = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
	return segment > 0 && (size_t)segment < m->msg_len ? (size_t)segment : m->msg_len;
}

/* A control message behind those that are there. */
static void
add_control(struct msghdr *h, union udp_control *control, int level, int type, const void *value,
    size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)(control->data + h->msg_controllen);

	h->msg_control = control->data;
	h->msg_controllen += CMSG_SPACE(len);
	memset(c, 0, CMSG_SPACE(len));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), value, len);
}

void
udp_set_source(struct msghdr *h, union udp_control *control, const struct addr *local)
{
	if (local->sa.sa_family == AF_INET) {
		struct in_pktinfo info = { .ipi_spec_dst = local->in.sin_addr };

		add_control(h, control, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else {
		struct in6_pktinfo info = { .ipi6_addr = local->in6.sin6_addr,
			.ipi6_ifindex = local->in6.sin6_scope_id };

		add_control(h, control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
}

void
udp_set_segment(struct msghdr *h, union udp_control *control, size_t segment)
{
	uint16_t size = (uint16_t)segment;

	add_control(h, control, SOL_UDP, UDP_SEGMENT, &size, sizeof(size));
}

/* ---- runs ---- */

unsigned
run_datagrams(const struct udp_run *run)
{
	/* Mostly it is one, which takes no division. */
	if (run->len <= run->segment || run->segment == 0)
		return 1;
	return (unsigned)((run->len + run->segment - 1) / run->segment);
}

bool
run_join(struct udp_run *run, const struct udp_run *next)
{
	/* All but the last one have the same size, and none is empty. */
	if (next->len == 0 || run->segment == 0 || run->len % run->segment != 0 ||
	    (next->segment != run->segment && next->len > run->segment) ||
	    run->len + next->len > SEGMENTED_MAX ||
	    run_datagrams(run) + run_datagrams(next) > SEGMENTS_MAX)
		return false;
	run->len += next->len;
	return true;
}

/* ---- what the kernel can do ---- */

bool
udp_can_segment(int fd)
{
	int zero = 0;

	return setsockopt(fd, SOL_UDP, UDP_SEGMENT, &zero, sizeof(zero)) == 0;
}

void
udp_ask_for_runs(int fd)
{
	int one = 1;

	/* Without it each datagram comes by itself. */
	setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
}

uint32_t
udp_kernel_drops(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	/* Kernels without it (before Linux 4.12), or without the number, tell of none. */
	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) == -1)
		return 0;
	return info[SK_MEMINFO_DROPS];
}
