#include "weir/commands.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clients_priv.h"
#include "command_priv.h"
#include "weir/arena.h"

enum { WORDS_MAX = 8, LINE_MAX_LEN = 4096, REQUEST_SIZE = COMMANDS_APPLY_MAX + 64 };

static const char apply_word[] = "apply ";

/* A reload or other servers that were asked for; the result comes even when who asked has gone. */
struct reload {
	struct commands *commands;
	struct client *client; /* NULL: gone meanwhile */
	enum commands_reload what;
};

struct commands {
	const struct config *config; /* borrowed from the generation */
	struct shm *shm;
	const struct commands_ops *ops;
	void *arg;
	struct clients *clients; /* owned */
	struct reload *reload;   /* owned; NULL: none is under way */
};

static void
commands_answer_error(struct text *out, const char *reason)
{
	struct json json = { .text = out };

	json_open(&json, NULL, '{');
	json_put_bool(&json, "ok", false);
	json_put_string(&json, "error", reason);
	json_close(&json, '}');
	text_puts(out, "\n");
}

static void
commands_on_reloaded(void *arg, bool ok, const char *text)
{
	struct reload *reload = arg;
	struct client *client = reload->client;
	struct json json = { .text = client != NULL ? &client->out : NULL };
	const char *message =
	    reload->what == COMMANDS_RELOAD_CERTS ? "certificates reloaded" : "reloaded";

	reload->commands->reload = NULL;
	free(reload);
	if (client == NULL)
		return;
	client->data = NULL;
	if (ok) {
		json_open(&json, NULL, '{');
		json_put_bool(&json, "ok", true);
		json_open(&json, "result", '{');
		json_put_string(&json, "message", text != NULL && text[0] != '\0' ? text : message);
		json_close(&json, '}');
		json_close(&json, '}');
		text_puts(&client->out, "\n");
	} else {
		commands_answer_error(
		    &client->out, text != NULL && text[0] != '\0' ? text : "reload failed");
	}
	client_answer_later(client);
}

/* Returns NULL with the call's error set when something is under way already. */
static struct reload *
commands_begin_reload(struct command_call *call, enum commands_reload what)
{
	struct commands *commands = call->commands;
	struct reload *reload;

	if (commands->reload != NULL) {
		command_fail(call, "a reload is under way already");
		return NULL;
	}
	reload = xcalloc(1, sizeof(*reload));
	reload->commands = commands;
	reload->client = call->client;
	reload->what = what;
	commands->reload = reload;
	call->client->data = reload;
	call->client->is_asking = true;
	call->client->out.len = 0; /* the answer is written whole when it comes */
	return reload;
}

static enum command_end
reload_what(struct command_call *call, enum commands_reload what)
{
	struct commands *commands = call->commands;
	struct reload *reload = commands_begin_reload(call, what);

	if (reload == NULL)
		return COMMAND_FAILED;
	commands->ops->reload(commands->arg, what, commands_on_reloaded, reload);
	return COMMAND_LATER;
}

enum command_end
commands_reload(struct command_call *call)
{
	return reload_what(call, COMMANDS_RELOAD_ALL);
}

enum command_end
commands_reload_certs(struct command_call *call)
{
	return reload_what(call, COMMANDS_RELOAD_CERTS);
}

enum command_end
commands_apply(struct command_call *call)
{
	struct commands *commands = call->commands;
	const char *text = call->words[1];
	struct reload *reload;
	struct ucred peer;

	if (strlen(text) > COMMANDS_APPLY_MAX)
		return command_fail(call, "a change has %d bytes at most; use reload", COMMANDS_APPLY_MAX);
	reload = commands_begin_reload(call, COMMANDS_RELOAD_ALL);
	if (reload == NULL)
		return COMMAND_FAILED;
	command_find_peer(call, &peer);
	commands->ops->apply(commands->arg, text, strlen(text), (int32_t)peer.uid, peer.pid,
	    commands_on_reloaded, reload);
	return COMMAND_LATER;
}

void
commands_on_change(const struct command_call *call)
{
	call->commands->ops->changed(call->commands->arg);
}

/* Returns false when `line` holds what no request may hold. */
static bool
commands_split(struct command_call *call, char *line, size_t len, char *words[static WORDS_MAX])
{
	char *save = NULL;

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			return false;
	call->words = words;
	if (strncmp(line, apply_word, sizeof(apply_word) - 1) == 0) {
		line[sizeof(apply_word) - 2] = '\0';
		words[0] = line;
		words[1] = line + sizeof(apply_word) - 1;
		call->count = 2;
		return true;
	}
	for (char *word = strtok_r(line, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		if (call->count == WORDS_MAX)
			return false;
		words[call->count++] = word;
	}
	return true;
}

static void
commands_too_long(struct client *client)
{
	commands_answer_error(&client->out, "a request has 4096 bytes at most");
}

static size_t
commands_answer(struct client *client)
{
	static const char *const begin = "{\"ok\": true, \"result\": ";
	struct commands *commands = clients_arg(client->clients);
	struct command_call call = { .commands = commands,
		.config = commands->config,
		.shm = commands->shm,
		.client = client };
	static char line[REQUEST_SIZE];
	char *words[WORDS_MAX], *end = memchr(client->in, '\n', client->filled);
	size_t len = end != NULL ? (size_t)(end - client->in) : client->filled;
	enum command_end result;

	if (len >= LINE_MAX_LEN &&
	    strncmp(client->in, apply_word, sizeof(apply_word) - 1) != 0) {
		client->closes = true;
		commands_too_long(client);
		return client->filled;
	}
	if (end == NULL)
		return 0;
	memcpy(line, client->in, len);
	line[len] = '\0';
	call.json.text = &client->out;
	text_puts(&client->out, begin);
	if (commands_split(&call, line, len, words))
		result = command_run(&call);
	else
		result = command_fail(&call, "a malformed request");
	if (result == COMMAND_DONE)
		text_puts(&client->out, "}\n");
	if (result == COMMAND_FAILED) {
		client->out.len = 0;
		text_add(&call.error, "", 1);
		commands_answer_error(&client->out, call.error.data);
	}
	text_fini(&call.error);
	return len + 1;
}

static void
commands_closed(struct client *client)
{
	struct reload *reload = client->data;

	if (reload != NULL)
		reload->client = NULL;
}

struct commands *
commands_start(struct event_base *base, const struct config *config, struct shm *shm, int fd,
    const struct commands_ops *ops, void *arg)
{
	static const struct clients_ops client_ops = {
		.answer = commands_answer, .too_long = commands_too_long, .closed = commands_closed
	};
	static const struct clients_limits limits = {
		.request_size = REQUEST_SIZE,
		.connections = 32,
		.idle_ms = 60000,
		.stall_ms = 60000,
		.answer_ms = 300000,
	};
	struct commands *commands = xcalloc(1, sizeof(*commands));

	commands->config = config;
	commands->shm = shm;
	commands->ops = ops;
	commands->arg = arg;
	commands->clients = clients_start(base, fd, &client_ops, &limits, commands);
	return commands;
}

bool
commands_busy(const struct commands *commands)
{
	return commands != NULL && clients_busy(commands->clients);
}

void
commands_drain(struct commands *commands)
{
	if (commands != NULL)
		clients_drain(commands->clients);
}

void
commands_stop(struct commands *commands)
{
	if (commands == NULL)
		return;
	clients_stop(commands->clients);
	free(commands->reload);
	free(commands);
}
