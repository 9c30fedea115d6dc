/*
 * h2clients: HTTP/2 clients under load that do what RFC 9113 section 6.8 asks of clients, and say
 *what became of each request that was really sent.
 *
 *	h2clients PORT tls|clear SECONDS CONNECTIONS STREAMS PATH BYTES
 *
 * Each of CONNECTIONS processes keeps STREAMS requests for PATH under way on one connection to
 * 127.0.0.1:PORT, and makes a new one when it gets GOAWAY.  Prints
 *
 *	sent N ok N unprocessed N failed N connections N goaways N
 *
 * unprocessed  above the last stream of GOAWAY, or REFUSED_STREAM: a client may send them again
 *              (section 8.7)
 * failed       all others without a complete response of status 200 and BYTES bytes; why is said on
 *              standard error
 *
 * nghttp2's own h2load does not connect again after GOAWAY, and counts as started what its library
 * never sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_S = 30, COUNTS_MAX = 6, WINDOW = 16 << 20 };
enum { SENT = 0, OK, UNPROCESSED, FAILED, CONNECTIONS, GOAWAYS };

static const char *const count_names[COUNTS_MAX] = { "sent", "ok", "unprocessed", "failed",
	"connections", "goaways" };

struct client {
	int fd;
	SSL_CTX *tls; /* NULL: clear */
	SSL *ssl;
	nghttp2_session *session;
	unsigned long counts[COUNTS_MAX];
	unsigned port, streams;
	unsigned long bytes;
	const char *path;
	time_t end;
	unsigned open; /* streams submitted and not closed */
	bool has_goaway;
	int32_t last_stream; /* of the last GOAWAY */
	const char *broken;  /* why the connection is of no more use; NULL: it is not */
};

struct stream {
	unsigned status;
	unsigned long bytes;
	bool is_sent, is_ended;
};

static void
fatal(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- bytes ---- */

static void
connect_to(struct client *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)c->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = DEADLINE_S };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1)
		fatal("socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == -1) {
		c->broken = "connect";
		return;
	}
	if (c->tls == NULL)
		return;
	c->ssl = SSL_new(c->tls);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		fatal("SSL_new");
	if (SSL_connect(c->ssl) != 1)
		c->broken = "TLS handshake";
}

static ssize_t
read_some(struct client *c, void *to, size_t size)
{
	return c->ssl != NULL ? SSL_read(c->ssl, to, (int)size) : recv(c->fd, to, size, 0);
}

static void
write_all(struct client *c)
{
	const uint8_t *bytes;
	ssize_t left;

	while (c->broken == NULL && (left = nghttp2_session_mem_send(c->session, &bytes)) > 0) {
		while (left > 0) {
			ssize_t n = c->ssl != NULL ? SSL_write(c->ssl, bytes, (int)left)
						   : send(c->fd, bytes, (size_t)left, MSG_NOSIGNAL);

			if (n <= 0) {
				c->broken = "write";
				break;
			}
			bytes += n;
			left -= n;
		}
	}
}

/* ---- requests ---- */

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	(void)user;
	if (s != NULL && name_len == 7 && memcmp(name, ":status", 7) == 0 && value_len == 3)
		s->status = (unsigned)strtoul((const char *)value, NULL, 10);
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
    void *user)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	(void)data;
	(void)user;
	if (s != NULL)
		s->bytes += len;
	return 0;
}

static int
on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct client *c = user;
	struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (frame->hd.type == NGHTTP2_HEADERS && s != NULL) {
		s->is_sent = true;
		c->counts[SENT]++;
	}
	return 0;
}

static int
on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct client *c = user;

	(void)error;
	if (frame->hd.type == NGHTTP2_HEADERS) {
		free(nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
		nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, NULL);
		c->open--;
	}
	return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct client *c = user;
	struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (s != NULL && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		s->is_ended = true;
	if (frame->hd.type == NGHTTP2_GOAWAY) {
		c->has_goaway = true;
		c->last_stream = frame->goaway.last_stream_id;
		c->counts[GOAWAYS]++;
		if (frame->goaway.error_code != NGHTTP2_NO_ERROR)
			c->broken = "GOAWAY with an error";
	}
	return 0;
}

/* What became of a stream that ended with `error`. */
static void
judge(struct client *c, const struct stream *s, int32_t id, uint32_t error)
{
	if (!s->is_sent)
		return;
	if (s->is_ended && s->status == 200 && s->bytes == c->bytes) {
		c->counts[OK]++;
	} else if (error == NGHTTP2_REFUSED_STREAM || (c->has_goaway && id > c->last_stream)) {
		c->counts[UNPROCESSED]++;
	} else {
		c->counts[FAILED]++;
		fprintf(stderr,
		    "stream %d: status %u, %lu bytes, %s, error %u; last stream %d, connection "
		    "%s\n",
		    id, s->status, s->bytes, s->is_ended ? "ended" : "not ended", error,
		    c->has_goaway ? c->last_stream : -1, c->broken != NULL ? c->broken : "sound");
	}
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct client *c = user;
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);

	if (s == NULL)
		return 0;
	judge(c, s, id, error);
	free(s);
	c->open--;
	return 0;
}

