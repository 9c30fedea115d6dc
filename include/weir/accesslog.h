/*
 * accesslog: one line for each request and each TCP session, as its listener's log says.
 *
 * Runs in: worker.  Lines go to a log_writer, which several listeners may share.
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
struct log_writer;

struct accesslog_entry {
	uint64_t id;                        /* request ID */
	struct slice client_id;             /* the one that the client brought instead; len 0: none */
	const struct listener_config *listener;
	const struct addr *client;
	const struct message *request;      /* NULL: TCP, or no request could be read */
	bool is_h2;                         /* it came over HTTP/2 */
	const char *tls_version, *tls_cipher; /* towards the client; NULL: it spoke no TLS */
	const char *trace_id;               /* NULL: none */
	const char *route;                  /* as statistics call it; NULL: none, or it is not counted */
	const struct pool_config *pool;     /* NULL: none chosen */
	const struct server_config *server; /* NULL: none chosen */
	unsigned status;                    /* sent to the client; 0: none */
	uint64_t bytes_in, bytes_out;
	unsigned retries;
	uint64_t connect_us, first_byte_us, total_us; /* durations; 0: not reached */
	enum end end;
};

/* Both are borrowed.  Never NULL. */
struct accesslog *accesslog_new(struct log_writer *writer, const struct access_log_config *conf);
void accesslog_write(struct accesslog *log, const struct accesslog_entry *entry);
/* NULL is allowed. */
void accesslog_free(struct accesslog *log);

#endif
