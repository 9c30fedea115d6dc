/*
 * udp: datagrams from clients to servers and back, in batches.
 *
 * Runs in: worker.  The kernel spreads clients over the sockets of a listener by their addresses,
 * so all datagrams of one client come to the same worker.  Answers are gathered over a turn of the
 * event loop and sent with one system call.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "udp_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/pace.h"

enum {
	BATCHES_MAX = 16, /* in one go, so that datagrams cannot starve connections */
	ANSWERS_MAX = 8   /* of one flow with one system call */
};

static void
batch_init(struct udp_batch *batch)
{
	batch->data = xmalloc((size_t)UDP_BATCH * UDP_DATAGRAM_MAX);
	for (size_t i = 0; i < UDP_BATCH; i++) {
		batch->iov[i].iov_base = batch->data + i * UDP_DATAGRAM_MAX;
		batch->msgs[i].msg_hdr.msg_iov = &batch->iov[i];
		batch->msgs[i].msg_hdr.msg_iovlen = 1;
	}
}

/* Make the places from `first` on ready to receive. */
static void
batch_clear(struct udp_batch *batch, unsigned first, unsigned count, bool with_names)
{
	for (unsigned i = first; i < first + count; i++) {
		struct msghdr *h = &batch->msgs[i].msg_hdr;

		batch->iov[i].iov_len = UDP_DATAGRAM_MAX;
		h->msg_name = with_names ? &batch->names[i].sa : NULL;
		h->msg_namelen = with_names ? sizeof(batch->names[i].in6) : 0;
		h->msg_control = with_names ? batch->controls[i].data : NULL;
		h->msg_controllen = with_names ? sizeof(batch->controls[i].data) : 0;
	}
}

/* ---- answers ---- */

static void
send_answers(struct udp *udp)
{
	const struct udp_socket *socket = udp->out_socket;
	unsigned sent = 0;

	while (sent < udp->out_count) {
		int n =
		    sendmmsg(socket->fd, udp->out.msgs + sent, udp->out_count - sent, MSG_DONTWAIT);

		if (n > 0) {
			sent += (unsigned)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		/* The first of them cannot be sent: to nowhere, or for want of room. */
		tally_add(socket->listener->tally, TALLY_DATAGRAMS_DROPPED, 1);
		sent++;
	}
	udp->out_count = 0;
}

/* Answers leave from the address that the client spoke to. */
static void
set_source(struct msghdr *h, union udp_control *control, const struct addr *local)
{
	struct cmsghdr *c;

	h->msg_control = control->data;
	h->msg_controllen = sizeof(control->data);
	memset(control, 0, sizeof(*control));
	c = CMSG_FIRSTHDR(h);
	if (local->sa.sa_family == AF_INET) {
		struct in_pktinfo info = { .ipi_spec_dst = local->in.sin_addr };

		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		h->msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		struct in6_pktinfo info = { .ipi6_addr = local->in6.sin6_addr,
			.ipi6_ifindex = local->in6.sin6_scope_id };

		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		h->msg_controllen = CMSG_SPACE(sizeof(info));
	}
}

/* Datagrams are no stream that could wait: those over the limit are lost. */
static bool
is_admitted(const struct listener *listener, enum pace_way way, size_t len)
{
	if (listener->pacer == NULL || pacer_admit(listener->pacer, way, len))
		return true;
	tally_add(listener->tally, TALLY_DATAGRAMS_LIMITED, 1);
	return false;
}

/* The answer of `len` bytes that came to place `from`, behind the others in the batch. */
static void
queue_answer(struct udp *udp, struct flow *flow, unsigned from, size_t len)
{
	unsigned i = udp->out_count++;
	void *data = udp->out.iov[from].iov_base;
	struct msghdr *h = &udp->out.msgs[i].msg_hdr;
	struct tally *tallies[] = { flow->client.listener->tally, flow->pool->tally,
		flow->server->tally };

	udp->out.iov[from].iov_base = udp->out.iov[i].iov_base;
	udp->out.iov[i].iov_base = data;
	udp->out.iov[i].iov_len = len;
	udp->out.names[i] = flow->client.address;
	h->msg_name = &udp->out.names[i].sa;
	h->msg_namelen = flow->client.address.len;
	if (flow->socket->is_wildcard)
		set_source(h, &udp->out.controls[i], &flow->local);
	flow->bytes_out += len;
	for (size_t t = 0; t < sizeof(tallies) / sizeof(tallies[0]); t++) {
		tally_add(tallies[t], TALLY_DATAGRAMS_OUT, 1);
		tally_add(tallies[t], TALLY_BYTES_OUT, len);
	}
}

/* Returns false when there are no more for now, or the flow has ended. */
static bool
read_answers(struct udp *udp, struct flow *flow)
{
	unsigned room, first;
	int n;

	if (udp->out_count > 0 && (udp->out_socket != flow->socket || udp->out_count == UDP_BATCH))
		send_answers(udp);
	udp->out_socket = flow->socket;
	first = udp->out_count;
	room = UDP_BATCH - first < ANSWERS_MAX ? UDP_BATCH - first : ANSWERS_MAX;
	batch_clear(&udp->out, first, room, false);
	n = recvmmsg(flow->client.transport.fd, udp->out.msgs + first, room, MSG_DONTWAIT, NULL);
	if (n == -1) {
		if (errno == EINTR)
			return true;
		if (errno != EAGAIN)
			flow_end(flow, END_CONNECT_FAILED);
		return false;
	}
	for (unsigned i = first; i < first + (unsigned)n; i++)
		if (is_admitted(flow->client.listener, PACE_OUT, udp->out.msgs[i].msg_len))
			queue_answer(udp, flow, i, udp->out.msgs[i].msg_len);
	flow_moved(flow);
	return (unsigned)n == room;
}

void
udp_on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct flow *flow = arg;
	struct udp *udp = front_worker(flow->client.front)->udp;

	(void)fd;
	(void)what;
	clock_update();
	for (int reads = 0; read_answers(udp, flow); reads++)
		if (reads == BATCHES_MAX) {
			event_active(&flow->client.transport.event, EV_READ, 0);
			break;
		}
}

