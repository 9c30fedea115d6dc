#include "weir/log_writer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/log.h"
#include "weir/syslog.h"

enum {
	BATCH_SIZE = 128 * 1024,
	SYSLOG_BURST = 64, /* datagrams in one system call */
	RETRY_MS = 20,     /* between two tries to give a full pipe more */
	PATIENCE_MS = 100  /* for readers, when the process ends */
};

_Static_assert(BATCH_SIZE > LOG_LINE_MAX + SYSLOG_HEAD_SIZE + 1, "a line fits an empty batch");

enum output { OUTPUT_FILE = 0, OUTPUT_STREAM, OUTPUT_SYSLOG };

struct log_writer {
	int fd; /* borrowed */
	enum output output;
	const char *name;                   /* borrowed */
	const struct syslog_target *syslog; /* borrowed; NULL: none */
	_Atomic uint64_t *lost;             /* borrowed; lines */
	uint64_t first_ms;                  /* when the oldest line came */
	uint64_t tried_ms;                  /* when the reader was last found slow; 0: it is not */
	_Atomic uint64_t *torn; /* borrowed; shared by all who write */
	uint64_t file;          /* this file's bit there; 0: it is none */
	size_t filled,
	    line; /* 0 <= line <= filled <= BATCH_SIZE; `line`: where the present one begins */
	char batch[BATCH_SIZE];
};

/* Whoever holds the other end decides what may be written at once. */
static void
set_output(struct log_writer *w, int fd)
{
	struct stat st;

	w->fd = fd;
	w->output = OUTPUT_STREAM;
	w->file = 0;
	if (w->syslog != NULL) {
		w->output = OUTPUT_SYSLOG;
	} else if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		w->output = OUTPUT_FILE;
		w->file = UINT64_C(1) << (st.st_ino % 64);
	}
}

struct log_writer *
log_writer_new(int fd, const char *name, const struct syslog_target *syslog, _Atomic uint64_t *lost,
    _Atomic uint64_t *torn)
{
	struct log_writer *w = xmalloc(sizeof(*w));

	w->name = name;
	w->syslog = syslog;
	w->lost = lost;
	w->torn = torn;
	w->first_ms = w->tried_ms = 0;
	w->filled = w->line = 0;
	set_output(w, fd);
	return w;
}

static size_t
count_lines(const char *text, size_t len)
{
	size_t count = 0;

	for (const char *p = text; (p = memchr(p, '\n', len - (size_t)(p - text))) != NULL; p++)
		count++;
	return count;
}

static void
lose(struct log_writer *w, size_t len)
{
	static struct log_limit limit;
	uint64_t lost = atomic_load_explicit(w->lost, memory_order_relaxed);

	lost += count_lines(w->batch, len);
	atomic_store_explicit(w->lost, lost, memory_order_relaxed); /* one writer */
	if (log_allowed(&limit, 1, 60000))
		log_warn("log %s: lines lost: %llu", w->name, (unsigned long long)lost);
}

static void
consume(struct log_writer *w, size_t len)
{
	memmove(w->batch, w->batch + len, w->filled - len);
	w->filled -= len;
}

/* Returns the bytes written; fewer than `len` with errno set. */
static size_t
write_all(int fd, const char *text, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENOSPC;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

/*
 * A file may end with a piece of a line that did not fit the disk.  Whoever writes next ends it, be it
 * another worker: its own lines would be glued to the piece.
 */
static bool
end_torn_line(struct log_writer *w)
{
	if ((atomic_load_explicit(w->torn, memory_order_relaxed) & w->file) == 0 ||
	    (atomic_fetch_and(w->torn, ~w->file) & w->file) == 0)
		return true;
	if (write_all(w->fd, "\n", 1) == 1)
		return true;
	atomic_fetch_or(w->torn, w->file);
	return false;
}

static void
write_file(struct log_writer *w)
{
	size_t done = end_torn_line(w) ? write_all(w->fd, w->batch, w->filled) : 0;
	int saved = errno;

	if (done > 0 && done < w->filled && w->batch[done - 1] != '\n') {
		atomic_fetch_or(w->torn, w->file);
		done += w->batch[done] == '\n'; /* that will come: the line is whole */
	}
	if (done < w->filled) {
		consume(w, done);
		errno = saved;
		lose(w, w->filled);
	}
	w->filled = 0;
}

/* As many whole lines as one piece may have, at least one. */
static size_t
piece_len(const struct log_writer *w)
{
	size_t len = w->filled < PIPE_BUF ? w->filled : PIPE_BUF;
	const char *end;

	while (len > 0 && w->batch[len - 1] != '\n')
		len--;
	if (len > 0)
		return len;
	end = memchr(w->batch, '\n', w->filled);
	return end != NULL ? (size_t)(end - w->batch) + 1 : w->filled;
}

static void
write_stream(struct log_writer *w)
{
	struct pollfd ready = { .fd = w->fd, .events = POLLOUT };

	while (w->filled > 0) {
		size_t len = piece_len(w), done;

		if (poll(&ready, 1, 0) != 1) {
			w->tried_ms = now_ms;
			return;
		}
		done = write_all(w->fd, w->batch, len);
		if (done < len && errno == EAGAIN) {
			consume(w, done);
			w->tried_ms = now_ms;
			return;
		}
		if (done < len)
			lose(w, len);
		consume(w, len);
	}
	w->tried_ms = 0;
}

/* The datagrams at the start of the batch; returns their number. */
static unsigned
cut_datagrams(struct log_writer *w, struct mmsghdr *messages, struct iovec *iov)
{
	unsigned count = 0;
	size_t at = 0;

	while (at < w->filled && count < SYSLOG_BURST) {
		const char *end = memchr(w->batch + at, '\n', w->filled - at);
		size_t len = end != NULL ? (size_t)(end - w->batch) - at : w->filled - at;

		iov[count] = (struct iovec){ w->batch + at, len };
		messages[count] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[count],
							.msg_iovlen = 1,
							.msg_namelen = w->syslog->len } };
		memcpy(&messages[count].msg_hdr.msg_name, &(const void *){ w->syslog },
		    sizeof(void *)); /* the kernel only reads it */
		count++;
		at += len + 1;
	}
	return count;
}

