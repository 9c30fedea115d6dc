#include "weir/front.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front_priv.h"
#include "logs_priv.h"
#include "weir/accesslog.h"
#include "weir/acl.h"
#include "weir/arena.h"
#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/exchange.h"
#include "weir/h2.h"
#include "weir/gzip.h"
#include "weir/log.h"
#include "weir/pace.h"
#include "weir/pipe.h"
#include "weir/pool.h"
#include "weir/queue.h"
#include "weir/reply.h"
#include "weir/route.h"
#include "weir/scarcity.h"
#include "weir/series.h"
#include "weir/throttle.h"
#include "weir/tls_context.h"
#include "weir/upstream.h"

enum {
	ACCEPTS_MAX = 64, /* in one go, so that new clients cannot starve the others */
	RETRY_MS = 100,   /* when descriptors have run out */
	LOG_FLUSH_MS = 1000,
	LOG_RETRY_MS = 50,        /* while a reader of a log is slow */
	DESCRIPTORS_RESERVED = 64 /* for logs, listening sockets and the like */
};

struct acceptor {
	struct acceptor *next; /* owned */
	struct front *front;
	struct listener *listener;
	int fd;              /* borrowed */
	struct event *event; /* owned */
	bool is_paused;      /* the limit of connections is reached, or descriptors have run out */
};

struct front {
	struct worker worker;
	struct listener *listeners; /* owned; as config->listeners */
	struct acceptor *acceptors; /* owned */
	struct client_list clients;
	struct leave *leave; /* owned */
	size_t client_count, client_max;
	bool wants_local_address; /* some pool balances by it, some listener tells its port */
	struct timer pause_timer, drain_timer, flush_timer;
};

#define OF_PAUSE_TIMER(t)                                                                          \
	((struct front *)(void *)((char *)(t)-offsetof(struct front, pause_timer)))
#define OF_DRAIN_TIMER(t)                                                                          \
	((struct front *)(void *)((char *)(t)-offsetof(struct front, drain_timer)))
#define OF_FLUSH_TIMER(t)                                                                          \
	((struct front *)(void *)((char *)(t)-offsetof(struct front, flush_timer)))

/* ---- clients ---- */

void
client_add(struct client *client, const struct client_kind *kind, struct front *front,
    const struct listener *listener, const struct addr *address, void (*on_fire)(struct timer *))
{
	client->grave = (struct grave){ NULL, NULL };
	client->kind = kind;
	client->front = front;
	client->listener = listener;
	client->address = *address;
	timer_init(&client->timer, on_fire);
	LIST_INSERT_HEAD(&front->clients, client, link);
	front->client_count++;
	tally_add(listener->tally, TALLY_ACTIVE, 1);
}

int
client_open(struct client *client, struct slab *slab, const struct client_kind *kind,
    struct front *front, const struct listener *listener, int fd, const struct addr *address,
    void (*on_ready)(struct transport *), void (*on_fire)(struct timer *))
{
	struct tls_context *tls = listener->conf->tls_context;

	client->grave = (struct grave){ NULL, NULL };
	client->kind = kind;
	client->front = front;
	client->listener = listener;
	client->address = *address;
	timer_init(&client->timer, on_fire);
	if (transport_open(&client->transport, front->worker.base, fd, on_ready) == -1) {
		slab_give(slab, client);
		return -1;
	}
	if (tls != NULL && transport_accept_tls(&client->transport, tls_context_ssl(tls)) == -1) {
		transport_close(&client->transport, true);
		slab_give(slab, client);
		return -1;
	}
	if (listener->pacer != NULL)
		transport_pace(&client->transport, listener->pacer, listener->tally);
	LIST_INSERT_HEAD(&front->clients, client, link);
	front->client_count++;
	tally_add(listener->tally, TALLY_CONNECTIONS, 1);
	tally_add(listener->tally, TALLY_ACTIVE, 1);
	return 0;
}

static void
resume_accepting(struct front *front)
{
	for (struct acceptor *a = front->acceptors; a != NULL; a = a->next) {
		if (a->is_paused && !front->worker.draining)
			event_add(a->event, NULL);
		a->is_paused = false;
	}
}

