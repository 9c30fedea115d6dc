/*
 * The commands that look into shared memory past the counters: errors and sticky.
 */
#include <stdlib.h>
#include <string.h>

#include "collect_priv.h"
#include "command_priv.h"
#include "weir/arena.h"

/* ---- errors ---- */

static int
compare_faults(const void *a, const void *b)
{
	const struct fault *x = a, *y = b;

	return (x->at_us < y->at_us) - (x->at_us > y->at_us); /* the latest first */
}

/* All that are kept; the caller frees them. */
static struct fault *
collect_faults(const struct shm *shm, size_t *count)
{
	struct fault *faults = NULL;
	uint64_t live[SHM_SLOTS / 64];

	*count = 0;
	shm_live_slots(shm, live);
	live[SHM_SLOT_RETIRED / 64] |= 1;
	for (int slot = 0; slot < SHM_SLOTS; slot++) {
		if ((live[slot / 64] >> (slot % 64) & 1) == 0)
			continue;
		faults = xrealloc(faults, (*count + FAULTS_KEPT) * sizeof(*faults));
		for (unsigned i = 0; i < FAULTS_KEPT; i++)
			if (faults_read(shm_faults(shm, slot), i, &faults[*count]))
				++*count;
	}
	qsort(faults, *count, sizeof(*faults), compare_faults);
	return faults;
}

/* Bytes as C writes them: what is not printable ASCII cannot do anything to a terminal. */
static char *
escape_bytes(const char *bytes, size_t len)
{
	static const char *const special = "\r\n\t\\", *const letters = "rnt\\";
	char *text = xmalloc(4 * len + 1), *p = text;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];
		const char *at = c != '\0' ? strchr(special, c) : NULL;

		if (at == NULL && c >= 0x20 && c < 0x7f) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '\\';
		if (at != NULL) {
			*p++ = letters[at - special];
			continue;
		}
		*p++ = 'x';
		*p++ = "0123456789abcdef"[c >> 4];
		*p++ = "0123456789abcdef"[c & 15];
	}
	*p = '\0';
	return text;
}

static void
put_name(struct json *json, const char *key, const char *name)
{
	json_put_string(json, key, name[0] != '\0' ? name : NULL);
}

/* "before" ends where parsing stopped, "after" begins there. */
static void
put_excerpt(struct json *json, const struct fault *fault)
{
	size_t len = fault->excerpt_len, split = len;
	char *before, *after;

	if (fault->position == FAULT_NOWHERE)
		split = 0;
	else if (fault->position >= fault->excerpt_at &&
		 fault->position - fault->excerpt_at <= len)
		split = fault->position - fault->excerpt_at;
	before = escape_bytes(fault->excerpt, split);
	after = escape_bytes(fault->excerpt + split, len - split);
	json_put_string(json, "before", before);
	json_put_string(json, "after", after);
	free(before);
	free(after);
}

static void
put_fault(struct json *json, const struct fault *fault)
{
	json_open(json, NULL, '{');
	json_put_uint(json, "time_ms", fault->wall_us / 1000);
	json_put_string(json, "kind", fault->kind == FAULT_RESPONSE ? "response" : "request");
	json_put_string(json, "client", fault->client);
	json_put_string(json, "listener", fault->listener);
	put_name(json, "pool", fault->pool);
	put_name(json, "server", fault->server);
	json_put_string(json, "reason", fault->reason);
	if (fault->position != FAULT_NOWHERE)
		json_put_uint(json, "position", fault->position);
	else
		json_put_null(json, "position");
	json_put_uint(json, "length", fault->len);
	json_put_uint(json, "excerpt_at", fault->excerpt_at);
	put_excerpt(json, fault);
	json_close(json, '}');
}

enum command_end
command_errors(struct command_call *call)
{
	size_t count;
	struct fault *faults = collect_faults(call->shm, &count);

	json_open(&call->json, NULL, '[');
	for (size_t i = 0; i < count; i++)
		put_fault(&call->json, &faults[i]);
	json_close(&call->json, ']');
	free(faults);
	return COMMAND_DONE;
}

