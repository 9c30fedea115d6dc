/*
 * probe_h2: checks of servers that speak HTTP/2: a request as type http makes it, or a call of the
 * gRPC health protocol (grpc.health.v1.Health/Check), which a server answers for each of its
 * services.
 */
#include "probe_priv.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/addr.h"
#include "weir/arena.h"

enum {
	BODY_SIZE_MAX = 32 * 1024, /* as much as is searched */
	INPUT_MAX = 1024 * 1024,   /* a server that sends so much without an answer is none */
	CALL_MAX = 5 + 3 + PROBE_SERVICE_MAX,
	GRPC_SERVING = 1
};

struct probe_h2 {
	nghttp2_session *session; /* owned */
	const struct health_config *health;
	int32_t stream;     /* of the request under way */
	const uint8_t *out; /* of the session: frames that the socket did not take yet */
	size_t out_len, in_len;
	uint16_t status;
	int grpc_status; /* -1: none came */
	bool has_head, has_ended, was_reset;
	uint8_t call[CALL_MAX]; /* the message of a gRPC call */
	size_t call_len, call_sent, body_len;
	char body[BODY_SIZE_MAX];
};

/* ---- gRPC: a length-prefixed message of protobuf ---- */

/* HealthCheckRequest {1: service} */
static void
write_call(struct probe_h2 *h2, const char *service)
{
	size_t len = service != NULL ? strlen(service) : 0;
	uint8_t *at = h2->call + 5;

	if (len > 0) {
		*at++ = 1 << 3 | 2;
		if (len > 127)
			*at++ = (uint8_t)(len | 128);
		*at++ = (uint8_t)(len > 127 ? len >> 7 : len);
		memcpy(at, service, len);
		at += len;
	}
	h2->call_len = (size_t)(at - h2->call);
	h2->call[3] = (uint8_t)((h2->call_len - 5) >> 8);
	h2->call[4] = (uint8_t)(h2->call_len - 5);
}

/* HealthCheckResponse {1: status}.  Returns the status; -1: this is no such message. */
static int
read_answer(const struct probe_h2 *h2)
{
	const uint8_t *body = (const uint8_t *)h2->body;

	if (h2->body_len < 5 || body[0] != 0 || body[1] != 0 || body[2] != 0 || body[3] != 0 ||
	    body[4] != h2->body_len - 5)
		return -1;
	if (body[4] == 0)
		return 0; /* what is 0 is left out */
	return body[4] == 2 && body[5] == (1 << 3 | 0) && body[6] < 128 ? body[6] : -1;
}

static enum probe_step
judge_call(const struct probe_h2 *h2, char text[static PROBE_TEXT_SIZE])
{
	static const char *const words[] = { "UNKNOWN", "SERVING", "NOT_SERVING",
		"SERVICE_UNKNOWN" };
	int status;

	if (h2->status != 200) {
		snprintf(text, PROBE_TEXT_SIZE, "%u, not 200", h2->status);
		return PROBE_FAILED;
	}
	if (h2->grpc_status != 0) {
		if (h2->grpc_status < 0)
			snprintf(text, PROBE_TEXT_SIZE, "no grpc-status");
		else
			snprintf(text, PROBE_TEXT_SIZE, "grpc-status %d%s", h2->grpc_status,
			    h2->grpc_status == 5    ? " (service not found)"
			    : h2->grpc_status == 12 ? " (no health service)"
						    : "");
		return PROBE_FAILED;
	}
	status = read_answer(h2);
	snprintf(text, PROBE_TEXT_SIZE, "%s",
	    status >= 0 && status < 4 ? words[status] : "malformed answer");
	return status == GRPC_SERVING ? PROBE_PASSED : PROBE_FAILED;
}

