/*
 * Whole sessions: a real front with its event loop between a client and a server that say whatever
 * comes, in HTTP/1 or HTTP/2.  Nothing may hang on: when both have gone, so has the session.
 *
 * The first byte says how: bit 0: HTTP/2 (the preface is put before the client's bytes), bit 1: the
 * client's bytes come in pieces, bit 2: the server closes behind its answer, bit 3: the worker
 * drains meanwhile, bit 4: the server is asked in HTTP/2, bit 5: it begins with SETTINGS then.
 * Then the length of the server's answer (two bytes, high one first), the answer, and the client's
 * bytes.  The server answers each blank line that it reads; without an answer of its own, with a
 * short one that is well-formed.  In HTTP/2 it answers once, to what follows its SETTINGS.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weir/clock.h"
#include "weir/conf.h"
#include "weir/diag.h"
#include "weir/front.h"
#include "weir/log.h"
#include "weir/shm.h"

#include "../../src/front/front_priv.h"

enum {
	HTTP2 = 1,
	PIECES = 2,
	CLOSES = 4,
	DRAINS = 8,
	TO_HTTP2 = 16,
	GREETS = 32,
	TURNS_QUICK = 1000,
	TURNS_MAX = 6000, /* a millisecond each from there on: the kernel has its part to do */
	PIECE = 7
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct server {
	LIST_ENTRY(server) link;
	struct event *event;
	int fd;
	unsigned matched; /* of the blank line */
	unsigned reads;
	bool speaks_http2;
};

static struct event_base *base;
static struct front *front;
static struct config *config;
static struct shm *shm;
static LIST_HEAD(, server) servers = LIST_HEAD_INITIALIZER(servers);
static int web_fd, grpc_fd, origin_fd, slot;
static const uint8_t *answer;
static size_t answer_len;
static bool closes, greets, speaks_http2;

static void
server_end(struct server *s)
{
	static const struct linger none = { .l_onoff = 1 };

	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	event_free(s->event);
	close(s->fd);
	LIST_REMOVE(s, link);
	free(s);
}

