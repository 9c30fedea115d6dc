/*
 * tcp: clients of TCP listeners, with or without TLS on their side: one server for the life of the
 * connection.
 */
#include <errno.h>

#include "front_priv.h"
#include "weir/accesslog.h"
#include "weir/balance.h"
#include "weir/buf.h"
#include "weir/client_hello.h"
#include "weir/clock.h"
#include "weir/eject.h"
#include "weir/log.h"
#include "weir/proxyproto.h"
#include "weir/queue.h"
#include "weir/retry.h"
#include "weir/series.h"
#include "weir/server_names.h"
#include "weir/sticky.h"
#include "weir/tunnel.h"
#include "weir/upstream.h"

enum {
	LOOK_MS = 1000 /* a session silent for so long is looked at, see tcp_moved() */
};

enum tcp_state {
	TCP_HANDSHAKE = 0, /* TLS */
	TCP_HELLO,         /* TLS that is passed through: which name does it ask for? */
	TCP_PICK,          /* needs a server */
	TCP_QUEUE,         /* all are busy: waits for one */
	TCP_CONNECT,       /* the connection to it is being made */
	TCP_TUNNEL,        /* bytes flow */
	TCP_STATES
};

struct tcp_client {
	struct client client;      /* first: front.c counts and ends it */
	struct pool *pool;         /* NULL: not known yet, or none */
	struct series *series;     /* the server name as it is counted; NULL: it is not */
	struct server *server;     /* counted as active; NULL: none */
	struct upstream *upstream; /* owned; NULL: none */
	struct balance_request balance;
	struct waiter waiter;
	struct addr local;
	struct tunnel tunnel;
	uint64_t id, started_us, connected_us;
	unsigned attempts;
	uint8_t header_len; /* of the PROXY protocol, in tunnel.in */
	uint8_t state;      /* enum tcp_state */
	bool was_looked_at; /* since something moved */
};

enum step { STEP_NEXT = 0, STEP_WAIT, STEP_GONE };

#define OF_CLIENT(c) ((struct tcp_client *)(void *)(c))

static void tcp_run(struct tcp_client *c);

static const struct timeouts_config *
timeouts(const struct tcp_client *c)
{
	return &c->client.listener->conf->timeouts;
}

/* What is counted of a session past the bytes of listener, pool and server. */
static void
count_end(struct tcp_client *c, enum end end, uint64_t in, uint64_t out)
{
	series_add_bytes(c->series, in, out);
	if (c->series != NULL && c->attempts > 1)
		tally_add(c->series->tally, TALLY_RETRIES, c->attempts - 1);
	series_end(c->series);
	if (end == END_OK)
		return;
	if (c->pool != NULL)
		latency_count_end(c->pool->latency, end);
	if (c->series != NULL)
		latency_count_end(c->series->latency, end);
}

/* The one way out. */
static enum step
tcp_end(struct tcp_client *c, enum end end)
{
	const struct listener *listener = c->client.listener;
	struct worker *worker = listener->worker;
	uint64_t in = c->tunnel.in.bytes, out = c->tunnel.out.bytes;
	struct tally *tallies[] = { listener->tally, c->pool != NULL ? c->pool->tally : NULL,
		c->server != NULL ? c->server->tally : NULL };

	in -= in < c->header_len ? in : c->header_len;
	for (size_t i = 0; i < sizeof(tallies) / sizeof(tallies[0]) && tallies[i] != NULL; i++) {
		tally_add(tallies[i], TALLY_BYTES_IN, in);
		tally_add(tallies[i], TALLY_BYTES_OUT, out);
	}
	latency_count_end(listener->latency, end);
	count_end(c, end, in, out);
	if (listener->accesslog != NULL)
		accesslog_write(listener->accesslog,
		    &(struct accesslog_entry){
			.id = c->id,
			.listener = listener->conf,
			.client = &c->client.address,
			.tls_version = transport_tls_version(&c->client.transport),
			.tls_cipher = transport_tls_cipher(&c->client.transport),
			.route = c->series != NULL && c->series->conf->routes > 0
				     ? c->series->conf->name
				     : NULL,
			.pool = c->pool != NULL ? c->pool->conf : NULL,
			.server = c->server != NULL ? c->server->conf : NULL,
			.bytes_in = in,
			.bytes_out = out,
			.retries = c->attempts > 1 ? c->attempts - 1 : 0,
			.connect_us = c->connected_us != 0 ? c->connected_us - c->started_us : 0,
			.total_us = clock_us() - c->started_us,
			.end = end,
		    });
	/* A client that resets is no fault of the server. */
	if (c->state == TCP_TUNNEL && out > 0)
		eject_count_success(c->server);
	else if (c->state == TCP_TUNNEL && c->tunnel.out.failed && !c->tunnel.in.failed)
		eject_count_failure(c->server, end);
	queue_leave(&c->waiter);
	tunnel_fini(&c->tunnel);
	upstream_close(c->upstream, end != END_OK);
	balance_release(c->server);
	client_close(&c->client, &worker->tcp_clients, end != END_OK && c->state == TCP_TUNNEL);
	return STEP_GONE;
}

