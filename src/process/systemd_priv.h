/*
 * systemd: tell the service manager what the daemon is doing (sd_notify(3), the protocol alone).
 *
 * Runs in: master.  Without NOTIFY_SOCKET in the environment all of it does nothing.
 */
#ifndef WEIR_SYSTEMD_PRIV_H
#define WEIR_SYSTEMD_PRIV_H

#include <stdint.h>

/* Reads the environment once and removes what concerns this process from it. */
void systemd_init(void);
/* Put back what systemd_init() removed, for a program that takes this one's place.  Context: the child that runs it. */
void systemd_export(void);
/* Another process speaks to the manager from now on. */
void systemd_mute(void);
/* "READY=1\nSTATUS=...": assignments, one per line. */
void systemd_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* RELOADING=1 with the time that newer managers want beside it. */
void systemd_notify_reloading(void);
/* How often WATCHDOG=1 is due, in microseconds; 0: never. */
uint64_t systemd_watchdog_us(void);

#endif
