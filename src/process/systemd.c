#include "systemd_priv.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "weir/clock.h"
#include "weir/log.h"

static struct sockaddr_un manager; /* sun_family 0: nobody listens */
static socklen_t manager_len;
static uint64_t watchdog_us;

/* The watchdog is meant for one process: ours, or, without WATCHDOG_PID, whoever reads it. */
static void
read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (usec == NULL || (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid()))
		return;
	watchdog_us = strtoull(usec, NULL, 10) / 2; /* sd_watchdog_enabled(3): half of the limit */
}

void
systemd_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path != NULL ? strlen(path) : 0;

	if (len >= 2 && len < sizeof(manager.sun_path) && (path[0] == '/' || path[0] == '@')) {
		manager.sun_family = AF_UNIX;
		memcpy(manager.sun_path, path, len);
		if (path[0] == '@') /* abstract: the name follows a NUL */
			manager.sun_path[0] = '\0';
		manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
		read_watchdog();
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void
systemd_export(void)
{
	char path[sizeof(manager.sun_path) + 1] = "", usec[32];
	size_t len = manager_len - offsetof(struct sockaddr_un, sun_path);

	if (manager.sun_family == 0)
		return;
	memcpy(path, manager.sun_path, len);
	if (path[0] == '\0')
		path[0] = '@';
	setenv("NOTIFY_SOCKET", path, 1);
	if (watchdog_us == 0)
		return;
	snprintf(usec, sizeof(usec), "%llu", (unsigned long long)watchdog_us * 2);
	setenv("WATCHDOG_USEC", usec, 1);
}

void
systemd_mute(void)
{
	manager.sun_family = 0;
}

void
systemd_notify(const char *format, ...)
{
	char text[1024];
	va_list args;
	int fd;

	if (manager.sun_family == 0)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&manager,
			    manager_len) == -1)
		log_warn("service manager: cannot send a notification");
	if (fd != -1)
		close(fd);
}

void
systemd_notify_reloading(void)
{
	systemd_notify(
	    "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading", (unsigned long long)clock_us());
}

uint64_t
systemd_watchdog_us(void)
{
	return watchdog_us;
}