static enum step
tcp_handshake(struct tcp_client *c)
{
	switch (transport_handshake(&c->client.transport)) {
	case 0:
		client_count_handshake(&c->client);
		timer_clear(&c->client.timer);
		c->state = TCP_PICK;
		return STEP_NEXT;
	case IO_WAIT:
		return STEP_WAIT;
	default:
		client_count_tls_failure(
		    &c->client, transport_handshake_fault(), transport_tls_error());
		return tcp_end(c, END_TLS_FAILED);
	}
}

static void
set_pool(struct tcp_client *c, const struct pool_config *pool)
{
	c->pool = &c->client.listener->worker->pools[pool->index];
	tally_add(c->pool->tally, TALLY_REQUESTS, 1);
	retry_earn(c->pool);
}

static char hello[CLIENT_HELLO_MAX]; /* one worker, one thread */

/* No pool is meant for this client: say so in its own language (RFC 6066 section 3). */
static enum step
refuse_name(struct tcp_client *c, bool is_tls)
{
	static char alert[] = { 21, 3, 3, 0, 2, 2, 112 }; /* fatal, unrecognized_name */
	struct iovec iov = { alert, sizeof(alert) };

	if (is_tls) {
		/* Bytes left unread would make of the end a reset, which may overtake the alert. */
		transport_read(&c->client.transport, hello, sizeof(hello));
		transport_writev(&c->client.transport, &iov, 1);
	}
	client_count_tls_failure(&c->client, is_tls ? TLS_FAULT_MISMATCH : TLS_FAULT_MALFORMED,
	    "no pool is for this name");
	return tcp_end(c, END_NO_ROUTE);
}

/* The message stays in the kernel: it is the server's. */
static enum step
tcp_hello(struct tcp_client *c)
{
	const struct listener_config *listener = c->client.listener->conf;
	const struct sni_route_config *route = NULL;
	struct slice name = { NULL, 0 };
	enum hello_result result;
	ssize_t n = transport_peek(&c->client.transport, hello, sizeof(hello));

	if (n == IO_WAIT)
		return STEP_WAIT;
	if (n < 0)
		return tcp_end(c, END_CLIENT_CLOSED);
	result = client_hello_parse(hello, (size_t)n, &name);
	if (result == HELLO_MORE && !c->client.transport.peer_closed) {
		c->client.transport.readable = false;
		return STEP_WAIT;
	}
	if (result == HELLO_DONE && name.len > 0)
		route = server_names_find(listener->sni, name.ptr, name.len);
	c->series = series_begin(c->client.listener->worker->series,
	    route != NULL ? route->series : listener->unrouted);
	if (route == NULL && listener->pool == NULL)
		return refuse_name(c, result == HELLO_DONE);
	set_pool(c, route != NULL ? route->pool : listener->pool);
	timer_clear(&c->client.timer);
	c->state = TCP_PICK;
	return STEP_NEXT;
}

/* must_wait: set to whether there are some, but their limits are reached. */
static struct server *
choose(struct tcp_client *c, bool *must_wait)
{
	bool by_source = c->pool->conf->sticky.by == STICKY_SOURCE_IP;
	struct server *known = by_source ? sticky_find_source(c->pool, &c->client.address) : NULL;
	struct server *server;

	*must_wait = false;
	if (known != NULL && !balance_was_tried(&c->balance, known)) {
		if (balance_hold(known)) {
			tally_add(c->pool->tally, TALLY_STICKY_HITS, 1);
			return known;
		}
		*must_wait = c->pool->queue != NULL;
		if (*must_wait)
			return NULL;
	}
	server = balance_pick(c->pool, &c->balance);
	*must_wait = server == NULL && c->pool->is_full;
	if (server != NULL && by_source)
		sticky_store_source(c->pool, &c->client.address, server);
	return server;
}

static void
on_upstream_ready(void *user, struct upstream *up)
{
	(void)up;
	tcp_run(user);
}

