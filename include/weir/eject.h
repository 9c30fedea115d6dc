/*
 * eject: leave servers out that fail requests, though no health check found them down.
 *
 * Runs in: worker.  What requests met is counted in shared memory, so all workers count together; the control process
 * takes servers back (health/readmit.c).  Costs a branch where a pool has no `eject`; else a good answer reads one word
 * that is seldom written.
 */
#ifndef WEIR_EJECT_H
#define WEIR_EJECT_H

#include "weir/ends.h"
#include "weir/pool.h"

/* A request or session failed by the server's fault.  why: the end it came to, or END_OK: its status. */
void eject_count_failure(struct server *server, enum end why);

/* The server did what it should. */
static inline void
eject_count_success(struct server *server)
{
	if (server->pool->conf->eject.on &&
	    atomic_load_explicit(&server->usage->failures, memory_order_relaxed) != 0)
		atomic_store_explicit(&server->usage->failures, 0, memory_order_relaxed);
}

/* A response has come with this status. */
static inline void
eject_count_status(struct server *server, unsigned status)
{
	if (!server->pool->conf->eject.on)
		return;
	if (status_set_has(&server->pool->conf->eject.status, status))
		eject_count_failure(server, END_OK);
	else
		eject_count_success(server);
}

#endif
