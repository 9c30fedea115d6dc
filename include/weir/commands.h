/*
 * commands: the control socket that weirctl talks to.
 *
 * Runs in: control.  A request is one line of words, the answer one JSON object in one line:
 * {"ok": true, "result": ...} or {"ok": false, "error": "..."}; then the next request may come.
 */
#ifndef WEIR_COMMANDS_H
#define WEIR_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/conf.h"
#include "weir/shm.h"

struct event_base;
struct commands;

enum commands_reload { COMMANDS_RELOAD_ALL = 0, COMMANDS_RELOAD_CERTS };
enum { COMMANDS_APPLY_MAX = 56 * 1024 };

/* What commands asks of the process it runs in (process/control.c). */
struct commands_ops {
	/*
	 * Ask the master for a reload, of the configuration or of certificates alone; `done` is called once, later: ok, or the diagnostics as text.  Never after
	 * commands_stop().
	 */
	void (*reload)(void *arg, enum commands_reload what,
	    void (*done)(void *done_arg, bool ok, const char *text), void *done_arg);
	/* The same with other servers for pools; uid and pid say who asks, -1: unknown.  len: COMMANDS_APPLY_MAX at most. */
	void (*apply)(void *arg, const char *text, size_t len, int64_t uid, int64_t pid,
	    void (*done)(void *done_arg, bool ok, const char *text), void *done_arg);
	/* An operator has changed the state or the weight of a server. */
	void (*changed)(void *arg);
};

/* fd: non-blocking listening Unix socket, stays the caller's. */
struct commands *commands_start(struct event_base *base, const struct config *config, struct shm *shm, int fd,
    const struct commands_ops *ops, void *arg);
/* Are answers still owed?  (A control process that a reload replaces goes only when this is false.) */
bool commands_busy(const struct commands *commands);
/* Accept no further connections: the control process that takes over has the socket too. */
void commands_drain(struct commands *commands);
void commands_stop(struct commands *commands);

#endif
