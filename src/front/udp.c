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
	DROPS_MS = 1000   /* how often to ask what a listener's socket had no room for */
};

/* The address that a datagram came to, or leaves from. */
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

/* ---- answers ---- */

/* Some path takes no segments: a network that is narrower than they are, or a device. */
static void
send_one_by_one(const struct udp_socket *socket, const struct msghdr *h, size_t segment)
{
	union udp_control control;

	for (size_t i = 0; i < h->msg_iovlen; i++)
		for (size_t at = 0; at < h->msg_iov[i].iov_len; at += segment) {
			size_t left = h->msg_iov[i].iov_len - at;
			struct iovec iov = { (char *)h->msg_iov[i].iov_base + at,
				left < segment ? left : segment };
			struct msghdr one = { .msg_name = h->msg_name,
				.msg_namelen = h->msg_namelen,
				.msg_iov = &iov,
				.msg_iovlen = 1 };
			struct addr local = socket->local;

			read_destination(socket, (struct msghdr *)(uintptr_t)h, &local);
			if (socket->is_wildcard)
				udp_set_source(&one, &control, &local);
			if (sendmsg(socket->fd, &one, MSG_DONTWAIT) == -1)
				tally_add(socket->listener->tally, TALLY_DATAGRAMS_DROPPED, 1);
		}
}