/* ---- sticky ---- */

struct sticky_count {
	uint64_t entries;
	uint32_t youngest_s;
};

struct sticky_scan {
	struct sticky_count *counts; /* by entity */
	uint32_t *timeouts_s;        /* by entity; 0: no server of a pool that is sticky by source */
	size_t size;
};

static void
count_entry(void *arg, uint32_t server_id, uint32_t age_s)
{
	struct sticky_scan *scan = arg;
	struct sticky_count *count;

	if (server_id >= scan->size || age_s > scan->timeouts_s[server_id] ||
	    scan->timeouts_s[server_id] == 0)
		return;
	count = &scan->counts[server_id];
	if (count->entries++ == 0 || age_s < count->youngest_s)
		count->youngest_s = age_s;
}

static const char *
sticky_name(enum sticky_by by)
{
	switch (by) {
	case STICKY_OFF:
		return "off";
	case STICKY_COOKIE_INSERT:
		return "cookie_insert";
	case STICKY_COOKIE_PREFIX:
		return "cookie_prefix";
	case STICKY_SOURCE_IP:
		return "source_ip";
	default: /* a way that this list does not know yet */
		return "other";
	}
}

static void
put_sticky_server(struct json *json, const struct command_call *call, const struct pool_config *pool,
    const struct server_config *server, const struct sticky_count *count)
{
	bool by_source = pool->sticky.by == STICKY_SOURCE_IP;

	json_open(json, NULL, '{');
	json_put_string(json, "pool", pool->name);
	json_put_string(json, "by", sticky_name(pool->sticky.by));
	json_put_string(json, "cookie", by_source ? NULL : pool->sticky.name);
	json_put_uint(json, "timeout_s", pool->sticky.timeout_ms / 1000);
	json_put_string(json, "server", server->name);
	json_put_string(json, "value", by_source ? NULL : server->cookie);
	json_put_bool(json, "usable", shm_server_stickable(call->shm, server));
	/* Clients keep the cookies: nobody else knows how many there are. */
	if (by_source)
		json_put_uint(json, "entries", count->entries);
	else
		json_put_null(json, "entries");
	if (count->entries > 0)
		json_put_uint(json, "last_used_s", count->youngest_s);
	else
		json_put_null(json, "last_used_s");
	json_put_uint(json, "pool_hits", shm_sum(call->shm, pool->id, TALLY_STICKY_HITS));
	json_close(json, '}');
}

enum command_end
command_sticky(struct command_call *call)
{
	const struct config *config = call->config;
	const struct pool_config *only = NULL;
	struct sticky_scan scan = { .size = shm_capacity(call->shm) };

	if (call->count > 1) {
		only = conf_find_pool(config, call->words[1]);
		if (only == NULL)
			return command_fail_pool(call, call->words[1]);
	}
	scan.counts = xcalloc(scan.size, sizeof(*scan.counts));
	scan.timeouts_s = xcalloc(scan.size, sizeof(*scan.timeouts_s));
	for (size_t i = 0; i < config->pool_count; i++)
		for (size_t k = 0; k < config->pools[i].server_count; k++)
			if (config->pools[i].sticky.by == STICKY_SOURCE_IP)
				scan.timeouts_s[config->pools[i].servers[k].id] =
				    config->pools[i].sticky.timeout_ms / 1000;
	shm_sticky_each(call->shm, count_entry, &scan);
	json_open(&call->json, NULL, '[');
	for (size_t i = 0; i < config->pool_count; i++) {
		const struct pool_config *pool = &config->pools[i];

		if (pool->sticky.by == STICKY_OFF || (only != NULL && only != pool))
			continue;
		for (size_t k = 0; k < pool->server_count; k++)
			put_sticky_server(&call->json, call, pool, &pool->servers[k],
			    &scan.counts[pool->servers[k].id]);
	}
	json_close(&call->json, ']');
	free(scan.counts);
	free(scan.timeouts_s);
	return COMMAND_DONE;
}
