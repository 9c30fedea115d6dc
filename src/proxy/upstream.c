#include "weir/upstream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weir/buf.h"
#include "weir/log.h"
#include "weir/scarcity.h"
#include "weir/slice.h"
#include "weir/clock.h"
#include "weir/tally.h"

enum {
	IDLE_MS = 60 * 1000, /* a kept connection that nobody needed for so long is closed */
	LOOKS_MAX = 16       /* among those kept, for one of the right TLS name */
};

#define OF_TRANSPORT(t) ((struct upstream *)((char *)(t)-offsetof(struct upstream, transport)))
#define OF_TIMER(t) ((struct upstream *)((char *)(t)-offsetof(struct upstream, timer)))

static void
on_ready(struct transport *transport)
{
	struct upstream *up = OF_TRANSPORT(transport);

	/* Kept connections have nothing to say: whatever comes is the end of them. */
	if (up->is_idle) {
		if (!transport_is_quiet(transport))
			upstream_close(up, false);
		else
			transport->readable = false;
		return;
	}
	/*
	 * All events of a turn were fetched before the first of them was handled.  What one of the turn
	 * tells in which a request was sent is older than that request, and no response to it (RFC 9112
	 * section 9.2): a 408, or somebody else's response.
	 */
	if (up->taken_turn == up->worker->turn && transport->readable &&
	    !transport_is_quiet(transport))
		up->is_stale = true;
	up->user_ops->on_ready(up->user, up);
}

static void
on_fire(struct timer *timer)
{
	struct upstream *up = OF_TIMER(timer);

	if (up->is_idle)
		upstream_close(up, false);
	else
		up->user_ops->on_timeout(up->user, up);
}

/* The name that `server` is asked for with a request for `host`; NULL: none. */
static const char *
tls_name(const struct server *server, const struct slice *host, char name[static TLS_NAME_SIZE])
{
	return tls_servers_name(server->pool->conf->tls_servers, host != NULL ? host->ptr : NULL,
	    host != NULL ? host->len : 0, name);
}

bool
upstream_has_name(const struct upstream *up, const char *name)
{
	const char *its;

	if (up->transport.ssl == NULL)
		return true;
	its = transport_tls_name(&up->transport);
	return name == NULL || its == NULL ? name == its : strcmp(name, its) == 0;
}

/* The first of the kept connections that was opened for the same name. */
static struct upstream *
find_idle(struct server *server, const struct slice *host)
{
	struct upstream *up = TAILQ_FIRST(&server->idle);
	char buffer[TLS_NAME_SIZE];
	const char *name;

	if (up == NULL || server->pool->conf->tls_servers == NULL)
		return up;
	name = tls_name(server, host, buffer);
	for (int looks = 0; up != NULL && looks < LOOKS_MAX; looks++, up = TAILQ_NEXT(up, link))
		if (upstream_has_name(up, name))
			return up;
	return NULL;
}

/* One with a leg; NULL as h2_leg_new() says. */
static struct upstream *
join(struct worker *worker, struct server *server, const struct slice *host,
    const struct upstream_user *ops, void *user, bool may_open)
{
	struct upstream *up = slab_take(&worker->upstreams);
	char buffer[TLS_NAME_SIZE];

	*up = (struct upstream){ .worker = worker,
		.server = server,
		.user_ops = ops,
		.user = user,
		.is_connected = true,
		.is_secured = true,
		.transport = { .fd = -1, .writable = true } };
	timer_init(&up->timer, on_fire);
	up->leg = h2_leg_new(
	    up, server->pool->conf->tls_servers != NULL ? tls_name(server, host, buffer) : NULL, may_open);
	if (up->leg == NULL) {
		slab_give(&worker->upstreams, up);
		return NULL;
	}
	up->is_reused = h2_leg_check(up->leg) == 0;
	return up;
}

struct upstream *
upstream_take_idle(struct worker *worker, struct server *server, const struct slice *host,
    const struct upstream_user *ops, void *user)
{
	struct upstream *up;

	if (pool_is_h2(server->pool->conf))
		return join(worker, server, host, ops, user, false);
	up = find_idle(server, host);
	if (up == NULL)
		return NULL;
	TAILQ_REMOVE(&server->idle, up, link);
	server->idle_count--;
	up->is_idle = false;
	up->is_reused = true;
	up->taken_turn = worker->turn;
	up->user_ops = ops;
	up->user = user;
	return up;
}

static void
count_connect(const struct upstream *up)
{
	uint64_t us = clock_us() - up->opened_us;
	unsigned index = histogram_index(us);

	histogram_add(&up->server->latency->of[LATENCY_CONNECT], index, us);
	histogram_add(&up->server->pool->latency->of[LATENCY_CONNECT], index, us);
}

/* Returns 0; -1 when memory is short. */
static int
prepare_tls(struct upstream *up, const char *name)
{
	struct server *server = up->server;
	const struct tls_servers *tls = server->pool->conf->tls_servers;

	return transport_connect_tls(&up->transport,
	    tls_servers_new_ssl(tls, name, &server->conf->address), &server->tls_session);
}

struct upstream *
upstream_connect(struct worker *worker, struct server *server, const struct slice *host,
    const struct upstream_user *ops, void *user)
{
	char buffer[TLS_NAME_SIZE];

	if (pool_is_h2(server->pool->conf))
		return join(worker, server, host, ops, user, true);
	return upstream_dial(worker, server,
	    server->pool->conf->tls_servers != NULL ? tls_name(server, host, buffer) : NULL, ops,
	    user);
}

static void
close_idle(struct server *server)
{
	while (!TAILQ_EMPTY(&server->idle))
		upstream_close(TAILQ_FIRST(&server->idle), false);
}

