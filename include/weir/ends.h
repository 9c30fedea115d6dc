/*
 * ends: why a request or a session ended: one table for the log, the replies and the manual.
 *
 * Used by: front, proxy, record.
 */
#ifndef WEIR_ENDS_H
#define WEIR_ENDS_H

enum end {
	END_OK = 0,
	/* The client's doing. */
	END_CLIENT_CLOSED,
	END_CLIENT_TIMEOUT_HEAD,
	END_CLIENT_TIMEOUT_BODY,
	END_CLIENT_TIMEOUT_IDLE,
	END_REQUEST_MALFORMED,
	END_REQUEST_TOO_LARGE,
	END_TARGET_TOO_LONG,
	END_VERSION,
	END_METHOD,
	END_TLS_FAILED,
	END_PLAIN_HTTP,
	/* The configuration's. */
	END_MISDIRECTED,
	END_NO_ROUTE,
	END_REDIRECTED,
	END_RESPONDED,
	END_LAST_HOP,
	END_OVER_LIMIT,
	END_TOO_OFTEN,
	/* The servers'. */
	END_NO_SERVER,
	END_QUEUE_FULL,
	END_QUEUE_TIMEOUT,
	END_CONNECT_FAILED,
	END_CONNECT_TIMEOUT,
	END_SERVER_TLS_FAILED,
	END_SERVER_CERTIFICATE,
	END_SERVER_PROTOCOL,
	END_SERVER_REFUSED,
	END_SERVER_UPGRADE,
	END_SERVER_CLOSED,
	END_RESPONSE_MALFORMED,
	END_RESPONSE_TOO_LARGE,
	END_RESPONSE_TIMEOUT,
	END_RESPONSE_TRUNCATED,
	/* Ours. */
	END_TIMEOUT_IDLE,
	END_DRAINED,
	END_SERVER_LEFT,
	END_EXHAUSTED, /* no descriptor for a connection to a server */
	END_INTERNAL,
	ENDS
};

struct end_info {
	const char *word;        /* in the access log */
	unsigned status;         /* what the client is answered if nothing was sent yet; 0: nothing */
	const char *proxy_error; /* RFC 9209 section 2.3 error type; NULL: none */
	const char *sentence;    /* in the reply */
};

extern const struct end_info end_table[ENDS];

#endif
