#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child_priv.h"
#include "master_priv.h"
#include "state_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/log.h"

enum {
	START_LIMIT_S = 30,
	STOP_LIMIT_S = 5,
	DRAIN_EXTRA_S = 10,  /* over limits.drain, which the worker keeps itself */
	ANSWER_LIMIT_S = 60, /* a control process that drains still answers a reload */
	CRASH_WINDOW_S = 10, /* DEATHS_REMEMBERED in it: wait before the next start */
	CRASH_DELAY_S = 1,
	MESSAGES_PER_TURN = 16,
};

static const struct {
	const char *name;
	int (*run)(void *job);
} kinds[] = {
	[CHILD_WORKER] = { "worker", worker_run },
	[CHILD_CONTROL] = { "control", control_run },
};

const char *
child_name(const struct child *child, char text[static 64])
{
	if (child->kind == CHILD_WORKER)
		snprintf(text, 64, "worker %u (process %d)", child->index, (int)child->pid);
	else
		snprintf(text, 64, "%s (process %d)", kinds[child->kind].name, (int)child->pid);
	return text;
}

static void
set_deadline(struct child *child, unsigned seconds)
{
	struct timeval limit = { .tv_sec = seconds };

	evtimer_add(child->deadline, &limit);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct child *child = arg;
	char name[64];

	(void)fd;
	(void)what;
	log_warnx("%s: not %s in time, killing it", child_name(child, name),
	    child->state <= CHILD_READY ? "ready" : "gone");
	child_kill(child);
}

void
child_send(
    struct child *child, enum message_type type, const void *payload, size_t len, int pass_fd)
{
	char name[64];

	if (child->channel == -1 || channel_send(child->channel, type, payload, len, pass_fd) == 0)
		return;
	/* EPIPE: it is about to be reaped.  Else it does not read: there is no other way to it. */
	if (errno != EPIPE && errno != ECONNRESET)
		log_warn("%s: cannot be told, killing it", child_name(child, name));
	child_kill(child);
}

void
child_begin(struct child *child)
{
	if (child->state != CHILD_READY)
		return;
	child->state = CHILD_RUNNING;
	evtimer_del(child->deadline);
	child_send(child, MESSAGE_START, NULL, 0, -1);
}

void
child_drain(struct child *child)
{
	unsigned limit = child->generation->config->global.limits.drain_ms / 1000 + DRAIN_EXTRA_S;

	if (child->state >= CHILD_DRAINING)
		return;
	child->state = CHILD_DRAINING;
	if (child->slot != -1)
		atomic_store(&shm_slot_info(child->generation->region->shm, child->slot)->state,
		    SLOT_DRAINING);
	set_deadline(child, child->kind == CHILD_WORKER ? limit : ANSWER_LIMIT_S);
	child_send(child, MESSAGE_DRAIN, NULL, 0, -1);
}

bool
child_accepts_still(const struct child *child)
{
	return child->generation != child->master->current && child->kind == CHILD_WORKER &&
	       child->state == CHILD_DRAINING && !child->accepts_no_more;
}

void
child_close_idle(struct child *child)
{
	child_send(child, MESSAGE_CLOSE_IDLE, NULL, 0, -1);
}

void
child_stop(struct child *child)
{
	if (child->state == CHILD_STOPPING)
		return;
	child->state = CHILD_STOPPING;
	set_deadline(child, STOP_LIMIT_S);
	child_send(child, MESSAGE_STOP, NULL, 0, -1);
}

/* Of one that was leaving anyway the end is expected; any other is a death like any other, and made
 * good. */
void
child_kill(struct child *child)
{
	if (child->state == CHILD_DRAINING)
		child->state = CHILD_STOPPING;
	evtimer_del(child->deadline);
	kill(child->pid, SIGKILL);
}

