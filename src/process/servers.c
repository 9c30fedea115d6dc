/*
 * servers: the master's part of a change of servers without new workers.
 *
 * What can fail comes first: reading, places in shared memory, the message.  Then the master's own
 * tree changes, and its children are told; who asked gets the answer once all of them have said
 * that the change is in force, so that a server which was taken out may end then.
 */
#include "servers_priv.h"

#include <assert.h>
#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "master_priv.h"
#include "systemd_priv.h"
#include "weir/arena.h"
#include "weir/log.h"
#include "weir/pool.h"

enum { APPLY_MAX_MS = 1000 }; /* a child that does not answer is no reason to wait longer */

void
servers_free(struct master *master)
{
	free(master->servers.leavers);
	free(master->servers.what);
	master->servers = (struct servers){ 0 };
}

/* ---- entities of servers that left ---- */

static int
compare_ids(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

/* The entities of a list in order.  The caller frees it. */
static uint32_t *
sorted_ids(const struct server_config *servers, size_t count)
{
	uint32_t *ids = xcalloc(count + 1, sizeof(*ids));

	for (size_t i = 0; i < count; i++)
		ids[i] = servers[i].id;
	qsort(ids, count, sizeof(*ids), compare_ids);
	return ids;
}

static bool
is_among(uint32_t id, const uint32_t *ids, size_t count)
{
	return bsearch(&id, ids, count, sizeof(*ids), compare_ids) != NULL;
}

static void
add_leaver(struct servers *servers, uint32_t id)
{
	if (servers->leaver_count == servers->leaver_size) {
		servers->leaver_size = servers->leaver_size > 0 ? 2 * servers->leaver_size : 16;
		servers->leavers =
		    xrealloc(servers->leavers, servers->leaver_size * sizeof(*servers->leavers));
	}
	servers->leavers[servers->leaver_count++] = (struct leaver){ id, servers->revision };
}

struct counts {
	size_t added, removed, changed;
};

/* Those in `old` that are not in `new` are leavers from now on, those in `new` are no more. */
static void
sort_leavers(struct servers *servers, const struct server_config *old, size_t old_count,
    const struct server_config *new, size_t new_count, struct counts *counts)
{
	uint32_t *ids = sorted_ids(new, new_count);
	size_t kept = 0, leavers = 0;

	for (size_t i = 0; i < servers->leaver_count; i++)
		if (!is_among(servers->leavers[i].id, ids, new_count))
			servers->leavers[leavers++] = servers->leavers[i];
	servers->leaver_count = leavers;
	for (size_t i = 0; i < old_count; i++) {
		if (is_among(old[i].id, ids, new_count))
			kept++;
		else
			add_leaver(servers, old[i].id);
	}
	counts->added += new_count - kept;
	counts->removed += old_count - kept;
	free(ids);
}

/* Places in shared memory that no child has in use any more are free again. */
static void
reclaim(struct master *master)
{
	struct servers *servers = &master->servers;
	struct shm *shm = master->current->region->shm;
	uint32_t settled = servers->revision;
	const struct child *child;
	size_t kept = 0;

	if (upgrade_oldest(master) != UINT_MAX)
		return; /* a master before this one has children that say nothing to us */
	TAILQ_FOREACH (child, &master->children, entry)
		if (child->settled < settled)
			settled = child->settled;
	for (size_t i = 0; i < servers->leaver_count; i++) {
		if (servers->leavers[i].revision <= settled)
			shm_free_server(shm, servers->leavers[i].id);
		else
			servers->leavers[kept++] = servers->leavers[i];
	}
	servers->leaver_count = kept;
}

void
servers_forget(struct master *master)
{
	master->servers.leaver_count = 0;
}

/* ---- the change ---- */

static void
free_sets(struct servers_set *sets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(sets[i].servers);
}

/* Returns 0; -1 when shared memory has no place for all of them. */
static int
bind_sets(struct master *master, struct servers_set *sets, size_t count)
{
	const struct generation *current = master->current;
	struct counts counts = { 0 };

	for (size_t i = 0; i < count; i++) {
		struct servers_set *set = &sets[i];
		const struct pool_config *pool = &current->config->pools[set->pool];

		pool_name_servers(
		    set->servers, set->count, pool->name, current->secret, SECRET_SIZE);
		if (shm_bind_servers(current->region->shm, pool, set->servers, set->count,
			current->config->generation) == 0)
			continue;
		/* What the lists before this one took is nobody's. */
		while (i-- > 0) {
			pool = &current->config->pools[sets[i].pool];
			sort_leavers(&master->servers, sets[i].servers, sets[i].count,
			    pool->servers, pool->server_count, &counts);
		}
		return -1;
	}
	return 0;
}

static size_t
count_changed(const struct pool_config *pool, const struct server_config *servers, size_t count)
{
	size_t changed = 0, k = 0;

	for (size_t i = 0; i < count && pool->server_count > 0; i++) {
		/* Both are in nearly the same order: the search goes on where it ended. */
		for (size_t n = 0; n < pool->server_count; n++) {
			const struct server_config *old = &pool->servers[k++ % pool->server_count];

			if (old->id != servers[i].id)
				continue;
			changed += old->weight != servers[i].weight ||
				   !addr_equal(&old->address, &servers[i].address);
			break;
		}
	}
	return changed;
}

static void
put_sets(struct master *master, struct servers_set *sets, size_t count, struct counts *counts)
{
	struct generation *current = master->current;

	for (size_t i = 0; i < count; i++) {
		struct pool_config *pool = &current->config->pools[sets[i].pool];

		counts->changed += count_changed(pool, sets[i].servers, sets[i].count);
		sort_leavers(&master->servers, pool->servers, pool->server_count, sets[i].servers,
		    sets[i].count, counts);
		free(conf_swap_servers(pool, sets[i].servers, sets[i].count));
		sets[i].servers = NULL;
		shm_touch_pool(current->region->shm, pool->id);
	}
}

static bool
is_told(const struct child *child, const struct master *master)
{
	return child->generation == master->current && child->state < CHILD_DRAINING;
}

static void
tell_children(struct master *master, const struct servers_header *header, int fd)
{
	struct child *child;

	TAILQ_FOREACH (child, &master->children, entry)
		if (is_told(child, master))
			child_send(child, MESSAGE_SERVERS, header, sizeof(*header), fd);
}

/*
 * Let the pools have the servers of the sets, which are freed.
 * Returns 0 when the change is under way, -1 with nothing changed and the reason in `why`.
 */
static int
put(struct master *master, struct servers_set *sets, size_t count, const char **why)
{
	struct servers *servers = &master->servers;
	struct timeval limit = { .tv_sec = APPLY_MAX_MS / 1000 };
	struct servers_header header;
	struct counts counts = { 0 };
	int fd = -1;

	*why = "shared memory, descriptors or memory do not suffice";
	reclaim(master);
	servers->revision = ++master->last_number;
	if (bind_sets(master, sets, count) == 0)
		fd = servers_pack(sets, count, &header);
	if (fd == -1) {
		free_sets(sets, count);
		return -1;
	}
	put_sets(master, sets, count, &counts);
	master->current->config->revision = servers->revision;
	header.revision = servers->revision;
	tell_children(master, &header, fd);
	close(fd);
	free(servers->what);
	servers->what =
	    xprintf("servers changed without new workers: %zu added, %zu removed, %zu changed, in "
		    "%zu pools",
		counts.added, counts.removed, counts.changed, count);
	master->change.step = CHANGE_APPLYING;
	evtimer_add(master->change.timer, &limit);
	return 0;
}

/* ---- from a file ---- */

/* The lists that differ; *count of them.  The caller frees the array. */
static struct servers_set *
find_sets(const struct config *old, const struct config *new, size_t *count)
{
	struct servers_set *sets = xcalloc(new->pool_count + 1, sizeof(*sets));

	*count = 0;
	for (size_t i = 0; i < new->pool_count; i++) {
		const struct pool_config *pool = &new->pools[i];

		if (!conf_same_servers(&old->pools[i], pool))
			sets[(*count)++] = (struct servers_set){ (uint32_t)i,
				conf_copy_servers(pool->servers, pool->server_count),
				pool->server_count };
	}
	return sets;
}

/* Pools that ask for it begin each configuration with the weights of its file. */
static void
reset_weights(struct shm *shm, const struct config *config)
{
	for (size_t i = 0; i < config->pool_count; i++) {
		const struct pool_config *pool = &config->pools[i];

		if (pool->run_time_weights != WEIGHTS_RESET)
			continue;
		for (size_t k = 0; k < pool->server_count; k++)
			shm_set_weight(shm, pool->id, pool->servers[k].id, WEIGHT_FROM_CONFIG);
	}
}

bool
servers_reload(struct master *master, const struct generation *generation)
{
	struct generation *current = master->current;
	struct servers_set *sets;
	const char *why;
	size_t count;
	bool done;

	if (generation->workers != current->workers ||
	    generation->identity.uid != current->identity.uid ||
	    generation->identity.gid != current->identity.gid ||
	    generation->files_seen != current->files_seen ||
	    !conf_same_but_servers(current->config, generation->config))
		return false;
	sets = find_sets(current->config, generation->config, &count);
	done = count > 0 && put(master, sets, count, &why) == 0;
	if (count > 0 && !done)
		log_info("servers: %s, so new workers are started", why);
	free(sets);
	if (done) {
		memcpy(current->config->digest, generation->config->digest, CONF_DIGEST_SIZE);
		reset_weights(current->region->shm, current->config);
	}
	return done;
}

/* ---- from the control socket ---- */

static const char *
refuse(const struct master *master)
{
	if (master->phase != PHASE_RUNNING)
		return "weir is stopping\n";
	if (master->change.step != CHANGE_NONE || master->change.again)
		return "a reload is under way\n";
	if (upgrade_is_under_way(master))
		return "an upgrade is under way\n";
	return NULL;
}

/* Returns the lists, or NULL with errors in `diag`. */
static struct servers_set *
resolve(const struct master *master, const struct servers_change *change, struct diag *diag)
{
	const struct config *config = master->current->config;
	struct servers_set *sets = xcalloc(change->pool_count, sizeof(*sets));

	if (change->from != NULL && strcmp(change->from, config->digest) != 0)
		diag_error(diag, (struct where){ .file = "change" },
		    "it is made from a configuration that is not in force");
	for (size_t i = 0; i < change->pool_count; i++) {
		const struct pool_servers *wanted = &change->pools[i];
		const struct pool_config *pool = conf_find_pool(config, wanted->name);

		if (pool == NULL) {
			diag_error(diag, wanted->where, "there is no pool \"%s\"", wanted->name);
			continue;
		}
		sets[i] = (struct servers_set){ pool->index,
			conf_copy_servers(wanted->servers, wanted->server_count),
			wanted->server_count };
	}
	if (diag_errors(diag) == 0)
		return sets;
	free_sets(sets, change->pool_count);
	free(sets);
	return NULL;
}

/* Returns 0, or -1 with errors in `diag`. */
static int
apply(struct master *master, const char *text, size_t len, struct diag *diag)
{
	struct servers_change *change = conf_load_servers("change", text, len, diag);
	struct servers_set *sets = change != NULL ? resolve(master, change, diag) : NULL;
	struct config *config = master->current->config;
	const char *why;
	int result = -1;

	if (sets != NULL)
		result = put(master, sets, change->pool_count, &why);
	if (sets != NULL && result == -1)
		diag_error(diag, (struct where){ .file = "change" }, "%s", why);
	if (result == 0 && change->to != NULL)
		memcpy(config->digest, change->to, CONF_DIGEST_SIZE);
	else if (result == 0)
		config->digest[0] = '\0'; /* no file holds what is in force now */
	free(sets);
	conf_free_servers(change);
	return result;
}

static void
add_who(struct servers *servers, const struct apply_request *request)
{
	char *what = xprintf("%s, by user %lld (process %lld)", servers->what,
	    (long long)request->uid, (long long)request->pid);

	free(servers->what);
	servers->what = what;
}

void
servers_ask(struct master *master, struct child *child, const struct message *message)
{
	struct apply_request request;
	const char *text = message->payload + sizeof(request), *no = refuse(master);
	struct diag *diag = diag_new();
	struct waiter waiter = { .child = child };

	memcpy(&request, message->payload, sizeof(request));
	waiter.request = request.request;
	if (no != NULL) {
		waiter_answer(&waiter, false, no);
	} else if (apply(master, text, message->len - sizeof(request), diag) == -1) {
		char *findings = diag_text(diag, "weir");

		waiter_answer(&waiter, false, findings);
		free(findings);
	} else {
		add_who(&master->servers, &request);
		master->change.waiters[0] = waiter;
		master->change.waiter_count = 1;
		master->change.diag = diag;
		diag = NULL;
		servers_go_on(master);
	}
	diag_free(diag);
}

/* ---- the end ---- */

void
servers_on_done(struct child *child, const struct servers_done *done)
{
	struct master *master = child->master;
	uint32_t revision = master->servers.revision;

	/* Of what a child says, only what can be true. */
	if (done->applied > child->applied && done->applied <= revision)
		child->applied = done->applied;
	if (done->settled > child->settled && done->settled <= child->applied)
		child->settled = done->settled;
	servers_go_on(master);
}

void
servers_go_on(struct master *master)
{
	const struct child *child;

	if (master->change.step != CHANGE_APPLYING)
		return;
	TAILQ_FOREACH (child, &master->children, entry)
		if (is_told(child, master) && child->applied < master->servers.revision)
			return;
	servers_settle(master);
}

void
servers_settle(struct master *master)
{
	struct servers *servers = &master->servers;
	struct shm_global *global = shm_global(master->current->region->shm);
	const struct child *child;

	assert(servers->what != NULL);
	log_info("configuration %u: %s", servers->revision, servers->what);
	TAILQ_FOREACH (child, &master->children, entry)
		if (is_told(child, master) && child->slot != -1)
			atomic_store(
			    &shm_slot_info(master->current->region->shm, child->slot)->revision,
			    servers->revision);
	atomic_store(&global->revision, servers->revision);
	atomic_fetch_add(&global->server_changes, 1);
	atomic_store(&global->loaded_wall_s, (uint64_t)time(NULL));
	reload_end_apply(master, servers->what);
	free(servers->what);
	servers->what = NULL;
}
