#include "spawn_priv.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "weir/arena.h"
#include "weir/log.h"

/* What a child does with each signal; the others have their default action. */
static const struct {
	int number;
	void (*handler)(int);
} child_signals[] = {
	{ SIGCHLD, SIG_DFL },
	{ SIGTERM, SIG_DFL },
	{ SIGPIPE, SIG_IGN }, /* a peer that went away is an error of write(), nothing more */
	/* A terminal sends these to the whole process group: they are for the master alone. */
	{ SIGINT, SIG_IGN },
	{ SIGQUIT, SIG_IGN },
	{ SIGHUP, SIG_IGN },
	{ SIGUSR1, SIG_IGN },
	{ SIGUSR2, SIG_IGN },
};

void
spawn_fds_add(struct spawn_fds *fds, int fd)
{
	if (fd == -1)
		return;
	if (fds->count == fds->size) {
		fds->size = fds->size > 0 ? fds->size * 2 : 32;
		fds->list = xrealloc(fds->list, fds->size * sizeof(*fds->list));
	}
	fds->list[fds->count++] = fd;
}

void
spawn_fds_free(struct spawn_fds *fds)
{
	free(fds->list);
	*fds = (struct spawn_fds){ 0 };
}

int
identity_find(struct identity *identity, const char *user, struct where where, struct diag *diag)
{
	const struct passwd *entry;

	*identity = (struct identity){ .change = geteuid() == 0, .name = user };
	if (!identity->change)
		return 0;
	errno = 0;
	entry = getpwnam(user);
	if (entry == NULL) {
		if (errno != 0 && errno != ENOENT)
			diag_error(
			    diag, where, "cannot look up user %s: %s", user, strerror(errno));
		else
			diag_error(diag, where,
			    "user %s does not exist; create it with: useradd --system --user-group "
			    "--no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin %s",
			    user, user);
		return -1;
	}
	identity->uid = entry->pw_uid;
	identity->gid = entry->pw_gid;
	return 0;
}

static void
reset_signals(void)
{
	sigset_t none;

	for (size_t i = 0; i < sizeof(child_signals) / sizeof(child_signals[0]); i++) {
		struct sigaction action = { .sa_handler = child_signals[i].handler };

		sigaction(child_signals[i].number, &action, NULL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
compare_fds(const void *left, const void *right)
{
	int a = *(const int *)left, b = *(const int *)right;

	return (a > b) - (a < b);
}

/* Close every gap between the descriptors to keep. */
static void
close_others(struct spawn_fds *keep)
{
	unsigned first = STDERR_FILENO + 1;

	qsort(keep->list, keep->count, sizeof(*keep->list), compare_fds);
	for (size_t i = 0; i < keep->count; i++) {
		unsigned fd = (unsigned)keep->list[i];

		if (fd > first)
			close_range(first, fd - 1, 0);
		if (fd >= first)
			first = fd + 1;
	}
	close_range(first, UINT32_MAX, 0);
}

void
spawn_alone(int log_fd)
{
	struct spawn_fds keep = { 0 };

	reset_signals();
	spawn_fds_add(&keep, log_fd);
	close_others(&keep);
	spawn_fds_free(&keep);
}

/* Nothing here may fail and go on: a child that keeps a right it should not have is worse than
 * none. */
static int
drop_privileges(const struct identity *identity)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
		log_error("cannot forbid new privileges");
		return -1;
	}
	if (!identity->change)
		return 0;
	if (initgroups(identity->name, identity->gid) == -1 ||
	    setresgid(identity->gid, identity->gid, identity->gid) == -1 ||
	    setresuid(identity->uid, identity->uid, identity->uid) == -1) {
		log_error("cannot become user %s", identity->name);
		return -1;
	}
	if (identity->uid != 0 && (setuid(0) != -1 || seteuid(0) != -1)) {
		log_errorx("user %s could become root again", identity->name);
		return -1;
	}
	return 0;
}

/*
 * After the change of user, which would undo it.  SIGKILL, as the sockets of a process that is
 * frozen would be in the way of the next master.
 */
static int
die_with(pid_t master)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1) {
		log_error("cannot arrange to end with the master");
		return -1;
	}
	return getppid() == master ? 0 : -1; /* it may have died before */
}

pid_t
spawn(const char *process, const struct identity *identity, struct spawn_fds *keep,
    int (*run)(void *arg), void *arg)
{
	pid_t master = getpid(), pid;
	sigset_t all, before;

	fflush(NULL); /* else the child would write it once more */
	/* Until the child has its own handlers, a signal would wake the master's event loop by the
	 * shared pipe. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	if (pid == 0) {
		log_set_process(process);
		reset_signals();
		close_others(keep);
		if (drop_privileges(identity) == -1 || die_with(master) == -1)
			_exit(EXIT_FAILURE);
		exit(run(arg));
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}
