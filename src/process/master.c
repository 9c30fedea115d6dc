#include "master_priv.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "activation_priv.h"
#include "pidfile_priv.h"
#include "state_priv.h"
#include "systemd_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/log.h"
#include "weir/tls_tickets.h"

enum {
	DESCRIPTORS_MAX =
	    1 << 20, /* hard limits of a thousand millions exist; tables are sized by the limit */
	REFILL_RETRY_S = 1,
};

void
master_report(const struct master *master, const char *trouble)
{
	const struct generation *current = master->current;

	systemd_notify("READY=1\nSTATUS=configuration %u, %u workers%s%s",
	    current->config->revision, current->workers, trouble != NULL ? "; " : "",
	    trouble != NULL ? trouble : "");
}

static void
on_terminate(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	stop_fast(arg);
}

static void
on_quit(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	stop_gracefully(arg);
}

static void
on_hangup(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	reload_ask(arg, NULL, 0);
}

static void
send_logs(struct child *child)
{
	const struct generation *generation = child->generation;

	for (uint32_t i = 0; i < generation->config->log_output_count; i++)
		if (generation->log_fds[i] > STDERR_FILENO)
			child_send(child, MESSAGE_LOG, &i, sizeof(i), generation->log_fds[i]);
}

static void
on_reopen(evutil_socket_t number, short what, void *arg)
{
	struct master *master = arg;
	struct generation *generation;
	struct child *child;

	(void)number;
	(void)what;
	for (generation = TAILQ_FIRST(&master->generations); generation != NULL;
	     generation = TAILQ_NEXT(generation, entry))
		generation_reopen_logs(generation);
	for (child = TAILQ_FIRST(&master->children); child != NULL;
	     child = TAILQ_NEXT(child, entry)) {
		if (child->generation->error_fd > STDERR_FILENO)
			child_send(child, MESSAGE_ERROR_LOG, NULL, 0, child->generation->error_fd);
		if (child->kind == CHILD_WORKER)
			send_logs(child);
	}
	log_info("the log files were opened again");
}

static void
on_upgrade(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	upgrade_ask(arg);
}

/*
 * As the first process of a container the master is given the orphans of others: a shell that was
 * run in it, say.  Runs after all that wait for children of their own; one of those that ends just
 * now is left to them, as its SIGCHLD is still to come.
 */
static void
reap_orphans(const struct master *master)
{
	siginfo_t info = { 0 };
	const struct child *child;

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
		if (info.si_pid == master->upgrade.pid || info.si_pid == master->saver)
			return;
		TAILQ_FOREACH(child, &master->children, entry)
			if (child->pid == info.si_pid)
				return;
		waitpid(info.si_pid, NULL, 0);
		info.si_pid = 0;
	}
}

static void
on_child(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	upgrade_on_reap(arg);
	state_on_reap(arg);
	children_reap(arg);
	if (getpid() == 1)
		reap_orphans(arg);
}

static const struct {
	int number;
	event_callback_fn callback;
} signals[] = {
	{ SIGTERM, on_terminate },
	{ SIGINT, on_terminate },
	{ SIGQUIT, on_quit },
	{ SIGHUP, on_hangup },
	{ SIGUSR1, on_reopen },
	{ SIGUSR2, on_upgrade },
	{ SIGCHLD, on_child },
};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

static void
on_refill(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;
	struct timeval retry = { .tv_sec = REFILL_RETRY_S };

	(void)fd;
	(void)what;
	if (master->phase == PHASE_RUNNING && children_start(master, master->current) == -1)
		evtimer_add(master->refill, &retry);
}

static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	watchdog_feed(arg);
}

/* Keys of tickets that are over are forgotten here too: workers to come inherit what this process
 * knows. */
static void
on_tickets(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;
	struct timeval next = { .tv_sec = tls_tickets_turn(master->current->config) };

	(void)fd;
	(void)what;
	evtimer_add(master->tickets, &next);
}

void
master_follow_tickets(struct master *master)
{
	on_tickets(-1, 0, master);
}

