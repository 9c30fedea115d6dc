#include "probe_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "weir/addr.h"
#include "weir/arena.h"
#include "weir/proxyproto.h"
#include "weir/scarcity.h"

enum probe_state {
	PROBE_CONNECTING = 0, /* connect() is under way; all that a TCP check wants to know */
	PROBE_SECURING,       /* TLS handshake */
	PROBE_ASKING,         /* connected: probe_http.c or probe_h2.c sends and reads */
	PROBE_LISTENING,      /* udp: the datagram is out; silence is a pass if it was empty */
	PROBE_ENDED,          /* the verdict stands; `alarm` delivers it */
};

struct probe {
	enum probe_state state;
	bool passed;           /* PROBE_ENDED */
	bool has_other_answer; /* PROBE_LISTENING: not the one that is expected */
	char text[PROBE_TEXT_SIZE];
	int fd;                         /* owned */
	struct ssl_st *ssl;             /* owned; NULL: none (yet) */
	const struct pool_config *pool; /* its tls_servers change with the certificates */
	struct addr address;
	struct event ready; /* the socket, both ways, edge-triggered */
	struct event alarm; /* the deadline of the whole probe */
	const struct health_config *health;
	struct probe_http http;
	struct probe_h2 *h2; /* owned; NULL: the server speaks HTTP/1.1, or nothing was asked yet */
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

static void
probe_free(struct probe *probe)
{
	event_del(&probe->ready);
	event_del(&probe->alarm);
	probe_tls_free(probe->ssl);
	if (probe->fd != -1)
		close(probe->fd);
	probe_http_fini(&probe->http);
	probe_h2_free(probe->h2);
	free(probe);
}

void
probe_cancel(struct probe *probe)
{
	if (probe != NULL)
		probe_free(probe);
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
	probe_free(probe);
	done(arg, passed, text);
}

static enum probe_step
probe_ask_h2(struct probe *probe)
{
	if (probe->h2 == NULL && probe->ssl != NULL && !probe_tls_is_h2(probe->ssl)) {
		snprintf(probe->text, sizeof(probe->text), "TLS: HTTP/2 not chosen (ALPN)");
		return PROBE_FAILED;
	}
	if (probe->h2 == NULL)
		probe->h2 = probe_h2_new(probe->health, probe->ssl != NULL, &probe->address);
	if (probe->h2 == NULL) {
		probe_error_text(ENOMEM, probe->text);
		return PROBE_FAILED;
	}
	return probe_h2_run(probe->h2, probe->fd, probe->ssl, probe->text);
}

static enum probe_step
probe_ask(struct probe *probe)
{
	probe->state = PROBE_ASKING;
	if (pool_is_h2(probe->pool))
		return probe_ask_h2(probe);
	return probe_http_run(&probe->http, probe->health, probe->fd, probe->ssl, probe->text);
}

static enum probe_step
probe_secure(struct probe *probe)
{
	enum probe_step step = probe_tls_handshake(probe->ssl, probe->text);

	return step == PROBE_PASSED ? probe_ask(probe) : step;
}

static enum probe_step
probe_connected(struct probe *probe)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error != 0) {
		probe_error_text(error, probe->text);
		return PROBE_FAILED;
	}
	if (probe->health->type != HEALTH_HTTP && probe->health->type != HEALTH_GRPC) {
		/* A server that expects the header would complain of a connection without it. */
		if (probe->preface_len > 0)
			send(probe->fd, probe->preface, probe->preface_len, MSG_NOSIGNAL);
		snprintf(probe->text, sizeof(probe->text), "connected");
		return PROBE_PASSED;
	}
	if (probe->pool->tls_servers == NULL)
		return probe_ask(probe);
	probe->ssl =
	    probe_tls_new(probe->pool->tls_servers, probe->health, &probe->address, probe->fd);
	if (probe->ssl == NULL) {
		probe_error_text(ENOMEM, probe->text);
		return PROBE_FAILED;
	}
	probe->state = PROBE_SECURING;
	return probe_secure(probe);
}

