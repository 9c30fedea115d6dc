/*
 * master: the process that starts and watches the others.
 *
 * Runs in: master.  Private to master.c (start, signals), children.c (processes), reload.c (from one configuration
 * to the next), servers.c (other servers) and stop.c (the end).  It reads files and its children's channels, never a byte from the network.
 */
#ifndef WEIR_MASTER_PRIV_H
#define WEIR_MASTER_PRIV_H

#include <event2/util.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "channel_priv.h"
#include "generation_priv.h"
#include "servers_priv.h"
#include "sockets_priv.h"
#include "upgrade_priv.h"
#include "weir/diag.h"

struct event;
struct event_base;
struct master;

enum child_kind { CHILD_WORKER = 0, CHILD_CONTROL };

enum child_state {
	CHILD_STARTING = 0, /* forked */
	CHILD_READY,        /* made, waits for MESSAGE_START */
	CHILD_RUNNING,
	CHILD_DRAINING, /* finishes what it has */
	CHILD_STOPPING, /* told or forced to end at once */
};

struct child {
	TAILQ_ENTRY(child) entry; /* in the order of their start */
	struct master *master;
	enum child_kind kind;
	enum child_state state;
	unsigned index; /* workers: from 0 */
	int slot;       /* workers: in shared memory; else -1 */
	bool accepts_no_more; /* a worker that drains has said so */
	bool owes_certs;      /* it was sent certificates and has not answered yet */
	pid_t pid;
	int channel;                   /* owned; -1: it broke off */
	struct event *readable;        /* owned */
	struct event *deadline;        /* owned; then it is killed */
	struct generation *generation; /* shared, counted */
	uint32_t applied, settled;     /* changes of servers: see struct servers_done */
	uint32_t pings;                /* workers: how often it was asked whether it lives */
};
TAILQ_HEAD(child_list, child);

enum phase { PHASE_STARTING = 0, PHASE_RUNNING, PHASE_QUITTING, PHASE_STOPPING };

/* From one configuration to the next. */
enum change_step {
	CHANGE_NONE = 0,
	CHANGE_STARTING, /* new children are being made; they do not serve yet */
	CHANGE_SETTLING, /* the new children serve; old workers have not all stopped accepting yet */
	CHANGE_APPLYING, /* children get other servers; no new ones are started */
	CHANGE_HANDOVER, /* in force; old workers accept what was under way to addresses that are gone */
	CHANGE_CLOSING,  /* in force; old workers were told to close these addresses, which another change may want */
};

struct waiter { /* a control process that wants to know how a reload went */
	struct child *child;
	uint64_t request;
};
enum { WAITERS_MAX = 64 };

struct change {
	enum change_step step;
	struct generation *generation; /* counted; while STARTING */
	struct diag *diag;             /* owned; while STARTING and SETTLING */
	struct event *timer;           /* owned */
	uint64_t since_us;
	struct waiter waiters[WAITERS_MAX]; /* of this reload */
	size_t waiter_count;
	struct waiter next_waiters[WAITERS_MAX]; /* of the one after it */
	size_t next_waiter_count;
	bool again; /* a reload was asked for since this one began */
};

/* New certificates on their way to the processes of the configuration in force. */
struct certs {
	struct waiter waiters[WAITERS_MAX]; /* of those under way */
	size_t waiter_count;
	struct waiter next_waiters[WAITERS_MAX]; /* of the next ones */
	size_t next_waiter_count;
	uint64_t number;      /* of the last that were sent */
	struct event *timer;  /* owned; pending while answers are owed */
	char *report;         /* owned; what to tell the waiters */
	bool failed;          /* somebody could not take them */
};

enum { DEATHS_REMEMBERED = 5, HANDOVER_STEP_MS = 20 };

struct master {
	const char *file; /* the configuration */
	struct event_base *base;
	struct sockets *sockets;
	struct generation_list generations;
	struct generation *current; /* in force, counted; NULL while starting */
	struct child_list children;
	struct change change;
	struct certs certs;
	struct servers servers;
	enum phase phase;
	int exit_status;
	unsigned last_number;               /* of a generation */
	uint64_t deaths_us[DEATHS_REMEMBERED]; /* when children died unexpectedly, a ring */
	unsigned death_count;
	struct event *tickets; /* owned; the next key of session tickets */
	struct event *refill; /* owned; starts again those that died */
	struct event *watchdog; /* owned; NULL: nobody watches */
	struct event *quit_timer; /* owned */
	struct event *saving_servers; /* owned; keeps what an operator has changed, ... */
	struct event *saving; /* owned; keeps all of the state now and then, ... */
	pid_t saver;          /* ... by this process; 0, -1: none */
	char *pid_path; /* owned */
	int pid_fd;
	struct upgrade upgrade;
};

