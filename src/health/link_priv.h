/*
 * link: a socket on which a server is checked, or will be again.
 *
 * Runs in: control.  All links stand in one epoll set, which is looked into some hundred times a second at most: a check
 * costs few system calls, and many checks share one wake-up.  Knows nothing of what is asked (probe.c).
 */
#ifndef WEIR_LINK_PRIV_H
#define WEIR_LINK_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "weir/addr.h"

struct link;
struct links;
struct probe;
struct probe_h2;
struct ssl_st; /* SSL */
LIST_HEAD(link_list, link);

struct link {
	LIST_ENTRY(link) entry; /* of links->spare[] */
	struct links *links;
	int fd;           /* owned */
	bool is_stream;
	bool is_resettable; /* nobody minds a reset in place of an orderly end */
	bool is_connected;
	sa_family_t family;
	uint64_t opened_ms;
	struct ssl_st *ssl;   /* owned; NULL: in the clear */
	struct probe_h2 *h2;  /* owned; NULL: no HTTP/2, or nothing was asked yet */
	struct probe *probe;  /* borrowed; the one under way; NULL: none */
	struct link **keeper; /* whoever keeps it for the next check; NULL: nobody */
};

/* One of these in a process is enough. */
struct links {
	int epoll;                  /* owned; readable when a link is ready */
	struct link_list spare[2];  /* connected to nobody: IPv4, IPv6 */
	size_t spare_count[2], spare_max; /* each */
	size_t kept, kept_max;      /* that somebody keeps */
	LIST_HEAD(ended_list, probe) ended; /* verdicts that probes_run() delivers */
};

/* Returns -1 with errno set. */
int links_init(struct links *links, size_t kept_max, size_t spare_max);
/* After all links were closed. */
void links_fini(struct links *links);

/*
 * A socket that is connected to the server, or about to be: the probe hears of it.
 * Returns  NULL with errno set.
 */
struct link *link_open(struct links *links, struct probe *probe, const struct addr *address, bool is_stream);
/* NULL is allowed. */
void link_close(struct link *link);
/*
 * Keep a link whose probe is over for the next one at *keeper, which forgets it (NULL) when it ends by itself.  Closes
 * it if too many are kept.
 */
void link_keep(struct link *link, struct link **keeper);
/* Take it back for `probe`.  Returns NULL if there is none that is younger than `age_ms`. */
struct link *link_take_kept(struct link **keeper, struct probe *probe, uint32_t age_ms);

#endif
