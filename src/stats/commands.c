#include "weir/commands.h"

#include <stdlib.h>
#include <string.h>

#include "clients_priv.h"
#include "command_priv.h"
#include "weir/arena.h"

enum { WORDS_MAX = 8 };

/* A reload that was asked for; its result comes even when who asked has gone. */
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

static enum command_end
begin_reload(struct command_call *call, enum commands_reload what)
{
	struct commands *commands = call->commands;
	struct reload *reload;

	if (commands->reload != NULL)
		return command_fail(call, "a reload is under way already");
	reload = xcalloc(1, sizeof(*reload));
	reload->commands = commands;
	reload->client = call->client;
	reload->what = what;
	commands->reload = reload;
	call->client->data = reload;
	call->client->is_asking = true;
	call->client->out.len = 0; /* the answer is written whole when it comes */
	commands->ops->reload(commands->arg, what, commands_on_reloaded, reload);
	return COMMAND_LATER;
}

enum command_end
commands_reload(struct command_call *call)
{
	return begin_reload(call, COMMANDS_RELOAD_ALL);
}

enum command_end
commands_reload_certs(struct command_call *call)
{
	return begin_reload(call, COMMANDS_RELOAD_CERTS);
}

/* Returns false when `line` holds what no request may hold. */
static bool
commands_split(struct command_call *call, char *line, size_t len, char *words[static WORDS_MAX])
{
	char *save = NULL;

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			return false;
	for (char *word = strtok_r(line, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		if (call->count == WORDS_MAX)
			return false;
		words[call->count++] = word;
	}
	call->words = words;
	return true;
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
	char line[CLIENT_REQUEST_SIZE + 1], *words[WORDS_MAX];
	char *end = memchr(client->in, '\n', client->filled);
	enum command_end result;
	size_t len;

	if (end == NULL)
		return 0;
	len = (size_t)(end - client->in);
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
commands_too_long(struct client *client)
{
	commands_answer_error(&client->out, "a request has 4096 bytes at most");
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
		.connections = 32, .idle_ms = 60000, .stall_ms = 60000, .answer_ms = 300000
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