/* Workers inherit it; each connection through weir takes two descriptors. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;
	rlim_t wanted;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	wanted = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
	if (limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
		log_warn(
		    "cannot raise the limit of open files to %llu", (unsigned long long)wanted);
}

static void *
require(void *made)
{
	if (made != NULL)
		return made;
	log_error("cannot make an event loop");
	exit(EXIT_FAILURE);
}

static struct event_base *
new_base(void)
{
	struct event_config *config = require(event_config_new());
	struct event_base *base;

	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	base = require(event_base_new_with_config(config));
	event_config_free(config);
	return base;
}

static void
watch(struct master *master, struct event *events[static SIGNALS])
{
	uint64_t interval = systemd_watchdog_us();
	struct timeval every = { .tv_sec = (time_t)(interval / 1000000),
		.tv_usec = (suseconds_t)(interval % 1000000) };

	for (size_t i = 0; i < SIGNALS; i++) {
		events[i] = require(
		    evsignal_new(master->base, signals[i].number, signals[i].callback, master));
		evsignal_add(events[i], NULL);
	}
	signal(SIGPIPE, SIG_IGN);
	master->change.timer = require(evtimer_new(master->base, reload_on_timer, master));
	master->certs.timer = require(evtimer_new(master->base, certs_on_timer, master));
	master->tickets = require(evtimer_new(master->base, on_tickets, master));
	master->quit_timer = require(evtimer_new(master->base, stop_on_timer, master));
	master->refill = require(evtimer_new(master->base, on_refill, master));
	master->saving = require(evtimer_new(master->base, state_on_timer, master));
	master->saving_servers =
	    require(evtimer_new(master->base, state_on_servers_timer, master));
	state_on_timer(-1, 0, master); /* not running yet: for later */
	if (interval == 0)
		return;
	master->watchdog = require(event_new(master->base, -1, EV_PERSIST, on_watchdog, master));
	event_add(master->watchdog, &every);
}

static void
master_free(struct master *master, struct event *events[static SIGNALS])
{
	log_set_fd(STDERR_FILENO);
	log_set_syslog(NULL);
	sockets_free(master->sockets);
	if (master->upgrade.handed_over || master->upgrade.is_taking) {
		if (master->pid_fd != -1)
			close(master->pid_fd); /* the file is another master's */
	} else {
		state_finish(master);
		pidfile_close(master->pid_fd, master->pid_path);
	}
	free(master->pid_path);
	upgrade_free(master);
	servers_free(master);
	generation_leave(&master->generations, master->current);
	for (size_t i = 0; i < SIGNALS; i++)
		event_free(events[i]);
	event_free(master->change.timer);
	event_free(master->certs.timer);
	free(master->certs.report);
	event_free(master->tickets);
	event_free(master->quit_timer);
	event_free(master->refill);
	event_free(master->saving);
	event_free(master->saving_servers);
	if (master->watchdog != NULL)
		event_free(master->watchdog);
	event_base_free(master->base);
}

int
master_run(const char *file, char **argv)
{
	static struct master
	    master; /* children find the configuration by it: not on the stack that they leave */
	struct event *events[SIGNALS];

	master = (struct master){ .file = file, .pid_fd = -1, .phase = PHASE_STARTING };
	TAILQ_INIT(&master.generations);
	TAILQ_INIT(&master.children);
	log_set_process("master");
	systemd_init();
	raise_descriptor_limit();
	upgrade_init(&master, argv);
	master.base = new_base();
	master.sockets = sockets_new();
	watch(&master, events);
	if (upgrade_take(&master) == 0 && activation_take(master.sockets) == 0) {
		reload_begin(&master);
	} else {
		master.phase = PHASE_STOPPING;
		master.exit_status = EXIT_FAILURE;
	}
	while (!stop_is_done(&master))
		if (event_base_loop(master.base, EVLOOP_ONCE) == -1) {
			log_error("event loop");
			master.exit_status = EXIT_FAILURE;
			break;
		}
	if (master.phase == PHASE_QUITTING || master.exit_status == EXIT_SUCCESS)
		log_info("stopped");
	master_free(&master, events);
	return master.exit_status;
}
