#include "weir/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "weir/clock.h"
#include "weir/syslog.h"

enum {
	LINE_SIZE = 4096,
	KINDS = 64, /* of lines that are counted, a power of two; two that share a place share the
		       limit */
	KIND_BURST = 100,  /* lines of one kind ... */
	KIND_WINDOW_S = 10 /* ... in this time */
};

/* How often a kind of line came; CLOCK_MONOTONIC, as now_ms stands still in a long turn of the
 * loop. */
struct kind_count {
	const char *format;
	time_t window_start;
	unsigned written, held_back;
};

static const char *process_name = "weir";
static enum log_level max_level = LOG_LEVEL_INFO;
static int log_fd = STDERR_FILENO;
static const struct syslog_target *log_syslog;
static struct kind_count kind_counts[KINDS];

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

void
log_set_process(const char *name)
{
	process_name = name;
}

void
log_set_level(enum log_level level)
{
	max_level = level;
}

void
log_set_fd(int fd)
{
	log_fd = fd;
}

void
log_set_syslog(const struct syslog_target *target)
{
	log_syslog = target;
}

bool
log_enabled(enum log_level level)
{
	return level <= max_level;
}

/* May a line of this kind be written?  `held_back`: how many were not since the last one. */
static bool
kind_allowed(const char *format, unsigned *held_back)
{
	struct kind_count *kind = &kind_counts[((uintptr_t)format >> 3) % KINDS];
	struct timespec now;

	*held_back = 0;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec - kind->window_start >= KIND_WINDOW_S || kind->window_start == 0) {
		if (kind->format == format)
			*held_back = kind->held_back;
		*kind = (struct kind_count){ .format = format, .window_start = now.tv_sec };
	}
	if (kind->format != format && kind->written < KIND_BURST)
		kind->format = format;
	if (kind->written >= KIND_BURST) {
		kind->held_back++;
		return false;
	}
	kind->written++;
	return true;
}

/* A pipe that nobody empties must not stop the process. */
static bool
takes_a_line(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };

	return poll(&ready, 1, 0) == 1;
}

static void
send_line(enum log_level level, const char *line, size_t len, size_t text_at)
{
	static const unsigned severities[] = {
		[LOG_LEVEL_ERROR] = 3,
		[LOG_LEVEL_WARN] = 4,
		[LOG_LEVEL_INFO] = 6,
		[LOG_LEVEL_DEBUG] = 7,
	};
	char datagram[SYSLOG_HEAD_SIZE + LINE_SIZE];
	size_t head;

	if (log_syslog == NULL || log_fd == STDERR_FILENO) {
		/* Nobody can be told when the log cannot be written. */
		if (takes_a_line(log_fd) && write(log_fd, line, len) == -1)
			return;
		return;
	}
	head = syslog_head(log_syslog, severities[level], "error", datagram);
	memcpy(datagram + head, line + text_at, len - 1 - text_at); /* without the line feed */
	head += len - 1 - text_at;
	if (sendto(log_fd, datagram, head, MSG_DONTWAIT | MSG_NOSIGNAL, &log_syslog->sa,
		log_syslog->len) == -1 &&
	    takes_a_line(STDERR_FILENO) && write(STDERR_FILENO, line, len) == -1)
		return;
}

__attribute__((format(printf, 3, 0))) static void
write_line(enum log_level level, int error, const char *format, va_list args)
{
	char text[LINE_SIZE - 512], line[LINE_SIZE];
	time_t now = time(NULL);
	unsigned held_back;
	struct tm tm;
	size_t len, text_at;

	if (!kind_allowed(format, &held_back))
		return;
	gmtime_r(&now, &tm);
	len = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ ", &tm);
	len += (size_t)snprintf(line + len, sizeof(line) - len, "%s ", level_names[level]);
	text_at = len;
	len += (size_t)snprintf(
	    line + len, sizeof(line) - len, "%.32s[%d]: ", process_name, (int)getpid());
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	for (const char *p = text; *p != '\0' && len < sizeof(line) - 300; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == 0x7f)
			len += (size_t)snprintf(line + len, sizeof(line) - len, "\\x%02x", c);
		else
			line[len++] = (char)c;
	}
	if (error != 0)
		len +=
		    (size_t)snprintf(line + len, sizeof(line) - len, ": %.200s", strerror(error));
	if (held_back > 0)
		len += (size_t)snprintf(
		    line + len, sizeof(line) - len, " (%u more held back)", held_back);
	line[len++] = '\n';
	send_line(level, line, len, text_at);
}

#define LOG_FUNCTION(name, level, error)                                                           \
	void name(const char *format, ...)                                                         \
	{                                                                                          \
		int saved = errno;                                                                 \
		va_list args;                                                                      \
                                                                                                   \
		if (!log_enabled(level))                                                           \
			return;                                                                    \
		va_start(args, format);                                                            \
		write_line(level, error, format, args);                                            \
		va_end(args);                                                                      \
		errno = saved;                                                                     \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, saved)
LOG_FUNCTION(log_errorx, LOG_LEVEL_ERROR, 0)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN, saved)
LOG_FUNCTION(log_warnx, LOG_LEVEL_WARN, 0)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO, 0)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG, 0)

bool
log_allowed(struct log_limit *limit, unsigned burst, unsigned window_ms)
{
	if (now_ms - limit->window_start_ms >= window_ms) {
		limit->window_start_ms = now_ms;
		limit->written = 0;
	}
	if (limit->written >= burst) {
		limit->held_back++;
		return false;
	}
	limit->written++;
	return true;
}
