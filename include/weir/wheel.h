/*
 * wheel: deadlines of connections, checked lazily.
 *
 * Runs in: worker; one wheel per process.  Setting a later deadline is one store: the timer stays in its slot, and when
 * the slot comes up it is put where its deadline now says.  Only an earlier deadline moves it at once.  So a request
 * costs no timer operation.  Deadlines are kept to a tick of 64 ms: they fire late, never early.
 */
#ifndef WEIR_WHEEL_H
#define WEIR_WHEEL_H

#include <stddef.h>
#include <stdint.h>

#include "weir/clock.h"

struct event_base;

struct timer {
	struct timer *next, **link; /* the slot's list; link NULL: not in the wheel */
	uint64_t deadline_ms;       /* 0: none */
	uint64_t due_tick;          /* when its slot comes up */
	void (*on_fire)(struct timer *timer); /* may stop or free the timer's owner */
};

/* Starts the ticking on `base`. */
void wheel_init(struct event_base *base);
void wheel_fini(void);

/* Places the timer; call through timer_set(). */
void wheel_place(struct timer *timer);

static inline void
timer_init(struct timer *timer, void (*on_fire)(struct timer *))
{
	*timer = (struct timer){ .on_fire = on_fire };
}

enum { WHEEL_TICK_SHIFT = 6 };

/* Fire `timeout_ms` from now_ms on, instead of when it would have. */
static inline void
timer_set(struct timer *timer, uint32_t timeout_ms)
{
	timer->deadline_ms = now_ms + timeout_ms;
	if (timer->link == NULL || (timer->deadline_ms >> WHEEL_TICK_SHIFT) + 1 < timer->due_tick)
		wheel_place(timer);
}

/* It does not fire until set again; the slot forgets it by itself. */
static inline void
timer_clear(struct timer *timer)
{
	timer->deadline_ms = 0;
}

/* Before the owner's memory goes. */
void timer_stop(struct timer *timer);

#endif
