/*
 * limits: does the machine allow what the configuration wants?
 *
 * Runs in: master, once at the start.  Finds, warns, and changes nothing.
 */
#ifndef WEIR_LIMITS_H
#define WEIR_LIMITS_H

#include <stdint.h>

#include "weir/conf.h"

/* What the kernel says; 0: not known, and not judged. */
struct limits_found {
	uint64_t descriptors;   /* that a process may open */
	uint64_t somaxconn;     /* connections that wait to be accepted, per socket */
	uint64_t ports;         /* local ports for connections to one address */
	uint64_t memory;        /* bytes that are available, and allowed by control groups */
};

void limits_find(struct limits_found *found);
/* Call `warn` with a sentence for each limit that is too low, with the command that mends it. */
void limits_judge(const struct limits_found *found, const struct config *config, unsigned workers,
    void (*warn)(void *arg, const char *text), void *arg);

#endif
