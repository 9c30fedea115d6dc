#include "weir/upstream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/tally.h"

enum { IDLE_MS = 60 * 1000 }; /* a kept connection that nobody needed for so long is closed */

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

struct upstream *
upstream_take_idle(struct server *server, const struct upstream_user *ops, void *user)
{
	struct upstream *up = TAILQ_FIRST(&server->idle);

	if (up == NULL)
		return NULL;
	TAILQ_REMOVE(&server->idle, up, link);
	server->idle_count--;
	up->is_idle = false;
	up->is_reused = true;
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

struct upstream *
upstream_connect(
    struct worker *worker, struct server *server, const struct upstream_user *ops, void *user)
{
	const struct addr *address = &server->conf->address;
	struct upstream *up;
	int one = 1, fd, result;
	uint64_t opened_us = clock_us();

	fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
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
	up->is_connected = result == 0;
	up->transport.writable = result == 0;
	tally_add(server->tally, TALLY_CONNECTIONS, 1);
	if (up->is_connected)
		count_connect(up);
	return up;
}

int
upstream_check(struct upstream *up)
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

void
upstream_give(struct upstream *up)
{
	struct server *server = up->server;

	/*
	 * Where the last read filled its buffer more may have come, without an edge to follow:
	 * bytes that would be taken for the next response.
	 */
	if (up->worker->draining || up->transport.peer_closed ||
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
	transport_close(&up->transport, reset);
	buf_give(up->in);
	up->in = NULL;
	worker_bury(up->worker, &up->grave, &up->worker->upstreams);
}

void
upstream_close_idle(struct worker *worker)
{
	for (size_t i = 0; i < worker->config->pool_count; i++) {
		struct pool *pool = &worker->pools[i];

		for (size_t j = 0; j < pool->conf->server_count; j++)
			while (!TAILQ_EMPTY(&pool->servers[j].idle))
				upstream_close(TAILQ_FIRST(&pool->servers[j].idle), false);
	}
}