static void
write_syslog(struct log_writer *w)
{
	struct mmsghdr messages[SYSLOG_BURST];
	struct iovec iov[SYSLOG_BURST];

	while (w->filled > 0) {
		unsigned count = cut_datagrams(w, messages, iov);
		int sent = sendmmsg(w->fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent == -1 && errno == EINTR)
			continue;
		if (sent == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			w->tried_ms = now_ms;
			return;
		}
		if (sent <= 0) {
			lose(w, iov[0].iov_len + 1); /* nobody there, or too long */
			sent = 1;
		}
		for (int i = 0; i < sent; i++)
			consume(w, iov[i].iov_len < w->filled ? iov[i].iov_len + 1 : w->filled);
	}
	w->tried_ms = 0;
}

static void
write_out(struct log_writer *w)
{
	switch (w->output) {
	case OUTPUT_FILE:
		write_file(w);
		return;
	case OUTPUT_STREAM:
		write_stream(w);
		return;
	case OUTPUT_SYSLOG:
		write_syslog(w);
		return;
	}
}

void
log_writer_set_fd(struct log_writer *w, int fd)
{
	write_out(w);
	set_output(w, fd);
}

bool
log_writer_flush(struct log_writer *w)
{
	if (w->filled > 0)
		write_out(w);
	return w->filled > 0;
}

void
log_writer_free(struct log_writer *w)
{
	struct pollfd ready;

	if (w == NULL)
		return;
	write_out(w);
	ready = (struct pollfd){ .fd = w->fd, .events = POLLOUT };
	for (int tries = 0; w->filled > 0 && tries < 10; tries++) {
		poll(&ready, 1, PATIENCE_MS / 10);
		write_out(w);
	}
	if (w->filled > 0)
		lose(w, w->filled);
	free(w);
}

/* ---- lines ---- */

void
log_line_begin(struct log_writer *w, const char *id)
{
	/* A slow reader is not asked again for each line, unless there is no room left. */
	bool is_full = BATCH_SIZE - w->filled < LOG_LINE_MAX + SYSLOG_HEAD_SIZE + 1;

	if (is_full && (w->tried_ms == 0 || now_ms - w->tried_ms >= RETRY_MS))
		write_out(w);
	while (BATCH_SIZE - w->filled < LOG_LINE_MAX + SYSLOG_HEAD_SIZE + 1) {
		size_t len = piece_len(w);

		lose(w, len); /* the oldest go */
		consume(w, len);
	}
	if (w->filled == 0)
		w->first_ms = now_ms;
	w->line = w->filled;
	if (w->syslog != NULL)
		w->filled += syslog_head(w->syslog, 6, id, w->batch + w->filled);
}

static size_t
room(const struct log_writer *w)
{
	size_t len = w->filled - w->line;

	return len < LOG_LINE_MAX ? LOG_LINE_MAX - len : 0;
}

void
log_line_add(struct log_writer *w, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(w->batch + w->filled, room(w), format, args);
	va_end(args);
	if (n > 0 && (size_t)n < room(w))
		w->filled += (size_t)n;
}

void
log_line_text(struct log_writer *w, struct slice text, size_t max, enum log_escape escape)
{
	size_t len = text.len < max ? text.len : max;

	for (size_t i = 0; i < len && room(w) > 8; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c != '"' && c != '\\' && c >= 0x20 && c < 0x7f)
			w->batch[w->filled++] = (char)c;
		else if (escape == LOG_ESCAPE_JSON)
			log_line_add(w, "\\u%04x", c);
		else
			log_line_add(w, "\\x%02x", c);
	}
}

void
log_line_end(struct log_writer *w)
{
	w->batch[w->filled++] = '\n';
}
