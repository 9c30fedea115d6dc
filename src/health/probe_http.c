#include "probe_priv.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

/* A status line, and before it perhaps interim responses; a server that sends more without one is
 * not well. */
enum { PROBE_RESPONSE_SIZE = 8192 };

enum status_parse { STATUS_PARTIAL = -1, STATUS_MALFORMED = -2 };

void
probe_http_init(struct probe_http *http, const struct health_config *health,
    const struct addr *address, const uint8_t *preface, size_t preface_len)
{
	char text[ADDR_TEXT_SIZE], *request;
	size_t len;

	request = xprintf("%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: weir-health\r\n"
				"Accept: */*\r\nConnection: close\r\n\r\n",
	    health->method, health->path,
	    health->host != NULL ? health->host : addr_print(address, text));
	len = strlen(request);
	http->request_len = preface_len + len;
	http->request = xmalloc(http->request_len);
	memcpy(http->request, preface, preface_len);
	memcpy(http->request + preface_len, request, len);
	free(request);
	http->response = xmalloc(PROBE_RESPONSE_SIZE);
}

void
probe_http_fini(struct probe_http *http)
{
	free(http->request);
	free(http->response);
}

/* Does a reason phrase hold only what RFC 9112 §4 allows there? */
static bool
status_reason_is_clean(const char *reason, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)reason[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/*
 * "HTTP/1.1 200 OK": version and code exactly as RFC 9112 §4 says.  The space after the code may be
 * missing when there is no reason, as in the responses of many servers.
 */
static int
status_parse_line(const char *line, size_t len)
{
	int status;

	if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
	    line[8] != ' ')
		return STATUS_MALFORMED;
	for (size_t i = 9; i < 12; i++)
		if (line[i] < '0' || line[i] > '9')
			return STATUS_MALFORMED;
	status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
	if (status < 100 || status > 599 || (len > 12 && line[12] != ' '))
		return STATUS_MALFORMED;
	return status_reason_is_clean(line + 12, len - 12) ? status : STATUS_MALFORMED;
}

/* Returns the status of the final response in `text`, STATUS_PARTIAL or STATUS_MALFORMED. */
static int
status_find(const char *text, size_t len)
{
	for (;;) {
		const char *end = memchr(text, '\n', len), *head_end;
		int status;

		if (end == NULL)
			return STATUS_PARTIAL;
		if (end == text || end[-1] != '\r')
			return STATUS_MALFORMED;
		status = status_parse_line(text, (size_t)(end - 1 - text));
		if (status < 0 || status >= 200 || status == 101)
			return status;
		/* 100 and 103 are followed by another head (RFC 9110 §15.2). */
		head_end = memmem(end - 1, len - (size_t)(end - 1 - text), "\r\n\r\n", 4);
		if (head_end == NULL)
			return STATUS_PARTIAL;
		len -= (size_t)(head_end + 4 - text);
		text = head_end + 4;
	}
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

static enum probe_step
probe_http_judge(const struct health_config *health, int status, char text[static PROBE_TEXT_SIZE])
{
	char accepted[PROBE_TEXT_SIZE - 16];

	if (status == STATUS_MALFORMED) {
		snprintf(text, PROBE_TEXT_SIZE, "malformed response");
		return PROBE_FAILED;
	}
	if (status_set_has(&health->status, (unsigned)status)) {
		snprintf(text, PROBE_TEXT_SIZE, "%d", status);
		return PROBE_PASSED;
	}
	status_set_print(&health->status, accepted, sizeof(accepted));
	snprintf(text, PROBE_TEXT_SIZE, "%d, not in %s", status, accepted);
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

static enum probe_step
probe_http_read(struct probe_http *http, const struct health_config *health, int fd,
    struct ssl_st *ssl, char text[static PROBE_TEXT_SIZE])
{
	for (;;) {
		ssize_t n = probe_receive(
		    fd, ssl, http->response + http->filled, PROBE_RESPONSE_SIZE - http->filled);
		int status;

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return probe_http_lost(errno, text);
		http->filled += (size_t)n;
		status = status_find(http->response, http->filled);
		if (status != STATUS_PARTIAL)
			return probe_http_judge(health, status, text);
		if (n == 0) {
			snprintf(text, PROBE_TEXT_SIZE, "%s",
			    http->filled == 0 ? "closed without a response" : "truncated response");
			return PROBE_FAILED;
		}
		if (http->filled == PROBE_RESPONSE_SIZE)
			return probe_http_judge(health, STATUS_MALFORMED, text);
	}
}

enum probe_step
probe_http_run(struct probe_http *http, const struct health_config *health, int fd,
    struct ssl_st *ssl, char text[static PROBE_TEXT_SIZE])
{
	while (http->sent < http->request_len) {
		ssize_t n =
		    probe_send(fd, ssl, http->request + http->sent, http->request_len - http->sent);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return probe_http_lost(errno, text);
		http->sent += (size_t)n;
	}
	return probe_http_read(http, health, fd, ssl, text);
}
