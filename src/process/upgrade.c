#include "upgrade_priv.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handover_priv.h"
#include "master_priv.h"
#include "pidfile_priv.h"
#include "systemd_priv.h"
#include "weir/log.h"

enum { START_LIMIT_S = 60 };

#define UPGRADE_VARIABLE "WEIR_UPGRADE"

void
upgrade_init(struct master *master, char **argv)
{
	master->upgrade.argv = argv;
	master->upgrade.fd = master->upgrade.old_fd = -1;
}

bool
upgrade_is_under_way(const struct master *master)
{
	return master->upgrade.pid != 0;
}

static void
drop_event(struct event **event)
{
	if (*event != NULL)
		event_free(*event);
	*event = NULL;
}

static void
drop_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void
upgrade_free(struct master *master)
{
	struct upgrade *upgrade = &master->upgrade;

	drop_event(&upgrade->readable);
	drop_event(&upgrade->deadline);
	drop_event(&upgrade->old_ended);
	drop_fd(&upgrade->fd);
	drop_fd(&upgrade->old_fd);
	region_leave(upgrade->region);
	upgrade->region = NULL;
}

/* ---- the old one ---- */

/* What a new master that has died had taken: slots that are no child's of ours. */
static void
retire_foreign_slots(const struct master *master)
{
	struct shm *shm = master->current->region->shm;
	const struct child *child;
	uint64_t live[SHM_SLOTS / 64];

	shm_live_slots(shm, live);
	TAILQ_FOREACH (child, &master->children, entry)
		if (child->slot != -1 && child->generation->region->shm == shm)
			live[child->slot / 64] &= ~(UINT64_C(1) << (child->slot % 64));
	for (int slot = 1; slot < SHM_SLOTS; slot++)
		if ((live[slot / 64] >> (slot % 64) & 1) != 0)
			shm_retire_slot(shm, slot);
}

static void
upgrade_failed(struct master *master, const char *why)
{
	struct upgrade *upgrade = &master->upgrade;

	log_errorx("upgrade: %s; this binary goes on", why);
	upgrade->pid = 0;
	drop_event(&upgrade->readable);
	drop_event(&upgrade->deadline);
	drop_fd(&upgrade->fd);
	/* Where the old region did not do, the new master made its own, and this one is untouched. */
	if (master->current != NULL)
		retire_foreign_slots(master);
	master_report(master, "the last upgrade failed");
	reload_go_on(master);
}

void
upgrade_on_reap(struct master *master)
{
	struct upgrade *upgrade = &master->upgrade;
	char why[96];
	int status;

	if (upgrade->pid == 0 || waitpid(upgrade->pid, &status, WNOHANG) != upgrade->pid)
		return;
	if (upgrade->handed_over) {
		upgrade->pid = 0; /* it did what it does without us */
		return;
	}
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "the new binary was killed by signal %d",
		    WTERMSIG(status));
	else
		snprintf(why, sizeof(why), "the new binary ended with status %d",
		    WEXITSTATUS(status));
	upgrade_failed(master, why);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;

	(void)fd;
	(void)what;
	log_warnx("upgrade: the new binary does not serve after %d s, killing it", START_LIMIT_S);
	kill(master->upgrade.pid, SIGKILL);
}

/* It has written its byte.  Its end comes as SIGCHLD. */
static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;
	struct upgrade *upgrade = &master->upgrade;
	char byte;
	ssize_t n = read((int)fd, &byte, 1);

	(void)what;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	event_del(upgrade->readable);
	if (n != 1)
		return;
	drop_event(&upgrade->deadline);
	upgrade->handed_over = true;
	log_info("upgrade: process %d serves; this one finishes what it has", (int)upgrade->pid);
	systemd_notify("MAINPID=%d", (int)upgrade->pid);
	systemd_mute();
	stop_after_upgrade(master);
}

void
upgrade_cancel(struct master *master, int signal)
{
	struct upgrade *upgrade = &master->upgrade;

	if (!upgrade_is_under_way(master) || upgrade->handed_over)
		return;
	on_readable(upgrade->fd, EV_READ, master); /* it may serve already */
	if (upgrade->handed_over) {
		kill(upgrade->pid, signal);
		return;
	}
	log_warnx("upgrade: given up, as weir is stopping");
	kill(upgrade->pid, SIGKILL);
}

/* In the child: never returns. */
static void
run_new_binary(const struct master *master, int description, int ready)
{
	char number[16];

	close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	if (handover_inherit(master, description, ready) == 0) {
		snprintf(number, sizeof(number), "%d", description);
		setenv(UPGRADE_VARIABLE, number, 1);
		systemd_export();
		execvp(master->upgrade.argv[0], master->upgrade.argv);
	}
	fprintf(stderr, "weir: error: cannot run %s: %s\n", master->upgrade.argv[0],
	    strerror(errno));
	_exit(127);
}

