/*
 * channel: messages between the master and one of its children.
 *
 * Runs in: master, workers, control.  A pair of non-blocking SOCK_SEQPACKET sockets, so that a message comes whole or
 * not at all; its end tells each side that the other has died.
 *
 *	0        4        8
 *	| type   | length | payload: `length` bytes ...
 *
 * The master trusts nothing that a child sends: types, sizes and order are checked, descriptors are not taken.
 */
#ifndef WEIR_CHANNEL_PRIV_H
#define WEIR_CHANNEL_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHANNEL_PAYLOAD_MAX = 60 * 1024 };

enum message_type {
	MESSAGE_NONE = 0,
	/* To the master. */
	MESSAGE_READY,  /* made; waits for MESSAGE_START */
	MESSAGE_RELOAD, /* from control: uint64_t, comes back with the result */
	MESSAGE_CERTS_RELOAD, /* likewise, for certificates alone */
	MESSAGE_CERTS_TAKEN,  /* struct certs_taken */
	MESSAGE_APPLY,  /* from control: struct apply_request, then the change as text */
	MESSAGE_SERVERS_DONE, /* struct servers_done */
	MESSAGE_STATE, /* from control: an operator has changed a server, which is to be kept */
	/* From the master. */
	MESSAGE_START,         /* accept clients, start checking */
	MESSAGE_DRAIN,         /* finish what is there, then leave */
	MESSAGE_DRAINING,      /* from a worker: it accepts no more */
	MESSAGE_CLOSE_IDLE,    /* no worker follows: clients that ask nothing need not be waited for */
	MESSAGE_STOP,          /* leave at once */
	MESSAGE_PING,          /* to workers: count up slot_info.pongs */
	MESSAGE_LOG,           /* uint32_t, which of config->log_outputs; with the new descriptor */
	MESSAGE_ERROR_LOG,     /* with the new descriptor */
	MESSAGE_CERTS,         /* uint64_t: which ones; with a descriptor of what tls_files_pack() made */
	MESSAGE_SERVERS,       /* struct servers_header; the file holds the rest */
	MESSAGE_RELOAD_RESULT, /* of each: struct reload_result, then its text */
	MESSAGE_TYPES
};

struct reload_result {
	uint64_t request;
	uint64_t ok;
};

struct certs_taken {
	uint64_t number; /* as in MESSAGE_CERTS */
	uint64_t ok;     /* else the old ones are served on, and the log says why */
};

struct apply_request { /* somebody at the control socket wants other servers */
	uint64_t request;
	int64_t uid, pid; /* who; -1: unknown */
};

/* Other servers for pools: see servers_message.c. */
struct servers_header {
	uint64_t size; /* of the file */
	uint32_t revision;
	uint32_t pool_count;
};

struct servers_done {
	uint32_t applied; /* revision of the last change that is in force in this process */
	uint32_t settled; /* of all up to this one nothing is left of what they took out */
};

struct message {
	enum message_type type;
	int fd;     /* passed with it, now the receiver's; -1: none */
	size_t len; /* of the payload, without the NUL that always follows it */
	char payload[CHANNEL_PAYLOAD_MAX + 1];
};

enum channel_got { CHANNEL_MESSAGE = 0, CHANNEL_WAIT, CHANNEL_CLOSED, CHANNEL_BAD };

/* Returns 0, or -1 with errno set.  Both ends are close-on-exec. */
int channel_open(int ends[2]);
/*
 * Never blocks.
 * pass_fd  descriptor to pass, stays the caller's; -1: none
 * Returns 0, or -1 with errno set (EAGAIN: the other side does not read).
 */
int channel_send(int fd, enum message_type type, const void *payload, size_t len, int pass_fd);
/* accept_fd: whether a passed descriptor is taken; else the kernel drops it. */
enum channel_got channel_receive(int fd, struct message *message, bool accept_fd);

#endif
