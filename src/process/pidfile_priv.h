/*
 * pidfile: who is the master of a configuration.
 *
 * Runs in: master, and `weir -s`.  The master holds a lock on the file, so a number left by one that crashed is not
 * taken for a living process.
 */
#ifndef WEIR_PIDFILE_PRIV_H
#define WEIR_PIDFILE_PRIV_H

#include <sys/types.h>

#include "weir/diag.h"

/*
 * Take the pid file and write this process's number into it.
 * Returns a descriptor to keep open, -1 with an error at `where` added to `diag`.
 */
int pidfile_open(const char *path, struct where where, struct diag *diag);
/* Write this process's number into a pid file that was taken over.  Returns 0, or -1 with errno set. */
int pidfile_write(int fd);
/* Removes the file.  fd -1 is allowed. */
void pidfile_close(int fd, const char *path);
/* The number of the living master that holds the file; 0: none lives; -1: cannot be read, errno is set. */
pid_t pidfile_owner(const char *path);

#endif
