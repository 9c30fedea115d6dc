/*
 * reload: from one configuration to the next; the first start is the change from none.
 *
 * Runs in: master.  Load, check, open, fork, wait until the new processes are made, switch.
 * Whatever fails before the switch leaves everything as it was.  At the switch the new workers
 * begin to accept from the same sockets before the old ones are told to stop, so a connection
 * always has somebody who takes it.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "master_priv.h"
#include "pidfile_priv.h"
#include "systemd_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/limits.h"
#include "weir/log.h"

enum {
	/* A handshake whose SYN came before the filter needs a round trip to reach the queue. */
	HANDOVER_MIN_MS = 250,
	HANDOVER_MAX_MS = 2000,
	SETTLE_MAX_MS = 1000, /* for old workers to stop accepting */
	CLOSE_MAX_MS = 5000,  /* for old workers to close what is gone: only the next change waits */
};

static void
change_timer(struct master *master, unsigned delay_ms)
{
	struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };

	evtimer_add(master->change.timer, &delay);
}

void
waiter_answer(const struct waiter *waiter, bool ok, const char *text)
{
	struct {
		struct reload_result result;
		char text[CHANNEL_PAYLOAD_MAX - sizeof(struct reload_result)];
	} * reply;
	size_t len = strlen(text);

	while (len > sizeof(reply->text)) /* whole lines, as many as fit */
		len = (size_t)((const char *)memrchr(text, '\n', len - 1) - text);
	reply = xmalloc(sizeof(*reply));
	reply->result = (struct reload_result){ .request = waiter->request, .ok = ok };
	memcpy(reply->text, text, len);
	child_send(waiter->child, MESSAGE_RELOAD_RESULT, reply, sizeof(reply->result) + len, -1);
	free(reply);
}

static void
answer_all(struct change *change, bool ok, const char *text)
{
	for (size_t i = 0; i < change->waiter_count; i++)
		waiter_answer(&change->waiters[i], ok, text);
	change->waiter_count = 0;
}

void
waiters_forget(struct waiter *waiters, size_t *count, const struct child *child)
{
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++)
		if (waiters[i].child != child)
			waiters[kept++] = waiters[i];
	*count = kept;
}

void
reload_forget(struct master *master, const struct child *child)
{
	waiters_forget(master->change.waiters, &master->change.waiter_count, child);
	waiters_forget(master->change.next_waiters, &master->change.next_waiter_count, child);
}

void
reload_ask(struct master *master, struct child *child, uint64_t request)
{
	struct change *change = &master->change;
	struct waiter waiter = { .child = child, .request = request };

	if (master->phase >= PHASE_QUITTING) {
		if (child != NULL)
			waiter_answer(&waiter, false, "weir is stopping\n");
		return;
	}
	if (child != NULL && change->next_waiter_count == WAITERS_MAX) {
		waiter_answer(&waiter, false, "too many reloads are waiting\n");
		return;
	}
	if (child != NULL)
		change->next_waiters[change->next_waiter_count++] = waiter;
	change->again = true;
	reload_go_on(master);
}

void
reload_go_on(struct master *master)
{
	if (master->change.again && master->change.step == CHANGE_NONE &&
	    master->phase == PHASE_RUNNING && !upgrade_is_under_way(master))
		change_timer(master, 0);
}

void
log_finding(void *arg, enum diag_level level, const char *line)
{
	(void)arg;
	if (level == DIAG_ERROR)
		log_errorx("%s", line);
	else
		log_warnx("%s", line);
}

/* The change is over, one way or the other; what came in the meantime is next. */
static void
change_end(struct master *master)
{
	struct change *change = &master->change;

	change->step = CHANGE_NONE;
	evtimer_del(change->timer);
	upgrade_go_on(master);
	reload_go_on(master);
	certs_go_on(master);
}

