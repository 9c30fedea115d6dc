/*
 * clock: the time, read once per turn of the event loop.
 *
 * Runs in: every program.  clock_update() is called first thing after the loop wakes; everything else reads the
 * variables, so that no system call or vDSO call stands on the fast path.
 */
#ifndef WEIR_CLOCK_H
#define WEIR_CLOCK_H

#include <stdint.h>
#include <time.h>

extern uint64_t now_ms;   /* CLOCK_MONOTONIC, milliseconds; for deadlines and durations */
extern time_t now_wall_s; /* CLOCK_REALTIME, seconds; for log lines and dates */

void clock_update(void);
/* Monotonic microseconds, read now; for the durations in the access log. */
uint64_t clock_us(void);

#endif
