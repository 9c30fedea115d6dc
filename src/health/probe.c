#include "probe_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "weir/addr.h"
#include "weir/arena.h"
#include "weir/proxyproto.h"
#include "weir/scarcity.h"
#include "weir/wheel.h"

enum probe_state {
	PROBE_CONNECTING = 0, /* connect() is under way; all that a TCP check wants to know */
	PROBE_SECURING,       /* TLS handshake */
	PROBE_ASKING,         /* connected: probe_http.c or probe_h2.c sends and reads */
	PROBE_LISTENING,      /* udp: the datagram is out; silence is a pass if it was empty */
	PROBE_ENDED,          /* the verdict stands; `alarm` delivers it */
};

struct probe {
	LIST_ENTRY(probe) entry; /* PROBE_ENDED: of links->ended */
	enum probe_state state;
	bool passed;           /* PROBE_ENDED */
	bool has_other_answer; /* PROBE_LISTENING: not the one that is expected */
	bool is_again;         /* over a kept link, which may have ended in the meantime */
	char text[PROBE_TEXT_SIZE];
	struct links *links;  /* borrowed */
	struct link *link;    /* owned; NULL: could not be opened, or is somebody's again */
	struct link **keeper; /* where it goes if it may serve the next check */
	const struct pool_config *pool; /* its tls_servers change with the certificates */
	const struct health_config *health;
	struct addr address;
	struct timer deadline; /* of the whole probe */
	struct probe_http http;
	uint8_t preface[PROXYPROTO_PRINT_MAX]; /* says that nobody but weir asks */
	size_t preface_len;
	probe_done_fn *done;
	void *arg;
};

void
probe_error_text(int error, char text[static PROBE_TEXT_SIZE])
{
	/* clang-format off */
	static const struct { int error; const char *text; } known[] = {
		{ ECONNREFUSED, "connection refused" },
		{ ECONNRESET, "connection reset" },
		{ EPIPE, "connection reset" },
		{ ETIMEDOUT, "timeout" },
		{ EHOSTUNREACH, "no route to host" },
		{ ENETUNREACH, "network unreachable" },
		{ EADDRNOTAVAIL, "no local address or port left" },
		{ EACCES, "not permitted" },
		{ EPERM, "not permitted" },
	};
	/* clang-format on */

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].error == error) {
			snprintf(text, PROBE_TEXT_SIZE, "%s", known[i].text);
			return;
		}
	}
	snprintf(text, PROBE_TEXT_SIZE, "%s", strerror(error));
}

static bool
health_is_request(const struct health_config *health)
{
	return health->type == HEALTH_HTTP || health->type == HEALTH_GRPC;
}

static void
probe_free(struct probe *probe)
{
	if (probe->state == PROBE_ENDED)
		LIST_REMOVE(probe, entry);
	timer_stop(&probe->deadline);
	link_close(probe->link);
	probe_http_fini(&probe->http);
	free(probe);
}

void
probe_cancel(struct probe *probe)
{
	if (probe != NULL)
		probe_free(probe);
}

/* May the next check go over the same connection? */
static bool
probe_leaves_link(const struct probe *probe)
{
	if (!probe->passed || probe->health->keepalive_ms == 0 || probe->state != PROBE_ASKING)
		return false;
	return probe->link->h2 != NULL ? probe_h2_is_done(probe->link->h2)
				       : probe->http.is_reusable;
}

/* The probe is freed before `done` runs, so that it may start the next one. */
static void
probe_deliver(struct probe *probe)
{
	char text[PROBE_TEXT_SIZE];
	probe_done_fn *done = probe->done;
	void *arg = probe->arg;
	bool passed = probe->passed;

	memcpy(text, probe->text, sizeof(text));
	if (probe->link != NULL && probe_leaves_link(probe)) {
		link_keep(probe->link, probe->keeper);
		probe->link = NULL;
	}
	probe_free(probe);
	done(arg, passed, text);
}

/* The verdict stands before the probe has begun in earnest: probes_run() delivers it. */
static void
probe_end_soon(struct probe *probe, int error)
{
	probe->state = PROBE_ENDED;
	probe->passed = false;
	probe_error_text(error, probe->text);
	LIST_INSERT_HEAD(&probe->links->ended, probe, entry);
}

static enum probe_step
probe_ask_h2(struct probe *probe, bool is_readable)
{
	struct link *link = probe->link;

	if (link->h2 == NULL && link->ssl != NULL && !probe_tls_is_h2(link->ssl)) {
		snprintf(probe->text, sizeof(probe->text), "TLS: HTTP/2 not chosen (ALPN)");
		return PROBE_FAILED;
	}
	if (link->h2 == NULL)
		link->h2 = probe_h2_new(probe->health, link->ssl != NULL, &probe->address);
	if (link->h2 == NULL) {
		probe_error_text(ENOMEM, probe->text);
		return PROBE_FAILED;
	}
	return probe_h2_run(link->h2, link->fd, link->ssl, is_readable, probe->text);
}

