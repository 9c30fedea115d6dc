#include "weir/syslog.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SYSLOG_PORT = 514 };

/* RFC 5424 section 6: visible ASCII, "-" where nothing is known. */
static void
find_host(char host[static 256])
{
	if (gethostname(host, 255) == -1)
		host[0] = '\0';
	host[255] = '\0';
	for (char *p = host; *p != '\0'; p++)
		if (*p <= 0x20 || *p >= 0x7f)
			*p = '_';
	if (host[0] == '\0')
		memcpy(host, "-", 2);
}

int
syslog_target_init(struct syslog_target *target, const char *server, unsigned facility)
{
	struct addr addr;

	memset(target, 0, sizeof(*target));
	target->facility = facility;
	find_host(target->host);
	if (server[0] == '/') {
		if (strlen(server) >= sizeof(target->un.sun_path))
			return -1;
		target->un.sun_family = AF_UNIX;
		strcpy(target->un.sun_path, server);
		target->len = sizeof(target->un);
		return 0;
	}
	if (addr_parse(&addr, server, SYSLOG_PORT) == -1)
		return -1;
	memcpy(&target->sa, &addr.sa, addr.len);
	target->len = addr.len;
	return 0;
}

int
syslog_open(const struct syslog_target *target)
{
	return socket(target->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

size_t
syslog_head(const struct syslog_target *target, unsigned severity, const char *id,
    char text[static SYSLOG_HEAD_SIZE])
{
	struct timespec now;
	struct tm tm;
	int len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = snprintf(text, SYSLOG_HEAD_SIZE,
	    "<%u>1 %04d-%02d-%02dT%02d:%02d:%02d.%06ldZ %s weir %d %s - ",
	    target->facility * 8 + severity, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000, target->host, (int)getpid(), id);
	return len > 0 && len < SYSLOG_HEAD_SIZE ? (size_t)len : 0;
}