static void
kill_new_children(struct master *master, const struct generation *generation)
{
	struct child *child = TAILQ_FIRST(&master->children);

	for (; child != NULL; child = TAILQ_NEXT(child, entry)) {
		if (child->generation != generation)
			continue;
		child->state = CHILD_STOPPING; /* it served nobody */
		child_kill(child);
	}
}

static void
tell_failure(struct master *master)
{
	struct change *change = &master->change;
	char *text = diag_text(change->diag, "weir");

	if (master->current == NULL) {
		diag_print(change->diag, "weir", stderr);
	} else {
		diag_each(change->diag, log_finding, "weir", NULL);
		log_errorx("reload: failed, configuration %u goes on",
		    master->current->config->revision);
		atomic_fetch_add(&shm_global(master->current->region->shm)->reload_failures, 1);
		master_report(master, "the last reload failed");
	}
	answer_all(change, false, text);
	free(text);
}

static void
reload_fail(struct master *master)
{
	struct change *change = &master->change;

	tell_failure(master);
	diag_free(change->diag);
	change->diag = NULL;
	sockets_rollback(master->sockets);
	if (change->generation != NULL) {
		struct generation *generation = change->generation;

		change->generation = NULL;
		kill_new_children(master, generation);
		generation_leave(&master->generations, generation);
	}
	change_end(master);
	if (master->phase == PHASE_STARTING) {
		master->exit_status = EXIT_FAILURE;
		master->phase = PHASE_STOPPING;
	}
}

void
reload_on_death(struct master *master, const char *what)
{
	struct where where = { .file = master->file };

	if (master->change.step != CHANGE_STARTING)
		return;
	diag_error(master->change.diag, where, "cannot start with this configuration: %s", what);
	reload_fail(master);
}

/* What a restart alone can change.  The state directory is read once: a new secret would break all
 * sticky cookies. */
static void
warn_fixed(struct master *master, const struct config *config, struct diag *diag)
{
	const struct global_config *old = &master->current->config->global, *new = &config->global;
	struct where where = { .file = master->file };

	if (strcmp(master->pid_path, new->pid_file) != 0)
		diag_warning(diag, where, "global.pid_file stays %s until weir is restarted",
		    master->pid_path);
	if (strcmp(old->state_dir, new->state_dir) != 0)
		diag_warning(diag, where,
		    "global.state_dir changes when weir is restarted; until then "
		    "cookies are named with what %s held at the start",
		    old->state_dir);
}

static int
take_pid_file(struct master *master, const struct config *config, struct diag *diag)
{
	struct where where = { .file = master->file };

	if (master->upgrade.is_taking && strcmp(master->pid_path, config->global.pid_file) != 0)
		diag_warning(diag, where, "global.pid_file stays %s until weir is restarted",
		    master->pid_path);
	if (master->pid_fd != -1)
		return 0;
	master->pid_path = xstrdup(config->global.pid_file);
	master->pid_fd = pidfile_open(master->pid_path, where, diag);
	return master->pid_fd == -1 ? -1 : 0;
}

static bool
old_workers_accept(const struct master *master)
{
	const struct child *child;

	TAILQ_FOREACH (child, &master->children, entry)
		if (child_accepts_still(child))
			return true;
	return false;
}

/* Returns 0 when processes are being started or told, or -1 with the reason in change->diag. */
static int
prepare(struct master *master)
{
	struct change *change = &master->change;
	struct generation *current = master->current;
	struct region *region = current != NULL ? current->region : master->upgrade.region;
	const uint8_t *secret = current != NULL             ? current->secret
				: master->upgrade.is_taking ? master->upgrade.secret
							    : NULL;
	struct where where = { .file = master->file };
	const struct config *config;
	struct generation *read = generation_read(master->file, change->diag);

	if (read == NULL)
		return -1;
	if (current != NULL && servers_reload(master, read)) {
		generation_free_read(read);
		atomic_fetch_add(&shm_global(current->region->shm)->reloads, 1);
		servers_go_on(master);
		return 0;
	}
	change->generation = generation_load_take(read, master->last_number + 1,
	    &master->generations, region, secret, upgrade_oldest(master), change->diag);
	if (change->generation == NULL)
		return -1;
	config = change->generation->config;
	master->last_number = config->generation;
	if (current != NULL)
		warn_fixed(master, config, change->diag);
	take_pid_file(master, config, change->diag);
	/* CHANGE_CLOSING has waited: who has not closed its sockets by now is frozen. */
	if (old_workers_accept(master) && sockets_are_taken(master->sockets, config))
		children_end_stuck(master);
	sockets_prepare(master->sockets, config, change->generation->workers, change->diag);
	if (diag_errors(change->diag) > 0)
		return -1;
	if (children_start(master, change->generation) == -1) {
		diag_error(
		    change->diag, where, "cannot start the processes for this configuration");
		return -1;
	}
	return 0;
}

