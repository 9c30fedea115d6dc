/*
 * listener: one listener as a worker sees it.
 *
 * Runs in: worker; made by front_new(), lives as long as the worker.
 */
#ifndef WEIR_LISTENER_H
#define WEIR_LISTENER_H

#include "weir/conf.h"

struct latency;
struct pacer;
struct router;
struct accesslog;
struct tally;
struct worker;

struct listener {
	const struct listener_config *conf; /* borrowed */
	struct worker *worker;
	struct tally *tally;                /* this worker's own */
	struct latency *latency;            /* likewise */
	struct pacer *pacer;                /* borrowed from the worker; NULL: no bandwidth limit */
	struct accesslog *accesslog;        /* owned; NULL: off */
	struct router *router;              /* owned; NULL: no routes */
};

#endif