static enum probe_step
probe_ask(struct probe *probe, bool is_readable)
{
	struct link *link = probe->link;

	probe->state = PROBE_ASKING;
	if (pool_is_h2(probe->pool))
		return probe_ask_h2(probe, is_readable);
	return probe_http_run(
	    &probe->http, probe->health, link->fd, link->ssl, is_readable, probe->text);
}

static enum probe_step
probe_secure(struct probe *probe, bool is_readable)
{
	enum probe_step step = probe_tls_handshake(probe->link->ssl, probe->text);

	return step == PROBE_PASSED ? probe_ask(probe, is_readable) : step;
}

/* What became of connect()? */
static int
probe_socket_error(const struct probe *probe, uint32_t events)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if ((events & (EPOLLERR | EPOLLHUP)) != 0 &&
	    getsockopt(probe->link->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		return errno;
	return error;
}

static enum probe_step
probe_connected(struct probe *probe, uint32_t events)
{
	struct link *link = probe->link;
	int error = probe_socket_error(probe, events);

	if (error != 0) {
		probe_error_text(error, probe->text);
		return PROBE_FAILED;
	}
	link->is_connected = true;
	if (!health_is_request(probe->health)) {
		/* A server that expects the header would complain of a connection without it. */
		if (probe->preface_len > 0)
			send(link->fd, probe->preface, probe->preface_len, MSG_NOSIGNAL);
		else
			link->is_resettable = true;
		snprintf(probe->text, sizeof(probe->text), "connected");
		return PROBE_PASSED;
	}
	if (probe->pool->tls_servers == NULL)
		return probe_ask(probe, (events & EPOLLIN) != 0);
	link->ssl =
	    probe_tls_new(probe->pool->tls_servers, probe->health, &probe->address, link->fd);
	if (link->ssl == NULL) {
		probe_error_text(ENOMEM, probe->text);
		return PROBE_FAILED;
	}
	probe->state = PROBE_SECURING;
	return probe_secure(probe, true);
}

/* What is expected comes back, or anything at all; a refusal (ICMP) is a failure. */
static enum probe_step
probe_listen(struct probe *probe)
{
	const struct slice *expect = &probe->health->expect;
	static char datagram[64 * 1024];

	for (;;) {
		ssize_t n = recv(probe->link->fd, datagram, sizeof(datagram), 0);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return PROBE_WAIT;
		if (n == -1) {
			probe_error_text(errno, probe->text);
			return PROBE_FAILED;
		}
		if (expect->len == 0 ||
		    memmem(datagram, (size_t)n, expect->ptr, expect->len) != NULL)
			break;
		probe->has_other_answer = true;
	}
	snprintf(probe->text, sizeof(probe->text), "answered");
	return PROBE_PASSED;
}

static enum probe_step
probe_go_on(struct probe *probe, uint32_t events)
{
	bool is_readable = (events & ~(uint32_t)EPOLLOUT) != 0;

	switch (probe->state) {
	case PROBE_CONNECTING:
		return probe_connected(probe, events);
	case PROBE_SECURING:
		return probe_secure(probe, is_readable);
	case PROBE_ASKING:
		return probe_ask(probe, is_readable);
	case PROBE_LISTENING:
		return is_readable ? probe_listen(probe) : PROBE_WAIT;
	case PROBE_ENDED:
		break;
	}
	return PROBE_WAIT;
}

static int probe_connect(struct probe *probe);

/* A kept connection that ended before anything came over it says nothing of the server: a new one
 * does. */
static bool
probe_starts_over(struct probe *probe)
{
	struct link *link = probe->link;

	if (!probe->is_again ||
	    (link->h2 != NULL ? probe_h2_has_answer(link->h2) : probe->http.has_answer))
		return false;
	link_close(link);
	probe->link = NULL;
	probe_http_fini(&probe->http);
	if (probe_connect(probe) == -1)
		probe_end_soon(probe, errno);
	return true;
}

static void
probe_on_step(struct probe *probe, enum probe_step step)
{
	if (step == PROBE_WAIT || (step == PROBE_FAILED && probe_starts_over(probe)))
		return;
	probe->passed = step == PROBE_PASSED;
	probe_deliver(probe);
}

/* Nothing is expected of a link that is kept: what TLS and HTTP/2 say of themselves is noted,
 * anything else ends it. */
static bool
link_is_quiet(struct link *link)
{
	char byte;

	if (link->h2 != NULL)
		return probe_h2_idle(link->h2, link->fd, link->ssl);
	return probe_receive(link->fd, link->ssl, &byte, sizeof(byte)) == -1 && errno == EAGAIN;
}

bool
probes_run(struct links *links)
{
	struct epoll_event events[256];
	struct probe *probe;
	int n = epoll_wait(links->epoll, events, sizeof(events) / sizeof(events[0]), 0);
	bool is_busy = n > 0 || !LIST_EMPTY(&links->ended);

	for (int i = 0; i < n; i++) {
		struct link *link = events[i].data.ptr;

		if (link->probe == NULL) {
			if (link->keeper != NULL && !link_is_quiet(link))
				link_close(link);
			continue;
		}
		if ((events[i].events & EPOLLRDHUP) != 0)
			link->is_resettable = link->is_connected;
		probe_on_step(link->probe, probe_go_on(link->probe, events[i].events));
	}
	/* Not before: their links may have had events. */
	while ((probe = LIST_FIRST(&links->ended)) != NULL)
		probe_deliver(probe);
	return is_busy;
}

static void
probe_on_deadline(struct timer *timer)
{
	struct probe *probe = (struct probe *)((char *)timer - offsetof(struct probe, deadline));

	probe->passed = false;
	if (probe->state == PROBE_LISTENING && probe->health->payload.len == 0) {
		probe->passed = true;
		snprintf(probe->text, sizeof(probe->text), "not refused");
	} else if (probe->has_other_answer) {
		snprintf(probe->text, sizeof(probe->text), "other answer than expected");
	} else if (probe->state != PROBE_ENDED) {
		snprintf(probe->text, sizeof(probe->text), "timeout");
	}
	probe_deliver(probe);
}

/* One datagram: what says that weir asks, and the payload. */
static int
probe_send_datagram(const struct probe *probe)
{
	const struct slice *payload = &probe->health->payload;
	struct iovec iov[2] = { { (void *)(uintptr_t)probe->preface, probe->preface_len },
		{ (void *)(uintptr_t)payload->ptr, payload->len } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	return sendmsg(probe->link->fd, &message, MSG_NOSIGNAL) == -1 && errno != EAGAIN ? -1 : 0;
}

/* Returns -1 with errno set. */
static int
probe_connect(struct probe *probe)
{
	bool is_udp = probe->health->type == HEALTH_UDP;

	probe->is_again = false;
	probe->state = PROBE_CONNECTING;
	if (probe->health->type == HEALTH_HTTP && !pool_is_h2(probe->pool))
		probe_http_init(&probe->http, probe->health, &probe->address, probe->preface,
		    probe->preface_len);
	probe->link = link_open(probe->links, probe, &probe->address, !is_udp);
	if (probe->link == NULL)
		return -1;
	if (!is_udp)
		return 0;
	probe->state = PROBE_LISTENING;
	return probe_send_datagram(probe);
}

/* Ask over the kept link. */
static void
probe_ask_again(struct probe *probe)
{
	enum probe_step step;

	probe->is_again = true;
	if (probe->link->h2 != NULL &&
	    probe_h2_again(probe->link->h2, probe->link->ssl != NULL, &probe->address) == -1)
		step = PROBE_FAILED;
	else {
		if (probe->link->h2 == NULL)
			probe_http_init(&probe->http, probe->health, &probe->address, NULL, 0);
		step = probe_ask(probe, false);
	}
	/* Whatever is wrong with it: a new connection tells whether the server is. */
	if (step != PROBE_WAIT && !probe_starts_over(probe))
		probe_end_soon(probe, ECONNRESET);
}

struct probe *
probe_start(struct links *links, struct link **keeper, const struct pool_config *pool,
    const struct server_config *server, probe_done_fn *done, void *arg)
{
	const struct health_config *health = &pool->health;
	struct probe *probe = xcalloc(1, sizeof(*probe));

	probe->links = links;
	probe->keeper = keeper;
	probe->health = health;
	probe->pool = pool;
	probe->done = done;
	probe->arg = arg;
	probe->address = server->address;
	if (health->port != 0)
		addr_set_port(&probe->address, health->port);
	timer_init(&probe->deadline, probe_on_deadline);
	timer_set(&probe->deadline, health->timeout_ms);
	if (pool->proxy_protocol != PROXY_PROTOCOL_OFF)
		probe->preface_len =
		    proxyproto_print(pool->proxy_protocol == PROXY_PROTOCOL_V1 ? 1 : 2,
			health->type == HEALTH_UDP, NULL, NULL, probe->preface);
	probe->link = link_take_kept(keeper, probe, health->keepalive_ms);
	if (probe->link != NULL) {
		probe_ask_again(probe);
		return probe;
	}
	if (probe_connect(probe) == 0)
		return probe;
	if (probe->link == NULL && scarcity_caused(errno)) {
		int error = errno;

		probe_free(probe);
		errno = error;
		return NULL;
	}
	probe_end_soon(probe, errno); /* also a kernel without IPv6 */
	return probe;
}