static void
each_server(struct worker *worker, void (*act)(struct server *server))
{
	for (size_t i = 0; i < worker->config->pool_count; i++) {
		struct pool *pool = &worker->pools[i];

		for (size_t j = 0; j < pool->conf->server_count; j++)
			act(pool->servers[j]);
	}
}

/* Where descriptors have run out, connections that nobody uses give theirs. */
static int
open_socket(struct worker *worker, int family)
{
	static struct log_limit limit;
	const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
	int fd = socket(family, type, 0), saved;

	if (fd != -1 || !scarcity_caused(errno))
		return fd;
	each_server(worker, close_idle);
	fd = socket(family, type, 0);
	saved = errno;
	if (fd == -1 && log_allowed(&limit, 1, 10000))
		log_warn("no socket for a connection to a server");
	errno = saved;
	return fd;
}

enum end
upstream_refusal(int error)
{
	return scarcity_caused(error) ? END_EXHAUSTED : END_CONNECT_FAILED;
}

struct upstream *
upstream_dial(struct worker *worker, struct server *server, const char *name,
    const struct upstream_user *ops, void *user)
{
	const struct addr *address = &server->conf->address;
	struct upstream *up;
	int one = 1, fd, result;
	uint64_t opened_us = clock_us();

	fd = open_socket(worker, address->sa.sa_family);
	if (fd == -1)
		return NULL;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	result = connect(fd, &address->sa, address->len);
	if (result == -1 && errno != EINPROGRESS) {
		int saved = errno;

		close(fd);
		errno = saved;
		return NULL;
	}
	up = slab_take(&worker->upstreams);
	*up =
	    (struct upstream){ .worker = worker, .server = server, .user_ops = ops, .user = user };
	timer_init(&up->timer, on_fire);
	if (transport_open(&up->transport, worker->base, fd, on_ready) == -1) {
		slab_give(&worker->upstreams, up);
		return NULL;
	}
	up->opened_us = opened_us;
	if (server->pool->conf->tls_servers != NULL && prepare_tls(up, name) == -1) {
		transport_close(&up->transport, true);
		slab_give(&worker->upstreams, up);
		errno = ENOMEM;
		return NULL;
	}
	up->is_secured = up->transport.ssl == NULL;
	up->is_connected = result == 0;
	up->transport.writable = result == 0;
	tally_add(server->tally, TALLY_CONNECTIONS, 1);
	if (up->is_connected)
		count_connect(up);
	return up;
}

static int
check_connected(struct upstream *up)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (up->is_connected)
		return 0;
	if (!up->transport.writable)
		return IO_WAIT;
	if (getsockopt(up->transport.fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error != 0) {
		errno = error;
		return IO_ERROR;
	}
	up->is_connected = true;
	count_connect(up);
	return 0;
}

static int
check_secured(struct upstream *up)
{
	static struct log_limit limit;
	const char *fault;
	int result = transport_handshake(&up->transport);

	if (result == 0)
		up->is_secured = true;
	if (result == 0 || result == IO_WAIT)
		return result;
	fault = transport_tls_fault(&up->transport);
	if (log_allowed(&limit, 10, 10000))
		log_warnx("pool %s server %s: TLS handshake: %s%s%s", up->server->pool->conf->name,
		    up->server->conf->name, transport_tls_error(), fault != NULL ? ": " : "",
		    fault != NULL ? fault : "");
	errno = EPROTO;
	return IO_ERROR;
}

int
upstream_check(struct upstream *up)
{
	int result = up->leg != NULL ? h2_leg_check(up->leg) : check_connected(up);

	return result != 0 || up->is_secured ? result : check_secured(up);
}

enum end
upstream_fault(const struct upstream *up)
{
	if (up->leg != NULL)
		return h2_leg_fault(up->leg);
	if (!up->is_connected || up->is_secured)
		return END_CONNECT_FAILED;
	return transport_tls_fault(&up->transport) != NULL ? END_SERVER_CERTIFICATE
							   : END_SERVER_TLS_FAILED;
}

void
upstream_give(struct upstream *up)
{
	struct server *server = up->server;

	/*
	 * Where the last read filled its buffer more may have come, without an edge to follow:
	 * bytes that would be taken for the next response.
	 */
	if (up->leg != NULL || up->worker->draining || server->is_leaving ||
	    up->transport.peer_closed ||
	    (up->transport.readable && !transport_is_quiet(&up->transport)) ||
	    server->idle_count >= up->worker->config->global.limits.idle_upstream) {
		upstream_close(up, false);
		return;
	}
	buf_give(up->in);
	up->in = NULL;
	up->is_idle = true;
	up->user_ops = NULL;
	up->user = NULL;
	TAILQ_INSERT_HEAD(&server->idle, up, link);
	server->idle_count++;
	timer_set(&up->timer, IDLE_MS);
}

void
upstream_close(struct upstream *up, bool reset)
{
	if (up == NULL || is_buried(&up->grave))
		return;
	if (up->is_idle) {
		TAILQ_REMOVE(&up->server->idle, up, link);
		up->server->idle_count--;
	}
	timer_stop(&up->timer);
	h2_leg_free(up->leg);
	up->leg = NULL;
	transport_close(&up->transport, reset);
	buf_give(up->in);
	up->in = NULL;
	worker_bury(up->worker, &up->grave, &up->worker->upstreams);
}

void
upstream_close_kept(struct server *server)
{
	h2_close_kept(server);
	close_idle(server);
}

void
upstream_close_idle(struct worker *worker)
{
	each_server(worker, upstream_close_kept);
}
