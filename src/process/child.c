#include "child_priv.h"
#include "generation_priv.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/diag.h"
#include "weir/log.h"
#include "weir/tls_context.h"
#include "weir/tls_files.h"

struct hearing {
	struct child_job *job;
	child_message_fn *on_message;
	void *arg;
};

static struct hearing hearing; /* a process has one channel */

struct event_base *
child_start(const struct child_job *job)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	log_set_fd(job->error_fd);
	log_set_syslog(generation_error_syslog(job->config));
	log_set_level((enum log_level)job->config->global.log_level);
	clock_update();
	if (config != NULL) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
		base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (base == NULL) {
		log_error("cannot make an event loop");
		exit(EXIT_FAILURE);
	}
	return base;
}

static void
replace_error_log(struct child_job *job, int fd)
{
	if (fd == -1)
		return;
	log_set_fd(fd);
	if (job->error_fd > STDERR_FILENO)
		close(job->error_fd);
	job->error_fd = fd;
}

static void
on_channel(evutil_socket_t fd, short what, void *arg)
{
	static struct message message;

	(void)what;
	(void)arg;
	for (;;) {
		switch (channel_receive((int)fd, &message, true)) {
		case CHANNEL_WAIT:
			return;
		case CHANNEL_MESSAGE:
			break;
		case CHANNEL_BAD:
			log_errorx("channel: a message that cannot be understood");
			_exit(EXIT_FAILURE);
		case CHANNEL_CLOSED:
			_exit(EXIT_FAILURE);
		}
		if (message.type == MESSAGE_ERROR_LOG)
			replace_error_log(hearing.job, message.fd);
		else
			hearing.on_message(hearing.arg, &message);
	}
}

struct event *
child_hear(struct event_base *base, struct child_job *job, child_message_fn *on_message, void *arg)
{
	struct event *event = event_new(base, job->channel, EV_READ | EV_PERSIST, on_channel, NULL);

	hearing = (struct hearing){ .job = job, .on_message = on_message, .arg = arg };
	if (event == NULL || event_add(event, NULL) == -1) {
		log_error("cannot wait for the master");
		exit(EXIT_FAILURE);
	}
	return event;
}

void
child_tell(const struct child_job *job, enum message_type type, const void *payload, size_t len)
{
	if (channel_send(job->channel, type, payload, len, -1) == 0)
		return;
	log_error("channel: cannot tell the master");
	exit(EXIT_FAILURE);
}

static void
log_finding(void *arg, enum diag_level level, const char *line)
{
	(void)arg;
	if (level == DIAG_ERROR) /* the master has told all else */
		log_errorx("%s", line);
}

void
child_take_certs(const struct child_job *job, int fd, uint64_t number)
{
	struct tls_files *files = tls_files_open(fd);
	struct certs_taken taken = { .number = number };
	struct diag *diag = diag_new();

	if (files == NULL)
		log_error("certificates: cannot read what the master sent");
	else
		taken.ok = tls_renew(job->config, files, NULL, diag) == 0;
	diag_each(diag, log_finding, "weir", NULL);
	diag_free(diag);
	tls_files_free(files);
	if (fd != -1)
		close(fd);
	child_tell(job, MESSAGE_CERTS_TAKEN, &taken, sizeof(taken));
}