static enum step
connect_failed(struct tcp_client *c, enum end end)
{
	if (end == END_EXHAUSTED)
		return tcp_end(c, end); /* of no other server either, and none is to blame */
	server_count_error(c->server, TALLY_CONNECT_ERRORS, end);
	eject_count_failure(c->server, end);
	upstream_close(c->upstream, false);
	c->upstream = NULL;
	if (c->balance.tried_count < BALANCE_TRIED_MAX)
		c->balance.tried[c->balance.tried_count++] = c->server;
	if (!retry_is_allowed(c->pool, c->attempts))
		return tcp_end(c, end);
	balance_release(c->server);
	c->server = NULL;
	c->state = TCP_PICK;
	return STEP_NEXT;
}

static void
on_upstream_timeout(void *user, struct upstream *up)
{
	struct tcp_client *c = user;

	(void)up;
	if (c->state == TCP_CONNECT && connect_failed(c, END_CONNECT_TIMEOUT) == STEP_NEXT)
		tcp_run(c);
}

static enum step
use_server(struct tcp_client *c)
{
	static const struct upstream_user ops = { on_upstream_ready, on_upstream_timeout };

	if (c->server == NULL) {
		tally_add(c->pool->tally, TALLY_NO_SERVER, 1);
		return tcp_end(c, c->attempts > 0 ? END_CONNECT_FAILED : END_NO_SERVER);
	}
	tally_add(c->server->tally, TALLY_REQUESTS, 1);
	if (c->attempts++ > 0)
		retry_pay(c->pool);
	c->upstream = upstream_connect(c->client.listener->worker, c->server, NULL, &ops, c);
	if (c->upstream == NULL)
		return connect_failed(c, upstream_refusal(errno));
	timer_set(&c->upstream->timer, timeouts(c)->connect);
	c->state = TCP_CONNECT;
	return STEP_NEXT;
}

#define OF_WAITER(w)                                                                               \
	((struct tcp_client *)(void *)((char *)(w)-offsetof(struct tcp_client, waiter)))

static void
on_turn(struct waiter *waiter)
{
	tcp_run(OF_WAITER(waiter));
}

static void
on_wait_timeout(struct waiter *waiter)
{
	tcp_end(OF_WAITER(waiter), END_QUEUE_TIMEOUT);
}

static enum step
wait_for_place(struct tcp_client *c)
{
	c->waiter.on_turn = on_turn;
	c->waiter.on_timeout = on_wait_timeout;
	if (!queue_join(c->pool, &c->waiter)) {
		tally_add(c->pool->tally, TALLY_QUEUE_FULL, 1);
		return tcp_end(c, END_QUEUE_FULL);
	}
	c->state = TCP_QUEUE;
	return STEP_WAIT;
}

static enum step
tcp_pick(struct tcp_client *c)
{
	bool must_wait = queue_is_busy(c->pool);

	if (!must_wait) {
		c->server = choose(c, &must_wait);
		if (!must_wait)
			return use_server(c);
	}
	return wait_for_place(c);
}

/* Run in its turn only. */
static enum step
tcp_queue(struct tcp_client *c)
{
	bool must_wait;

	c->server = choose(c, &must_wait);
	if (must_wait)
		return STEP_WAIT;
	queue_leave(&c->waiter);
	return use_server(c);
}

/*
 * Starts the idle time anew.  A reset that comes in one event with the last bytes before it is not
 * told apart from more bytes, and a short read then leaves it unseen; so a session that has just
 * gone silent is read from once more.
 */
static void
tcp_moved(struct tcp_client *c)
{
	uint32_t idle_ms = timeouts(c)->idle;

	c->was_looked_at = idle_ms <= LOOK_MS;
	timer_set(&c->client.timer, c->was_looked_at ? idle_ms : LOOK_MS);
}

/* Tell the server who the client is, before any other byte, and before it says anything itself. */
static void
send_client(struct tcp_client *c)
{
	enum proxy_protocol version = c->pool->conf->proxy_protocol;
	const struct addr *source = c->local.len > 0 ? &c->client.address : NULL;
	struct buf *buf;

	if (version == PROXY_PROTOCOL_OFF)
		return;
	buf = buf_take(BUF_SMALL);
	c->header_len = (uint8_t)proxyproto_print(
	    version == PROXY_PROTOCOL_V1 ? 1 : 2, false, source, &c->local, (uint8_t *)buf->data);
	buf->end = c->header_len;
	tunnel_take_pending(&c->tunnel.in, buf);
}

