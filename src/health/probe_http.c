#include "probe_priv.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"
#include "weir/h1_parse.h"

/*
 * A head of any size that traffic could have, and behind it as much of the body as is searched.
 * Pages that nothing is read into cost nothing.
 */
enum { HEAD_SIZE_MAX = 64 * 1024, BODY_SIZE_MAX = 32 * 1024, INTERIM_MAX = 16 };

void
probe_http_init(struct probe_http *http, const struct health_config *health,
    const struct addr *address, const uint8_t *preface, size_t preface_len)
{
	char text[ADDR_TEXT_SIZE], *request;
	size_t len;

	request = xprintf("%s %s HTTP/%s\r\nHost: %s\r\nUser-Agent: weir-health\r\n"
			  "Accept: */*\r\nConnection: %s\r\n\r\n",
	    health->method, health->path, health->version,
	    health->host != NULL ? health->host : addr_print(address, text),
	    health->keepalive_ms > 0 ? "keep-alive" : "close");
	len = strlen(request);
	*http = (struct probe_http){ 0 };
	http->request_len = preface_len + len;
	http->request = xmalloc(http->request_len);
	if (preface_len > 0)
		memcpy(http->request, preface, preface_len);
	memcpy(http->request + preface_len, request, len);
	free(request);
}

void
probe_http_fini(struct probe_http *http)
{
	free(http->request);
	free(http->response);
	*http = (struct probe_http){ 0 };
}

/* The accepted statuses as ranges, "200-299"; cut with "..." when they do not fit. */
static void
status_set_print(const struct status_set *set, char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	for (unsigned from = 100; from < 600; from++) {
		unsigned to = from;
		char range[16];

		if (!status_set_has(set, from))
			continue;
		while (to + 1 < 600 && status_set_has(set, to + 1))
			to++;
		if (to > from)
			snprintf(range, sizeof(range), "%s%u-%u", len > 0 ? "," : "", from, to);
		else
			snprintf(range, sizeof(range), "%s%u", len > 0 ? "," : "", from);
		if (len + strlen(range) + 4 >= size) {
			snprintf(text + len, size - len, "...");
			return;
		}
		len += (size_t)snprintf(text + len, size - len, "%s", range);
		from = to;
	}
}

bool
probe_status_is_good(
    const struct health_config *health, unsigned status, char text[static PROBE_TEXT_SIZE])
{
	char accepted[PROBE_TEXT_SIZE - 16];

	if (status_set_has(&health->status, status)) {
		snprintf(text, PROBE_TEXT_SIZE, "%u", status);
		return true;
	}
	status_set_print(&health->status, accepted, sizeof(accepted));
	snprintf(text, PROBE_TEXT_SIZE, "%u, not in %s", status, accepted);
	return false;
}

static enum probe_step
probe_http_failed(char text[static PROBE_TEXT_SIZE], const char *why)
{
	snprintf(text, PROBE_TEXT_SIZE, "%s", why);
	return PROBE_FAILED;
}

static enum probe_step
probe_http_lost(int error, char text[static PROBE_TEXT_SIZE])
{
	if (error == EAGAIN)
		return PROBE_WAIT;
	probe_error_text(error, text);
	return PROBE_FAILED;
}

/* What was read of the body, without its framing, moves to the front of the buffer. */
static int
body_decode(struct probe_http *http, char *bytes, size_t len)
{
	size_t at, piece;
	ptrdiff_t n;

	switch (http->framing) {
	case FRAMING_NONE:
		http->body_ended = true;
		http->has_excess = len > 0;
		return 0;
	case FRAMING_LENGTH:
		piece = len < http->body_left ? len : (size_t)http->body_left;
		memmove(http->response + http->filled, bytes, piece);
		http->filled += piece;
		http->body_left -= piece;
		http->body_ended = http->body_left == 0;
		http->has_excess = len > piece;
		return 0;
	case FRAMING_CLOSE:
		memmove(http->response + http->filled, bytes, len);
		http->filled += len;
		return 0;
	case FRAMING_CHUNKED:
		break;
	}
	for (; len > 0 && !chunked_is_end(&http->chunked); bytes += n, len -= (size_t)n) {
		n = chunked_next(&http->chunked, bytes, len, &at, &piece);
		if (n < 0)
			return -1;
		memmove(http->response + http->filled, bytes + at, piece);
		http->filled += piece;
	}
	http->body_ended = chunked_is_end(&http->chunked);
	http->has_excess = len > 0;
	return 0;
}

static enum probe_step
probe_http_passed(struct probe_http *http)
{
	http->is_reusable = http->keep_alive && http->body_ended && !http->has_excess;
	return PROBE_PASSED;
}

static enum probe_step
body_search(struct probe_http *http, const struct health_config *health, size_t fresh,
    char text[static PROBE_TEXT_SIZE])
{
	if (body_decode(http, http->response + http->filled, fresh) < 0)
		return probe_http_failed(text, "malformed response");
	if (http->filled > BODY_SIZE_MAX)
		http->filled = BODY_SIZE_MAX; /* more may have come with the head */
	if (memmem(http->response, http->filled, health->body, strlen(health->body)) != NULL) {
		snprintf(text, PROBE_TEXT_SIZE, "%u, with the text", http->status);
		return probe_http_passed(http);
	}
	if (!http->body_ended && http->filled < BODY_SIZE_MAX)
		return PROBE_WAIT;
	snprintf(text, PROBE_TEXT_SIZE, "%u, without the text", http->status);
	return PROBE_FAILED;
}

