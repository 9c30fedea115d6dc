/*
 * servers: pools get other servers while the daemon runs, without new workers.
 *
 * Runs in: master, which decides (servers.c); workers and control, which are told (servers_message.c).  The master
 * gives new servers their entities in shared memory, puts all into its own tree, which processes that it starts from
 * then on inherit, and sends the lists to its children.  Each change has a number, its *revision*; children say which
 * one they have come to, and of which ones nothing is left that those took out.
 */
#ifndef WEIR_SERVERS_PRIV_H
#define WEIR_SERVERS_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel_priv.h"
#include "weir/conf.h"

struct child;
struct generation;
struct master;

/* Messages */

struct servers_set {
	uint32_t pool; /* index in config.pools */
	struct server_config *servers; /* owned */
	size_t count;
};

/* A file with the lists, in memory, which the caller closes; -1 with errno set. */
int servers_pack(const struct servers_set *sets, size_t count, struct servers_header *header);
/*
 * Read what servers_pack() wrote, and call `each` for each list, which takes it over.
 * Returns false when the file does not hold what the header says.
 */
bool servers_unpack(int fd, const struct servers_header *header, const struct config *config,
    void (*each)(void *arg, struct servers_set set), void *arg);

/* Master */

struct leaver { /* an entity that no configuration names any more, and that some child may still use */
	uint32_t id, revision;
};

struct servers {
	uint32_t revision;
	struct leaver *leavers; /* owned */
	size_t leaver_count, leaver_size;
	char *what; /* owned; the change under way, in words; NULL: none is */
};

void servers_free(struct master *master);
/*
 * Put the servers of `generation`, which was read, into the configuration in force, if nothing else differs.  Then
 * change.step is CHANGE_APPLYING.
 * Returns false when the change takes new workers.
 */
bool servers_reload(struct master *master, const struct generation *generation);
/* MESSAGE_APPLY: answered with MESSAGE_RELOAD_RESULT. */
void servers_ask(struct master *master, struct child *child, const struct message *message);
/* MESSAGE_SERVERS_DONE. */
void servers_on_done(struct child *child, const struct servers_done *done);
/* A child has come further, or has gone. */
void servers_go_on(struct master *master);
/* The change is over, whoever has not said so. */
void servers_settle(struct master *master);
/* A new generation is in force: the entities of the one before are its business. */
void servers_forget(struct master *master);

#endif
