/*
 * generation: one loaded configuration with all that belongs to it.
 *
 * Runs in: master; children inherit it by fork.  It lives until the last child that was started with it has gone.
 */
#ifndef WEIR_GENERATION_PRIV_H
#define WEIR_GENERATION_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "spawn_priv.h"
#include "weir/conf.h"
#include "weir/diag.h"
#include "weir/shm.h"

enum { SECRET_SIZE = 32, WORKERS_MAX = (SHM_SLOTS - 1) / 2 }; /* the old and the new ones live side by side */

struct region { /* shared memory; a larger one replaces it when a configuration does not fit */
	struct shm *shm;         /* owned */
	unsigned sticky_entries; /* as configured */
	unsigned users;          /* generations */
};

struct generation {
	TAILQ_ENTRY(generation) entry;
	struct config *config; /* owned */
	struct region *region; /* shared, counted */
	struct identity identity;
	uint64_t files_seen; /* what the files held that the configuration names: certificates and the like */
	uint8_t secret[SECRET_SIZE]; /* names the cookies; the first generation's goes on in the next ones */
	unsigned workers;
	unsigned users; /* children, and the master while it is in force or being started */
	int *log_fds;   /* of config->log_outputs; owned, each unless it is 1 */
	int error_fd;   /* owned unless 2 */
};
TAILQ_HEAD(generation_list, generation);

/* A key that survives restarts: from `state_dir`, made there at the first start. */
void secret_load(uint8_t secret[static SECRET_SIZE], const char *state_dir);

/*
 * Read `file` and those that it names; nothing else changes.
 * Returns what generation_free_read() or generation_load_take() takes; NULL with errors in `diag`.
 */
struct generation *generation_read(const char *file, struct diag *diag);
void generation_free_read(struct generation *generation);
/*
 * Do all the rest that can be done without sockets and processes.
 * generation   from generation_read(); taken
 * generations  those alive; the new one is added
 * current      the region in force; used on unless the configuration does not fit; NULL: none yet
 * secret       of the generation in force; NULL: from the state directory
 * oldest       generations from this number on are known to processes that are not ours; UINT_MAX: none
 * Returns a generation with users 1; NULL with errors in `diag`.
 */
struct generation *generation_load_take(struct generation *generation, unsigned number, struct generation_list *generations,
    struct region *current, const uint8_t *secret, unsigned oldest, struct diag *diag);
/* A region with one user.  shm: taken. */
struct region *region_take(struct shm *shm, unsigned sticky_entries);
/* NULL is allowed. */
void region_leave(struct region *region);
/* Frees it when nobody is left. */
void generation_leave(struct generation_list *generations, struct generation *generation);
/* Where the error log goes if it goes to syslog; NULL: it does not. */
const struct syslog_target *generation_error_syslog(const struct config *config);
/* logs.c, for generation.c.  Errors go to `diag`.  Could they be opened?  Without making files. */
void logs_check(const struct config *config, struct diag *diag);
void generation_open_logs(struct generation *generation, struct diag *diag);
void generation_close_logs(struct generation *generation);
/* USR1: open the log files again; those that cannot be opened stay as they are. */
void generation_reopen_logs(struct generation *generation);

/*
 * What `weir -t` does: everything that a start would check but sockets, changing nothing.  Returns the tree, for
 * tls_unload() and conf_free(), or NULL; there can be errors in `diag` in both cases.
 */
struct config *generation_check(const char *file, struct diag *diag);

#endif
