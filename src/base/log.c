#include "weir/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "weir/clock.h"

enum { LINE_SIZE = 4096 };

static const char *process_name = "weir";
static enum log_level max_level = LOG_LEVEL_INFO;
static int log_fd = STDERR_FILENO;

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

bool
log_enabled(enum log_level level)
{
	return level <= max_level;
}

__attribute__((format(printf, 3, 0))) static void
write_line(enum log_level level, int error, const char *format, va_list args)
{
	char text[LINE_SIZE - 512], line[LINE_SIZE];
	time_t now = time(NULL);
	struct tm tm;
	size_t len;

	gmtime_r(&now, &tm);
	len = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ", &tm);
	len += (size_t)snprintf(line + len, sizeof(line) - len, " %s %.32s[%d]: ", level_names[level],
	    process_name, (int)getpid());
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
		len += (size_t)snprintf(line + len, sizeof(line) - len, ": %.200s", strerror(error));
	line[len++] = '\n';
	/* Nobody can be told when the log cannot be written. */
	if (write(log_fd, line, len) == -1)
		return;
}

#define LOG_FUNCTION(name, level, error) \
	void name(const char *format, ...) \
	{ \
		int saved = errno; \
		va_list args; \
\
		if (!log_enabled(level)) \
			return; \
		va_start(args, format); \
		write_line(level, error, format, args); \
		va_end(args); \
		errno = saved; \
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
