/*
 * control: health checks, stats endpoint and control socket, in one event loop.
 *
 * Runs in: control.  It passes requests for a reload on to the master.
 */
#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "child_priv.h"
#include "servers_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/commands.h"
#include "weir/endpoint.h"
#include "weir/expiry.h"
#include "weir/health.h"
#include "weir/log.h"
#include "weir/tls_tickets.h"

struct asked { /* a reload whose result the master owes */
	TAILQ_ENTRY(asked) entry;
	uint64_t request;
	void (*done)(void *done_arg, bool ok, const char *text);
	void *done_arg;
};
TAILQ_HEAD(asked_list, asked);

struct control {
	struct child_job *job; /* borrowed */
	struct event_base *base;
	struct expiry *expiry; /* owned; NULL: no certificates */
	struct health *health;
	struct endpoint *endpoint;
	struct commands *commands; /* NULL until started */
	struct asked_list asked;
	uint64_t last_request;
	bool draining, stop;
};

/* Ask the master, who answers later. */
static uint64_t
control_ask(struct control *control, void (*done)(void *done_arg, bool ok, const char *text),
    void *done_arg)
{
	struct asked *asked = xcalloc(1, sizeof(*asked));

	*asked = (struct asked){
		.request = ++control->last_request, .done = done, .done_arg = done_arg
	};
	TAILQ_INSERT_TAIL(&control->asked, asked, entry);
	return asked->request;
}

static void
control_reload(void *arg, enum commands_reload what,
    void (*done)(void *done_arg, bool ok, const char *text), void *done_arg)
{
	struct control *control = arg;
	uint64_t request = control_ask(control, done, done_arg);

	child_tell(control->job,
	    what == COMMANDS_RELOAD_CERTS ? MESSAGE_CERTS_RELOAD : MESSAGE_RELOAD, &request,
	    sizeof(request));
}

static void
control_apply(void *arg, const char *text, size_t len, int64_t uid, int64_t pid,
    void (*done)(void *done_arg, bool ok, const char *text), void *done_arg)
{
	struct control *control = arg;
	struct apply_request request = { .request = control_ask(control, done, done_arg),
		.uid = uid,
		.pid = pid };
	char *payload = xmalloc(sizeof(request) + len);

	memcpy(payload, &request, sizeof(request));
	memcpy(payload + sizeof(request), text, len);
	child_tell(control->job, MESSAGE_APPLY, payload, sizeof(request) + len);
	free(payload);
}

static void
control_on_change(void *arg)
{
	struct control *control = arg;

	child_tell(control->job, MESSAGE_STATE, NULL, 0);
}

static void
control_set_servers(void *arg, struct servers_set set)
{
	struct control *control = arg;
	struct pool_config *pool = &control->job->config->pools[set.pool];
	void *old = conf_swap_servers(pool, set.servers, set.count);

	if (control->health != NULL)
		health_on_change(control->health, pool);
	free(old);
}

static void
control_change_servers(struct control *control, const struct message *message)
{
	struct servers_header header;
	struct servers_done done;

	assert(message->fd != -1 && message->len == sizeof(header));
	memcpy(&header, message->payload, sizeof(header));
	if (!servers_unpack(
		message->fd, &header, control->job->config, control_set_servers, control)) {
		log_errorx("servers: a change that cannot be understood");
		exit(EXIT_FAILURE); /* the next process begins with what the master has */
	}
	close(message->fd);
	done = (struct servers_done){ header.revision, header.revision };
	child_tell(control->job, MESSAGE_SERVERS_DONE, &done, sizeof(done));
}

static struct asked *
find_asked(const struct control *control, uint64_t request)
{
	struct asked *asked;

	TAILQ_FOREACH (asked, &control->asked, entry)
		if (asked->request == request)
			return asked;
	return NULL;
}

static void
control_on_result(struct control *control, const struct message *message)
{
	struct reload_result result;
	struct asked *asked;

	if (message->len < sizeof(result))
		return;
	memcpy(&result, message->payload, sizeof(result));
	asked = find_asked(control, result.request);
	if (asked == NULL)
		return;
	TAILQ_REMOVE(&control->asked, asked, entry);
	asked->done(asked->done_arg, result.ok != 0, message->payload + sizeof(result));
	free(asked);
}

static void
control_start(struct control *control)
{
	static const struct commands_ops ops = { .reload = control_reload,
		.apply = control_apply,
		.changed = control_on_change };
	const struct child_job *job = control->job;

	if (control->commands != NULL || control->draining)
		return;
	control->expiry = expiry_start(control->base, control->job->config);
	control->health = health_start(control->base, job->config, job->shm);
	control->endpoint = endpoint_start(control->base, job->config, job->shm, job->stats_fd);
	control->commands =
	    commands_start(control->base, job->config, job->shm, job->control_fd, &ops, control);
}

/* Another process checks the servers from now on; answers that are owed still go out. */
static void
control_drain(struct control *control)
{
	control->draining = true;
	health_stop(control->health);
	control->health = NULL;
	expiry_stop(control->expiry);
	control->expiry = NULL;
	endpoint_drain(control->endpoint);
	if (control->commands != NULL)
		commands_drain(control->commands);
}

/* The control process shows certificates, and makes connections to servers. */
static void
control_on_certs(struct control *control, const struct message *message)
{
	uint64_t number;

	memcpy(&number, message->payload, sizeof(number));
	child_take_certs(control->job, message->fd, number);
	if (control->expiry == NULL)
		return;
	expiry_stop(control->expiry);
	control->expiry = expiry_start(control->base, control->job->config);
}

static void
control_on_message(void *arg, struct message *message)
{
	struct control *control = arg;

	switch (message->type) {
	case MESSAGE_START:
		control_start(control);
		break;
	case MESSAGE_DRAIN:
		if (!control->draining)
			control_drain(control);
		break;
	case MESSAGE_STOP:
		control->stop = true;
		break;
	case MESSAGE_CERTS:
		control_on_certs(control, message);
		break;
	case MESSAGE_SERVERS:
		control_change_servers(control, message);
		break;
	case MESSAGE_RELOAD_RESULT:
		control_on_result(control, message);
		break;
	default:
		break;
	}
}

static bool
control_is_done(const struct control *control)
{
	if (control->stop)
		return true;
	return control->draining && !endpoint_busy(control->endpoint) &&
	       (control->commands == NULL || !commands_busy(control->commands));
}

static void
control_free(struct control *control)
{
	struct asked *asked;

	commands_stop(control->commands);
	endpoint_stop(control->endpoint);
	health_stop(control->health);
	expiry_stop(control->expiry);
	while ((asked = TAILQ_FIRST(&control->asked)) != NULL) {
		TAILQ_REMOVE(&control->asked, asked, entry);
		free(asked);
	}
}

int
control_run(void *arg)
{
	struct control control = { .job = arg };
	struct event *channel;

	TAILQ_INIT(&control.asked);
	control.base = child_start(control.job);
	tls_tickets_forget();
	channel = child_hear(control.base, control.job, control_on_message, &control);
	child_tell(control.job, MESSAGE_READY, NULL, 0);
	while (!control_is_done(&control)) {
		if (event_base_loop(control.base, EVLOOP_ONCE) == -1) {
			log_error("event loop");
			return EXIT_FAILURE;
		}
		clock_update();
	}
	control_free(&control);
	event_free(channel);
	event_base_free(control.base);
	return EXIT_SUCCESS;
}
