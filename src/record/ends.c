#include "weir/ends.h"

#include "weir/histogram.h"

_Static_assert((int)ENDS <= (int)LATENCY_ENDS, "each end has its counter");

/* clang-format off */
const struct end_info end_table[ENDS] = {
	[END_OK]                  = { "ok", 0, 0, "The request was served." },
	[END_CLIENT_CLOSED]       = { "client-closed", 0, 0, "The client closed the connection." },
	[END_CLIENT_TIMEOUT_HEAD] = { "client-head-timeout", 408, 0, "The request did not arrive in time." },
	[END_CLIENT_TIMEOUT_BODY] = { "client-body-timeout", 408, 0, "The request body did not arrive in time." },
	[END_CLIENT_TIMEOUT_IDLE] = { "client-idle", 0, 0, "The client sent no further request." },
	[END_REQUEST_MALFORMED]   = { "request-malformed", 400, "http_request_error", "The request is malformed." },
	[END_REQUEST_TOO_LARGE]   = { "request-too-large", 431, "http_request_error", "The header fields of the request are too large." },
	[END_TARGET_TOO_LONG]     = { "target-too-long", 414, "http_request_error", "The request target is too long." },
	[END_VERSION]             = { "version", 505, "http_request_error", "This HTTP version is not supported." },
	[END_METHOD]              = { "method", 501, "http_request_error", "This method is not supported." },
	[END_TLS_FAILED]          = { "tls-failed", 0, "tls_protocol_error", "The TLS handshake failed." },
	[END_PLAIN_HTTP]          = { "plain-http", 400, "http_request_error", "This port speaks HTTPS: the request must come over TLS." },
	[END_MISDIRECTED]         = { "misdirected", 421, "http_request_error", "This host must be asked for on a connection of its own." },
	[END_NO_ROUTE]            = { "no-route", 404, "destination_not_found", "No route matches this request." },
	[END_REDIRECTED]          = { "redirected", 0, 0, "The client was sent elsewhere." },
	[END_RESPONDED]           = { "responded", 0, 0, "The client got a fixed response." },
	[END_LAST_HOP]            = { "last-hop", 0, 0, "The request was not to be passed on." },
	[END_TOO_OFTEN]           = { "too-often", 429, "http_request_denied", "Too many requests from this address: try again later." },
	[END_OVER_LIMIT]          = { "over-limit", 503, "http_request_denied", "Too many requests: try again later." },
	[END_NO_SERVER]           = { "no-server", 503, "destination_unavailable", "No server is available to handle this request." },
	[END_QUEUE_FULL]          = { "queue-full", 503, "connection_limit_reached", "All servers are busy, and no more requests may wait." },
	[END_QUEUE_TIMEOUT]       = { "queue-timeout", 503, "connection_limit_reached", "All servers are busy: none became free in time." },
	[END_CONNECT_FAILED]      = { "connect-failed", 503, "connection_refused", "No server could be reached." },
	[END_CONNECT_TIMEOUT]     = { "connect-timeout", 504, "connection_timeout", "The server did not accept the connection in time." },
	[END_SERVER_TLS_FAILED]   = { "server-tls-failed", 502, "tls_protocol_error", "The TLS handshake with the server failed." },
	[END_SERVER_CERTIFICATE]  = { "server-certificate", 502, "tls_certificate_error", "The certificate of the server cannot be trusted." },
	[END_SERVER_PROTOCOL]     = { "server-protocol", 502, "http_protocol_error", "The server does not speak HTTP/2." },
	[END_SERVER_REFUSED]      = { "server-refused", 503, "destination_unavailable", "The server refused the request." },
	[END_SERVER_UPGRADE]      = { "server-no-websocket", 502, "http_upgrade_failed", "The server takes no WebSocket over HTTP/2." },
	[END_SERVER_CLOSED]       = { "server-closed", 502, "connection_terminated", "The server closed the connection without a response." },
	[END_RESPONSE_MALFORMED]  = { "response-malformed", 502, "http_protocol_error", "The server sent a malformed response." },
	[END_RESPONSE_TOO_LARGE]  = { "response-too-large", 502, "http_response_header_section_size", "The header fields of the response are too large." },
	[END_RESPONSE_TIMEOUT]    = { "response-timeout", 504, "http_response_timeout", "The server did not respond in time." },
	[END_RESPONSE_TRUNCATED]  = { "response-truncated", 0, "http_response_incomplete", "The server did not send the whole response." },
	[END_TIMEOUT_IDLE]        = { "idle-timeout", 0, 0, "Nothing was sent for too long." },
	[END_DRAINED]             = { "drained", 0, 0, "The worker ended." },
	[END_SERVER_LEFT]         = { "server-left", 0, "destination_unavailable", "The server went down or was taken out." },
	[END_EXHAUSTED]           = { "exhausted", 503, "proxy_internal_error", "Too many connections are open: try again later." },
	[END_INTERNAL]            = { "internal", 500, "proxy_internal_error", "weir cannot handle this request." },
};
/* clang-format on */
