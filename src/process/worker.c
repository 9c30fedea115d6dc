/*
 * worker: one event loop that serves clients.
 *
 * Runs in: worker.  Everything about clients is front's; here is what the master wants: start,
 * drain, stop, new logs.
 */
#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child_priv.h"
#include "servers_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/front.h"
#include "weir/log.h"
#include "weir/tls_tickets.h"

struct change { /* other servers for pools */
	TAILQ_ENTRY(change) entry;
	struct servers_header header;
	int fd; /* owned */
};
TAILQ_HEAD(change_list, change);

struct worker {
	struct child_job *job;   /* borrowed */
	struct event_base *base; /* owned */
	struct front *front;     /* owned */
	struct event *tickets;   /* owned; the next key of session tickets */
	int certs_fd;            /* owned; new certificates; -1: none */
	uint64_t certs_number;
	bool start, drain, close_idle; /* asked for, done after this turn of the loop */
	bool draining, stop;
	struct change_list changes; /* of servers, likewise */
	uint32_t applied, settled;  /* as the master knows it */
};

static void
worker_keep_change(struct worker *worker, const struct message *message)
{
	struct change *change = xcalloc(1, sizeof(*change));

	assert(message->fd != -1 && message->len == sizeof(change->header));
	memcpy(&change->header, message->payload, sizeof(change->header));
	change->fd = message->fd;
	TAILQ_INSERT_TAIL(&worker->changes, change, entry);
}

static void
worker_change_log(struct worker *worker, const struct message *message)
{
	uint32_t output;

	if (message->fd == -1 || message->len != sizeof(output))
		return;
	memcpy(&output, message->payload, sizeof(output));
	if (output >= worker->job->config->log_output_count) {
		close(message->fd);
		return;
	}
	front_set_log(worker->front, output, message->fd);
	if (worker->job->log_fds[output] > STDERR_FILENO)
		close(worker->job->log_fds[output]);
	worker->job->log_fds[output] = message->fd;
}

/* front may not be changed inside a callback of its own, and any event may be one: orders wait for
 * the end of the turn. */
static void
worker_on_message(void *arg, struct message *message)
{
	struct worker *worker = arg;

	switch (message->type) {
	case MESSAGE_START:
		worker->start = true;
		return;
	case MESSAGE_DRAIN:
		worker->drain = true;
		return;
	case MESSAGE_CLOSE_IDLE:
		worker->close_idle = true;
		return;
	case MESSAGE_STOP:
		worker->stop = true;
		return;
	case MESSAGE_CERTS:
		if (worker->certs_fd != -1)
			close(worker->certs_fd);
		worker->certs_fd = message->fd;
		memcpy(&worker->certs_number, message->payload, sizeof(worker->certs_number));
		return;
	case MESSAGE_SERVERS:
		worker_keep_change(worker, message);
		return;
	case MESSAGE_PING:
		atomic_fetch_add(&shm_slot_info(worker->job->shm, worker->job->slot)->pongs, 1);
		return;
	case MESSAGE_LOG:
		worker_change_log(worker, message);
		return;
	default:
		if (message->fd != -1)
			close(message->fd);
	}
}

/* The master could not make it listen, and has said so. */
static bool
is_listening(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value != 0;
}

static void
worker_listen(struct worker *worker)
{
	const struct config *config = worker->job->config;

	for (size_t i = 0; i < worker->job->socket_count; i++) {
		const struct child_socket *s = &worker->job->sockets[i];
		const struct listener_config *listener = &config->listeners[s->listener];

		if (listener->protocol != PROTOCOL_UDP && !is_listening(s->fd))
			continue;
		if (front_listen(worker->front, listener, s->fd) == -1) {
			log_error("listener %s: cannot accept clients", listener->name);
			exit(EXIT_FAILURE);
		}
	}
}

/*
 * The sockets close here, so that a port that is not configured any more is free as soon as the
 * last worker drains.  What waits in a queue then is reset: one more turn takes it out first.
 */