void
client_close(struct client *client, struct slab *slab, bool reset)
{
	struct front *front = client->front;

	timer_stop(&client->timer);
	transport_close(&client->transport, reset);
	LIST_REMOVE(client, link);
	front->client_count--;
	tally_sub(client->listener->tally, TALLY_ACTIVE, 1);
	worker_bury(&front->worker, &client->grave, slab);
	if (front->client_count == front->client_max - 1)
		resume_accepting(front);
}

void
client_local_address(const struct client *client, struct addr *local)
{
	local->len = 0;
	if (!client->front->wants_local_address)
		return;
	local->len = sizeof(local->in6);
	if (getsockname(client->transport.fd, &local->sa, &local->len) == -1)
		local->len = 0;
}

/* ---- accepting ---- */

static void
pause_accepting(struct front *front)
{
	for (struct acceptor *a = front->acceptors; a != NULL; a = a->next) {
		event_del(a->event);
		a->is_paused = true;
	}
}

static void
on_pause_over(struct timer *timer)
{
	resume_accepting(OF_PAUSE_TIMER(timer));
}

/* Refused clients get a reset at once, before TLS or HTTP cost anything. */
bool
client_is_refused(const struct listener *listener, const struct addr *address)
{
	const struct listener_config *conf = listener->conf;

	if (conf->acl == NULL || acl_is_empty(conf->acl->compiled))
		return false;
	return acl_contains(conf->acl->compiled, address) == conf->access_deny;
}

bool
client_is_throttled(const struct listener *listener, const struct addr *address)
{
	if (listener->conf->rate.connections == 0 || throttle_connection(listener, address) == 0)
		return false;
	tally_add(listener->tally, TALLY_TOO_MANY, 1);
	return true;
}

