#include "generation_priv.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "state_priv.h"
#include "weir/acl.h"
#include "weir/arena.h"
#include "weir/file.h"
#include "weir/pool.h"
#include "weir/rate.h"
#include "weir/tls_context.h"

enum {
	ENTITIES_MIN = 4096,
	FDS_RESERVED = 64 /* of a worker, besides those of connections and listening sockets */
};

static unsigned
workers_wanted(const struct config *config, struct diag *diag)
{
	struct where where = { .file = config->file };
	unsigned count = config->global.workers;
	cpu_set_t set;

	if (count == CONF_AUTO) {
		count =
		    sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
		if (count > WORKERS_MAX)
			count = WORKERS_MAX;
	} else if (count > WORKERS_MAX) {
		diag_error(
		    diag, where, "global.workers is %u; allowed are 1 to %d", count, WORKERS_MAX);
	}
	return count;
}

/* A proxied connection takes two descriptors. */
static void
check_descriptors(const struct config *config, struct diag *diag)
{
	struct where where = { .file = config->file };
	unsigned long needed = 2UL * config->global.limits.connections + FDS_RESERVED;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < needed)
		diag_warning(diag, where,
		    "global.limits.connections is %u, which takes %lu descriptors; the limit is "
		    "%llu "
		    "(RLIMIT_NOFILE)",
		    config->global.limits.connections, needed, (unsigned long long)limit.rlim_max);
}

/* What needs no open file: shared by a start and by -t. */
static struct config *
load(const char *file, struct identity *identity, unsigned *workers, uint64_t *files_seen,
    struct diag *diag)
{
	struct config *config = conf_load(file, diag);
	struct where where = { .file = file };

	if (config == NULL)
		return NULL;
	file_watch_reads();
	tls_load(config, diag);
	conf_load_errors(config, diag);
	*files_seen = file_reads_seen();
	identity_find(identity, config->global.user, where, diag);
	*workers = workers_wanted(config, diag);
	check_descriptors(config, diag);
	if (diag_errors(diag) == 0)
		return config;
	tls_unload(config);
	conf_free(config);
	return NULL;
}

struct config *
generation_check(const char *file, struct diag *diag)
{
	struct identity identity;
	uint64_t files_seen;
	unsigned workers;
	struct config *config = load(file, &identity, &workers, &files_seen, diag);

	if (config == NULL)
		return NULL;
	logs_check(config, diag);
	return config;
}

/* The region in force serves a new configuration too if that fits. */
static struct region *
region_reuse(struct config *config, struct region *current, unsigned oldest)
{
	if (current == NULL || current->sticky_entries != config->global.limits.sticky_entries ||
	    shm_bind_config(current->shm, config, oldest) == -1)
		return NULL;
	current->users++;
	return current;
}

/* Room for twice of what is needed: the next configurations come with other names before the old
 * ones are gone. */
static struct region *
region_new(struct config *config, struct region *current, unsigned oldest, struct diag *diag)
{
	struct where where = { .file = config->file };
	struct region *region = xcalloc(1, sizeof(*region));
	size_t capacity = 2 * shm_needed(config);

	if (current != NULL)
		capacity += shm_capacity(current->shm);
	if (capacity < ENTITIES_MIN)
		capacity = ENTITIES_MIN;
	if (capacity > SHM_CAPACITY_MAX)
		capacity = SHM_CAPACITY_MAX;
	region->users = 1;
	region->sticky_entries = config->global.limits.sticky_entries;
	region->shm = shm_new(capacity, region->sticky_entries);
	if (region->shm != NULL && current != NULL)
		shm_copy(region->shm, current->shm);
	if (region->shm == NULL)
		diag_error(diag, where, "cannot make shared memory for %zu objects: %s", capacity,
		    strerror(errno));
	else if (shm_bind_config(region->shm, config, oldest) == -1)
		diag_error(diag, where,
		    "%zu listeners, pools, servers and routes are too many; allowed are %d",
		    shm_needed(config), SHM_CAPACITY_MAX);
	else {
		if (current == NULL)
			state_load(region->shm, config);
		return region;
	}
	shm_free(region->shm);
	free(region);
	return NULL;
}

struct region *
region_take(struct shm *shm, unsigned sticky_entries)
{
	struct region *region = xcalloc(1, sizeof(*region));

	*region = (struct region){ .shm = shm, .sticky_entries = sticky_entries, .users = 1 };
	return region;
}

void
region_leave(struct region *region)
{
	if (region == NULL || --region->users > 0)
		return;
	shm_free(region->shm);
	free(region);
}

static void
compile_sources(struct arena *arena, const struct route_config *route)
{
	for (size_t i = 0; i < route->when_count; i++) {
		struct condition_config *c = &route->when[i];

		if (c->source_count > 0)
			c->source_acl = acl_compile(arena, c->sources, c->source_count);
	}
}

static void
compile_acls(struct config *config)
{
	for (size_t i = 0; i < config->acl_count; i++) {
		struct acl_config *acl = &config->acls[i];

		acl->compiled = acl_compile(config->arena, acl->networks, acl->network_count);
	}
	for (size_t i = 0; i < config->listener_count; i++) {
		struct listener_config *l = &config->listeners[i];

		if (l->proxy_from_count > 0)
			l->proxy_acl =
			    acl_compile(config->arena, l->proxy_from, l->proxy_from_count);
		for (size_t r = 0; r < l->route_count; r++)
			compile_sources(config->arena, &l->routes[r]);
	}
}

static unsigned
oldest_number(const struct generation_list *generations, unsigned number)
{
	const struct generation *generation;

	TAILQ_FOREACH (generation, generations, entry)
		if (generation->config->generation < number)
			number = generation->config->generation;
	return number;
}

struct generation *
generation_read(const char *file, struct diag *diag)
{
	struct generation *generation = xcalloc(1, sizeof(*generation));

	generation->config = load(
	    file, &generation->identity, &generation->workers, &generation->files_seen, diag);
	if (generation->config != NULL)
		return generation;
	free(generation);
	return NULL;
}

void
generation_free_read(struct generation *generation)
{
	tls_unload(generation->config);
	conf_free(generation->config);
	free(generation);
}

struct generation *
generation_load_take(struct generation *generation, unsigned number,
    struct generation_list *generations, struct region *current, const uint8_t *secret,
    unsigned oldest, struct diag *diag)
{
	struct config *config = generation->config;
	uint8_t fresh[SECRET_SIZE];

	config->generation = config->revision = number;
	oldest = oldest_number(generations, number < oldest ? number : oldest);
	generation->users = 1;
	TAILQ_INSERT_TAIL(generations, generation, entry);
	generation_open_logs(generation, diag);
	compile_acls(config);
	rate_open(config, diag);
	if (secret == NULL) {
		secret_load(fresh, config->global.state_dir);
		secret = fresh;
	}
	memcpy(generation->secret, secret, SECRET_SIZE);
	pool_name_cookies(config, secret, SECRET_SIZE);
	if (diag_errors(diag) == 0) {
		generation->region = region_reuse(config, current, oldest);
		if (generation->region == NULL)
			generation->region = region_new(config, current, oldest, diag);
	}
	if (diag_errors(diag) == 0)
		return generation;
	generation_leave(generations, generation);
	return NULL;
}

void
generation_leave(struct generation_list *generations, struct generation *generation)
{
	if (generation == NULL || --generation->users > 0)
		return;
	TAILQ_REMOVE(generations, generation, entry);
	generation_close_logs(generation);
	region_leave(generation->region);
	tls_unload(generation->config);
	rate_close(generation->config);
	conf_free(generation->config);
	free(generation);
}
