/*
 * accesslog: one line for each request and each TCP session.
 *
 * Runs in: worker.  Lines are collected and written in batches of whole lines; O_APPEND keeps the lines of several
 * workers apart.  When the file cannot be written, lines are lost and counted, traffic goes on.
 */
#ifndef WEIR_ACCESSLOG_H
#define WEIR_ACCESSLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/addr.h"
#include "weir/conf.h"
#include "weir/ends.h"
#include "weir/message.h"

struct accesslog;
struct event_base;

struct accesslog_entry {
	uint64_t id;                        /* request ID */
	struct slice client_id;             /* the one that the client brought instead; len 0: none */
	const struct listener_config *listener;
	const struct addr *client;
	const struct message *request;      /* NULL: TCP, or no request could be read */
	bool is_h2;                         /* it came over HTTP/2 */
	const struct pool_config *pool;     /* NULL: none chosen */
	const struct server_config *server; /* NULL: none chosen */
	unsigned status;                    /* sent to the client; 0: none */
	uint64_t bytes_in, bytes_out;
	unsigned retries;
	uint64_t connect_us, first_byte_us, total_us; /* durations; 0: not reached */
	enum end end;
};

/* fd stays the caller's.  global: borrowed; how lines look and which are written.  Never NULL. */
struct accesslog *accesslog_new(int fd, const struct global_config *global);
void accesslog_set_fd(struct accesslog *log, int fd);
void accesslog_write(struct accesslog *log, const struct accesslog_entry *entry);
/* Write the batch out if it is `max_age_ms` old. */
void accesslog_flush(struct accesslog *log, uint32_t max_age_ms);
/* Flushes.  NULL is allowed. */
void accesslog_free(struct accesslog *log);

#endif