static void
send_answers(struct udp *udp)
{
	const struct udp_socket *socket = udp->out_socket;
	unsigned sent = 0;

	while (sent < udp->out_count) {
		const struct udp_run *run = &udp->out_runs[sent];
		int n =
		    sendmmsg(socket->fd, udp->out.msgs + sent, udp->out_count - sent, MSG_DONTWAIT);

		if (n > 0) {
			sent += (unsigned)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		/* The first of them cannot be sent: to nowhere, or for want of room. */
		if (run_datagrams(run) > 1 && errno != EAGAIN && errno != ENOBUFS)
			send_one_by_one(socket, &udp->out.msgs[sent].msg_hdr, run->segment);
		else
			tally_add(socket->listener->tally, TALLY_DATAGRAMS_DROPPED,
			    run_datagrams(run));
		sent++;
	}
	udp->out_count = udp->out_used = 0;
}

/* Datagrams are no stream that could wait: those over the limit are lost. */
static bool
is_admitted(const struct listener *listener, enum pace_way way, const struct udp_run *run)
{
	if (listener->pacer == NULL || pacer_admit(listener->pacer, way, run->len))
		return true;
	tally_add(listener->tally, TALLY_DATAGRAMS_LIMITED, run_datagrams(run));
	return false;
}

static void
count_run(struct flow *flow, const struct udp_run *run, enum tally_field datagrams,
    enum tally_field bytes)
{
	struct tally *tallies[] = { flow->client.listener->tally, flow->pool->tally,
		flow->server->tally };
	unsigned count = run_datagrams(run);

	for (size_t t = 0; t < sizeof(tallies) / sizeof(tallies[0]); t++) {
		tally_add(tallies[t], datagrams, count);
		tally_add(tallies[t], bytes, run->len);
	}
}

/* A message of its own for what stands in the last place in use. */
static void
begin_answer(struct udp *udp, struct flow *flow, const struct udp_run *run)
{
	unsigned i = udp->out_count++;
	struct msghdr *h = &udp->out.msgs[i].msg_hdr;

	udp->out_runs[i] = *run;
	udp->out_flow = flow;
	udp->out.names[i] = flow->client.address;
	*h = (struct msghdr){ .msg_name = &udp->out.names[i].sa,
		.msg_namelen = flow->client.address.len,
		.msg_iov = &udp->out.iov[udp->out_used - 1],
		.msg_iovlen = 1 };
	if (flow->socket->is_wildcard)
		udp_set_source(h, &udp->out.controls[i], &flow->local);
	if (run_datagrams(run) > 1)
		udp_set_segment(h, &udp->out.controls[i], run->segment);
}

/*
 * What came to place `from`, behind the others in the batch: with the last of them, if the kernel
 * can.
 */
static void
queue_answer(struct udp *udp, struct flow *flow, unsigned from, const struct udp_run *run)
{
	struct udp_run *last = udp->out_count > 0 ? &udp->out_runs[udp->out_count - 1] : NULL;
	struct iovec *place = &udp->out.iov[udp->out_used++];
	void *data = udp->out.iov[from].iov_base;
	bool was_one = last != NULL && run_datagrams(last) == 1;

	udp->out.iov[from].iov_base = place->iov_base;
	*place = (struct iovec){ data, run->len };
	flow->bytes_out += run->len;
	count_run(flow, run, TALLY_DATAGRAMS_OUT, TALLY_BYTES_OUT);
	if (last == NULL || udp->out_flow != flow || !udp->can_segment || !run_join(last, run)) {
		begin_answer(udp, flow, run);
		return;
	}
	udp->out.msgs[udp->out_count - 1].msg_hdr.msg_iovlen++;
	if (was_one)
		udp_set_segment(&udp->out.msgs[udp->out_count - 1].msg_hdr,
		    &udp->out.controls[udp->out_count - 1], last->segment);
}

/*
 * How many answers to ask the kernel for: those that the server owes, as to ask for one more costs
 * a look into the socket that finds nothing.  Who sends without being asked may have much to say.
 */
static unsigned
answers_wanted(const struct flow *flow)
{
	return flow->owed > 0 ? flow->owed : ANSWERS_MAX;
}

/* Into the places from `first` on.  Returns how many runs; -1 with errno. */
static int
receive_answers(struct udp *udp, struct flow *flow, unsigned first, unsigned room)
{
	int fd = flow->client.transport.fd, n;

	if (room == 1 && !flow->hears_runs)
		return batch_receive_one(&udp->out, fd, first);
	batch_clear(&udp->out, first, room, false);
	n = batch_receive(&udp->out, fd, first, room);
	/* Its server sends several at once: from now on they may come as one. */
	if (n > 1 && !flow->hears_runs) {
		udp_ask_for_runs(fd);
		flow->hears_runs = true;
	}
	return n;
}

/* Returns false when there are no more for now, as far as is known, or the flow has ended. */
static bool
read_answers(struct udp *udp, struct flow *flow)
{
	unsigned wanted = answers_wanted(flow), room, first, datagrams = 0;
	int n;

	if (udp->out_used > 0 && (udp->out_socket != flow->socket || udp->out_used == UDP_BATCH))
		send_answers(udp);
	udp->out_socket = flow->socket;
	first = udp->out_used;
	room = UDP_BATCH - first < wanted ? UDP_BATCH - first : wanted;
	n = receive_answers(udp, flow, first, room);
	if (n == -1) {
		if (errno == EINTR)
			return true;
		if (errno != EAGAIN)
			flow_end(flow, END_CONNECT_FAILED);
		return false;
	}
	for (unsigned i = first; i < first + (unsigned)n; i++) {
		struct udp_run run = { udp->out.msgs[i].msg_len,
			batch_segment(&udp->out.msgs[i]) };

		datagrams += run_datagrams(&run);
		if (is_admitted(flow->client.listener, PACE_OUT, &run))
			queue_answer(udp, flow, i, &run);
	}
	flow_moved(flow);
	flow_heard(flow, (unsigned)n < room ? ANSWERS_MAX : datagrams);
	return room == ANSWERS_MAX && (unsigned)n == room;
}

void
udp_on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct flow *flow = arg;
	struct udp *udp = front_worker(flow->client.front)->udp;

	(void)fd;
	(void)what;
	clock_update();
	for (int reads = 0; reads < BATCHES_MAX; reads++)
		if (!read_answers(udp, flow))
			break;
}

/* ---- datagrams from clients ---- */

/* What came to place `i` joins what its flow has to send when the batch has been gone through. */
static void
sort_datagrams(struct udp *udp, struct udp_socket *socket, unsigned i)
{
	struct udp_batch *in = &udp->in;
	const struct udp_run *run = &udp->in_runs[i];
	struct balance_request request = { .client = &in->names[i] };
	struct addr local;
	struct flow *flow;
	uint64_t hash;

	request.local = &local;
	in->names[i].len = in->msgs[i].msg_hdr.msg_namelen;
	read_destination(socket, &in->msgs[i].msg_hdr, &local);
	flow = flow_find(socket, &in->names[i], &local, &hash);
	if (flow != NULL && !flow->is_pending && !flow_is_usable(flow)) {
		flow_end(flow, END_SERVER_CLOSED);
		flow = NULL;
	}
	if (flow == NULL)
		flow = flow_open(socket, &in->names[i], &local, hash, &request);
	if (flow == NULL) {
		tally_add(socket->listener->tally, TALLY_DATAGRAMS_DROPPED, run_datagrams(run));
		return;
	}
	if (!is_admitted(socket->listener, PACE_IN, run))
		return;
	in->iov[i].iov_len = run->len;
	udp->in_next[i] = UDP_BATCH;
	if (flow->is_pending)
		udp->in_next[flow->last_in] = (uint8_t)i;
	else
		udp->pending[udp->pending_count++] = flow;
	if (!flow->is_pending)
		flow->first_in = (uint8_t)i;
	flow->last_in = (uint8_t)i;
	flow->is_pending = true;
}

