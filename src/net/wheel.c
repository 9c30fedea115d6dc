#include "weir/wheel.h"

#include <event2/event.h>
#include <stddef.h>

enum { WHEEL_SLOTS = 1024 }; /* x 64 ms: 65 s; what is further away goes round */

static struct {
	struct timer *slots[WHEEL_SLOTS];
	uint64_t tick;       /* slots up to here have been looked at */
	struct event *event; /* owned */
} wheel;

static void
unlink_timer(struct timer *timer)
{
	*timer->link = timer->next;
	if (timer->next != NULL)
		timer->next->link = timer->link;
	timer->link = NULL;
}

void
timer_stop(struct timer *timer)
{
	timer->deadline_ms = 0;
	if (timer->link != NULL)
		unlink_timer(timer);
}

void
wheel_place(struct timer *timer)
{
	uint64_t tick = (timer->deadline_ms >> WHEEL_TICK_SHIFT) + 1;
	struct timer **slot;

	if (timer->link != NULL)
		unlink_timer(timer);
	if (tick <= wheel.tick)
		tick = wheel.tick + 1;
	if (tick > wheel.tick + WHEEL_SLOTS - 1)
		tick = wheel.tick + WHEEL_SLOTS - 1;
	slot = &wheel.slots[tick % WHEEL_SLOTS];
	timer->due_tick = tick;
	timer->next = *slot;
	if (timer->next != NULL)
		timer->next->link = &timer->next;
	timer->link = slot;
	*slot = timer;
}

static void
run_slot(struct timer **slot)
{
	/* A callback may stop any timer, also ones of this list: take them one by one from a list
	 * of our own. */
	struct timer *due = *slot;

	*slot = NULL;
	if (due != NULL)
		due->link = &due;
	while (due != NULL) {
		struct timer *timer = due;

		unlink_timer(timer);
		if (timer->deadline_ms == 0)
			continue;
		if (timer->deadline_ms > now_ms) {
			wheel_place(timer);
			continue;
		}
		timer->deadline_ms = 0;
		timer->on_fire(timer);
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	uint64_t target;

	(void)fd;
	(void)what;
	(void)arg;
	clock_update();
	target = now_ms >> WHEEL_TICK_SHIFT;
	if (target > wheel.tick + WHEEL_SLOTS)
		wheel.tick = target - WHEEL_SLOTS; /* slept long: each slot once is enough */
	while (wheel.tick < target) {
		wheel.tick++;
		run_slot(&wheel.slots[wheel.tick % WHEEL_SLOTS]);
	}
}

void
wheel_init(struct event_base *base)
{
	static const struct timeval period = { .tv_usec = (1 << WHEEL_TICK_SHIFT) * 1000 };

	clock_update();
	wheel.tick = now_ms >> WHEEL_TICK_SHIFT;
	wheel.event = event_new(base, -1, EV_PERSIST, on_tick, NULL);
	event_add(wheel.event, &period);
}

void
wheel_fini(void)
{
	if (wheel.event != NULL)
		event_free(wheel.event);
	wheel.event = NULL;
}
