/*
 * log_writer: whole lines, in batches, to a file, a pipe or syslog.
 *
 * Runs in: worker, which has one for each place.  A file gets a batch in one write (O_APPEND keeps several workers
 * apart); a pipe or a socket gets pieces of whole lines that the kernel takes at once, so that they are not torn; syslog
 * gets one datagram a line.  Nothing waits for a reader: what a pipe or syslog does not take now is tried again, and once
 * the batch is full, or where a disk is, lines are lost and counted.
 */
#ifndef WEIR_LOG_WRITER_H
#define WEIR_LOG_WRITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/slice.h"

struct log_writer;
struct syslog_target;

enum { LOG_LINE_MAX = 56 * 1024 }; /* bytes; what is added to a longer line is left out */

/*
 * fd      stays the caller's
 * name    "stdout", "syslog" or a path, for people; borrowed
 * syslog  where it is a socket of syslog_open(): borrowed; else NULL
 * lost    borrowed; counts lines
 * torn    borrowed, shared by all processes that write: a bit for each file (by its inode) that ends within a line
 */
struct log_writer *log_writer_new(int fd, const char *name, const struct syslog_target *syslog, _Atomic uint64_t *lost,
    _Atomic uint64_t *torn);
/* Lines so far go to the old descriptor. */
void log_writer_set_fd(struct log_writer *writer, int fd);
/* Write the batch out.  Returns whether some of it waits for a slow reader: try again soon. */
bool log_writer_flush(struct log_writer *writer);
/* Flushes, waiting a little for readers.  NULL is allowed. */
void log_writer_free(struct log_writer *writer);

/* A line: begin, add pieces, end.  id: what syslog calls its kind. */
void log_line_begin(struct log_writer *writer, const char *id);
void log_line_add(struct log_writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/*
 * Text from outside, of at most `max` bytes: quotes, backslashes, control and non-ASCII bytes are escaped so that neither
 * JSON nor a terminal minds.
 * escape  how: LOG_ESCAPE_JSON \u00XX, LOG_ESCAPE_HEX \xXX
 */
enum log_escape { LOG_ESCAPE_JSON = 0, LOG_ESCAPE_HEX };
void log_line_text(struct log_writer *writer, struct slice text, size_t max, enum log_escape escape);
void log_line_end(struct log_writer *writer);

#endif