/* ---- datagrams from clients ---- */

/* The address that the datagram came to. */
static void
read_destination(const struct udp_socket *socket, struct msghdr *h, struct addr *local)
{
	struct cmsghdr *c;

	*local = socket->local;
	if (!socket->is_wildcard)
		return;
	for (c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			local->in.sin_addr = info.ipi_spec_dst;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			local->in6.sin6_addr = info.ipi6_addr;
			/* Which of the links: only link-local addresses need it. */
			local->in6.sin6_scope_id = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)
						       ? (uint32_t)info.ipi6_ifindex
						       : 0;
		}
	}
}

static void
count_datagram(struct flow *flow, size_t len)
{
	struct tally *tallies[] = { flow->client.listener->tally, flow->pool->tally,
		flow->server->tally };

	flow->bytes_in += len;
	for (size_t t = 0; t < sizeof(tallies) / sizeof(tallies[0]); t++) {
		tally_add(tallies[t], TALLY_DATAGRAMS_IN, 1);
		tally_add(tallies[t], TALLY_BYTES_IN, len);
	}
}

static void
forward(struct udp_socket *socket, const struct addr *client, const struct addr *local,
    const void *data, size_t len)
{
	struct balance_request tried = { .client = client, .local = local };
	uint64_t hash;
	struct flow *flow = flow_find(socket, client, local, &hash);
	bool admitted = false;

	if (flow != NULL && !flow_is_usable(flow)) {
		flow_end(flow, END_SERVER_CLOSED);
		flow = NULL;
	}
	for (;;) {
		if (flow == NULL)
			flow = flow_open(socket, client, local, hash, &tried);
		if (flow == NULL) {
			tally_add(socket->listener->tally, TALLY_DATAGRAMS_DROPPED, 1);
			return;
		}
		admitted = admitted || is_admitted(socket->listener, PACE_IN, len);
		if (!admitted || flow_send(flow, data, len) == 0)
			break;
		if (tried.tried_count < BALANCE_TRIED_MAX)
			tried.tried[tried.tried_count++] = flow->server;
		flow_end(flow, END_CONNECT_FAILED);
		flow = NULL;
		if (tried.tried_count == BALANCE_TRIED_MAX) {
			tally_add(socket->listener->tally, TALLY_DATAGRAMS_DROPPED, 1);
			return;
		}
	}
	if (admitted)
		count_datagram(flow, len);
}