static void
worker_drain(struct worker *worker)
{
	worker->draining = true;
	event_base_loop(worker->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	front_drain(worker->front, worker->job->config->global.limits.drain_ms);
	for (size_t i = 0; i < worker->job->socket_count; i++)
		close(worker->job->sockets[i].fd);
	worker->job->socket_count = 0;
	child_tell(worker->job, MESSAGE_DRAINING, NULL, 0);
}

/* Connections that are there keep what they were made of. */
static void
worker_take_certs(struct worker *worker)
{
	child_take_certs(worker->job, worker->certs_fd, worker->certs_number);
	worker->certs_fd = -1;
}

static void
on_tickets(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;
	struct timeval next = { .tv_sec = tls_tickets_turn(worker->job->config) };

	(void)fd;
	(void)what;
	evtimer_add(worker->tickets, &next);
}

static void
worker_tell_servers(struct worker *worker)
{
	struct servers_done done = { worker->applied, front_settled(worker->front) };

	worker->settled = done.settled;
	child_tell(worker->job, MESSAGE_SERVERS_DONE, &done, sizeof(done));
}

static void
worker_set_servers(void *arg, struct servers_set set)
{
	struct worker *worker = arg;
	const struct change *change = TAILQ_FIRST(&worker->changes);

	front_set_servers(worker->front, &worker->job->config->pools[set.pool], set.servers,
	    set.count, change->header.revision);
}

static void
worker_change_servers(struct worker *worker)
{
	struct change *change;

	while ((change = TAILQ_FIRST(&worker->changes)) != NULL) {
		if (!servers_unpack(change->fd, &change->header, worker->job->config,
			worker_set_servers, worker)) {
			log_errorx("servers: a change that cannot be understood");
			exit(EXIT_FAILURE); /* the next worker begins with what the master has */
		}
		worker->applied = change->header.revision;
		TAILQ_REMOVE(&worker->changes, change, entry);
		close(change->fd);
		free(change);
	}
	worker_tell_servers(worker);
}

static void
worker_obey(struct worker *worker)
{
	if (!TAILQ_EMPTY(&worker->changes))
		worker_change_servers(worker);
	else if (worker->settled != worker->applied &&
		 worker->settled != front_settled(worker->front))
		worker_tell_servers(worker);
	if (worker->start && !worker->draining)
		worker_listen(worker);
	worker->start = false;
	if (worker->drain && !worker->draining)
		worker_drain(worker);
	if (worker->certs_fd != -1)
		worker_take_certs(worker);
	if (worker->close_idle)
		front_close_idle(worker->front);
	worker->close_idle = false;
}

int
worker_run(void *arg)
{
	struct worker worker = { .job = arg, .certs_fd = -1 };
	struct event *channel;
	bool has_more = false;

	TAILQ_INIT(&worker.changes);
	worker.base = child_start(worker.job);
	worker.front = front_new(worker.base, worker.job->config, worker.job->shm, worker.job->slot,
	    worker.job->log_fds);
	channel = child_hear(worker.base, worker.job, worker_on_message, &worker);
	worker.tickets = evtimer_new(worker.base, on_tickets, &worker);
	if (worker.tickets == NULL) {
		log_error("cannot make a timer");
		return EXIT_FAILURE;
	}
	on_tickets(-1, 0, &worker);
	child_tell(worker.job, MESSAGE_READY, NULL, 0);
	while (!worker.stop && !(worker.draining && front_is_empty(worker.front))) {
		if (event_base_loop(worker.base, EVLOOP_ONCE | (has_more ? EVLOOP_NONBLOCK : 0)) ==
		    -1) {
			log_error("event loop");
			return EXIT_FAILURE;
		}
		clock_update();
		worker_obey(&worker);
		has_more = front_turn(worker.front);
	}
	front_free(worker.front);
	event_free(worker.tickets);
	event_free(channel);
	event_base_free(worker.base);
	return EXIT_SUCCESS;
}