/*
 * Sends datagrams to the server of `flow`, from *at on; *at becomes UDP_BATCH, or the place of those
 * that the server refused.
 * Returns 0 or -1.
 */
static int
send_pending(struct udp *udp, struct flow *flow, unsigned *at)
{
	struct iovec iov[UDP_BATCH];

	while (*at != UDP_BATCH) {
		struct udp_run run = udp->in_runs[*at];
		unsigned next = udp->in_next[*at], count = 1;

		iov[0] = udp->in.iov[*at];
		while (next != UDP_BATCH && udp->can_segment && run_join(&run, &udp->in_runs[next])) {
			iov[count++] = udp->in.iov[next];
			next = udp->in_next[next];
		}
		if (flow_send(flow, iov, count, &run) == -1)
			return -1;
		flow->bytes_in += run.len;
		count_run(flow, &run, TALLY_DATAGRAMS_IN, TALLY_BYTES_IN);
		*at = next;
	}
	return 0;
}

/* What a server refuses goes to another. */
static void
forward(struct udp *udp, struct udp_socket *socket, struct flow *flow)
{
	struct addr client = flow->client.address, local = flow->local;
	struct balance_request tried = { .client = &client, .local = &local };
	uint64_t hash = flow->hash;
	unsigned at = flow->first_in;

	flow->is_pending = false;
	while (flow != NULL && send_pending(udp, flow, &at) == -1) {
		if (tried.tried_count < BALANCE_TRIED_MAX)
			tried.tried[tried.tried_count++] = flow->server;
		flow_end(flow, END_CONNECT_FAILED);
		flow = tried.tried_count < BALANCE_TRIED_MAX
			   ? flow_open(socket, &client, &local, hash, &tried)
			   : NULL;
	}
	for (; at != UDP_BATCH; at = udp->in_next[at])
		tally_add(socket->listener->tally, TALLY_DATAGRAMS_DROPPED,
		    run_datagrams(&udp->in_runs[at]));
}

/*
 * What clients sent while the socket was full.  The kernel counts for the life of the socket, which
 * workers hand on to those that come after them.
 */
static void
count_drops(struct udp_socket *socket)
{
	uint32_t drops = udp_kernel_drops(socket->fd);

	tally_add(
	    socket->listener->tally, TALLY_DATAGRAMS_DROPPED, (uint32_t)(drops - socket->drops));
	socket->drops = drops;
	socket->asked_ms = now_ms;
}

/* Returns false when there are no more for now. */
static bool
read_datagrams(struct udp_socket *socket, struct udp *udp)
{
	int n;

	batch_clear(&udp->in, 0, udp->in_used, true);
	n = batch_receive(&udp->in, socket->fd, 0, UDP_BATCH);
	udp->in_used = n > 0 ? (unsigned)n : 0;
	udp->pending_count = 0;
	for (int i = 0; i < n; i++) {
		udp->in_runs[i] = (struct udp_run){ udp->in.msgs[i].msg_len,
			batch_segment(&udp->in.msgs[i]) };
		sort_datagrams(udp, socket, (unsigned)i);
	}
	for (unsigned i = 0; i < udp->pending_count; i++)
		forward(udp, socket, udp->pending[i]);
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
		if (!read_datagrams(socket, udp))
			break;
	if (now_ms - socket->asked_ms >= DROPS_MS)
		count_drops(socket);
}

/* ---- life ---- */

static struct udp *
udp_new(void)
{
	struct udp *udp = xcalloc(1, sizeof(*udp));

	batch_init(&udp->in);
	batch_init(&udp->out);
	udp->in_used = UDP_BATCH;
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
	if (worker->udp == NULL) {
		worker->udp = udp_new();
		worker->udp->can_segment = udp_can_segment(socket->fd);
	}
	udp_ask_for_runs(socket->fd);
	socket->drops = udp_kernel_drops(socket->fd);
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