static void
require_event(const struct event *event)
{
	if (event != NULL)
		return;
	log_error("cannot make an event");
	exit(EXIT_FAILURE);
}

static void
watch_new_binary(struct master *master, int fd)
{
	struct upgrade *upgrade = &master->upgrade;
	struct timeval limit = { .tv_sec = START_LIMIT_S };

	upgrade->fd = fd;
	upgrade->readable =
	    event_new(master->base, fd, EV_READ | EV_PERSIST, on_readable, master);
	upgrade->deadline = evtimer_new(master->base, on_deadline, master);
	require_event(upgrade->readable);
	require_event(upgrade->deadline);
	event_add(upgrade->readable, NULL);
	evtimer_add(upgrade->deadline, &limit);
}

static void
upgrade_begin(struct master *master)
{
	struct upgrade *upgrade = &master->upgrade;
	int ends[2] = { -1, -1 }, description;

	upgrade->wanted = false;
	description = memfd_create("weir-upgrade", MFD_CLOEXEC);
	if (description == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == -1 ||
	    handover_write(master, description, ends[1]) == -1) {
		log_error("upgrade: cannot hand over");
		drop_fd(&ends[0]);
	} else {
		upgrade->pid = fork();
		if (upgrade->pid == 0)
			run_new_binary(master, description, ends[1]);
		if (upgrade->pid == -1) {
			log_error("upgrade: cannot start a process");
			upgrade->pid = 0;
			drop_fd(&ends[0]);
		} else {
			log_info("upgrade: started %s as process %d", upgrade->argv[0],
			    (int)upgrade->pid);
			watch_new_binary(master, ends[0]);
		}
	}
	drop_fd(&ends[1]);
	drop_fd(&description);
}

/*
 * Not while a configuration is being changed, and not while workers of a master before this one
 * still run: should the new binary fail, nobody could tell its slots from theirs.
 */
void
upgrade_go_on(struct master *master)
{
	const struct upgrade *upgrade = &master->upgrade;

	if (upgrade->wanted && master->phase == PHASE_RUNNING && upgrade->pid == 0 &&
	    upgrade->old_fd == -1 && master->change.step == CHANGE_NONE)
		upgrade_begin(master);
}

void
upgrade_ask(struct master *master)
{
	if (master->phase >= PHASE_QUITTING) {
		log_warnx("upgrade: not while weir is stopping");
		return;
	}
	/* Its end would be that of the container, the new master included. */
	if (getpid() == 1) {
		log_warnx("upgrade: not as the first process of a container: start a new one");
		return;
	}
	master->upgrade.wanted = true;
	upgrade_go_on(master);
}

/* ---- the new one ---- */

unsigned
upgrade_oldest(const struct master *master)
{
	return master->upgrade.old_fd != -1 ? master->upgrade.old_generation : UINT_MAX;
}

static void
on_old_ended(evutil_socket_t fd, short what, void *arg)
{
	struct master *master = arg;
	struct upgrade *upgrade = &master->upgrade;

	(void)fd;
	(void)what;
	drop_event(&upgrade->old_ended);
	drop_fd(&upgrade->old_fd);
	if (master->phase != PHASE_RUNNING)
		return;
	log_info("upgrade: the process before has ended");
	master_report(master, NULL);
	upgrade_go_on(master);
}

int
upgrade_take(struct master *master)
{
	const char *number = getenv(UPGRADE_VARIABLE);
	struct upgrade *upgrade = &master->upgrade;
	int description;

	if (number == NULL)
		return 0;
	description = atoi(number);
	unsetenv(UPGRADE_VARIABLE);
	if (handover_read(master, description) == -1) {
		log_errorx("upgrade: cannot take over from the process before");
		return -1;
	}
	upgrade->is_taking = true;
	upgrade->old_ended =
	    event_new(master->base, upgrade->old_fd, EV_READ, on_old_ended, master);
	require_event(upgrade->old_ended);
	event_add(upgrade->old_ended, NULL);
	return 0;
}

void
upgrade_tell(struct master *master)
{
	struct upgrade *upgrade = &master->upgrade;

	if (!upgrade->is_taking)
		return;
	upgrade->is_taking = false;
	sockets_own(master->sockets);
	region_leave(upgrade->region);
	upgrade->region = NULL;
	if (pidfile_write(master->pid_fd) == -1)
		log_warn("cannot write pid file %s", master->pid_path);
	/* One that has died meanwhile needs no telling. */
	if (upgrade->old_fd != -1 && send(upgrade->old_fd, "R", 1, MSG_NOSIGNAL) == -1)
		log_warn("upgrade: cannot tell the process before");
}
