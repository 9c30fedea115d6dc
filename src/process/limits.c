#include "weir/limits.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "weir/arena.h"
#include "weir/file.h"

enum {
	TEXT_MAX = 64 * 1024,
	DESCRIPTORS_MIN = 4096, /* per worker, when the configuration names no number */
	SOMAXCONN_MIN = 1024,
	PORTS_MIN = 10000,
	CONNECTION_BYTES = 4096, /* of one with TLS, idle; its socket's buffers are the kernel's */
};

/* Version 1 of control groups says "no limit" with the largest number of whole pages. */
static const uint64_t GROUP_UNLIMITED = UINT64_C(1) << 60;

/* The first numbers in a file of /proc; how many there are of the two. */
static int
read_numbers(const char *path, uint64_t numbers[static 2])
{
	size_t len;
	char *text = file_read(path, TEXT_MAX, &len);
	int count = text != NULL
			? sscanf(text, "%" SCNu64 " %" SCNu64, &numbers[0], &numbers[1])
			: 0;

	free(text);
	return count > 0 ? count : 0;
}

static uint64_t
read_available_memory(void)
{
	size_t len;
	char *text = file_read("/proc/meminfo", TEXT_MAX, &len);
	const char *line = text != NULL ? strstr(text, "\nMemAvailable:") : NULL;
	uint64_t kib = 0;

	if (line != NULL && sscanf(line, "\nMemAvailable: %" SCNu64, &kib) != 1)
		kib = 0;
	free(text);
	return kib * 1024;
}

/* The least of what `file` says in `directory` and those above it, up to `root`; 0: no limit. */
static uint64_t
read_group_limit(const char *root, const char *directory, const char *file)
{
	char *at = xprintf("%s%s", root, directory);
	uint64_t least = 0, numbers[2];

	while (strlen(at) >= strlen(root)) {
		char *path = xprintf("%s/%s", at, file), *slash;

		/* "max", or more than there can be: no limit here. */
		if (read_numbers(path, numbers) >= 1 && numbers[0] < GROUP_UNLIMITED &&
		    (least == 0 || numbers[0] < least))
			least = numbers[0];
		free(path);
		if ((slash = strrchr(at, '/')) == NULL)
			break;
		*slash = '\0';
	}
	free(at);
	return least;
}

/*
 * What the control groups of this process allow: MemoryMax= of a unit, the limit of a container.
 * Source: cgroups(7); a line of /proc/self/cgroup is NUMBER:CONTROLLERS:PATH, with no controllers
 * for version 2.
 */
static uint64_t
read_group_memory(void)
{
	size_t len;
	char *text = file_read("/proc/self/cgroup", TEXT_MAX, &len), *rest = text, *line;
	uint64_t least = 0;

	while (rest != NULL && (line = strsep(&rest, "\n")) != NULL) {
		char *controllers = strchr(line, ':'),
		     *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
		uint64_t limit = 0;

		if (path == NULL)
			continue;
		*path++ = '\0';
		if (strcmp(controllers, ":") == 0)
			limit = read_group_limit("/sys/fs/cgroup", path, "memory.max");
		else if (strcmp(controllers, ":memory") == 0)
			limit = read_group_limit(
			    "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes");
		if (limit != 0 && (least == 0 || limit < least))
			least = limit;
	}
	free(text);
	return least;
}

void
limits_find(struct limits_found *found)
{
	struct rlimit limit;
	uint64_t numbers[2], group = read_group_memory();

	*found = (struct limits_found){ .memory = read_available_memory() };
	if (group != 0 && (found->memory == 0 || group < found->memory))
		found->memory = group;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		found->descriptors = limit.rlim_cur;
	if (read_numbers("/proc/sys/net/core/somaxconn", numbers) >= 1)
		found->somaxconn = numbers[0];
	if (read_numbers("/proc/sys/net/ipv4/ip_local_port_range", numbers) == 2 &&
	    numbers[1] >= numbers[0])
		found->ports = numbers[1] - numbers[0] + 1;
}

struct judge {
	void (*warn)(void *arg, const char *text);
	void *arg;
};

static void __attribute__((format(printf, 2, 3)))
say(const struct judge *judge, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = xvprintf(format, args);
	va_end(args);
	judge->warn(judge->arg, text);
	free(text);
}

/* A number that the configuration gives is compared when it is loaded (generation.c). */
static void
judge_descriptors(
    const struct judge *judge, const struct limits_found *found, const struct config *config)
{
	if (config->global.limits.connections == CONF_AUTO && found->descriptors != 0 &&
	    found->descriptors < DESCRIPTORS_MIN)
		say(judge,
		    "each worker may open %" PRIu64 " files only, and a proxied connection takes "
		    "two; mend it with LimitNOFILE=65536 in the service's unit, or ulimit -n 65536",
		    found->descriptors);
}

static void
judge_ports(const struct judge *judge, const struct limits_found *found,
    const struct config *config, unsigned workers)
{
	static const char *const command =
	    "sysctl -w net.ipv4.ip_local_port_range='1024 65535'";
	uint64_t connections = (uint64_t)config->global.limits.connections * workers;

	if (found->ports == 0)
		return;
	if (found->ports < PORTS_MIN) {
		say(judge,
		    "%" PRIu64 " local ports are few: so many connections can be open to one "
		    "server; mend it with: %s",
		    found->ports, command);
		return;
	}
	for (size_t i = 0; i < config->pool_count; i++) {
		const struct pool_config *pool = &config->pools[i];

		if (pool->server_count == 0 || connections <= found->ports * pool->server_count)
			continue;
		say(judge,
		    "pool %s: %" PRIu64 " connections may want its %zu servers at a time, and "
		    "there are %" PRIu64 " local ports for each; mend it with: %s",
		    pool->name, connections, pool->server_count, found->ports, command);
		return; /* the others would say the same */
	}
}

void
limits_judge(const struct limits_found *found, const struct config *config, unsigned workers,
    void (*warn)(void *arg, const char *text), void *arg)
{
	const struct judge judge = { warn, arg };
	uint64_t connections = (uint64_t)config->global.limits.connections * workers;

	judge_descriptors(&judge, found, config);
	if (found->somaxconn != 0 && found->somaxconn < SOMAXCONN_MIN)
		say(&judge,
		    "only %" PRIu64 " new connections may wait at a socket, so bursts are lost; "
		    "mend it with: sysctl -w net.core.somaxconn=4096",
		    found->somaxconn);
	judge_ports(&judge, found, config, workers);
	if (found->memory != 0 && connections * CONNECTION_BYTES > found->memory)
		say(&judge,
		    "%" PRIu64 " connections (global.limits.connections times workers) may take "
		    "%" PRIu64 " MiB, and %" PRIu64 " are available; lower the limit or add memory",
		    connections, connections * CONNECTION_BYTES >> 20, found->memory >> 20);
}