/* Who sees the reset finds it counted. */
static void
refuse(const struct listener *listener, int fd)
{
	static const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	tally_add(listener->tally, TALLY_REFUSED, 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

void
client_begin(
    struct front *front, const struct listener *listener, int fd, const struct addr *address)
{
	switch (listener->conf->protocol) {
	case PROTOCOL_HTTP:
	case PROTOCOL_HTTPS:
		h1_accept(front, listener, fd, address);
		break;
	case PROTOCOL_TCP:
	case PROTOCOL_TLS:
		tcp_accept(front, listener, fd, address);
		break;
	case PROTOCOL_UDP: /* has no connections: udp_listen() */
		break;
	}
}

static void
begin_connection(const struct acceptor *a, int fd, const struct addr *address)
{
	const struct acl *senders = a->listener->conf->proxy_acl;

	if (senders == NULL && !client_is_refused(a->listener, address) &&
	    !client_is_throttled(a->listener, address))
		client_begin(a->front, a->listener, fd, address);
	else if (senders != NULL && acl_contains(senders, address))
		preface_accept(a->front, a->listener, fd, address);
	else
		refuse(a->listener, fd);
}

/* Returns false when nothing more can be accepted now. */
static bool
accept_one(struct acceptor *a)
{
	static struct log_limit limit;
	struct front *front = a->front;
	struct addr address = { .len = sizeof(address.in6) };
	int fd;

	if (front->client_count >= front->client_max) {
		if (log_allowed(&limit, 1, 10000))
			log_warnx("limit of %zu connections is reached", front->client_max);
		pause_accepting(front);
		return false;
	}
	fd = accept4(a->fd, &address.sa, &address.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1) {
		if (scarcity_caused(errno)) {
			if (log_allowed(&limit, 1, 10000))
				log_warn("listener %s: accept", a->listener->conf->name);
			pause_accepting(front);
			timer_set(&front->pause_timer, RETRY_MS);
			return false;
		}
		/* A client that has gone already says nothing about the next one. */
		return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
	}
	begin_connection(a, fd, &address);
	return true;
}

static void
on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *a = arg;

	(void)fd;
	(void)what;
	clock_update();
	for (int i = 0; i < ACCEPTS_MAX; i++)
		if (!accept_one(a))
			break;
}

int
front_listen(struct front *front, const struct listener_config *listener, int fd)
{
	struct acceptor *a;
	int one = 1;

	if (listener->protocol == PROTOCOL_UDP)
		return udp_listen(front, &front->listeners[listener->index], fd);
	a = xcalloc(1, sizeof(*a));
	a->front = front;
	a->listener = &front->listeners[listener->index];
	a->fd = fd;
	setsockopt(
	    fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* inherited by what is accepted */
	a->event = event_new(front->worker.base, fd, EV_READ | EV_PERSIST, on_acceptable, a);
	if (a->event == NULL || event_add(a->event, NULL) == -1) {
		if (a->event != NULL)
			event_free(a->event);
		free(a);
		return -1;
	}
	a->next = front->acceptors;
	front->acceptors = a;
	return 0;
}

/* ---- life ---- */

static void
on_flush(struct timer *timer)
{
	struct front *front = OF_FLUSH_TIMER(timer);

	timer_set(&front->flush_timer, logs_flush(&front->worker) ? LOG_RETRY_MS : LOG_FLUSH_MS);
}

static void
cut_all(struct front *front, enum end end)
{
	struct client *client, *next;

	for (client = LIST_FIRST(&front->clients); client != NULL; client = next) {
		next = LIST_NEXT(client, link);
		client->kind->cut(client, end);
	}
}

static void
on_drain_limit(struct timer *timer)
{
	struct front *front = OF_DRAIN_TIMER(timer);

	log_info("drain limit reached: cutting %zu connections", front->client_count);
	cut_all(front, END_DRAINED);
}

static size_t
client_limit(const struct config *config)
{
	struct rlimit limit;
	size_t possible = 1024;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		possible = (size_t)limit.rlim_cur;
	/* Clients may need connections to servers too, but most of them are idle or share one. */
	possible = possible > 4 * DESCRIPTORS_RESERVED ? (possible - DESCRIPTORS_RESERVED) / 4 * 3
						       : possible / 4;
	if (config->global.limits.connections != CONF_AUTO &&
	    config->global.limits.connections < possible)
		possible = config->global.limits.connections;
	return possible;
}

struct front *
front_new(struct event_base *base, const struct config *config, struct shm *shm, int slot,
    const int *log_fds)
{
	struct front *front = xcalloc(1, sizeof(*front));
	struct worker *worker = &front->worker;

	worker->base = base;
	worker->config = config;
	worker->shm = shm;
	worker->slot = slot;
	worker->pools = pools_new(config, shm, slot);
	worker->pacers = pacers_new(config->bandwidths, config->bandwidth_count, shm, base);
	worker->series = series_new(config, shm, slot);
	worker->certificates = xcalloc(config->served_count + 1, sizeof(*worker->certificates));
	for (size_t i = 0; i < config->served_count; i++)
		worker->certificates[i] = shm_tally(shm, slot, config->served[i].id);
	logs_open(worker, log_fds);
	RAND_bytes((unsigned char *)&worker->request_ids, sizeof(worker->request_ids));
	RAND_bytes((unsigned char *)worker->trace_seeds, sizeof(worker->trace_seeds));
	wheel_init(base);
	transport_limit_handshakes(config->global.limits.handshakes);
	queues_init(base);
	slab_init(&worker->http_clients, h1_client_size());
	slab_init(&worker->tcp_clients, tcp_client_size());
	slab_init(&worker->tunnels, h1_tunnel_size());
	slab_init(&worker->h2_streams, h2_stream_size());
	slab_init(&worker->exchanges, sizeof(struct exchange));
	slab_init(&worker->upstreams, sizeof(struct upstream));
	slab_init(&worker->flows, udp_flow_size());
	slab_init(&worker->prefaces, preface_size());
	slab_init(&worker->h2_upstreams, h2_upstream_size());
	slab_init(&worker->h2_legs, h2_leg_size());
	LIST_INIT(&front->clients);
	front->client_max = client_limit(config);
	timer_init(&front->pause_timer, on_pause_over);
	timer_init(&front->drain_timer, on_drain_limit);
	timer_init(&front->flush_timer, on_flush);
	if (config->log_output_count > 0)
		timer_set(&front->flush_timer, LOG_FLUSH_MS);
	front->listeners = xcalloc(config->listener_count, sizeof(*front->listeners));
	for (size_t i = 0; i < config->listener_count; i++)
		front->listeners[i] = (struct listener){
			.conf = &config->listeners[i],
			.worker = worker,
			.tally = shm_tally(shm, slot, config->listeners[i].id),
			.latency = shm_latency(shm, slot, config->listeners[i].id),
			.pacer = config->listeners[i].bandwidth != NULL
				     ? &worker->pacers[config->listeners[i].bandwidth->index]
				     : NULL,
			.accesslog = logs_of(worker, &config->listeners[i].access_log),
			.router = router_new(&config->listeners[i]),
		};
	for (size_t i = 0; i < config->pool_count; i++)
		if (config->pools[i].balance == BALANCE_TUPLE_HASH ||
		    config->pools[i].proxy_protocol != PROXY_PROTOCOL_OFF)
			front->wants_local_address = true;
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].wants_port)
			front->wants_local_address = true;
	reply_use_pages(config->global.error_pages);
	front->leave = leave_new(worker, &front->clients);
	return front;
}

