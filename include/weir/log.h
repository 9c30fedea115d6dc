/*
 * log: the error log: what the operator should know.
 *
 * Runs in: master, workers, control.  One line per event: "2026-01-31T12:00:00Z warn worker[123]: object: text".
 * log_warn() and log_error() append strerror(errno), the ...x forms do not; all keep errno.  Lines go to stderr or to a
 * descriptor in one write() each, so that processes that share it do not tear each other's lines, or to syslog.
 * Control characters in the text are escaped.  Whatever goes on, one kind of line (one format) is written a hundred times
 * in ten seconds at most; how many were held back stands with the next one.  A reader that does not read loses lines,
 * nothing waits for it.
 */
#ifndef WEIR_LOG_H
#define WEIR_LOG_H

#include <stdbool.h>
#include <stdint.h>

struct syslog_target;

enum log_level { LOG_LEVEL_ERROR = 0, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* The process name that stands in each line; borrowed. */
void log_set_process(const char *name);
void log_set_level(enum log_level level);
/* Where lines go (2 until told otherwise); the descriptor stays the caller's. */
void log_set_fd(int fd);
/* `fd` (of the next log_set_fd()) is a socket of syslog_open(): borrowed, NULL: it is a file. */
void log_set_syslog(const struct syslog_target *target);
bool log_enabled(enum log_level level);

#define LOG_PRINTF(n) __attribute__((format(printf, n, n + 1)))
void log_error(const char *format, ...) LOG_PRINTF(1);
void log_errorx(const char *format, ...) LOG_PRINTF(1);
void log_warn(const char *format, ...) LOG_PRINTF(1);
void log_warnx(const char *format, ...) LOG_PRINTF(1);
void log_info(const char *format, ...) LOG_PRINTF(1);
void log_debug(const char *format, ...) LOG_PRINTF(1);

/*
 * Whether a line that peers can cause may be written now: at most `burst` in `window_ms`.
 * The struct belongs to the call site (static); the count of lines held back is added to the next one by the caller.
 */
struct log_limit {
	uint64_t window_start_ms;
	unsigned written, held_back;
};
bool log_allowed(struct log_limit *limit, unsigned burst, unsigned window_ms);

#endif
