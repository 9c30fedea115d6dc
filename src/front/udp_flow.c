/*
 * udp_flow: which server a client's datagrams go to.
 *
 * Runs in: worker.  A flow is a client's address and port and the address it spoke to; it has one
 * server and one connected socket, and is forgotten when both directions were silent for
 * timeouts.flow.  Its server also stands in shared memory, for the worker that gets the flow's
 * datagrams after a reload, or when this one dies.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "udp_priv.h"
#include "weir/accesslog.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/eject.h"
#include "weir/log.h"
#include "weir/proxyproto.h"
#include "weir/scarcity.h"
#include "weir/sticky.h"

enum {
	DRAIN_MS = 10 * 1000, /* an old worker waits so long for an answer */
	NOTE_PART = 4         /* the shared memory is told again after this part of the timeout */
};

#define OF_CLIENT(c) ((struct flow *)(void *)(c))

static uint32_t
timeout_ms(const struct flow *flow)
{
	uint32_t flow_ms = flow->client.listener->conf->timeouts.flow;

	return flow->client.listener->worker->draining && flow_ms > DRAIN_MS ? DRAIN_MS : flow_ms;
}

/* ---- the table ---- */

static bool
same_ip(const struct addr *a, const struct addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr) &&
	       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

static uint64_t
flow_hash(const struct udp *udp, const struct addr *client, const struct addr *local)
{
	struct {
		struct in6_addr client, local;
		uint32_t client_port, local_port;
	} tuple = { addr_ip6(client), addr_ip6(local), addr_port(client), addr_port(local) };

	return XXH3_64bits_withSeed(&tuple, sizeof(tuple), udp->seed);
}

struct flow *
flow_find(
    struct udp_socket *socket, const struct addr *client, const struct addr *local, uint64_t *hash)
{
	struct udp *udp = front_worker(socket->front)->udp;
	struct flow *flow;

	*hash = flow_hash(udp, client, local);
	flow = udp->buckets[*hash & (udp->bucket_count - 1)];
	while (flow != NULL &&
	       !(flow->hash == *hash && flow->socket == socket &&
		   addr_port(&flow->client.address) == addr_port(client) &&
		   same_ip(&flow->client.address, client) && same_ip(&flow->local, local)))
		flow = flow->next;
	return flow;
}

static void
table_grow(struct udp *udp)
{
	size_t count = udp->bucket_count * 2;
	struct flow **buckets = xcalloc(count, sizeof(*buckets));

	for (size_t i = 0; i < udp->bucket_count; i++)
		while (udp->buckets[i] != NULL) {
			struct flow *flow = udp->buckets[i];

			udp->buckets[i] = flow->next;
			flow->next = buckets[flow->hash & (count - 1)];
			buckets[flow->hash & (count - 1)] = flow;
		}
	free(udp->buckets);
	udp->buckets = buckets;
	udp->bucket_count = count;
}

static void
table_add(struct udp *udp, struct flow *flow)
{
	struct flow **bucket;

	if (udp->flow_count++ >= udp->bucket_count)
		table_grow(udp);
	bucket = &udp->buckets[flow->hash & (udp->bucket_count - 1)];
	flow->next = *bucket;
	*bucket = flow;
}

static void
table_remove(struct udp *udp, struct flow *flow)
{
	struct flow **link = &udp->buckets[flow->hash & (udp->bucket_count - 1)];

	while (*link != flow)
		link = &(*link)->next;
	*link = flow->next;
	udp->flow_count--;
}

/* ---- one flow ---- */

void
flow_moved(struct flow *flow)
{
	timer_set(&flow->client.timer, timeout_ms(flow));
}

void
flow_heard(struct flow *flow, unsigned answers)
{
	flow->owed = (uint8_t)(flow->owed > answers ? flow->owed - answers : 0);
}

/* The flow's server has got datagrams. */
static void
flow_told(struct flow *flow, unsigned datagrams)
{
	unsigned owed = flow->owed + datagrams;

	flow->owed = (uint8_t)(owed < ANSWERS_MAX ? owed : ANSWERS_MAX);
	flow_moved(flow);
}

static void
flow_drain(struct client *client)
{
	flow_moved(OF_CLIENT(client));
}

static void
flow_cut(struct client *client, enum end end)
{
	flow_end(OF_CLIENT(client), end);
}

static struct server *
flow_server(const struct client *client)
{
	return ((const struct flow *)(const void *)client)->server;
}

static void
on_fire(struct timer *timer)
{
	flow_end(OF_CLIENT(CLIENT_OF_TIMER(timer)), END_OK);
}