/* Returns whether to go on. */
static bool
answer_http2(struct server *s)
{
	static const char settings[] = "\0\0\0\4\0\0\0\0";

	if (greets && s->reads++ == 0)
		return send(s->fd, settings, sizeof(settings), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
	if (answer_len > 0 && send(s->fd, answer, answer_len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return false;
	answer_len = 0;
	return !closes;
}

static void
on_server(evutil_socket_t fd, short what, void *arg)
{
	static const char usual[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
	static const char blank[] = "\r\n\r\n";
	struct server *s = arg;
	char bytes[4096];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	(void)what;
	if (n <= 0) {
		server_end(s);
		return;
	}
	if (s->speaks_http2) {
		if (!answer_http2(s))
			server_end(s);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		s->matched = bytes[i] == blank[s->matched] ? s->matched + 1 : bytes[i] == '\r';
		if (s->matched < 4)
			continue;
		s->matched = 0;
		if (answer_len > 0)
			n = send(fd, answer, answer_len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? 0 : n;
		else
			n = send(fd, usual, sizeof(usual) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? 0
												: n;
		if (closes || n == 0) {
			server_end(s);
			return;
		}
	}
}

static void
on_origin(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = calloc(1, sizeof(*s));

	(void)what;
	(void)arg;
	s->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (s->fd == -1) {
		free(s);
		return;
	}
	s->speaks_http2 = speaks_http2;
	s->event = event_new(base, s->fd, EV_READ | EV_PERSIST, on_server, s);
	event_add(s->event, NULL);
	LIST_INSERT_HEAD(&servers, s, link);
}

static int
listen_anywhere(unsigned *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert(fd != -1 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	assert(listen(fd, 64) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	*port = ntohs(at.sin_port);
	return fd;
}

static struct sockaddr_in web_address, grpc_address;

static void
set_up(void)
{
	static const char format[] =
	    "version: 1\n"
	    "global: {stats: {listen: off}, control: {socket: /tmp/x}, log: {access: off}}\n"
	    "listeners:\n"
	    "  - name: web\n"
	    "    listen: ['127.0.0.1:%u']\n"
	    "    protocol: http\n"
	    "    http2: {cleartext: on, streams: 8, resets: 20, control_frames: 100}\n"
	    "    compression: {gzip: on, min_size: 0}\n"
	    "    forwarded: {proto: on, port: on}\n"
	    "    response_headers: {set: {X-Set: a}, remove: [X-Gone]}\n"
	    "    routes: [{path: {prefix: /r}, redirect: {scheme: https}}]\n"
	    "    pool: web\n"
	    "  - name: grpc\n"
	    "    listen: ['127.0.0.1:%u']\n"
	    "    protocol: http\n"
	    "    http2: {cleartext: on}\n"
	    "    compression: {gzip: on, min_size: 0}\n"
	    "    pool: grpc\n"
	    "pools:\n"
	    "  - {name: grpc, protocol: h2c, servers: [{name: a, address: '127.0.0.1:%u'}]}\n"
	    "  - {name: web, sticky: {by: cookie_insert, name: S}, servers: [{name: a, address: "
	    "'127.0.0.1:%u'}]}\n";
	static const int no_logs[1] = { -1 };
	unsigned web_port, grpc_port, origin_port;
	struct diag *diag = diag_new();
	struct event *event;
	char text[2048];

	signal(SIGPIPE, SIG_IGN);
	web_fd = listen_anywhere(&web_port);
	grpc_fd = listen_anywhere(&grpc_port);
	origin_fd = listen_anywhere(&origin_port);
	web_address = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)web_port) };
	grpc_address = web_address;
	grpc_address.sin_port = htons((uint16_t)grpc_port);
	snprintf(text, sizeof(text), format, web_port, grpc_port, origin_port, origin_port);
	config = conf_load_text("fuzz", text, strlen(text), diag);
	if (config == NULL)
		diag_print(diag, "fuzz", stderr);
	assert(config != NULL);
	diag_free(diag);
	shm = shm_new(shm_needed(config) + 8, 64);
	assert(shm != NULL && shm_bind_config(shm, config, 0) == 0);
	slot = shm_take_slot(shm);
	base = event_base_new();
	event = event_new(base, origin_fd, EV_READ | EV_PERSIST, on_origin, NULL);
	event_add(event, NULL);
	clock_update();
	front = front_new(base, config, shm, slot, no_logs);
	assert(front_listen(front, &config->listeners[0], web_fd) == 0);
	assert(front_listen(front, &config->listeners[1], grpc_fd) == 0);
}

static void
turn(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	clock_update();
	front_turn(front);
}

/* What the client gets is nobody's business; its buffers are not to fill. */
static void
drain(int fd)
{
	char sink[65536];

	while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static void
talk(int fd, const uint8_t *data, size_t size, size_t piece)
{
	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		if (send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return;
		turn();
		drain(fd);
	}
}

static void
end_client(int fd)
{
	static const struct linger none = { .l_onoff = 1 };

	for (int i = 0; i < 20; i++) {
		turn();
		drain(fd);
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
	for (int i = 0; i < 4; i++)
		turn();
	while (!LIST_EMPTY(&servers))
		server_end(LIST_FIRST(&servers));
	for (int turns = 0; !front_is_empty(front); turns++) {
		assert(turns < TURNS_MAX); /* a session hangs on */
		if (turns > TURNS_QUICK)
			usleep(1000);
		turn();
		while (!LIST_EMPTY(&servers))
			server_end(LIST_FIRST(&servers));
	}
	for (int i = 0; i < 4; i++)
		turn(); /* kept connections see that their server has gone */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	static const int one = 1;
	unsigned how;
	int fd;

	if (size < 3)
		return 0;
	if (base == NULL)
		set_up();
	how = data[0];
	answer_len = (size_t)data[1] << 8 | data[2];
	if (answer_len > size - 3)
		answer_len = size - 3;
	answer = data + 3;
	closes = how & CLOSES;
	speaks_http2 = how & TO_HTTP2;
	greets = how & GREETS;
	front_worker(front)->draining = how & DRAINS;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)(speaks_http2 ? &grpc_address : &web_address),
		sizeof(web_address)) == -1) {
		close(fd);
		return 0;
	}
	if (how & HTTP2)
		talk(fd, (const uint8_t *)preface, sizeof(preface), sizeof(preface));
	talk(fd, data + 3 + answer_len, size - 3 - answer_len, how & PIECES ? PIECE : size);
	end_client(fd);
	answer_len = 0;
	return 0;
}