void
front_drain(struct front *front, uint32_t limit_ms)
{
	struct client *client, *next;

	front->worker.draining = true;
	for (struct acceptor *a = front->acceptors; a != NULL; a = a->next)
		event_del(a->event);
	udp_drain(&front->worker);
	upstream_close_idle(&front->worker);
	for (client = LIST_FIRST(&front->clients); client != NULL; client = next) {
		next = LIST_NEXT(client, link);
		client->kind->drain(client);
	}
	timer_set(&front->drain_timer, limit_ms);
}

bool
front_is_full(const struct front *front)
{
	return front->client_count >= front->client_max;
}

struct worker *
front_worker(struct front *front)
{
	return &front->worker;
}

void
front_close_idle(struct front *front)
{
	struct client *client, *next;

	front->worker.stopping = true;
	for (client = LIST_FIRST(&front->clients); client != NULL; client = next) {
		next = LIST_NEXT(client, link);
		client->kind->drain(client);
	}
}

bool
front_is_empty(const struct front *front)
{
	return front->client_count == 0;
}

bool
front_turn(struct front *front)
{
	bool has_more = transport_turn();

	worker_run_deferred(&front->worker);
	udp_turn(&front->worker);
	worker_clear_graves(&front->worker);
	front->worker.turn++;
	return has_more;
}

void
front_set_log(struct front *front, size_t output, int fd)
{
	logs_set_fd(&front->worker, output, fd);
}

void
front_set_servers(struct front *front, struct pool_config *pool, struct server_config *servers,
    size_t count, uint32_t revision)
{
	struct worker *worker = &front->worker;

	pool_set_servers(&worker->pools[pool->index], pool, servers, count, revision);
	leave_on_change(front->leave, revision);
}

uint32_t
front_settled(const struct front *front)
{
	return leave_settled(front->leave);
}

void
front_free(struct front *front)
{
	struct worker *worker = &front->worker;

	front->worker.draining = true;
	cut_all(front, END_DRAINED);
	leave_free(front->leave);
	udp_free(worker);
	upstream_close_idle(worker);
	worker_clear_graves(worker);
	while (front->acceptors != NULL) {
		struct acceptor *a = front->acceptors;

		front->acceptors = a->next;
		event_free(a->event);
		free(a);
	}
	for (size_t i = 0; i < worker->config->listener_count; i++) {
		router_free(front->listeners[i].router);
		accesslog_free(front->listeners[i].accesslog);
	}
	free(front->listeners);
	logs_close(worker);
	pools_free(worker->pools, worker->config);
	pacers_free(worker->pacers, worker->config->bandwidth_count);
	free(worker->series);
	free(worker->certificates);
	slab_fini(&worker->http_clients);
	slab_fini(&worker->tcp_clients);
	slab_fini(&worker->tunnels);
	slab_fini(&worker->h2_streams);
	slab_fini(&worker->exchanges);
	slab_fini(&worker->upstreams);
	slab_fini(&worker->flows);
	slab_fini(&worker->prefaces);
	queues_fini();
	slab_fini(&worker->h2_upstreams);
	slab_fini(&worker->h2_legs);
	wheel_fini();
	gzip_trim();
	buf_trim();
	pipe_trim();
	free(front);
}