/* ---- nghttp2's callbacks ---- */

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct probe_h2 *h2 = user;

	(void)session;
	(void)frame;
	(void)flags;
	if (name_len == 7 && memcmp(name, ":status", 7) == 0 && value_len == 3)
		h2->status =
		    (uint16_t)((value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0'));
	if (name_len == 11 && memcmp(name, "grpc-status", 11) == 0) {
		h2->grpc_status = 0;
		for (size_t i = 0; i < value_len && i < 3; i++)
			if (value[i] >= '0' && value[i] <= '9')
				h2->grpc_status = h2->grpc_status * 10 + (value[i] - '0');
			else
				h2->grpc_status = 2; /* UNKNOWN, whatever it says */
	}
	return 0;
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct probe_h2 *h2 = user;

	(void)session;
	if (frame->hd.type == NGHTTP2_HEADERS && h2->status >= 200)
		h2->has_head = true;
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		h2->has_ended = true;
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
    void *user)
{
	struct probe_h2 *h2 = user;
	size_t room = BODY_SIZE_MAX - h2->body_len, n = len < room ? len : room;

	(void)session;
	(void)flags;
	(void)id;
	memcpy(h2->body + h2->body_len, data, n);
	h2->body_len += n;
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct probe_h2 *h2 = user;

	(void)session;
	(void)error;
	if (id == h2->stream)
		h2->was_reset = !h2->has_ended;
	return 0;
}

static ssize_t
read_call(nghttp2_session *session, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
    nghttp2_data_source *source, void *user)
{
	struct probe_h2 *h2 = user;
	size_t left = h2->call_len - h2->call_sent, n = left < size ? left : size;

	(void)session;
	(void)id;
	(void)source;
	memcpy(to, h2->call + h2->call_sent, n);
	h2->call_sent += n;
	if (n == left)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

/* ---- life ---- */

static nghttp2_nv
field(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
		.value = (uint8_t *)(uintptr_t)value,
		.namelen = strlen(name),
		.valuelen = strlen(value) };
}

static int
submit_request(struct probe_h2 *h2, bool is_tls, const struct addr *address)
{
	const struct health_config *health = h2->health;
	bool is_call = health->type == HEALTH_GRPC;
	nghttp2_data_provider provider = { .read_callback = read_call };
	char text[ADDR_TEXT_SIZE];
	nghttp2_nv fields[] = {
		field(":method", is_call ? "POST" : health->method),
		field(":scheme", is_tls ? "https" : "http"),
		field(
		    ":authority", health->host != NULL ? health->host : addr_print(address, text)),
		field(":path", is_call ? "/grpc.health.v1.Health/Check" : health->path),
		field("user-agent", "weir-health"),
		is_call ? field("content-type", "application/grpc") : field("accept", "*/*"),
		field("te", "trailers"),
	};

	h2->stream = nghttp2_submit_request(h2->session, NULL, fields,
	    sizeof(fields) / sizeof(fields[0]) - !is_call, is_call ? &provider : NULL, NULL);
	return h2->stream > 0 ? 0 : -1;
}

struct probe_h2 *
probe_h2_new(const struct health_config *health, bool is_tls, const struct addr *address)
{
	static nghttp2_session_callbacks *callbacks; /* lives as long as the process */
	struct probe_h2 *h2;

	if (callbacks == NULL) {
		if (nghttp2_session_callbacks_new(&callbacks) != 0)
			return NULL;
		nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	}
	h2 = xcalloc(1, sizeof(*h2));
	h2->health = health;
	h2->grpc_status = -1;
	write_call(h2, health->service);
	if (nghttp2_session_client_new(&h2->session, callbacks, h2) != 0 ||
	    nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, NULL, 0) != 0 ||
	    submit_request(h2, is_tls, address) == -1) {
		probe_h2_free(h2);
		return NULL;
	}
	return h2;
}

int
probe_h2_again(struct probe_h2 *h2, bool is_tls, const struct addr *address)
{
	h2->in_len = h2->call_sent = h2->body_len = 0;
	h2->status = 0;
	h2->grpc_status = -1;
	h2->has_head = h2->has_ended = h2->was_reset = false;
	return submit_request(h2, is_tls, address);
}

bool
probe_h2_has_answer(const struct probe_h2 *h2)
{
	return h2->status != 0;
}