/* master.c */

/* Runs until the daemon ends.  Returns the exit status. */
int master_run(const char *file, char **argv);
/* What the service manager should show. */
void master_report(const struct master *master, const char *trouble);
/* By the schedule of the configuration in force. */
void master_follow_tickets(struct master *master);

/* children.c */

/*
 * Start the processes that `generation` should have and has not.
 * Returns 0, or -1 with the reason logged.
 */
int children_start(struct master *master, struct generation *generation);
/* Take the dead away. */
void children_reap(struct master *master);
/* Tell a child something; one that cannot be told is killed. */
void child_send(struct child *child, enum message_type type, const void *payload, size_t len, int pass_fd);
void child_begin(struct child *child);
void child_drain(struct child *child);
/* Is it a worker of a configuration before this one that was told to accept no more, and has not said that it does not? */
bool child_accepts_still(const struct child *child);
/* End the workers of which that is so. */
void children_end_stuck(struct master *master);
/* A draining worker need not wait for clients that ask nothing. */
void child_close_idle(struct child *child);
void child_stop(struct child *child);
void child_kill(struct child *child);
const char *child_name(const struct child *child, char text[static 64]);

/* reload.c */

/* Load the configuration and put it in force; at the start too. */
void reload_begin(struct master *master);
/* HUP, or MESSAGE_RELOAD from `child`; during a reload it is remembered for one more. */
void reload_ask(struct master *master, struct child *child, uint64_t request);
/* CHANGE_APPLYING is over: tell who asked `what` has changed. */
void reload_end_apply(struct master *master, const char *what);
/* Begin what was asked for while something else was under way. */
void reload_go_on(struct master *master);
void reload_on_ready(struct master *master);
/* An old worker accepts no more, or has gone. */
void reload_on_drained(struct master *master);
/* A child died that belongs to the change under way. */
void reload_on_death(struct master *master, const char *what);
/* Nobody waits on behalf of `child` any more. */
void reload_forget(struct master *master, const struct child *child);
/* The daemon stops: give up a change that is not in force yet. */
void reload_cancel(struct master *master);
/* Callback of change.timer. */
void reload_on_timer(evutil_socket_t fd, short what, void *arg);
/* Has every connection under way to a retired address been accepted, as far as can be told `since_us` its end? */
bool reload_handover_done(const struct master *master, uint64_t since_us);

/* A process that waits for an answer: told how it went, and what there is to say. */
void waiter_answer(const struct waiter *waiter, bool ok, const char *text);
/* Takes out those on behalf of `child`. */
void waiters_forget(struct waiter *waiters, size_t *count, const struct child *child);
/* diag_each() into the log. */
void log_finding(void *arg, enum diag_level level, const char *line);

/* certs.c */

/* MESSAGE_CERTS_RELOAD from `child`: read certificates again and pass them to the processes in force. */
void certs_ask(struct master *master, struct child *child, uint64_t request);
/* Begin what was asked for while a configuration changed. */
void certs_go_on(struct master *master);
void certs_on_taken(struct child *child, const struct certs_taken *taken);
/* It has gone, and answers no more. */
void certs_forget(struct master *master, struct child *child);
/* The daemon stops: answer those who wait. */
void certs_cancel(struct master *master);
/* Callback of certs.timer. */
void certs_on_timer(evutil_socket_t fd, short what, void *arg);

/* watchdog.c: tell the service manager that all is well, if the workers answer, and ask them again. */
void watchdog_feed(struct master *master);

/* stop.c */

/* TERM, INT: connections are cut. */
void stop_fast(struct master *master);
/* QUIT: no new connections, those that are here end within limits.drain. */
void stop_gracefully(struct master *master);
/* A new binary serves: end what is here, leave what both have. */
void stop_after_upgrade(struct master *master);
/* Callback of quit_timer. */
void stop_on_timer(evutil_socket_t fd, short what, void *arg);
/* Children were taken away. */
void stop_on_reap(struct master *master);
bool stop_is_done(const struct master *master);

#endif