/* What is expected comes back, or anything at all; a refusal (ICMP) is a failure. */
static enum probe_step
probe_listen(struct probe *probe)
{
	const struct slice *expect = &probe->health->expect;
	static char datagram[64 * 1024];

	for (;;) {
		ssize_t n = recv(probe->fd, datagram, sizeof(datagram), 0);

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

static void
probe_on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct probe *probe = arg;
	enum probe_step step = PROBE_WAIT;

	(void)fd;
	(void)what;
	switch (probe->state) {
	case PROBE_CONNECTING:
		step = probe_connected(probe);
		break;
	case PROBE_SECURING:
		step = probe_secure(probe);
		break;
	case PROBE_ASKING:
		step = probe_ask(probe);
		break;
	case PROBE_LISTENING:
		step = probe_listen(probe);
		break;
	case PROBE_ENDED:
		break;
	}
	if (step == PROBE_WAIT)
		return;
	probe->passed = step == PROBE_PASSED;
	probe_deliver(probe);
}

/* The deadline, or the way out for a probe that ended while it was started. */
static void
probe_on_alarm(evutil_socket_t fd, short what, void *arg)
{
	struct probe *probe = arg;

	(void)fd;
	(void)what;
	if (probe->state == PROBE_LISTENING && probe->health->payload.len == 0) {
		probe->passed = true;
		snprintf(probe->text, sizeof(probe->text), "not refused");
	} else if (probe->has_other_answer) {
		probe->passed = false;
		snprintf(probe->text, sizeof(probe->text), "other answer than expected");
	} else if (probe->state != PROBE_ENDED) {
		probe->passed = false;
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

	return sendmsg(probe->fd, &message, MSG_NOSIGNAL) == -1 && errno != EAGAIN ? -1 : 0;
}

/*
 * That the port answers is all that a TCP check wants to know.  The handshake is left half done and ended by a
 * reset: the server is not woken for it, and nothing waits in TIME_WAIT.
 */
static void
connect_half(int fd)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	const int off = 0;

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
}

static void
probe_end_soon(struct probe *probe, int error)
{
	probe->state = PROBE_ENDED;
	probe->passed = false;
	probe_error_text(error, probe->text);
	event_active(&probe->alarm, EV_TIMEOUT, 0);
}

struct probe *
probe_start(struct event_base *base, const struct pool_config *pool,
    const struct server_config *server, probe_done_fn *done, void *arg)
{
	const struct health_config *health = &pool->health;
	struct timeval timeout = { .tv_sec = health->timeout_ms / 1000,
		.tv_usec = (suseconds_t)(health->timeout_ms % 1000) * 1000 };
	struct addr address = server->address;
	struct probe *probe;
	bool is_udp = health->type == HEALTH_UDP;
	int type = (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
	int fd = socket(address.sa.sa_family, type, 0);

	if (fd == -1 && scarcity_caused(errno))
		return NULL;
	probe = xcalloc(1, sizeof(*probe));
	probe->fd = fd;
	probe->health = health;
	if (pool->proxy_protocol != PROXY_PROTOCOL_OFF)
		probe->preface_len =
		    proxyproto_print(pool->proxy_protocol == PROXY_PROTOCOL_V1 ? 1 : 2, is_udp,
			NULL, NULL, probe->preface);
	probe->pool = pool;
	probe->done = done;
	probe->arg = arg;
	event_assign(&probe->alarm, base, -1, 0, probe_on_alarm, probe);
	event_assign(&probe->ready, base, fd, EV_READ | EV_WRITE | EV_ET | EV_PERSIST,
	    probe_on_ready, probe);
	if (health->port != 0)
		addr_set_port(&address, health->port);
	probe->address = address;
	if (health->type == HEALTH_TCP && probe->preface_len == 0)
		connect_half(fd);
	if (fd == -1 || (connect(fd, &address.sa, address.len) == -1 && errno != EINPROGRESS) ||
	    (is_udp && probe_send_datagram(probe) == -1)) {
		probe_end_soon(probe, errno); /* also a kernel without IPv6 */
		return probe;
	}
	if (is_udp)
		probe->state = PROBE_LISTENING;
	if (health->type == HEALTH_HTTP && !pool_is_h2(pool))
		probe_http_init(&probe->http, health, &address, probe->preface, probe->preface_len);
	if (event_add(&probe->ready, NULL) == -1 || event_add(&probe->alarm, &timeout) == -1) {
		probe_free(probe);
		errno = ENOMEM;
		return NULL;
	}
	return probe;
}
