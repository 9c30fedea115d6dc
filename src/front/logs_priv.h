/*
 * logs: where a worker's lines go.
 *
 * Runs in: worker; called by front.c alone.
 */
#ifndef WEIR_LOGS_PRIV_H
#define WEIR_LOGS_PRIV_H

#include <stdbool.h>
#include <stddef.h>

struct access_log_config;
struct accesslog;
struct worker;

/* fds: of config->log_outputs; stay the caller's.  Pair: logs_close(). */
void logs_open(struct worker *worker, const int *fds);
/* Flushes. */
void logs_close(struct worker *worker);
/* The log of a listener, the caller's; NULL: off. */
struct accesslog *logs_of(struct worker *worker, const struct access_log_config *conf);
void logs_set_fd(struct worker *worker, size_t output, int fd);
/* Returns whether some lines wait for a slow reader. */
bool logs_flush(struct worker *worker);

#endif
