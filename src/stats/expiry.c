#include "weir/expiry.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <event2/event.h>

#include "weir/arena.h"
#include "weir/clock.h"
#include "weir/conf.h"
#include "weir/log.h"

enum { LOOK_S = 60 * 60, DAY_S = 24 * 60 * 60 };

/* Days left at which something is said, the earliest first. */
static const int expiry_days[] = { 30, 7, 1, 0 };

enum { STAGES = sizeof(expiry_days) / sizeof(expiry_days[0]) };

struct expiry {
	const struct config *config;
	struct event *timer;   /* owned */
	unsigned char *stages; /* owned; how many of expiry_days each certificate has passed */
};

static unsigned char
stage_of(time_t not_after)
{
	unsigned char stage = 0;

	while (stage < STAGES && not_after - now_wall_s <= (time_t)expiry_days[stage] * DAY_S)
		stage++;
	return stage;
}

static void
tell(const struct certificate_info *info)
{
	char date[32] = "?";
	struct tm tm;
	long left_s = (long)(info->not_after - now_wall_s);

	if (gmtime_r(&info->not_after, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (left_s <= 0)
		log_warnx("certificate %s, %s: expired at %s", info->id, info->key, date);
	else if (left_s < 2 * DAY_S)
		log_warnx("certificate %s, %s: expires in %ld hours, at %s", info->id, info->key,
		    left_s / 3600, date);
	else
		log_warnx("certificate %s, %s: expires in %ld days, at %s", info->id, info->key,
		    left_s / DAY_S, date);
}

static void
expiry_look(struct expiry *expiry)
{
	for (size_t i = 0; i < expiry->config->certificate_count; i++) {
		const struct certificate_info *info = &expiry->config->certificates[i];
		unsigned char stage = stage_of(info->not_after);

		if (stage > expiry->stages[i])
			tell(info);
		expiry->stages[i] = stage;
	}
}

static void
expiry_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	clock_update();
	expiry_look(arg);
}

struct expiry *
expiry_start(struct event_base *base, const struct config *config)
{
	static const struct timeval hour = { .tv_sec = LOOK_S };
	struct expiry *expiry;

	if (config->certificate_count == 0)
		return NULL;
	expiry = xcalloc(1, sizeof(*expiry));
	expiry->config = config;
	expiry->stages = xcalloc(config->certificate_count, 1);
	expiry->timer = event_new(base, -1, EV_PERSIST, expiry_on_timer, expiry);
	if (expiry->timer != NULL)
		event_add(expiry->timer, &hour);
	clock_update();
	expiry_look(expiry);
	return expiry;
}

void
expiry_stop(struct expiry *expiry)
{
	if (expiry == NULL)
		return;
	if (expiry->timer != NULL)
		event_free(expiry->timer);
	free(expiry->stages);
	free(expiry);
}
