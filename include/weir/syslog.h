/*
 * syslog: lines to a syslog daemon, as RFC 5424 says, one datagram each.
 *
 * Runs in: master, workers, control.  The socket is not connected, so that lines arrive again as soon as a daemon that
 * was away is back; nothing waits for it.
 */
#ifndef WEIR_SYSLOG_H
#define WEIR_SYSLOG_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "weir/addr.h"

struct syslog_target {
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
	unsigned facility; /* RFC 5424 section 6.2.1: 0 to 23 */
	char host[256];    /* this machine, as lines name it */
};

enum { SYSLOG_HEAD_SIZE = 400 };

/*
 * server  path of a local socket, or an address with its port (UDP).
 * Returns 0; -1: it is neither.
 */
int syslog_target_init(struct syslog_target *target, const char *server, unsigned facility);
/* Returns a non-blocking socket for it that the caller owns; -1 with errno set. */
int syslog_open(const struct syslog_target *target);
/*
 * Write the head of a line, its last space included, to `text`; the message follows.
 * severity  RFC 5424 section 6.2.1: 0 to 7
 * Returns its length.
 */
size_t syslog_head(const struct syslog_target *target, unsigned severity, const char *id, char text[static SYSLOG_HEAD_SIZE]);

#endif