void
flow_end(struct flow *flow, enum end end)
{
	const struct listener *listener = flow->client.listener;
	struct worker *worker = listener->worker;

	if (end == END_CONNECT_FAILED) {
		server_count_error(flow->server, TALLY_CONNECT_ERRORS, END_CONNECT_FAILED);
		eject_count_failure(flow->server, end);
		sticky_forget_flow(flow->pool, flow->memory_key);
	} else if (flow->bytes_out > 0) {
		eject_count_success(flow->server);
	}
	tally_add(
	    listener->tally, TALLY_DATAGRAMS_DROPPED, udp_kernel_drops(flow->client.transport.fd));
	latency_count_end(listener->latency, end);
	if (listener->accesslog != NULL)
		accesslog_write(listener->accesslog, &(struct accesslog_entry){
							 .id = flow->id,
							 .listener = listener->conf,
							 .client = &flow->client.address,
							 .pool = flow->pool->conf,
							 .server = flow->server->conf,
							 .bytes_in = flow->bytes_in,
							 .bytes_out = flow->bytes_out,
							 .total_us = clock_us() - flow->started_us,
							 .end = end,
						     });
	table_remove(worker->udp, flow);
	balance_release(flow->server);
	client_close(&flow->client, &worker->flows, false);
}

bool
flow_is_usable(const struct flow *flow)
{
	const struct entity *e = flow->server->entity;
	const struct pool_config *pool = flow->pool->conf;

	if (flow->server->is_leaving)
		return pool->drain_on && now_ms < flow->server->left_ms + pool->drain_ms;
	if (shm_server_stickable(flow->pool->shm, flow->server->conf))
		return true;
	/* Down, but its sessions have some time left. */
	return pool->drain_on &&
	       atomic_load_explicit(&e->admin, memory_order_relaxed) != ADMIN_MAINT &&
	       now_ms <
		   atomic_load_explicit(&e->health_since_ms, memory_order_relaxed) + pool->drain_ms;
}

/* Returns 0, or -1 with errno. */
static int
send_datagram(const struct flow *flow, const struct iovec *data)
{
	struct iovec iov[] = { { (void *)(uintptr_t)flow->header, flow->header_len }, *data };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int fd = flow->client.transport.fd, flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	ssize_t n;

	do
		n = flow->header_len == 0 ? send(fd, data->iov_base, data->iov_len, flags)
					  : sendmsg(fd, &msg, flags);
	while (n == -1 && errno == EINTR);
	return n == -1 ? -1 : 0;
}

/* Is it about this datagram, and not about the server? */
static bool
is_passing(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == EMSGSIZE || error == EPERM;
}

static int
send_one_by_one(struct flow *flow, const struct iovec *iov, unsigned count, size_t segment)
{
	for (unsigned i = 0; i < count; i++)
		for (size_t at = 0, left = iov[i].iov_len;; at += segment, left -= segment) {
			bool is_last = left <= segment; /* an empty one, too */
			struct iovec one = { (char *)iov[i].iov_base + at,
				is_last ? left : segment };

			if (send_datagram(flow, &one) == -1) {
				if (!is_passing(errno))
					return -1;
				tally_add(
				    flow->client.listener->tally, TALLY_DATAGRAMS_DROPPED, 1);
			}
			if (is_last)
				break;
		}
	return 0;
}

/* Returns 0; -1: the server refuses it; 1: the kernel, or what is behind it, takes no segments. */
static int
send_segments(struct flow *flow, const struct iovec *iov, unsigned count, const struct udp_run *run)
{
	union udp_control control;
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count };
	ssize_t n;

	udp_set_segment(&msg, &control, run->segment);
	do
		n = sendmsg(flow->client.transport.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	if (n != -1)
		return 0;
	if (errno == EMSGSIZE || errno == EINVAL || errno == EIO || errno == EOPNOTSUPP)
		return 1;
	if (!is_passing(errno))
		return -1;
	tally_add(flow->client.listener->tally, TALLY_DATAGRAMS_DROPPED, run_datagrams(run));
	return 0;
}

int
flow_send(struct flow *flow, const struct iovec *iov, unsigned count, const struct udp_run *run)
{
	int result = 1;

	if (run_datagrams(run) > 1 && flow->header_len == 0 && !flow->takes_one_by_one) {
		result = send_segments(flow, iov, count, run);
		flow->takes_one_by_one = result == 1;
	}
	if (result == 1)
		result = send_one_by_one(flow, iov, count, run->segment);
	if (result == -1)
		return -1;
	flow_told(flow, run_datagrams(run));
	if (now_ms - flow->noted_ms > flow->client.listener->conf->timeouts.flow / NOTE_PART) {
		flow->noted_ms = now_ms;
		sticky_store_flow(flow->pool, flow->memory_key, flow->server,
		    flow->client.listener->conf->timeouts.flow);
	}
	return 0;
}

/* ---- a new flow ---- */

