/*
 * certs: new certificates for processes that run.
 *
 * Runs in: master.  It reads and checks what the configuration in force names; only if all is well,
 * that is taken over and passed to the workers and the control process, in a sealed piece of memory
 * that nobody else sees.  Each loads it between two turns of its loop: connections that are there
 * go on with the old certificates, and no worker is replaced.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master_priv.h"
#include "weir/arena.h"
#include "weir/log.h"
#include "weir/tls_context.h"
#include "weir/tls_files.h"

enum { ANSWER_LIMIT_S = 30 };

static bool
is_under_way(const struct master *master)
{
	return evtimer_pending(master->certs.timer, NULL);
}

static void
answer_all(struct certs *certs, bool ok, const char *text)
{
	for (size_t i = 0; i < certs->waiter_count; i++)
		waiter_answer(&certs->waiters[i], ok, text);
	certs->waiter_count = 0;
}

/* Everybody has answered, or nobody will. */
static void
finish(struct master *master)
{
	struct certs *certs = &master->certs;
	bool ok = !certs->failed;

	evtimer_del(certs->timer);
	if (ok)
		log_info(
		    "certificates: %zu are in force", master->current->config->certificate_count);
	answer_all(certs, ok,
	    ok ? certs->report : "not every process could take the certificates: see the log\n");
	free(certs->report);
	certs->report = NULL;
	certs_go_on(master);
}

static bool
is_owed(const struct master *master)
{
	const struct child *child;

	TAILQ_FOREACH (child, &master->children, entry)
		if (child->owes_certs)
			return true;
	return false;
}

static void
send_all(struct master *master, int fd)
{
	struct timeval limit = { .tv_sec = ANSWER_LIMIT_S };
	struct certs *certs = &master->certs;
	struct child *child;

	certs->number++;
	certs->failed = false;
	evtimer_add(certs->timer, &limit);
	TAILQ_FOREACH (child, &master->children, entry) {
		if (child->generation != master->current || child->state >= CHILD_DRAINING)
			continue;
		child->owes_certs = true;
		child_send(child, MESSAGE_CERTS, &certs->number, sizeof(certs->number), fd);
	}
}

static void
begin(struct master *master)
{
	struct certs *certs = &master->certs;
	struct tls_files *files = tls_files_new();
	struct diag *diag = diag_new();
	int fd = -1;
	bool ok;

	memcpy(certs->waiters, certs->next_waiters, sizeof(certs->waiters));
	certs->waiter_count = certs->next_waiter_count;
	certs->next_waiter_count = 0;
	ok = tls_renew(master->current->config, files, &fd, diag) == 0;
	tls_files_free(files);
	diag_each(diag, log_finding, "weir", NULL);
	certs->report = diag_text(diag, "weir");
	diag_free(diag);
	if (ok) {
		send_all(master, fd);
		close(fd);
		return;
	}
	log_errorx("certificates: reload failed, the old ones are served on");
	answer_all(certs, false, certs->report);
	free(certs->report);
	certs->report = NULL;
}

void
certs_go_on(struct master *master)
{
	if (master->certs.next_waiter_count > 0 && !is_under_way(master) &&
	    master->change.step == CHANGE_NONE && master->phase == PHASE_RUNNING &&
	    !upgrade_is_under_way(master))
		begin(master);
}

void
certs_ask(struct master *master, struct child *child, uint64_t request)
{
	struct waiter waiter = { .child = child, .request = request };
	struct certs *certs = &master->certs;

	if (master->phase >= PHASE_QUITTING) {
		waiter_answer(&waiter, false, "weir is stopping\n");
		return;
	}
	if (certs->next_waiter_count == WAITERS_MAX) {
		waiter_answer(&waiter, false, "too many reloads are waiting\n");
		return;
	}
	certs->next_waiters[certs->next_waiter_count++] = waiter;
	certs_go_on(master);
}

static void
answered(struct master *master, struct child *child, bool ok)
{
	if (!child->owes_certs)
		return;
	child->owes_certs = false;
	master->certs.failed = master->certs.failed || !ok;
	if (is_under_way(master) && !is_owed(master))
		finish(master);
}

void
certs_on_taken(struct child *child, const struct certs_taken *taken)
{
	char name[64];

	if (taken->number != child->master->certs.number)
		return;
	if (!taken->ok)
		log_errorx("%s: could not take the new certificates, serves the old ones on",
		    child_name(child, name));
	answered(child->master, child, taken->ok != 0);
}

void
certs_forget(struct master *master, struct child *child)
{
	struct certs *certs = &master->certs;

	waiters_forget(certs->waiters, &certs->waiter_count, child);
	waiters_forget(certs->next_waiters, &certs->next_waiter_count, child);
	/* One that is started in its place has the new ones from here. */
	answered(master, child, true);
}

void
certs_cancel(struct master *master)
{
	struct certs *certs = &master->certs;

	evtimer_del(certs->timer);
	answer_all(certs, false, "weir is stopping\n");
	memcpy(certs->waiters, certs->next_waiters, sizeof(certs->waiters));
	certs->waiter_count = certs->next_waiter_count;
	certs->next_waiter_count = 0;
	answer_all(certs, false, "weir is stopping\n");
}

void
certs_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;
	struct child *child;
	char name[64];

	(void)fd;
	(void)what;
	TAILQ_FOREACH (child, &master->children, entry) {
		if (!child->owes_certs)
			continue;
		log_errorx("%s: has not taken the new certificates within %d s",
		    child_name(child, name), ANSWER_LIMIT_S);
		child->owes_certs = false;
		master->certs.failed = true;
	}
	finish(master);
}