bool
probe_h2_is_done(const struct probe_h2 *h2)
{
	return h2->has_ended && h2->out_len == 0 &&
	       nghttp2_session_check_request_allowed(h2->session) != 0;
}

void
probe_h2_free(struct probe_h2 *h2)
{
	if (h2 == NULL)
		return;
	nghttp2_session_del(h2->session);
	free(h2);
}

/* ---- running ---- */

/* Send what there is to send, as far as it goes now.  Returns 0 or why it failed (errno). */
static int
flush(struct probe_h2 *h2, int fd, struct ssl_st *ssl)
{
	for (;;) {
		ssize_t n;

		if (h2->out_len == 0) {
			n = nghttp2_session_mem_send(h2->session, &h2->out);
			if (n <= 0)
				return n == 0 ? 0 : EPROTO;
			h2->out_len = (size_t)n;
		}
		n = probe_send(fd, ssl, h2->out, h2->out_len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return errno == EAGAIN ? 0 : errno;
		h2->out += n;
		h2->out_len -= (size_t)n;
	}
}

static enum probe_step
judge(struct probe_h2 *h2, char text[static PROBE_TEXT_SIZE])
{
	const char *body = h2->health->body;

	if (h2->was_reset) {
		snprintf(text, PROBE_TEXT_SIZE, "stream reset");
		return PROBE_FAILED;
	}
	if (h2->health->type == HEALTH_GRPC)
		return h2->has_ended ? judge_call(h2, text) : PROBE_WAIT;
	if (!h2->has_head)
		return PROBE_WAIT;
	if (!probe_status_is_good(h2->health, h2->status, text))
		return PROBE_FAILED;
	if (body == NULL)
		return PROBE_PASSED;
	if (memmem(h2->body, h2->body_len, body, strlen(body)) != NULL) {
		snprintf(text, PROBE_TEXT_SIZE, "%u, with the text", h2->status);
		return PROBE_PASSED;
	}
	if (!h2->has_ended && h2->body_len < BODY_SIZE_MAX)
		return PROBE_WAIT;
	snprintf(text, PROBE_TEXT_SIZE, "%u, without the text", h2->status);
	return PROBE_FAILED;
}

static enum probe_step
fail(const char *why, char text[static PROBE_TEXT_SIZE])
{
	snprintf(text, PROBE_TEXT_SIZE, "%s", why);
	return PROBE_FAILED;
}

enum probe_step
probe_h2_run(struct probe_h2 *h2, int fd, struct ssl_st *ssl, bool is_readable,
    char text[static PROBE_TEXT_SIZE])
{
	static uint8_t bytes[16 * 1024];

	for (;;) {
		int error = flush(h2, fd, ssl);
		enum probe_step step;
		ssize_t n;

		if (error != 0) {
			probe_error_text(error, text);
			return PROBE_FAILED;
		}
		if (!is_readable && ssl == NULL)
			return PROBE_WAIT;
		n = probe_receive(fd, ssl, bytes, sizeof(bytes));
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return PROBE_WAIT;
		if (n == -1) {
			probe_error_text(errno, text);
			return PROBE_FAILED;
		}
		if (n == 0)
			return fail("closed without a response", text);
		h2->in_len += (size_t)n;
		if (nghttp2_session_mem_recv(h2->session, bytes, (size_t)n) < 0)
			return fail("malformed response", text);
		step = judge(h2, text);
		if (step != PROBE_WAIT)
			return step;
		if (!nghttp2_session_want_read(h2->session))
			return fail("no HTTP/2", text);
		if (h2->in_len > INPUT_MAX)
			return fail("too much without a response", text);
	}
}

bool
probe_h2_idle(struct probe_h2 *h2, int fd, struct ssl_st *ssl)
{
	char text[PROBE_TEXT_SIZE];

	/* The answer to the last request is not judged again: it is forgotten. */
	h2->has_head = h2->has_ended = h2->was_reset = false;
	h2->body_len = 0;
	h2->in_len = 0;
	return probe_h2_run(h2, fd, ssl, true, text) == PROBE_WAIT &&
	       nghttp2_session_check_request_allowed(h2->session) != 0;
}