static void
on_message(struct child *child, const struct message *message)
{
	struct master *master = child->master;
	struct certs_taken taken;
	struct servers_done done;
	uint64_t request;
	char name[64];

	if (message->type == MESSAGE_READY && message->len == 0 && child->state == CHILD_STARTING) {
		child->state = CHILD_READY;
		if (child->generation == master->current)
			child_begin(child);
		else
			reload_on_ready(master);
	} else if (message->type == MESSAGE_DRAINING && child->state >= CHILD_DRAINING) {
		child->accepts_no_more = true;
		reload_on_drained(master);
	} else if (message->type == MESSAGE_RELOAD && child->kind == CHILD_CONTROL &&
		   message->len == sizeof(request)) {
		memcpy(&request, message->payload, sizeof(request));
		reload_ask(master, child, request);
	} else if (message->type == MESSAGE_CERTS_RELOAD && child->kind == CHILD_CONTROL &&
		   message->len == sizeof(request)) {
		memcpy(&request, message->payload, sizeof(request));
		certs_ask(master, child, request);
	} else if (message->type == MESSAGE_CERTS_TAKEN && message->len == sizeof(taken)) {
		memcpy(&taken, message->payload, sizeof(taken));
		certs_on_taken(child, &taken);
	} else if (message->type == MESSAGE_APPLY && child->kind == CHILD_CONTROL &&
		   message->len >= sizeof(struct apply_request)) {
		servers_ask(master, child, message);
	} else if (message->type == MESSAGE_STATE && child->kind == CHILD_CONTROL) {
		state_on_change(master);
	} else if (message->type == MESSAGE_SERVERS_DONE && message->len == sizeof(done)) {
		memcpy(&done, message->payload, sizeof(done));
		servers_on_done(child, &done);
	} else {
		log_warnx("%s: sent a message that it may not send", child_name(child, name));
	}
}

/* A broken channel is the end of the child, be it that it died or that it does not talk sense. */
static void
on_channel(evutil_socket_t fd, short what, void *arg)
{
	static struct message message;
	struct child *child = arg;
	enum channel_got got = CHANNEL_WAIT;

	(void)what;
	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		got = channel_receive((int)fd, &message, false);
		if (got != CHANNEL_MESSAGE)
			break;
		on_message(child, &message);
	}
	if (got != CHANNEL_CLOSED && got != CHANNEL_BAD)
		return;
	event_del(child->readable);
	if (child->state < CHILD_DRAINING)
		kill(child->pid, SIGKILL);
}

static struct child *
child_new(struct master *master, struct generation *generation, enum child_kind kind,
    unsigned index, int slot, int channel)
{
	struct child *child = xcalloc(1, sizeof(*child));

	*child = (struct child){ .master = master,
		.kind = kind,
		.index = index,
		.slot = slot,
		.channel = channel,
		.generation = generation,
		.applied = master->servers.revision,
		.settled = master->servers.revision };
	generation->users++;
	child->readable = event_new(master->base, channel, EV_READ | EV_PERSIST, on_channel, child);
	child->deadline = evtimer_new(master->base, on_deadline, child);
	if (child->readable == NULL || child->deadline == NULL ||
	    event_add(child->readable, NULL) == -1) {
		log_error("cannot watch a child");
		exit(EXIT_FAILURE);
	}
	TAILQ_INSERT_TAIL(&master->children, child, entry);
	return child;
}

static void
child_free(struct child *child)
{
	struct master *master = child->master;

	reload_forget(master, child);
	certs_forget(master, child);
	TAILQ_REMOVE(&master->children, child, entry);
	assert(TAILQ_FIRST(&master->children) !=
	       child); /* for the analyser, which loses track there */
	event_free(child->readable);
	event_free(child->deadline);
	close(child->channel);
	if (child->slot != -1)
		shm_retire_slot(child->generation->region->shm, child->slot);
	generation_leave(&master->generations, child->generation);
	free(child);
}