/* A final head is there. */
static enum probe_step
head_judge(struct probe_http *http, const struct health_config *health, const struct message *head,
    char text[static PROBE_TEXT_SIZE])
{
	size_t rest = http->filled - head->head_len;

	if (!probe_status_is_good(health, head->status, text))
		return PROBE_FAILED;
	http->in_body = true;
	http->status = head->status;
	http->framing = head->framing;
	http->keep_alive = head->keep_alive && head->framing != FRAMING_CLOSE;
	http->body_left = head->content_length;
	chunked_init(&http->chunked);
	memmove(http->response, http->response + head->head_len, rest);
	http->filled = 0;
	if (health->body != NULL)
		return body_search(http, health, rest, text);
	if (http->keep_alive && body_decode(http, http->response, rest) < 0)
		http->has_excess = true;
	return probe_http_passed(http);
}

/* Interim responses are skipped; what follows one may be there already. */
static enum probe_step
head_parse(
    struct probe_http *http, const struct health_config *health, char text[static PROBE_TEXT_SIZE])
{
	static struct message head; /* one process, one thread; used up in this call */
	static const struct h1_limits limits = { HEAD_SIZE_MAX, FIELDS_MAX };

	for (;;) {
		switch (h1_parse_response(&head, http->response, http->filled, &http->scanned,
		    &limits, strcmp(health->method, "HEAD") == 0)) {
		case H1_DONE:
			break;
		case H1_MORE:
			return PROBE_WAIT;
		case H1_TOO_LARGE:
		case H1_TARGET_TOO_LONG:
			return probe_http_failed(text, "response head too large");
		case H1_BAD:
		case H1_VERSION:
			return probe_http_failed(text, "malformed response");
		}
		if (head.status >= 200 || head.status == 101)
			return head_judge(http, health, &head, text);
		if (++http->interim_count > INTERIM_MAX)
			return probe_http_failed(text, "too many interim responses");
		http->filled -= head.head_len;
		memmove(http->response, http->response + head.head_len, http->filled);
		http->scanned = 0;
	}
}

static enum probe_step
probe_http_closed(
    struct probe_http *http, const struct health_config *health, char text[static PROBE_TEXT_SIZE])
{
	if (!http->in_body)
		return probe_http_failed(
		    text, http->filled == 0 ? "closed without a response" : "truncated response");
	if (http->framing != FRAMING_CLOSE)
		return probe_http_failed(text, "truncated response");
	http->body_ended = true;
	return body_search(http, health, 0, text);
}

static enum probe_step
read_response(struct probe_http *http, const struct health_config *health, int fd,
    struct ssl_st *ssl, char text[static PROBE_TEXT_SIZE])
{
	for (;;) {
		size_t room = (http->in_body ? BODY_SIZE_MAX : HEAD_SIZE_MAX) - http->filled;
		ssize_t n = probe_receive(fd, ssl, http->response + http->filled, room);
		enum probe_step step;

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return probe_http_lost(errno, text);
		if (n == 0)
			return probe_http_closed(http, health, text);
		http->has_answer = true;
		if (http->in_body) {
			step = body_search(http, health, (size_t)n, text);
		} else {
			http->filled += (size_t)n;
			step = head_parse(http, health, text);
		}
		if (step != PROBE_WAIT)
			return step;
	}
}

/* Most responses come at once: only those that do not need memory of their own. */
static enum probe_step
probe_http_read(struct probe_http *http, const struct health_config *health, int fd,
    struct ssl_st *ssl, char text[static PROBE_TEXT_SIZE])
{
	static char buffer[HEAD_SIZE_MAX + BODY_SIZE_MAX]; /* used up in this call */
	enum probe_step step;

	if (http->response != NULL)
		return read_response(http, health, fd, ssl, text);
	http->response = buffer;
	step = read_response(http, health, fd, ssl, text);
	http->response = NULL;
	if (step == PROBE_WAIT && http->filled > 0) {
		http->response = xmalloc(sizeof(buffer));
		memcpy(http->response, buffer, http->filled);
	}
	return step;
}

enum probe_step
probe_http_run(struct probe_http *http, const struct health_config *health, int fd,
    struct ssl_st *ssl, bool is_readable, char text[static PROBE_TEXT_SIZE])
{
	/* Also what came before the request was out is told only once. */
	http->is_readable = http->is_readable || is_readable || ssl != NULL;
	while (http->sent < http->request_len) {
		ssize_t n =
		    probe_send(fd, ssl, http->request + http->sent, http->request_len - http->sent);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return probe_http_lost(errno, text);
		http->sent += (size_t)n;
	}
	if (!http->is_readable)
		return PROBE_WAIT;
	http->is_readable = false;
	return probe_http_read(http, health, fd, ssl, text);
}
