/*
 * child: what workers and the control process have in common: what they are given and the way they hear the master.
 *
 * Runs in: worker, control.  The master fills the job before it forks.
 */
#ifndef WEIR_CHILD_PRIV_H
#define WEIR_CHILD_PRIV_H

#include <stddef.h>

#include "channel_priv.h"
#include "weir/conf.h"
#include "weir/shm.h"

struct event;
struct event_base;

struct child_socket {
	unsigned listener; /* index in config->listeners */
	int fd;
};

struct child_job {
	struct config *config; /* of the generation; its certificates and its pools' servers may change */
	struct shm *shm;
	int channel;
	int error_fd;
	/* Workers. */
	int *log_fds; /* of config->log_outputs */
	int slot;
	struct child_socket *sockets;
	size_t socket_count;
	/* Control. */
	int stats_fd, control_fd; /* -1: none */
};

typedef void child_message_fn(void *arg, struct message *message);

/* An event base for one thread that keeps to the configured log.  Never returns NULL. */
struct event_base *child_start(const struct child_job *job);
/*
 * Call `on_message` for what the master sends and answer MESSAGE_ERROR_LOG here.  The end of the channel is the end of
 * the process: the master has died.
 */
struct event *child_hear(struct event_base *base, struct child_job *job, child_message_fn *on_message, void *arg);
/*
 * MESSAGE_CERTS: load what the master has read, which `fd` (closed here) holds, and answer.  When that fails the old
 * certificates stay, and the log says why.
 */
void child_take_certs(const struct child_job *job, int fd, uint64_t number);
/* Tell the master; a channel that takes no more ends the process. */
void child_tell(const struct child_job *job, enum message_type type, const void *payload, size_t len);

int worker_run(void *job);  /* struct child_job; returns the exit status */
int control_run(void *job); /* likewise */

#endif
