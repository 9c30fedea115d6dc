/*
 * stop: the end of the daemon, fast or graceful.
 *
 * Runs in: master.
 */
#include <event2/event.h>
#include <signal.h>

#include "master_priv.h"
#include "systemd_priv.h"
#include "weir/clock.h"
#include "weir/log.h"

static void
each_child(struct master *master, enum child_kind kind, void (*act)(struct child *child))
{
	struct child *child;

	TAILQ_FOREACH (child, &master->children, entry)
		if (child->kind == kind)
			act(child);
}

void
stop_fast(struct master *master)
{
	if (master->phase == PHASE_STOPPING)
		return;
	upgrade_cancel(master, SIGTERM);
	reload_cancel(master);
	evtimer_del(master->quit_timer);
	master->phase = PHASE_STOPPING;
	systemd_notify("STOPPING=1\nSTATUS=stopping");
	log_info("stopping");
	each_child(master, CHILD_WORKER, child_stop);
	each_child(master, CHILD_CONTROL, child_stop);
}

static void
next_step(struct master *master)
{
	struct timeval delay = { .tv_usec = HANDOVER_STEP_MS * 1000 };

	evtimer_add(master->quit_timer, &delay);
}

void
stop_gracefully(struct master *master)
{
	if (master->phase >= PHASE_QUITTING)
		return;
	if (master->phase == PHASE_STARTING) { /* nobody has been served yet */
		stop_fast(master);
		return;
	}
	upgrade_cancel(master, SIGQUIT);
	if (master->phase >= PHASE_QUITTING)
		return; /* the new binary serves: that was the end of this one */
	reload_cancel(master);
	master->phase = PHASE_QUITTING;
	systemd_notify("STOPPING=1\nSTATUS=finishing what clients have begun");
	log_info(
	    "stopping gracefully, within %u ms", master->current->config->global.limits.drain_ms);
	sockets_retire_all(master->sockets);
	master->change.since_us = clock_us();
	next_step(master);
}

void
stop_after_upgrade(struct master *master)
{
	reload_cancel(master);
	master->phase = PHASE_QUITTING;
	sockets_share(master->sockets);
	sockets_leave(master->sockets);
	each_child(master, CHILD_CONTROL, child_drain);
	each_child(master, CHILD_WORKER, child_drain);
	stop_on_reap(master);
}

/* As after a reload that removes every address: accept what is under way, then drain. */
void
stop_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;

	(void)fd;
	(void)what;
	if (!reload_handover_done(master, master->change.since_us)) {
		next_step(master);
		return;
	}
	each_child(master, CHILD_WORKER, child_drain);
	each_child(master, CHILD_WORKER, child_close_idle);
	sockets_close_retired(master->sockets);
	stop_on_reap(master);
}

/* Control tells of the draining workers, and goes after the last of them. */
void
stop_on_reap(struct master *master)
{
	const struct child *child;

	if (master->phase != PHASE_QUITTING || sockets_have_retired(master->sockets))
		return;
	TAILQ_FOREACH (child, &master->children, entry)
		if (child->kind == CHILD_WORKER)
			return;
	each_child(master, CHILD_CONTROL, child_stop);
}

bool
stop_is_done(const struct master *master)
{
	return master->phase >= PHASE_QUITTING && TAILQ_EMPTY(&master->children);
}
