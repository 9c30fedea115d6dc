#include "watch_priv.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/arena.h"
#include "weir/clock.h"

#include "run_priv.h"

enum {
	QUIET_MS = 200,     /* changes come in groups: begin when the last is this old */
	PATIENCE_MS = 2000, /* but do not wait longer than this for quiet */
	RETRY_MS = 1000,    /* look again for a path that is not there */
};

static const uint32_t mask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE |
			     IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

/*
 * One path that is followed.  A file may be replaced by another of the same name, a link may lead
 * elsewhere: so the directory that it is in is watched for its name, too.
 */
struct followed {
	const char *path;
	char *parent, *name;     /* owned */
	int parent_watch, watch; /* -1: not there */
	bool is_directory;
};

struct watcher {
	const struct options *options;
	struct followed *items; /* owned */
	size_t count;
	int inotify, signals;
	struct known known;
	bool reload_is_due; /* written, but the daemon did not take it */
};

static void
follow(struct followed *item, const char *path)
{
	char *a = xstrdup(path), *b = xstrdup(path);

	*item = (struct followed){ .path = path,
		.parent = xstrdup(dirname(a)),
		.name = xstrdup(basename(b)),
		.parent_watch = -1,
		.watch = -1 };
	free(a);
	free(b);
}

/* Watch what can be watched.  Returns whether something is missing; *appeared: or is there now. */
static bool
arm(struct watcher *w, bool *appeared)
{
	bool is_missing = false;

	for (size_t i = 0; i < w->count; i++) {
		struct followed *item = &w->items[i];
		bool was_there = item->watch != -1;
		struct stat st;

		item->parent_watch = inotify_add_watch(w->inotify, item->parent, mask);
		item->watch = inotify_add_watch(w->inotify, item->path, mask);
		item->is_directory = stat(item->path, &st) == 0 && S_ISDIR(st.st_mode);
		is_missing = is_missing || item->watch == -1;
		*appeared = *appeared || (!was_there && item->watch != -1);
	}
	return is_missing;
}

static bool
is_manifest_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL &&
	       (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0 || strcmp(dot, ".json") == 0);
}

/* Is it about something that is read?  Kubernetes changes all files of a volume by one link,
 * "..data". */
static bool
is_relevant(const struct watcher *w, const struct inotify_event *event)
{
	const char *name = event->len > 0 ? event->name : NULL;

	if ((event->mask & IN_Q_OVERFLOW) != 0)
		return true;
	for (size_t i = 0; i < w->count; i++) {
		const struct followed *item = &w->items[i];

		if (event->wd == item->watch &&
		    (!item->is_directory || name == NULL || is_manifest_name(name) ||
			strncmp(name, "..", 2) == 0))
			return true;
		if (event->wd == item->parent_watch && name != NULL &&
		    (strcmp(name, item->name) == 0 || strncmp(name, "..", 2) == 0))
			return true;
	}
	return false;
}

/* Takes all events that are there.  Returns whether one of them matters. */
static bool
take_events(const struct watcher *w)
{
	_Alignas(struct inotify_event) char buf[64 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
	bool found = false;
	ssize_t len;

	while ((len = read(w->inotify, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < len;) {
			const struct inotify_event *event = (const void *)(buf + at);

			found = found || is_relevant(w, event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	return found;
}

/* Returns the signal that ends the process; 0: SIGHUP, or none. */
static int
take_signal(const struct watcher *w, bool *is_due)
{
	struct signalfd_siginfo info;

	if (read(w->signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	if (info.ssi_signo != SIGHUP)
		return (int)info.ssi_signo;
	*is_due = true;
	return 0;
}

enum turn { TURN_GENERATE, TURN_LOOK_AGAIN, TURN_END };

/* What has been seen of a group of changes. */
struct group {
	bool is_due;
	uint64_t first_ms, last_ms;
};

static void
group_add(struct group *group)
{
	group->last_ms = clock_us() / 1000;
	if (!group->is_due)
		group->first_ms = group->last_ms;
	group->is_due = true;
}

/* How long to wait for more of it, in milliseconds; 0: it is over. */
static int
group_wait(const struct group *group)
{
	uint64_t quiet = group->last_ms + QUIET_MS, end = group->first_ms + PATIENCE_MS;
	uint64_t until = quiet < end ? quiet : end, now = clock_us() / 1000;

	return until > now ? (int)(until - now) : 0;
}

/* Wait for something to do, and for the end of a group of changes. */
static enum turn
wait_for_change(struct watcher *w, bool is_missing)
{
	struct pollfd fds[] = { { .fd = w->inotify, .events = POLLIN },
		{ .fd = w->signals, .events = POLLIN } };
	struct group group = { 0 };

	for (;;) {
		int ready = poll(fds, 2,
		    group.is_due ? group_wait(&group)
		    : is_missing ? RETRY_MS
				 : -1);
		bool is_asked = false;

		if ((ready == -1 && errno != EINTR) ||
		    (ready > 0 && take_signal(w, &is_asked) != 0))
			return TURN_END;
		/* Other files of the directory may change all the time. */
		if (take_events(w) || is_asked)
			group_add(&group);
		if (group.is_due && group_wait(&group) == 0)
			return TURN_GENERATE;
		if (!group.is_due && ready == 0)
			return TURN_LOOK_AGAIN;
	}
}

static void
generate(struct watcher *w)
{
	bool changed = false;
	int status = run_once(w->options, &w->known, w->reload_is_due, &changed);

	w->reload_is_due = status != EXIT_DONE && (changed || w->reload_is_due);
	if (status != EXIT_DONE && !changed)
		fprintf(stderr, "weirgen: %s stays as it was\n", w->options->output);
	else if (changed)
		fprintf(stderr, "weirgen: %s is new%s\n", w->options->output,
		    !w->options->reload   ? ""
		    : status == EXIT_DONE ? ", and weir took it"
					  : ", but weir did not take it");
	malloc_trim(0); /* the next change may be far away */
}

static int
watcher_init(struct watcher *w, const struct options *options)
{
	sigset_t set;

	*w = (struct watcher){ .options = options };
	w->items = xcalloc(options->path_count + 1, sizeof(*w->items));
	for (size_t i = 0; i < options->path_count; i++)
		follow(&w->items[w->count++], options->paths[i]);
	if (options->site != NULL)
		follow(&w->items[w->count++], options->site);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	w->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	w->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->signals != -1 && w->inotify != -1)
		return 0;
	fprintf(stderr, "weirgen: error: files cannot be followed: %s\n", strerror(errno));
	return -1;
}

static void
watcher_fini(struct watcher *w)
{
	for (size_t i = 0; i < w->count; i++) {
		free(w->items[i].parent);
		free(w->items[i].name);
	}
	free(w->items);
	known_fini(&w->known);
	if (w->inotify != -1)
		close(w->inotify);
	if (w->signals != -1)
		close(w->signals);
}

int
watch_run(const struct options *options)
{
	struct watcher w;
	enum turn turn = TURN_GENERATE;
	int status = watcher_init(&w, options) == 0 ? EXIT_DONE : EXIT_FAULT;

	while (status == EXIT_DONE && turn != TURN_END) {
		bool is_due = turn == TURN_GENERATE;
		/* before the files are read: what changes from now on is seen */
		bool is_missing = arm(&w, &is_due);

		if (is_due)
			generate(&w);
		turn = wait_for_change(&w, is_missing);
	}
	watcher_fini(&w);
	return status;
}