void
reload_begin(struct master *master)
{
	struct change *change = &master->change;

	memcpy(change->waiters, change->next_waiters, sizeof(change->waiters));
	change->waiter_count = change->next_waiter_count;
	change->next_waiter_count = 0;
	change->again = false;
	change->step = CHANGE_STARTING;
	change->diag = diag_new();
	if (master->current != NULL)
		systemd_notify_reloading();
	if (prepare(master) == -1)
		reload_fail(master);
}

/* Children of the generations before that have not been told yet. */
static void
drain_old(struct master *master, bool workers)
{
	struct child *child;

	TAILQ_FOREACH (child, &master->children, entry)
		if (child->generation != master->current &&
		    (child->kind == CHILD_WORKER) == workers)
			child_drain(child);
}

static void
publish(const struct master *master, bool is_first)
{
	const struct generation *current = master->current;
	struct shm_global *global = shm_global(current->region->shm);
	uint64_t now = (uint64_t)time(NULL);

	atomic_store(&global->generation, current->config->generation);
	atomic_store(&global->revision, current->config->revision);
	atomic_store(&global->master_pid, getpid());
	atomic_store(&global->loaded_wall_s, now);
	if (is_first || global->started_wall_s == 0) {
		atomic_store(&global->started_wall_s, now);
		atomic_store(&global->started_ms, clock_us() / 1000);
	} else {
		atomic_fetch_add(&global->reloads, 1);
	}
}

/* The new configuration is the only one that clients meet: say so. */
static void
reload_settle(struct master *master, bool is_reload)
{
	struct change *change = &master->change;
	char *text;

	publish(master, !is_reload && !master->upgrade.is_taking);
	log_info("configuration %u (%s) is in force; workers: %u, listeners: %zu, pools: %zu",
	    master->current->config->generation, master->file, master->current->workers,
	    master->current->config->listener_count, master->current->config->pool_count);
	text = diag_text(change->diag, "weir");
	answer_all(change, true, text);
	free(text);
	diag_free(change->diag);
	change->diag = NULL;
	upgrade_tell(master);
	master_report(master, NULL);
	drain_old(master, false);
}

void
reload_end_apply(struct master *master, const char *what)
{
	struct change *change = &master->change;
	char *findings = diag_text(change->diag, "weir"), *text = xprintf("%s%s\n", findings, what);

	diag_each(change->diag, log_finding, "weir", NULL);
	answer_all(change, true, text);
	free(findings);
	free(text);
	diag_free(change->diag);
	change->diag = NULL;
	master_report(master, NULL);
	change_end(master);
}

void
reload_on_drained(struct master *master)
{
	enum change_step step = master->change.step;

	if ((step != CHANGE_SETTLING && step != CHANGE_CLOSING) || old_workers_accept(master))
		return;
	if (step == CHANGE_SETTLING)
		reload_settle(master, true);
	change_end(master);
}

static void
log_limit(void *arg, const char *text)
{
	(void)arg;
	log_warnx("limits: %s", text);
}

static void
report_limits(const struct master *master)
{
	struct limits_found found;

	limits_find(&found);
	limits_judge(&found, master->current->config, master->current->workers, log_limit, NULL);
}

