#include "clients_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <event2/event.h>

#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/log.h"
#include "weir/scarcity.h"

enum {
	ACCEPTS_PER_TURN = 16,
	STEPS_PER_TURN = 256, /* of one connection, before the loop looks at others */
	BYTES_PER_MS = 16,    /* who takes a long answer more slowly is cut */
	LINGER_MS = 2000,
	DRAIN_MS = 2000,       /* for a request that a connection has not sent yet */
	SCARCE_WAIT_MS = 1000, /* after accept() failed for want of descriptors */
};

TAILQ_HEAD(client_list, client);

struct clients {
	struct event_base *base;
	const struct clients_ops *ops;
	const struct clients_limits *limits;
	void *arg;
	struct event acceptor;
	struct event resume; /* accepting again after a failure */
	struct client_list list;
	unsigned count;
	bool is_draining; /* accepts nobody any more */
};

/* What one look at a connection led to. */
enum client_step {
	CLIENT_NEXT = 0, /* something moved, look again */
	CLIENT_WAIT,     /* nothing can be done before the next event */
	CLIENT_END,      /* close it */
};

static void
client_free(struct client *client)
{
	struct clients *clients = client->clients;

	if (clients->ops->closed != NULL)
		clients->ops->closed(client);
	TAILQ_REMOVE(&clients->list, client, next);
	event_del(&client->ready);
	event_del(&client->alarm);
	close(client->fd);
	text_fini(&client->out);
	free(client->in);
	free(client);
	clients->count--;
	if (!clients->is_draining)
		event_add(&clients->acceptor, NULL); /* there is room again */
}

static void
client_set_deadline(struct client *client, uint64_t wait_ms)
{
	struct timeval wait = { .tv_sec = (time_t)(wait_ms / 1000),
		.tv_usec = (suseconds_t)(wait_ms % 1000) * 1000 };

	event_add(&client->alarm, &wait);
}

/* While an answer leaves: a byte at least every stall_ms, the whole within answer_ms and 1 ms for
 * each 16 bytes. */
static void
client_renew_deadline(struct client *client)
{
	const struct clients_limits *limits = client->clients->limits;
	uint64_t used = now_ms - client->answer_ms;
	uint64_t allowed = limits->answer_ms + client->out.len / BYTES_PER_MS;
	uint64_t left = used < allowed ? allowed - used : 0;

	client_set_deadline(client, left < limits->stall_ms ? left : limits->stall_ms);
}

static enum client_step
client_sent_all(struct client *client)
{
	text_fini(&client->out);
	client->sent = 0;
	if (!client->closes) {
		client_set_deadline(client, client->clients->limits->idle_ms);
		return CLIENT_NEXT;
	}
	/* Closing with unread input would reset the connection and could destroy the answer on its
	 * way. */
	shutdown(client->fd, SHUT_WR);
	client->lingers = true;
	client_set_deadline(client, LINGER_MS);
	return CLIENT_NEXT;
}

static enum client_step
client_write(struct client *client)
{
	ssize_t n = send(client->fd, client->out.data + client->sent,
	    client->out.len - client->sent, MSG_NOSIGNAL);

	if (n == -1 && errno == EINTR)
		return CLIENT_NEXT;
	if (n == -1)
		return errno == EAGAIN ? CLIENT_WAIT : CLIENT_END;
	client->sent += (size_t)n;
	if (client->sent == client->out.len)
		return client_sent_all(client);
	client_renew_deadline(client);
	return CLIENT_NEXT;
}

static void
client_begin_answer(struct client *client)
{
	client->answer_ms = now_ms;
	client_renew_deadline(client);
}

/* A lingering connection is read only to notice its end. */
static enum client_step
client_discard(struct client *client)
{
	char sink[1024];
	ssize_t n = recv(client->fd, sink, sizeof(sink), 0);

	if (n > 0 || (n == -1 && errno == EINTR))
		return CLIENT_NEXT;
	return n == -1 && errno == EAGAIN ? CLIENT_WAIT : CLIENT_END;
}

static enum client_step
client_read(struct client *client)
{
	ssize_t n;

	if (client->filled == client->clients->limits->request_size) {
		client->closes = true;
		client->filled = 0;
		client->clients->ops->too_long(client);
		client_begin_answer(client);
		return CLIENT_NEXT;
	}
	n = recv(client->fd, client->in + client->filled,
	    client->clients->limits->request_size - client->filled, 0);
	if (n > 0)
		client->filled += (size_t)n;
	if (n > 0 || (n == -1 && errno == EINTR))
		return CLIENT_NEXT;
	return n == -1 && errno == EAGAIN ? CLIENT_WAIT : CLIENT_END;
}

/* Returns whether a request was there. */
static bool
client_answer(struct client *client)
{
	size_t used = client->filled > 0 ? client->clients->ops->answer(client) : 0;

	if (used == 0)
		return false;
	client->filled -= used;
	memmove(client->in, client->in + used, client->filled);
	if (client->is_asking)
		event_del(&client->alarm);
	else if (client->out.len > 0)
		client_begin_answer(client);
	client->was_served = true;
	return true;
}

