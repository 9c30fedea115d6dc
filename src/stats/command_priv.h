/*
 * command: what each command of the control socket does.
 *
 * Runs in: control.  Gets a request as words and writes its result; knows nothing of connections (commands.c).
 */
#ifndef WEIR_COMMAND_PRIV_H
#define WEIR_COMMAND_PRIV_H

#include <stddef.h>

#include "text_priv.h"
#include "weir/conf.h"
#include "weir/shm.h"

struct client;
struct commands;

/* One request while it is answered. */
struct command_call {
	struct commands *commands;
	const struct config *config; /* borrowed from the generation */
	struct shm *shm;
	struct client *client;
	char **words; /* the first one is the command's own */
	size_t count;
	struct json json;  /* the result goes here */
	struct text error; /* or the reason why there is none */
};

enum command_end { COMMAND_DONE = 0, COMMAND_FAILED, COMMAND_LATER };

/* Find the command that the words name, and run it. */
enum command_end command_run(struct command_call *call);
/* Write the reason why there is no result.  Returns COMMAND_FAILED. */
enum command_end command_fail(struct command_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct ucred;
/* command.c: who is at the other end; uid -1, pid 0: unknown. */
void command_find_peer(const struct command_call *call, struct ucred *peer);
/* command.c: say that there is no such pool. */
enum command_end command_fail_pool(struct command_call *call, const char *name);

/* command_look.c */
enum command_end command_errors(struct command_call *call);
enum command_end command_sticky(struct command_call *call);

/* The commands that commands.c does itself, because their answers come later. */
enum command_end commands_reload(struct command_call *call);
enum command_end commands_reload_certs(struct command_call *call);
enum command_end commands_apply(struct command_call *call);
/* commands.c: a server is not what it was. */
void commands_on_change(const struct command_call *call);

#endif