static enum step
tcp_connect(struct tcp_client *c)
{
	switch (upstream_check(c->upstream)) {
	case 0:
		break;
	case IO_WAIT:
		return STEP_WAIT;
	default:
		return connect_failed(c, END_CONNECT_FAILED);
	}
	timer_clear(&c->upstream->timer);
	tcp_moved(c);
	if (c->client.listener->accesslog != NULL)
		c->connected_us = clock_us();
	tunnel_init(&c->tunnel, &c->client.transport, c->upstream);
	send_client(c);
	if (c->client.listener->conf->splice)
		tunnel_allow_splice(&c->tunnel);
	c->state = TCP_TUNNEL;
	return STEP_NEXT;
}

static enum step
tcp_tunnel(struct tcp_client *c)
{
	bool moved;

	switch (tunnel_run(&c->tunnel, &moved)) {
	case 0:
		return tcp_end(c, END_OK);
	case IO_WAIT:
		if (moved)
			tcp_moved(c);
		return STEP_WAIT;
	default:
		return tcp_end(c, END_SERVER_CLOSED);
	}
}

static const struct {
	const char *name;
	enum step (*run)(struct tcp_client *c);
} tcp_states[TCP_STATES] = {
	[TCP_HANDSHAKE] = { "handshake", tcp_handshake },
	[TCP_HELLO] = { "hello", tcp_hello },
	[TCP_PICK] = { "pick", tcp_pick },
	[TCP_QUEUE] = { "queue", tcp_queue },
	[TCP_CONNECT] = { "connect", tcp_connect },
	[TCP_TUNNEL] = { "tunnel", tcp_tunnel },
};

static void
tcp_run(struct tcp_client *c)
{
	while (tcp_states[c->state].run(c) == STEP_NEXT)
		;
}

static void
on_ready(struct transport *transport)
{
	struct tcp_client *c = OF_CLIENT(CLIENT_OF_TRANSPORT(transport));

	/* Until there is a server, the client's bytes wait in the kernel.  Who ends its side while
	 * it waits for one is taken as gone. */
	if (c->state == TCP_QUEUE && transport->peer_closed)
		tcp_end(c, END_CLIENT_CLOSED);
	else if (c->state == TCP_HANDSHAKE || c->state == TCP_HELLO || c->state == TCP_TUNNEL)
		tcp_run(c);
}

static void
tcp_cut(struct client *client, enum end end)
{
	tcp_end(OF_CLIENT(client), end);
}

static void
on_fire(struct timer *timer)
{
	struct tcp_client *c = OF_CLIENT(CLIENT_OF_TIMER(timer));

	if (c->state == TCP_HANDSHAKE || c->state == TCP_HELLO)
		client_count_tls_failure(&c->client, TLS_FAULT_TIMEOUT, "timeout");
	if (c->state != TCP_TUNNEL || c->was_looked_at) {
		tcp_end(c, END_TIMEOUT_IDLE);
		return;
	}
	c->was_looked_at = true;
	if (c->tunnel.out.bytes > 0)
		eject_count_success(c->server);
	timer_set(&c->client.timer, timeouts(c)->idle - LOOK_MS);
	c->client.transport.readable = c->upstream->transport.readable = true;
	tcp_run(c);
}

/* A TCP session that is under way may go on until the drain limit. */
static void
tcp_drain(struct client *client)
{
	(void)client;
}

static struct server *
tcp_server(const struct client *client)
{
	return ((const struct tcp_client *)(const void *)client)->server;
}

size_t
tcp_client_size(void)
{
	return sizeof(struct tcp_client);
}

void
tcp_accept(struct front *front, const struct listener *listener, int fd, const struct addr *address)
{
	static const struct client_kind kind = { tcp_drain, tcp_cut, tcp_server };
	struct worker *worker = listener->worker;
	struct tcp_client *c = slab_take(&worker->tcp_clients);

	memset(c, 0, sizeof(*c));
	if (client_open(&c->client, &worker->tcp_clients, &kind, front, listener, fd, address,
		on_ready, on_fire) == -1)
		return;
	c->balance.client = &c->client.address;
	c->balance.local = &c->local;
	client_local_address(&c->client, &c->local);
	c->id = worker->request_ids++;
	if (listener->accesslog != NULL)
		c->started_us = clock_us();
	tally_add(listener->tally, TALLY_REQUESTS, 1);
	c->state = TCP_PICK;
	if (listener->conf->sni != NULL)
		c->state = TCP_HELLO;
	else
		set_pool(c, listener->conf->pool);
	if (c->client.transport.ssl != NULL)
		c->state = TCP_HANDSHAKE;
	if (c->state != TCP_PICK)
		timer_set(&c->client.timer, timeouts(c)->handshake);
	if (c->state != TCP_HANDSHAKE)
		tcp_run(c);
}
