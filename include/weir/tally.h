/*
 * tally: the counters that the data path writes.
 *
 * Runs in: workers write, each only its own (see shm.h); control reads all.  One table (src/record/tally.c) names them
 * for /stats.json, /metrics and weirctl.  Counters are 64-bit, written with relaxed atomics by one writer: a plain
 * load and store, no lock prefix.
 */
#ifndef WEIR_TALLY_H
#define WEIR_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum tally_field {
	TALLY_ACTIVE = 0,   /* listener: open connections; others: requests or TCP sessions in progress */
	TALLY_CONNECTIONS,  /* listener: accepted; server: opened to it */
	TALLY_REQUESTS,     /* http: requests whose head was read; tcp: sessions */
	TALLY_BYTES_IN,     /* from the client */
	TALLY_BYTES_OUT,    /* to the client */
	TALLY_STATUS_1XX,   /* responses to the client by class */
	TALLY_STATUS_2XX,
	TALLY_STATUS_3XX,
	TALLY_STATUS_4XX,
	TALLY_STATUS_5XX,
	TALLY_REFUSED,      /* listener: closed by the access list or a limit */
	TALLY_TOO_OFTEN,    /* listener: requests answered 429 by the rate of their source */
	TALLY_TOO_MANY,     /* listener: connections closed, flows not begun, likewise */
	TALLY_OVER_LIMIT,   /* listener, route: requests answered 503 by the limit of a route */
	TALLY_BAD_REQUESTS, /* listener: malformed heads and framing */
	TALLY_TLS_HANDSHAKES,
	TALLY_TLS_RESUMED,      /* of those: with a session of before */
	TALLY_TLS_FAILURES,     /* all that follow */
	TALLY_TLS_TIMEOUTS,
	TALLY_TLS_CLOSED,
	TALLY_TLS_PLAIN,
	TALLY_TLS_MISMATCHES,
	TALLY_TLS_CERTIFICATES,
	TALLY_TLS_ALERTS,
	TALLY_TLS_MALFORMED,
	TALLY_CONNECT_ERRORS,  /* server: connection refused, timed out... */
	TALLY_RESPONSE_ERRORS, /* server: malformed, truncated or late responses */
	TALLY_RETRIES,         /* pool, route: attempts after the first */
	TALLY_NO_SERVER,       /* pool: requests answered 503 (tcp: closed) for want of a server */
	TALLY_STICKY_HITS,     /* pool: the remembered server was used */
	TALLY_FLOODS,          /* listener: HTTP/2 connections ended because of a flood limit */
	TALLY_SLOW_CLIENTS,    /* listener: given up on, because they sent or read too slowly */
	TALLY_COMPRESSED,      /* listener: responses that were compressed */
	TALLY_COMPRESS_SKIPPED, /* listener: passed as they came, because too many are compressed already */
	TALLY_COMPRESS_IN,     /* listener: bytes before ... */
	TALLY_COMPRESS_OUT,    /* ... and after */
	TALLY_DATAGRAMS_IN,      /* udp: from clients */
	TALLY_DATAGRAMS_OUT,     /* udp: to clients */
	TALLY_HELD,              /* listener: connections that waited for their share of a bandwidth limit */
	TALLY_DATAGRAMS_LIMITED, /* listener: dropped by a bandwidth limit */
	TALLY_DATAGRAMS_DROPPED, /* listener: for want of a server, a flow or room in a socket */
	TALLY_RETRIES_REFUSED, /* pool: not made, because the budget was used up */
	TALLY_EJECTIONS,       /* server: left out because requests failed */
	TALLY_QUEUED,          /* pool: requests and sessions that wait now */
	TALLY_QUEUE_FULL,      /* pool: refused, because limits are reached and no more may wait */
	TALLY_QUEUE_TIMEOUTS,  /* pool: refused after waiting */
	TALLY_COUNTED,         /* pool, server: this worker's part of struct usage's `active` */
	TALLY_QUEUE_SINCE,     /* pool: since when this worker's first has waited (CLOCK_MONOTONIC, ms); 0: nobody waits */
	TALLY_FIELDS
};

/* Whole cache lines, so that neighbours of two processes never share one. */
struct tally {
	_Alignas(64) _Atomic uint64_t v[TALLY_FIELDS];
};

/* Context: only the process that owns this tally. */
static inline void
tally_add(struct tally *tally, enum tally_field field, uint64_t n)
{
	uint64_t old = atomic_load_explicit(&tally->v[field], memory_order_relaxed);

	atomic_store_explicit(&tally->v[field], old + n, memory_order_relaxed);
}

static inline void
tally_sub(struct tally *tally, enum tally_field field, uint64_t n)
{
	tally_add(tally, field, (uint64_t)0 - n);
}

static inline uint64_t
tally_get(const struct tally *tally, enum tally_field field)
{
	return atomic_load_explicit(&tally->v[field], memory_order_relaxed);
}

enum {
	TALLY_OF_LISTENER = 1,
	TALLY_OF_POOL = 2,
	TALLY_OF_SERVER = 4,
	TALLY_OF_ROUTE = 8,
	TALLY_OF_CERTIFICATE = 16
};

struct tally_info {
	const char *name; /* in JSON, and with the prefix weir_OBJECT_ and the suffix _total in /metrics */
	const char *help; /* one sentence */
	unsigned of;      /* which objects have it: TALLY_OF_* */
	bool is_gauge;
};

/* One row per field, in their order. */
extern const struct tally_info tally_table[TALLY_FIELDS];

/* The counter of a status class: 404 -> TALLY_STATUS_4XX. */
enum tally_field tally_of_status(unsigned status);

#endif
