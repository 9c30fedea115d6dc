/* The options of pools that say which servers may be chosen, how often, and for how many. */
#include "conf_priv.h"

#include <stddef.h>

/* eject */

static void
eject_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	struct eject_config *eject = structure;

	eject->on = true;
	if (eject->time_max_ms < eject->time_ms && !load_is_broken(load, &eject->time_max_ms) &&
	    !load_is_broken(load, &eject->time_ms))
		diag_error(load->diag, map->where, "eject: time_max is less than time");
}

static bool
eject_is_on(const void *structure)
{
	return ((const struct eject_config *)structure)->on;
}

static const struct option eject_options[] = {
	OPTION("errors", eject_config, errors, kind_count, .preset = "5", .min = "1", .max = "1000",
	    .doc =
		"Failures in a row that take a server out: it refuses connections, does not answer "
		"in time, closes or resets before it answers, or answers with one of `status`."),
	OPTION("time", eject_config, time_ms, kind_duration, .preset = "10s", .min = "100ms",
	    .max = "1h",
	    .doc =
		"How long; doubled each time that it fails again before it has been in use for as "
		"long as it was out."),
	OPTION("time_max", eject_config, time_max_ms, kind_duration, .preset = "5m", .min = "100ms",
	    .max = "24h", .doc = "How long at most."),
	OPTION("keep", eject_config, keep, kind_count, .preset = "50", .min = "0", .max = "100",
	    .doc = "How many of the servers that health checks and operators leave in use stay in "
		   "any case, in percent; one always does."),
	OPTION("status", eject_config, status, kind_status, .preset = "502-504", .min = "1",
	    .doc = "Statuses of responses that are failures."),
};
const struct block conf_eject = {
	.name = "eject",
	TABLE(eject_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = eject_is_on,
	.finish = eject_finish,
	.doc =
	    "Servers to which requests fail are left out for a while, whatever health checks say. "
	    "Without this block they are not.",
};

/* retry */

static const struct option retry_options[] = {
	OPTION("attempts", retry_config, attempts, kind_count, .preset = "4", .min = "1",
	    .max = "8", .doc = "Servers that are tried for one request, the first included."),
	OPTION("budget", retry_config, budget, kind_count, .preset = "", .min = "1", .max = "100",
	    .doc = "Retries in percent of the requests, so that a pool whose servers fail does not "
		   "get "
		   "a multiple of its load; each worker may save up ten. Without it there is no "
		   "bound."),
};
const struct block conf_retry = {
	.name = "retry",
	TABLE(retry_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "Other servers are tried when one cannot be connected to.",
};

/* queue */

static bool
queue_is_on(const void *structure)
{
	return ((const struct queue_config *)structure)->size > 0;
}

static const struct option queue_options[] = {
	OPTION("size", queue_config, size, kind_count, .preset = "100", .min = "1",
	    .max = "1000000",
	    .doc = "Requests and sessions that may wait at a time, those of all workers together; "
		   "more "
		   "are refused."),
	OPTION("timeout", queue_config, timeout_ms, kind_duration, .preset = "10s", .min = "10ms",
	    .max = "1h", .doc = "How long one may wait; then it is refused."),
};
const struct block conf_queue = {
	.name = "queue",
	TABLE(queue_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.is_on = queue_is_on,
	.doc =
	    "What the limits of connections keep out waits here, first come, first served. Refused "
	    "are requests with 503, sessions by closing them. Without this block nothing waits.",
};
