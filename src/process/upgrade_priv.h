/*
 * upgrade: a new binary takes the daemon over while it runs (USR2).
 *
 * Runs in: master, the old one and the new one, side by side for a while.  The old one starts the new one with its
 * listening sockets, shared memory and pid file; the new one says when its workers serve; then the old one's workers
 * finish what they have.  Until it has said so, nothing that the old one needs has changed, and its death is a line in
 * the log.
 */
#ifndef WEIR_UPGRADE_PRIV_H
#define WEIR_UPGRADE_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "generation_priv.h"

struct event;
struct master;

struct upgrade {
	char **argv; /* borrowed: how this process was started */
	bool wanted; /* asked for while something else was under way */
	/* The old one's side. */
	pid_t pid;              /* of the new master; 0: none */
	int fd;                 /* owned; the new one writes a byte there when it serves; -1: none */
	struct event *readable; /* owned */
	struct event *deadline; /* owned */
	bool handed_over;       /* the new one serves: this one only finishes what it has */
	/* The new one's side. */
	bool is_taking;             /* until its workers serve, all that was taken is the old one's too */
	int old_fd;                 /* owned; ends with the old master; -1: none lives */
	struct event *old_ended;    /* owned */
	unsigned old_generation;    /* the oldest that workers of the old master know */
	struct region *region;      /* counted; NULL: none was taken */
	uint8_t secret[SECRET_SIZE];
};

/* Once, before anything is opened.  argv: stays the caller's, and lasts. */
void upgrade_init(struct master *master, char **argv);
/*
 * Take over what an old master has left in the environment, if there is one; the event base and the sockets are made.
 * Returns 0, or -1 with the reason logged: then this process cannot start.
 */
int upgrade_take(struct master *master);
/* The workers of this process serve: tell the old master, if there is one.  Context: reload_commit(). */
void upgrade_tell(struct master *master);
/* The oldest generation that anybody besides this master's own children knows; UINT_MAX: nobody does. */
unsigned upgrade_oldest(const struct master *master);

/* USR2; what is under way is awaited. */
void upgrade_ask(struct master *master);
/* A change of configuration is over: begin what was asked for meanwhile. */
void upgrade_go_on(struct master *master);
/* The daemon ends: so does a new binary that does not serve yet; one that does gets `signal` in its turn. */
void upgrade_cancel(struct master *master, int signal);
/* Is a new binary being started? */
bool upgrade_is_under_way(const struct master *master);
/* Children died: the new master may be among them. */
void upgrade_on_reap(struct master *master);
void upgrade_free(struct master *master);

#endif
