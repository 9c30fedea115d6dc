/*
 * What the files of sockets share: sockets.c (open, change, close), sockets_handover.c.
 */
#ifndef WEIR_SOCKETS_GROUPS_PRIV_H
#define WEIR_SOCKETS_GROUPS_PRIV_H

#include <stdbool.h>
#include <sys/queue.h>

#include "weir/addr.h"

enum { NOBODY = -1 };

struct group {
	TAILQ_ENTRY(group) entry;
	struct addr addr;
	bool is_udp;
	bool v6only;
	int listener; /* whose clients come here: index in the configuration in force, or NOBODY */
	int next_listener; /* likewise in the one that was prepared */
	bool is_new;       /* made by the sockets_prepare() that is not committed yet */
	bool retired;      /* takes no new connections; open until those under way are accepted */
	int *fds;          /* owned */
	unsigned count, listening; /* 0 <= listening <= count; the rest is bound only */
	unsigned foreign;          /* the first ones: the service manager has them too */
};
TAILQ_HEAD(group_list, group);

/* The stats socket and the control socket: one each, replaced when the configuration moves them. */
struct stats_socket {
	struct addr addr;
	int fd; /* -1: none */
};

struct control_socket {
	char *path; /* owned */
	int fd;     /* -1: none */
};

struct sockets {
	struct group_list groups;
	struct stats_socket stats, next_stats;
	struct control_socket control, next_control;
	bool is_prepared; /* the next_* are those to use */
	bool is_shared;   /* with another master */
};

/* Adds an empty one, new until the next sockets_commit(). */
struct group *sockets_new_group(struct sockets *sockets, const struct addr *addr, bool is_udp, bool v6only);
/* The one of this address that takes new connections, if need be one for both families; NULL: none. */
struct group *sockets_find_group(const struct sockets *sockets, const struct addr *addr, bool is_udp, bool v6only);

#endif