/* At once, so that what it holds is free. */
static void
end_now(struct child *child, const char *why)
{
	char name[64];

	log_warnx("%s: ended while it was draining, %s", child_name(child, name), why);
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	child_free(child);
}

void
children_end_stuck(struct master *master)
{
	struct child *child = TAILQ_FIRST(&master->children), *next;

	for (; child != NULL; child = next) {
		next = TAILQ_NEXT(child, entry);
		if (child_accepts_still(child))
			end_now(child, "as it does not answer and holds an address that is wanted");
	}
}

/* When all slots are taken, the workers that have been draining for longest make room. */
static int
take_slot(struct master *master, struct region *region)
{
	struct child *child = TAILQ_FIRST(&master->children), *next;
	int slot = shm_take_slot(region->shm);

	for (; slot == -1 && child != NULL; child = next) {
		next = TAILQ_NEXT(child, entry);
		if (child->slot == -1 || child->state < CHILD_DRAINING ||
		    child->generation->region != region)
			continue;
		end_now(child, "to make room for new workers");
		slot = shm_take_slot(region->shm);
	}
	return slot;
}

struct job_builder {
	struct child_job *job;
	struct spawn_fds *keep;
	size_t size;
};

static void
add_socket(void *arg, unsigned listener_index, int fd)
{
	struct job_builder *builder = arg;
	struct child_job *job = builder->job;

	if (job->socket_count == builder->size) {
		builder->size = builder->size > 0 ? 2 * builder->size : 32;
		job->sockets = xrealloc(job->sockets, builder->size * sizeof(*job->sockets));
	}
	job->sockets[job->socket_count++] =
	    (struct child_socket){ .listener = listener_index, .fd = fd };
	spawn_fds_add(builder->keep, fd);
}

static void
build_job(struct child_job *job, struct spawn_fds *keep, struct master *master,
    struct generation *generation, enum child_kind kind, unsigned index)
{
	struct job_builder builder = { .job = job, .keep = keep };
	bool is_next = generation != master->current;

	if (kind == CHILD_WORKER) {
		sockets_each(
		    master->sockets, index, generation->workers, is_next, add_socket, &builder);
		job->log_fds = generation->log_fds;
		for (size_t i = 0; i < generation->config->log_output_count; i++)
			spawn_fds_add(keep, generation->log_fds[i]);
	} else {
		job->stats_fd = sockets_stats_fd(master->sockets, is_next);
		job->control_fd = sockets_control_fd(master->sockets, is_next);
	}
	spawn_fds_add(keep, job->error_fd);
	spawn_fds_add(keep, job->channel);
	spawn_fds_add(keep, job->stats_fd);
	spawn_fds_add(keep, job->control_fd);
}

static void
publish_slot(const struct child *child)
{
	struct slot_info *info;

	if (child->slot == -1)
		return;
	info = shm_slot_info(child->generation->region->shm, child->slot);
	atomic_store(&info->revision, child->generation->config->revision);
	atomic_store(&info->state, SLOT_RUNNING);
	atomic_store(&info->pid, child->pid);
}

static int
child_spawn(
    struct master *master, struct generation *generation, enum child_kind kind, unsigned index)
{
	struct spawn_fds keep = { 0 };
	struct child_job job = { .config = generation->config,
		.shm = generation->region->shm,
		.error_fd = generation->error_fd,
		.slot = -1,
		.stats_fd = -1,
		.control_fd = -1 };
	struct child *child;
	int ends[2];
	pid_t pid = -1;