static nghttp2_nv
field(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
		.value = (uint8_t *)(uintptr_t)value,
		.namelen = strlen(name),
		.valuelen = strlen(value) };
}

static void
submit(struct client *c)
{
	const nghttp2_nv fields[] = { field(":method", "GET"),
		field(":scheme", c->tls != NULL ? "https" : "http"),
		field(":authority", "localhost"), field(":path", c->path) };
	struct stream *s = calloc(1, sizeof(*s));

	if (s == NULL || nghttp2_submit_request(c->session, NULL, fields, 4, NULL, s) < 0)
		fatal("request");
	c->open++;
}

/* ---- connections ---- */

static void
open_session(struct client *c)
{
	static const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
	    WINDOW } };
	nghttp2_session_callbacks *callbacks;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		fatal("nghttp2");
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	if (nghttp2_session_client_new(&c->session, callbacks, c) != 0 ||
	    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 1) != 0 ||
	    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0)
		fatal("nghttp2");
	nghttp2_session_callbacks_del(callbacks);
}

/* Streams that the end of the connection leaves open are judged, too: nghttp2 forgets them without
 * a word. */
static void
close_session(struct client *c)
{
	for (int32_t id = 1;
	     c->open > 0 && id < (int32_t)nghttp2_session_get_next_stream_id(c->session); id += 2) {
		struct stream *s = nghttp2_session_get_stream_user_data(c->session, id);

		if (s == NULL)
			continue;
		judge(c, s, id, NGHTTP2_NO_ERROR);
		free(s);
		c->open--;
	}
	nghttp2_session_del(c->session);
	SSL_free(c->ssl);
	close(c->fd);
	c->ssl = NULL;
	c->open = 0;
}

static void
run_connection(struct client *c)
{
	uint8_t bytes[32 * 1024];

	c->broken = NULL;
	c->has_goaway = false;
	c->counts[CONNECTIONS]++;
	connect_to(c);
	open_session(c);
	if (c->broken != NULL) {
		fprintf(stderr, "no connection: %s\n", c->broken);
		c->counts[FAILED]++;
	}
	while (c->broken == NULL) {
		ssize_t n;

		while (c->open < c->streams && !c->has_goaway && time(NULL) < c->end)
			submit(c);
		write_all(c);
		if (c->broken != NULL || c->open == 0)
			break;
		n = read_some(c, bytes, sizeof(bytes));
		if (n <= 0)
			c->broken = n == 0 ? "ended" : "reset, or silent";
		else if (nghttp2_session_mem_recv(c->session, bytes, (size_t)n) < 0)
			c->broken = "protocol";
	}
	if (c->broken == NULL && c->ssl != NULL)
		SSL_shutdown(c->ssl);
	close_session(c);
}

static SSL_CTX *
make_tls(void)
{
	static const unsigned char alpn[] = "\x02h2";
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (tls == NULL || SSL_CTX_set_alpn_protos(tls, alpn, sizeof(alpn) - 1) != 0)
		fatal("TLS");
	return tls;
}

int
main(int argc, char **argv)
{
	unsigned long sum[COUNTS_MAX] = { 0 };
	struct client c = { .fd = -1 };
	unsigned connections;
	int pipe_fds[2];

	if (argc != 8) {
		fprintf(stderr,
		    "usage: h2clients PORT tls|clear SECONDS CONNECTIONS STREAMS PATH BYTES\n");
		return 2;
	}
	c.port = (unsigned)strtoul(argv[1], NULL, 10);
	c.tls = strcmp(argv[2], "tls") == 0 ? make_tls() : NULL;
	c.end = time(NULL) + strtol(argv[3], NULL, 10);
	connections = (unsigned)strtoul(argv[4], NULL, 10);
	c.streams = (unsigned)strtoul(argv[5], NULL, 10);
	c.path = argv[6];
	c.bytes = strtoul(argv[7], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	if (pipe(pipe_fds) == -1)
		fatal("pipe");
	for (unsigned i = 0; i < connections; i++) {
		pid_t pid = fork();

		if (pid == -1)
			fatal("fork");
		if (pid != 0)
			continue;
		while (time(NULL) < c.end)
			run_connection(&c);
		_exit(write(pipe_fds[1], c.counts, sizeof(c.counts)) == sizeof(c.counts) ? 0 : 1);
	}
	close(pipe_fds[1]);
	for (unsigned i = 0; i < connections; i++) {
		unsigned long counts[COUNTS_MAX];

		if (read(pipe_fds[0], counts, sizeof(counts)) != sizeof(counts))
			fatal("a client ended without a result");
		for (int j = 0; j < COUNTS_MAX; j++)
			sum[j] += counts[j];
	}
	while (wait(NULL) > 0)
		;
	for (int j = 0; j < COUNTS_MAX; j++)
		printf("%s %lu%s", count_names[j], sum[j], j + 1 < COUNTS_MAX ? " " : "\n");
	SSL_CTX_free(c.tls);
	return sum[FAILED] > 0;
}
