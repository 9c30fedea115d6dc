/*
 * sockets: what the daemon listens on.
 *
 * Runs in: master; children inherit descriptors.  Each address has a *group* of SO_REUSEPORT sockets among which the
 * kernel spreads new connections.  A connection waits in the queue of one socket and is lost when that socket closes,
 * so a socket lives as long as its address is configured, and a group never shrinks: with fewer workers some accept
 * from several sockets.
 *
 * A change of configuration goes through three calls, so that it can fail with nothing changed:
 * sockets_prepare(), then either sockets_commit() or sockets_rollback().
 */
#ifndef WEIR_SOCKETS_PRIV_H
#define WEIR_SOCKETS_PRIV_H

#include <stdbool.h>
#include <stdio.h>

#include "weir/conf.h"

struct group;
struct sockets;

struct sockets *sockets_new(void);
/* Closes everything. */
void sockets_free(struct sockets *sockets);

/*
 * Open what `config` needs and is not there: groups for new addresses (listening at once, so that every fault shows),
 * further sockets of known groups (bound, but not in the group yet: nobody would accept from them if the change failed),
 * the stats socket and the control socket.
 * Returns 0, or -1 with an error for each address that failed in `diag`; then sockets_rollback() is due.
 */
int sockets_prepare(struct sockets *sockets, const struct config *config, unsigned workers, struct diag *diag);
/* Does somebody else listen where `config` wants to and this process does not yet? */
bool sockets_are_taken(const struct sockets *sockets, const struct config *config);
/*
 * The new configuration is in force.  Further sockets join their groups.  Groups that are no longer wanted take no new
 * connections (the kernel drops their SYNs; clients try again) but workers still accept those under way:
 * see sockets_retired_pending().
 */
void sockets_commit(struct sockets *sockets);
void sockets_rollback(struct sockets *sockets);

/* As at a commit that wants no address at all: for a graceful stop. */
void sockets_retire_all(struct sockets *sockets);
/* Are there groups whose sockets were retired and are still open? */
bool sockets_have_retired(const struct sockets *sockets);
/* Do connections wait for a worker in a retired group? */
bool sockets_retired_pending(const struct sockets *sockets);
/* The workers that accepted from retired groups were told to stop accepting. */
void sockets_close_retired(struct sockets *sockets);

/*
 * Calls `each` for every socket that worker `index` of `workers` accepts from, with the listener in its configuration.
 * is_next  that configuration is prepared and not committed yet (in the next two functions too)
 */
void sockets_each(const struct sockets *sockets, unsigned index, unsigned workers, bool is_next,
    void (*each)(void *arg, unsigned listener_index, int fd), void *arg);
/* -1: none. */
int sockets_stats_fd(const struct sockets *sockets, bool is_next);
int sockets_control_fd(const struct sockets *sockets, bool is_next);

/* Leaving all to a new binary (handover.c), and taking it. */

/* Lines "stats FD ADDRESS", "control FD PATH", "group tcp|udp V6ONLY FOREIGN ADDRESS FD...". */
void sockets_print(const struct sockets *sockets, FILE *out);
/* Those that sockets_print() names. */
void sockets_each_fd(const struct sockets *sockets, void (*each)(void *arg, int fd), void *arg);
/* Returns 0 with the descriptor taken, or -1: the text makes no sense. */
int sockets_take_stats(struct sockets *sockets, int fd, const char *address);
int sockets_take_control(struct sockets *sockets, int fd, const char *path);
/* foreign: so many of its sockets the service manager has too.  NULL: the text makes no sense. */
struct group *sockets_take_group(struct sockets *sockets, const char *address, bool is_udp, bool v6only,
    unsigned foreign);
void sockets_take_fd(struct group *group, int fd);
/* One that the service manager opened: this master's alone. */
void sockets_take_listening(struct sockets *sockets, const struct addr *addr, bool is_udp, bool v6only, int fd);
/*
 * Another master has the same sockets: closing them takes nothing from it, the control socket's file stays.  So it is
 * after the first sockets_take_*(), and after sockets_share().
 */
void sockets_share(struct sockets *sockets);
/* This master is the only one that counts. */
void sockets_own(struct sockets *sockets);
/* Close all, once they are shared. */
void sockets_leave(struct sockets *sockets);

#endif