static void
reload_commit(struct master *master)
{
	struct change *change = &master->change;
	struct generation *old = master->current;
	struct child *child;

	sockets_commit(master->sockets);
	master->current = change->generation;
	change->generation = NULL;
	master->phase = PHASE_RUNNING;
	master_follow_tickets(master);
	if (old == NULL)
		diag_print(change->diag, "weir", stderr);
	log_set_fd(master->current->error_fd);
	log_set_syslog(generation_error_syslog(master->current->config));
	log_set_level((enum log_level)master->current->config->global.log_level);
	if (old != NULL)
		diag_each(change->diag, log_finding, "weir", NULL);
	else
		report_limits(master);
	TAILQ_FOREACH (child, &master->children, entry)
		if (child->generation == master->current)
			child_begin(child);
	generation_leave(&master->generations, old);
	servers_forget(master);
	change->since_us = clock_us();
	if (old != NULL && !sockets_have_retired(master->sockets)) {
		drain_old(master, true);
		change->step = CHANGE_SETTLING;
		change_timer(master, SETTLE_MAX_MS);
		reload_on_drained(master);
		return;
	}
	reload_settle(master, old != NULL);
	change->step = CHANGE_HANDOVER;
	change_timer(master, sockets_have_retired(master->sockets) ? HANDOVER_STEP_MS : 0);
}

void
reload_on_ready(struct master *master)
{
	const struct child *child;

	if (master->change.step != CHANGE_STARTING)
		return;
	TAILQ_FOREACH (child, &master->children, entry)
		if (child->generation == master->change.generation && child->state != CHILD_READY)
			return;
	reload_commit(master);
}

static void
finish_handover(struct master *master)
{
	drain_old(master, true);
	sockets_close_retired(master->sockets);
	master->change.step = CHANGE_CLOSING;
	change_timer(master, CLOSE_MAX_MS);
	reload_on_drained(master);
}

/*
 * Addresses that are not configured any more: the kernel sends no new connections, but some may be
 * in the handshake or in a queue, and closing would reset them.  The old workers still accept; they
 * are told to drain once nothing is left.
 */
bool
reload_handover_done(const struct master *master, uint64_t since_us)
{
	uint64_t ms = (clock_us() - since_us) / 1000;

	if (!sockets_have_retired(master->sockets) || ms >= HANDOVER_MAX_MS)
		return true;
	return ms >= HANDOVER_MIN_MS && !sockets_retired_pending(master->sockets);
}

void
reload_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;

	(void)fd;
	(void)what;
	switch (master->change.step) {
	case CHANGE_NONE:
		if (master->change.again && !upgrade_is_under_way(master))
			reload_begin(master);
		return;
	case CHANGE_STARTING:
		return; /* each child has a deadline of its own */
	case CHANGE_APPLYING:
		servers_settle(master);
		return;
	case CHANGE_SETTLING:
		reload_settle(
		    master, true); /* a worker that does not answer is no reason to wait */
		change_end(master);
		return;
	case CHANGE_CLOSING:
		change_end(master); /* neither is it here */
		return;
	case CHANGE_HANDOVER:
		if (reload_handover_done(master, master->change.since_us))
			finish_handover(master);
		else
			change_timer(master, HANDOVER_STEP_MS);
	}
}

void
reload_cancel(struct master *master)
{
	struct change *change = &master->change;
	struct where where = { .file = master->file };

	if (change->step == CHANGE_STARTING) {
		diag_error(change->diag, where, "not loaded: weir is stopping");
		reload_fail(master);
	} else if (change->step == CHANGE_SETTLING) {
		reload_settle(master, true);
	} else if (change->step == CHANGE_APPLYING) {
		servers_settle(master);
	}
	change->step = CHANGE_NONE;
	evtimer_del(change->timer);
	memcpy(change->waiters, change->next_waiters, sizeof(change->waiters));
	change->waiter_count = change->next_waiter_count;
	change->next_waiter_count = 0;
	answer_all(change, false, "weir is stopping\n");
	certs_cancel(master);
}