	if (kind == CHILD_WORKER) {
		job.slot = take_slot(master, generation->region);
		if (job.slot == -1) {
			log_errorx("no slot in shared memory for another worker");
			return -1;
		}
	}
	if (channel_open(ends) == 0) {
		job.channel = ends[1];
		build_job(&job, &keep, master, generation, kind, index);
		pid = spawn(kinds[kind].name, &generation->identity, &keep, kinds[kind].run, &job);
		close(ends[1]);
		if (pid == -1)
			close(ends[0]);
	}
	free(job.sockets);
	spawn_fds_free(&keep);
	if (pid == -1) {
		log_error("cannot start another process");
		if (job.slot != -1)
			shm_retire_slot(job.shm, job.slot);
		return -1;
	}
	child = child_new(master, generation, kind, index, job.slot, ends[0]);
	child->pid = pid;
	publish_slot(child);
	set_deadline(child, START_LIMIT_S);
	return 0;
}

static bool
has_child(const struct master *master, const struct generation *generation, enum child_kind kind,
    unsigned index)
{
	const struct child *child;

	TAILQ_FOREACH (child, &master->children, entry)
		if (child->generation == generation && child->kind == kind &&
		    child->index == index && child->state < CHILD_DRAINING)
			return true;
	return false;
}

int
children_start(struct master *master, struct generation *generation)
{
	for (unsigned i = 0; i < generation->workers; i++)
		if (!has_child(master, generation, CHILD_WORKER, i) &&
		    child_spawn(master, generation, CHILD_WORKER, i) == -1)
			return -1;
	if (!has_child(master, generation, CHILD_CONTROL, 0))
		return child_spawn(master, generation, CHILD_CONTROL, 0);
	return 0;
}

/* At once, unless children die in a row: a crash loop must not take the machine. */
static void
refill(struct master *master)
{
	uint64_t now = clock_us();
	uint64_t *oldest = &master->deaths_us[master->death_count++ % DEATHS_REMEMBERED];
	bool in_a_row = master->death_count > DEATHS_REMEMBERED &&
			now - *oldest < (uint64_t)CRASH_WINDOW_S * 1000000;
	struct timeval delay = { .tv_sec = in_a_row ? CRASH_DELAY_S : 0 };

	*oldest = now;
	if (in_a_row && evtimer_pending(master->refill, NULL))
		return;
	if (in_a_row)
		log_warnx("%d processes died within %d s; the next start waits %d s",
		    DEATHS_REMEMBERED + 1, CRASH_WINDOW_S, CRASH_DELAY_S);
	evtimer_add(master->refill, &delay);
}

static void
describe_status(int status, char text[static 96])
{
	if (WIFSIGNALED(status))
		snprintf(text, 96, "killed by signal %d (%s)%s", WTERMSIG(status),
		    strsignal(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
	else
		snprintf(text, 96, "exited with status %d", WEXITSTATUS(status));
}

static void
child_gone(struct child *child, int status)
{
	struct master *master = child->master;
	bool was_serving = child->state < CHILD_DRAINING;
	bool is_changing = child->generation == master->change.generation;
	bool is_current = child->generation == master->current;
	struct shm_global *global = shm_global(child->generation->region->shm);
	char name[64], what[96], text[192];

	describe_status(status, what);
	snprintf(text, sizeof(text), "%s %s", child_name(child, name), what);
	if (was_serving || (child->state == CHILD_DRAINING && status != 0)) {
		log_errorx("%s: %s", name, what);
		if (child->kind == CHILD_WORKER)
			atomic_fetch_add(&global->worker_deaths, 1);
	} else {
		log_debug("%s: %s", name, what);
	}
	child_free(child);
	if (was_serving && is_changing)
		reload_on_death(master, text);
	else if (was_serving && is_current && master->phase == PHASE_RUNNING)
		refill(master);
}

void
children_reap(struct master *master)
{
	struct child *child = TAILQ_FIRST(&master->children), *next;
	int status;

	for (; child != NULL; child = next) {
		next = TAILQ_NEXT(child, entry); /* a death frees that child alone */
		if (waitpid(child->pid, &status, WNOHANG) == child->pid)
			child_gone(child, status);
	}
	reload_on_drained(master);
	servers_go_on(master);
	stop_on_reap(master);
}