/* What shared memory has of the flow, or of the address, else by the method of the pool. */
static struct server *
choose(struct pool *pool, struct server *known, struct balance_request *request)
{
	bool by_source = pool->conf->sticky.by == STICKY_SOURCE_IP;
	struct server *server;

	if (known == NULL && by_source) {
		known = sticky_find_source(pool, request->client);
		if (known != NULL && !balance_was_tried(request, known))
			tally_add(pool->tally, TALLY_STICKY_HITS, 1);
	}
	if (known != NULL && !balance_was_tried(request, known) && balance_hold(known))
		return known;
	server = balance_pick(pool, request);
	if (server != NULL && by_source)
		sticky_store_source(pool, request->client, server);
	return server;
}

static int
connect_socket(const struct addr *address)
{
	int fd = socket(address->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd != -1 && connect(fd, &address->sa, address->len) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* No flow could be made: whose fault is that? */
static void
blame_server(struct server *server, int error)
{
	static struct log_limit limit;

	if (!scarcity_caused(error)) {
		server_count_error(server, TALLY_CONNECT_ERRORS, END_CONNECT_FAILED);
		eject_count_failure(server, END_CONNECT_FAILED);
	} else if (log_allowed(&limit, 1, 10000)) {
		log_warn("pool %s: no socket for a flow of datagrams", server->pool->conf->name);
	}
}

/* Takes `fd` over. */
static struct flow *
flow_new(struct udp_socket *socket, const struct addr *client, struct server *server, int fd)
{
	static const struct client_kind kind = { flow_drain, flow_cut, flow_server };
	struct worker *worker = front_worker(socket->front);
	struct flow *flow = slab_take(&worker->flows);
	struct event *event = &flow->client.transport.event;

	memset(flow, 0, sizeof(*flow));
	if (event_assign(
		event, worker->base, fd, EV_READ | EV_PERSIST, udp_on_answer, flow) == -1 ||
	    event_add(event, NULL) == -1) {
		close(fd);
		slab_give(&worker->flows, flow);
		return NULL;
	}
	client_add(&flow->client, &kind, socket->front, socket->listener, client, on_fire);
	flow->client.transport.fd = fd;
	flow->socket = socket;
	flow->server = server;
	flow->pool = server->pool;
	flow->id = worker->request_ids++;
	if (socket->listener->accesslog != NULL)
		flow->started_us = clock_us();
	tally_add(socket->listener->tally, TALLY_CONNECTIONS, 1);
	tally_add(socket->listener->tally, TALLY_REQUESTS, 1);
	tally_add(flow->pool->tally, TALLY_REQUESTS, 1);
	tally_add(server->tally, TALLY_REQUESTS, 1);
	tally_add(server->tally, TALLY_CONNECTIONS, 1);
	return flow;
}

static void
flow_set_header(struct flow *flow)
{
	uint8_t header[PROXYPROTO_PRINT_MAX];
	size_t len = proxyproto_print(2, true, &flow->client.address, &flow->local, header);

	assert(len <= sizeof(flow->header));
	memcpy(flow->header, header, len);
	flow->header_len = (uint8_t)len;
}

struct flow *
flow_open(struct udp_socket *socket, const struct addr *client, const struct addr *local,
    uint64_t hash, struct balance_request *tried)
{
	const struct listener *listener = socket->listener;
	struct pool *pool = &listener->worker->pools[listener->conf->pool->index];
	uint64_t memory_key = sticky_flow_key(pool, client, local);
	struct server *known = sticky_find_flow(pool, memory_key, listener->conf->timeouts.flow);
	struct server *server;
	struct flow *flow;
	int fd;

	/* A flow that another worker had is none that its client begins. */
	if (client_is_refused(listener, client) || front_is_full(socket->front) ||
	    (known == NULL && client_is_throttled(listener, client))) {
		tally_add(listener->tally, TALLY_REFUSED, 1);
		return NULL;
	}
	server = choose(pool, known, tried);
	if (server == NULL) {
		tally_add(pool->tally, pool->is_full ? TALLY_QUEUE_FULL : TALLY_NO_SERVER, 1);
		return NULL;
	}
	fd = connect_socket(&server->conf->address);
	flow = fd != -1 ? flow_new(socket, client, server, fd) : NULL;
	if (flow == NULL) {
		blame_server(server, errno);
		balance_release(server);
		return NULL;
	}
	flow->local = *local;
	if (pool->conf->proxy_protocol == PROXY_PROTOCOL_V2)
		flow_set_header(flow);
	flow->hash = hash;
	flow->memory_key = memory_key;
	flow->noted_ms = now_ms;
	sticky_store_flow(pool, memory_key, server, listener->conf->timeouts.flow);
	table_add(listener->worker->udp, flow);
	return flow;
}

size_t
udp_flow_size(void)
{
	return sizeof(struct flow);
}