static enum client_step
client_step(struct client *client)
{
	if (client->lingers)
		return client_discard(client);
	if (client->out.len > 0)
		return client_write(client);
	if (client->is_asking)
		return CLIENT_WAIT;
	if (client_answer(client))
		return CLIENT_NEXT;
	return client_read(client);
}

static void
client_run(struct client *client)
{
	enum client_step step = CLIENT_NEXT;

	clock_update();
	for (int budget = STEPS_PER_TURN; budget > 0 && step == CLIENT_NEXT; budget--)
		step = client_step(client);
	if (step == CLIENT_END)
		client_free(client);
	else if (step == CLIENT_NEXT)
		event_active(
		    &client->ready, EV_READ, 0); /* edge-triggered: nobody else would tell */
}

static void
client_on_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_run(arg);
}

static void
client_on_alarm(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_free(arg);
}

void
client_answer_later(struct client *client)
{
	client->is_asking = false;
	clock_update();
	client_begin_answer(client);
	event_active(&client->ready, EV_WRITE, 0);
}

static void
clients_add(struct clients *clients, int fd)
{
	struct client *client = xcalloc(1, sizeof(*client));

	client->clients = clients;
	client->in = xmalloc(clients->limits->request_size);
	client->fd = fd;
	TAILQ_INSERT_TAIL(&clients->list, client, next);
	clients->count++;
	event_assign(&client->alarm, clients->base, -1, 0, client_on_alarm, client);
	event_assign(&client->ready, clients->base, fd, EV_READ | EV_WRITE | EV_ET | EV_PERSIST,
	    client_on_ready, client);
	client_set_deadline(client, clients->limits->idle_ms);
	if (event_add(&client->ready, NULL) == -1)
		client_free(client);
}

/* A connection that died in the queue is the peer's affair; want of descriptors is ours and passes.
 */
static void
clients_accept_failed(struct clients *clients)
{
	static struct log_limit limit;
	struct timeval wait = { .tv_sec = SCARCE_WAIT_MS / 1000,
		.tv_usec = SCARCE_WAIT_MS % 1000 * 1000 };

	if (!scarcity_caused(errno))
		return;
	if (log_allowed(&limit, 1, 60000))
		log_warn("stats and control connections wait: accept");
	event_del(&clients->acceptor);
	event_add(&clients->resume, &wait);
}

static void
clients_on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct clients *clients = arg;

	(void)what;
	clock_update();
	for (int budget = ACCEPTS_PER_TURN; budget > 0; budget--) {
		int fd;

		if (clients->count >= clients->limits->connections) {
			event_del(&clients->acceptor); /* the rest waits in the kernel's queue */
			return;
		}
		fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1) {
			clients_accept_failed(clients);
			return;
		}
		clients_add(clients, fd);
	}
}

static void
clients_on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct clients *clients = arg;

	(void)fd;
	(void)what;
	event_add(&clients->acceptor, NULL);
}

struct clients *
clients_start(struct event_base *base, int fd, const struct clients_ops *ops,
    const struct clients_limits *limits, void *arg)
{
	struct clients *clients = xcalloc(1, sizeof(*clients));

	clients->base = base;
	clients->ops = ops;
	clients->limits = limits;
	clients->arg = arg;
	TAILQ_INIT(&clients->list);
	event_assign(
	    &clients->acceptor, base, fd, EV_READ | EV_PERSIST, clients_on_accept, clients);
	event_assign(&clients->resume, base, -1, 0, clients_on_resume, clients);
	event_add(&clients->acceptor, NULL);
	return clients;
}

void
clients_drain(struct clients *clients)
{
	struct client *client;

	if (clients->is_draining)
		return;
	clients->is_draining = true;
	event_del(&clients->acceptor);
	event_del(&clients->resume);
	TAILQ_FOREACH (client, &clients->list, next)
		if (!client->was_served && client->out.len == 0)
			client_set_deadline(client, DRAIN_MS);
}

bool
clients_is_draining(const struct clients *clients)
{
	return clients->is_draining;
}

void
clients_stop(struct clients *clients)
{
	struct client *client;

	if (clients == NULL)
		return;
	clients_drain(clients);
	while ((client = TAILQ_FIRST(&clients->list)) != NULL)
		client_free(client);
	free(clients);
}

void *
clients_arg(const struct clients *clients)
{
	return clients->arg;
}

bool
clients_busy(const struct clients *clients)
{
	const struct client *client;

	TAILQ_FOREACH (client, &clients->list, next)
		if (client->is_asking || client->out.len > 0 || !client->was_served)
			return true;
	return false;
}

size_t
clients_pending(const struct clients *clients)
{
	const struct client *client;
	size_t pending = 0;

	TAILQ_FOREACH (client, &clients->list, next)
		pending += client->out.len;
	return pending;
}
