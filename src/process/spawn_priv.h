/*
 * spawn: start a child of the master and take from it what it does not need.
 *
 * Runs in: master, and in the child until its own function runs.
 */
#ifndef WEIR_SPAWN_PRIV_H
#define WEIR_SPAWN_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "weir/diag.h"

/* Who children are. */
struct identity {
	bool change; /* the master is root: become the user below; else all stay who they are */
	const char *name; /* borrowed from the configuration */
	uid_t uid;
	gid_t gid;
};

struct spawn_fds { /* descriptors that the child keeps, besides 0, 1 and 2 */
	int *list; /* owned */
	size_t count, size;
};

void spawn_fds_add(struct spawn_fds *fds, int fd);
void spawn_fds_free(struct spawn_fds *fds);

/* Look up the user that children become.  Returns 0, or -1 with an error in `diag`. */
int identity_find(struct identity *identity, const char *user, struct where where, struct diag *diag);

/*
 * Fork.  In the child: signals as a child wants them, all descriptors closed but `keep`, privileges dropped, death with
 * the parent arranged; then run(arg), whose result is the exit status.
 * process  its name in the log, a literal
 * Returns the child's process id in the master; -1 with errno set.
 */
pid_t spawn(const char *process, const struct identity *identity, struct spawn_fds *keep,
    int (*run)(void *arg), void *arg);

/*
 * In a child of fork(): signals as children have them, and no descriptor but `log_fd`, so that neither a socket nor the
 * lock of the pid file outlives the master by it.
 */
void spawn_alone(int log_fd);

#endif
