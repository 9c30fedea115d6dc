/*
 * history: the last quarter of an hour, for plots: a point every five seconds, and changes of servers.
 *
 * Runs in: control writes and reads.  It lies in shared memory so that reloads and new binaries find it again: what a
 * point is counted from lies there too.  All of fixed size.
 */
#ifndef WEIR_HISTORY_H
#define WEIR_HISTORY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/histogram.h"

enum {
	HISTORY_INTERVAL_MS = 5000,
	HISTORY_POINTS = 180,
	HISTORY_EVENTS = 1024,
	HISTORY_TEXT_SIZE = 44
};

/* What happened in one interval, and how it stood at its end. */
struct history_point {
	uint32_t requests, connections, status_4xx, status_5xx, failures; /* failures: no server, bad, refused */
	uint32_t active;
	uint64_t bytes_in, bytes_out;
	uint32_t measured; /* requests that the percentiles are of; 0: there are none */
	uint32_t p50_us, p90_us, p99_us;
};

/* Of one listener or pool, or of all listeners together. */
struct history {
	uint32_t incarnation; /* that of the entity, plus 1; 0: nothing recorded */
	uint32_t first;       /* number of the first point that counts */
	uint32_t next;        /* number of the next one, unless some are left out */
	uint64_t requests, connections, status_4xx, status_5xx, failures, bytes_in, bytes_out; /* at the last point */
	struct histogram_sum total; /* likewise */
	struct history_point points[HISTORY_POINTS];
};

enum history_event_kind { HISTORY_HEALTH = 0, HISTORY_ADMIN };

struct history_event {
	_Atomic uint64_t wall_ms; /* 0: none, or it is being written */
	uint32_t pool_id, server_id, incarnation;
	uint8_t kind; /* enum history_event_kind */
	uint8_t from, to; /* enum health_state or admin_state */
	char text[HISTORY_TEXT_SIZE]; /* the last check */
};

/* One in the region. */
struct history_head {
	_Atomic uint64_t count;   /* points so far; the last is number count - 1, at count - 1 modulo HISTORY_POINTS */
	_Atomic uint64_t last_ms; /* CLOCK_MONOTONIC of the last one */
	_Atomic uint64_t event_count;
	uint64_t wall_ms[HISTORY_POINTS];
	uint32_t elapsed_ms[HISTORY_POINTS]; /* since the point before */
	struct history total;
	struct history_event events[HISTORY_EVENTS];
};

#endif
