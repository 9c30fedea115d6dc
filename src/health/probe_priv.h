/*
 * probe: one health check of one server, from connect() to its verdict.
 *
 * Runs in: control.  Knows how to ask a server; not when (schedule.c) nor what the answer means for its state
 * (states.c).
 */
#ifndef WEIR_PROBE_PRIV_H
#define WEIR_PROBE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link_priv.h"
#include "weir/chunked.h"
#include "weir/conf.h"
#include "weir/message.h"

enum { PROBE_TEXT_SIZE = 48 /* as entity.last_check */, PROBE_SERVICE_MAX = HEALTH_SERVICE_MAX };

struct tls_servers;

/* What a probe found: passed or not, and the reason for people ("200", "connection refused"). */
typedef void probe_done_fn(void *arg, bool passed, const char *text);

/*
 * Start one probe; `done` is called once, by probes_run() or the wheel (wheel.h), after which the probe is gone.
 * pool, server  borrowed until then
 * keeper        where the link stands between two checks of the server, if it may serve several; NULL in it: none does
 * Returns       NULL with errno set when this process lacks the means (descriptors, memory): that says nothing of the server.
 */
struct probe *probe_start(struct links *links, struct link **keeper, const struct pool_config *pool,
    const struct server_config *server, probe_done_fn *done, void *arg);
/* What came in goes on, and ends.  Returns whether anything did. */
bool probes_run(struct links *links);
/* End it without a verdict; `done` is not called.  NULL is allowed. */
void probe_cancel(struct probe *probe);

/* What probe.c and probe_http.c share. */

enum probe_step {
	PROBE_WAIT = 0, /* EAGAIN: the next readiness event goes on here */
	PROBE_PASSED,
	PROBE_FAILED,
};

struct probe_http {
	char *request; /* owned */
	size_t request_len, sent;
	char *response;        /* owned, NULL while empty: the head as it came; later the body without its framing */
	size_t filled;
	uint32_t scanned;      /* of the head, by h1_parse_response() */
	bool in_body;          /* the head is judged; the rest stands for the body */
	bool body_ended;
	bool has_excess;       /* more came than the response */
	bool keep_alive;       /* the server goes on with the connection */
	bool is_readable;      /* there may be something to read */
	bool has_answer;       /* at least a byte of it */
	bool is_reusable;      /* passed, and the connection has nothing left of it */
	uint16_t status;
	uint8_t interim_count; /* 1xx responses so far */
	enum framing framing;
	uint64_t body_left;    /* FRAMING_LENGTH */
	struct chunked chunked; /* FRAMING_CHUNKED */
};

/* The request for the server at `address`, and what goes before it. */
void probe_http_init(struct probe_http *http, const struct health_config *health, const struct addr *address,
    const uint8_t *preface, size_t preface_len);
void probe_http_fini(struct probe_http *http);
/*
 * Send what is left of the request, then read until the status, and what is looked for in the body, is known.
 * ssl   NULL: in the clear
 * is_readable  something came in: without it there is no need to look (clear text)
 * text  set unless PROBE_WAIT is returned.
 */
enum probe_step probe_http_run(struct probe_http *http, const struct health_config *health, int fd,
    struct ssl_st *ssl, bool is_readable, char text[static PROBE_TEXT_SIZE]);

/* Is the status one of those accepted?  Sets text. */
bool probe_status_is_good(const struct health_config *health, unsigned status, char text[static PROBE_TEXT_SIZE]);

/* probe_h2.c: the same for servers that speak HTTP/2, and gRPC.  Returns NULL when memory is short. */
struct probe_h2 *probe_h2_new(const struct health_config *health, bool is_tls, const struct addr *address);
/* NULL is allowed and does nothing. */
void probe_h2_free(struct probe_h2 *h2);
enum probe_step probe_h2_run(struct probe_h2 *h2, int fd, struct ssl_st *ssl, bool is_readable,
    char text[static PROBE_TEXT_SIZE]);
/* Did anything come for the request under way? */
bool probe_h2_has_answer(const struct probe_h2 *h2);
/* Is its answer there as a whole, and may another request follow? */
bool probe_h2_is_done(const struct probe_h2 *h2);
/* The next request over the same connection.  Returns -1 if it cannot be had. */
int probe_h2_again(struct probe_h2 *h2, bool is_tls, const struct addr *address);
/* Between requests: answer pings and the like.  Returns whether the connection goes on. */
bool probe_h2_idle(struct probe_h2 *h2, int fd, struct ssl_st *ssl);

/* probe_tls.c: the same as recv(), send() and connect() in the clear, with errno; NULL ssl: these. */
ssize_t probe_receive(int fd, struct ssl_st *ssl, void *data, size_t size);
ssize_t probe_send(int fd, struct ssl_st *ssl, const void *data, size_t len);
/* Starts a handshake on the connected `fd`.  Returns NULL when memory is short. */
struct ssl_st *probe_tls_new(const struct tls_servers *tls, const struct health_config *health,
    const struct addr *address, int fd);
/* Did the server choose HTTP/2 in it? */
bool probe_tls_is_h2(struct ssl_st *ssl);
/* PROBE_PASSED: it is done. */
enum probe_step probe_tls_handshake(struct ssl_st *ssl, char text[static PROBE_TEXT_SIZE]);
void probe_tls_free(struct ssl_st *ssl);

/* "connection refused" and friends, in one style for all probes; others as strerror() says. */
void probe_error_text(int error, char text[static PROBE_TEXT_SIZE]);

#endif
