#include "weir/tally.h"

#include <stddef.h>

enum {
	LISTENER = TALLY_OF_LISTENER,
	POOL = TALLY_OF_POOL,
	SERVER = TALLY_OF_SERVER,
	ALL = LISTENER | POOL | SERVER,
};

/* clang-format off */
const struct tally_info tally_table[TALLY_FIELDS] = {
	[TALLY_ACTIVE] = { "active",
	    "Connections open (listener); requests or TCP sessions in progress (pool, server).",
	    ALL, true },
	[TALLY_CONNECTIONS] = { "connections",
	    "Connections accepted from clients (listener) or opened to the server.",
	    LISTENER | SERVER, false },
	[TALLY_REQUESTS] = { "requests",
	    "HTTP requests whose head was read, or TCP sessions.", ALL, false },
	[TALLY_BYTES_IN] = { "bytes_in",
	    "Bytes received from clients.", ALL, false },
	[TALLY_BYTES_OUT] = { "bytes_out",
	    "Bytes sent to clients.", ALL, false },
	[TALLY_STATUS_1XX] = { "status_1xx",
	    "Interim responses, and switches to another protocol.", ALL, false },
	[TALLY_STATUS_2XX] = { "status_2xx",
	    "Responses with a status of 200 to 299.", ALL, false },
	[TALLY_STATUS_3XX] = { "status_3xx",
	    "Responses with a status of 300 to 399.", ALL, false },
	[TALLY_STATUS_4XX] = { "status_4xx",
	    "Responses with a status of 400 to 499.", ALL, false },
	[TALLY_STATUS_5XX] = { "status_5xx",
	    "Responses with a status of 500 and above.", ALL, false },
	[TALLY_REFUSED] = { "refused",
	    "Connections closed at once by the access list or a limit.", LISTENER, false },
	[TALLY_TOO_OFTEN] = { "requests_limited",
	    "Requests answered 429 because their source asked too often.", LISTENER, false },
	[TALLY_TOO_MANY] = { "connections_limited",
	    "Connections closed at once, and flows not begun, because their source came too often.",
	    LISTENER, false },
	[TALLY_OVER_LIMIT] = { "over_limit",
	    "Requests answered 503, because their route has a limit.", LISTENER, false },
	[TALLY_BAD_REQUESTS] = { "bad_requests",
	    "Requests with a malformed head or malformed framing.", LISTENER, false },
	[TALLY_TLS_HANDSHAKES] = { "tls_handshakes",
	    "TLS handshakes with clients that succeeded.", LISTENER, false },
	[TALLY_TLS_FAILURES] = { "tls_failures",
	    "TLS handshakes with clients that failed.", LISTENER, false },
	[TALLY_CONNECT_ERRORS] = { "connect_errors",
	    "Attempts to connect to the server that were refused, timed out or failed otherwise.",
	    SERVER, false },
	[TALLY_RESPONSE_ERRORS] = { "response_errors",
	    "Responses of the server that were malformed, cut short or late.", SERVER, false },
	[TALLY_RETRIES] = { "retries",
	    "Attempts after the first one for the same request or session.", POOL, false },
	[TALLY_NO_SERVER] = { "no_server",
	    "Requests answered 503, or TCP sessions closed, because no server could be used.",
	    POOL, false },
	[TALLY_STICKY_HITS] = { "sticky_hits",
	    "Requests and sessions that went to the server remembered for their client.",
	    POOL, false },
	[TALLY_FLOODS] = { "floods",
	    "HTTP/2 connections ended because the client exceeded a flood limit.", LISTENER, false },
	[TALLY_SLOW_CLIENTS] = { "slow_clients",
	    "Requests and connections given up because the client sent a handshake, head or body, or read a response, too slowly.",
	    LISTENER, false },
	[TALLY_COMPRESSED] = { "compressed",
	    "Responses that were compressed.", LISTENER, false },
	[TALLY_COMPRESS_SKIPPED] = { "compress_skipped",
	    "Responses passed as they came, because the limit of compressions was reached.", LISTENER, false },
	[TALLY_COMPRESS_IN] = { "compress_in",
	    "Bytes of compressed responses before compression.", LISTENER, false },
	[TALLY_COMPRESS_OUT] = { "compress_out",
	    "Bytes of compressed responses after compression.", LISTENER, false },
	[TALLY_DATAGRAMS_IN] = { "datagrams_in",
	    "UDP datagrams received from clients.", ALL, false },
	[TALLY_DATAGRAMS_OUT] = { "datagrams_out",
	    "UDP datagrams sent to clients.", ALL, false },
	[TALLY_HELD] = { "held",
	    "Times that a connection waited for its share of a bandwidth limit.", LISTENER, false },
	[TALLY_DATAGRAMS_LIMITED] = { "datagrams_limited",
	    "UDP datagrams dropped by a bandwidth limit.", LISTENER, false },
	[TALLY_DATAGRAMS_DROPPED] = { "datagrams_dropped",
	    "UDP datagrams dropped: no server, too many flows, or no room in a socket.",
	    LISTENER, false },
	[TALLY_RETRIES_REFUSED] = { "retries_refused",
	    "Retries not made, because the retry budget was used up.", POOL, false },
	[TALLY_EJECTIONS] = { "ejections",
	    "Times the server was left out because requests to it failed in a row.", SERVER, false },
	[TALLY_QUEUED] = { "queued",
	    "Requests and sessions that wait for a server now.", POOL, true },
	[TALLY_QUEUE_FULL] = { "queue_full",
	    "Requests and sessions refused because the limits were reached and no more could wait.",
	    POOL, false },
	[TALLY_QUEUE_TIMEOUTS] = { "queue_timeouts",
	    "Requests and sessions refused after they had waited.", POOL, false },
	/* Between workers: nobody is shown these. */
	[TALLY_COUNTED] = { "counted", "", 0, true },
	[TALLY_QUEUE_SINCE] = { "queue_since", "", 0, true },
};
/* clang-format on */

enum tally_field
tally_of_status(unsigned status)
{
	if (status < 200)
		return TALLY_STATUS_1XX;
	if (status >= 500)
		return TALLY_STATUS_5XX;
	return (enum tally_field)(TALLY_STATUS_1XX + (status / 100 - 1));
}