/* Returns false when there are no more for now. */
static bool
read_datagrams(struct udp_socket *socket, struct udp_batch *in)
{
	int n;

	batch_clear(in, 0, UDP_BATCH, true);
	n = recvmmsg(socket->fd, in->msgs, UDP_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		struct msghdr *h = &in->msgs[i].msg_hdr;
		struct addr local;

		in->names[i].len = h->msg_namelen;
		read_destination(socket, h, &local);
		forward(socket, &in->names[i], &local, in->iov[i].iov_base, in->msgs[i].msg_len);
	}
	return n == UDP_BATCH;
}

static void
on_datagrams(evutil_socket_t fd, short what, void *arg)
{
	struct udp_socket *socket = arg;
	struct udp *udp = front_worker(socket->front)->udp;

	(void)fd;
	(void)what;
	clock_update();
	for (int i = 0; i < BATCHES_MAX; i++)
		if (!read_datagrams(socket, &udp->in))
			break;
}

/* ---- life ---- */

static struct udp *
udp_new(void)
{
	struct udp *udp = xcalloc(1, sizeof(*udp));

	batch_init(&udp->in);
	batch_init(&udp->out);
	RAND_bytes((unsigned char *)&udp->seed, sizeof(udp->seed));
	udp->bucket_count = 1024;
	udp->buckets = xcalloc(udp->bucket_count, sizeof(struct flow *));
	return udp;
}

static bool
is_wildcard(const struct addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return addr->in.sin_addr.s_addr == INADDR_ANY;
	return IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

/* Have the kernel tell where each datagram came to. */
static int
ask_for_destinations(const struct udp_socket *socket)
{
	int one = 1;

	if (socket->local.sa.sa_family == AF_INET6)
		return setsockopt(socket->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
	return setsockopt(socket->fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
}

int
udp_listen(struct front *front, const struct listener *listener, int fd)
{
	struct worker *worker = front_worker(front);
	struct udp_socket *socket = xcalloc(1, sizeof(*socket));

	socket->front = front;
	socket->listener = listener;
	socket->local.len = sizeof(socket->local.in6);
	socket->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (socket->fd == -1 || getsockname(fd, &socket->local.sa, &socket->local.len) == -1)
		goto fail;
	socket->is_wildcard = is_wildcard(&socket->local);
	if (socket->is_wildcard && ask_for_destinations(socket) == -1)
		goto fail;
	if (event_assign(&socket->event, worker->base, socket->fd, EV_READ | EV_PERSIST,
		on_datagrams, socket) == -1 ||
	    event_add(&socket->event, NULL) == -1)
		goto fail;
	if (worker->udp == NULL)
		worker->udp = udp_new();
	socket->next = worker->udp->sockets;
	worker->udp->sockets = socket;
	return 0;

fail:
	if (socket->fd != -1)
		close(socket->fd);
	free(socket);
	return -1;
}

void
udp_drain(struct worker *worker)
{
	if (worker->udp == NULL)
		return;
	for (struct udp_socket *s = worker->udp->sockets; s != NULL; s = s->next)
		event_del(&s->event);
}

void
udp_turn(struct worker *worker)
{
	if (worker->udp != NULL && worker->udp->out_count > 0)
		send_answers(worker->udp);
}

void
udp_free(struct worker *worker)
{
	struct udp *udp = worker->udp;

	if (udp == NULL)
		return;
	udp_turn(worker);
	while (udp->sockets != NULL) {
		struct udp_socket *socket = udp->sockets;

		udp->sockets = socket->next;
		event_del(&socket->event);
		close(socket->fd);
		free(socket);
	}
	free(udp->in.data);
	free(udp->out.data);
	free(udp->buckets);
	free(udp);
	worker->udp = NULL;
}
