#include "sampler_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "collect_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"

struct sampler {
	const struct config *config;
	struct shm *shm;
	struct event timer;
};

/* What a point is counted from. */
struct sample {
	uint64_t sums[TALLY_FIELDS];
	struct histogram_sum total;
};

static uint32_t
since(uint64_t now, uint64_t *before)
{
	uint64_t n = now > *before ? now - *before : 0;

	*before = now;
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint64_t
bytes_since(uint64_t now, uint64_t *before)
{
	uint64_t n = now > *before ? now - *before : 0;

	*before = now;
	return n;
}

/* A duration has 31 bits (histogram.h). */
static uint32_t
percentile(const struct histogram_sum *sum, unsigned per_mille)
{
	return (uint32_t)histogram_percentile_us(sum, per_mille);
}

static void
record(struct history *history, uint64_t number, const struct sample *sample, uint32_t incarnation)
{
	const uint64_t *sums = sample->sums;
	struct history_point *point = &history->points[number % HISTORY_POINTS];
	bool is_new = history->incarnation != incarnation;
	struct histogram_sum fresh = sample->total;

	if (is_new) {
		memset(history, 0, sizeof(*history));
		history->incarnation = incarnation;
		history->first = (uint32_t)number + 1; /* this one only sets the base */
	}
	/* It was not configured for a while. */
	for (uint64_t n = history->next; !is_new && n < number && n < history->next + HISTORY_POINTS;
	     n++)
		memset(&history->points[n % HISTORY_POINTS], 0, sizeof(history->points[0]));
	history->next = (uint32_t)number + 1;
	histogram_sum_subtract(&fresh, &history->total);
	history->total = sample->total;
	point->requests = since(sums[TALLY_REQUESTS], &history->requests);
	point->connections = since(sums[TALLY_CONNECTIONS], &history->connections);
	point->status_4xx = since(sums[TALLY_STATUS_4XX], &history->status_4xx);
	point->status_5xx = since(sums[TALLY_STATUS_5XX], &history->status_5xx);
	point->failures = since(sums[TALLY_BAD_REQUESTS] + sums[TALLY_REFUSED] +
				    sums[TALLY_NO_SERVER] + sums[TALLY_TLS_FAILURES],
	    &history->failures);
	point->bytes_in = bytes_since(sums[TALLY_BYTES_IN], &history->bytes_in);
	point->bytes_out = bytes_since(sums[TALLY_BYTES_OUT], &history->bytes_out);
	point->active =
	    sums[TALLY_ACTIVE] < UINT32_MAX ? (uint32_t)sums[TALLY_ACTIVE] : UINT32_MAX;
	point->measured = fresh.count < UINT32_MAX ? (uint32_t)fresh.count : UINT32_MAX;
	point->p50_us = percentile(&fresh, 500);
	point->p90_us = percentile(&fresh, 900);
	point->p99_us = percentile(&fresh, 990);
}

static void
take_sample(struct sample *sample, const struct shm *shm, uint32_t id)
{
	struct histogram_sum sums[LATENCY_KINDS];

	shm_sum_all(shm, id, sample->sums);
	memset(&sample->total, 0, sizeof(sample->total));
	if (sample->sums[TALLY_REQUESTS] == 0)
		return;
	memset(sums, 0, sizeof(sums));
	shm_latency_sum(shm, id, sums);
	sample->total = sums[LATENCY_TOTAL];
}

static void
add_sample(struct sample *to, const struct sample *from)
{
	for (size_t i = 0; i < TALLY_FIELDS; i++)
		to->sums[i] += from->sums[i];
	to->total.count += from->total.count;
	to->total.sum_us += from->total.sum_us;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->total.buckets[i] += from->total.buckets[i];
}

/* Tells a name's history from that of one that had its place before. */
static uint32_t
incarnation_of(const struct shm *shm, uint32_t id)
{
	return (uint32_t)shm_entity(shm, id)->incarnation + 1;
}

static void
record_object(struct sampler *sampler, uint32_t id, uint64_t number, struct sample *all)
{
	struct sample sample;

	take_sample(&sample, sampler->shm, id);
	record(shm_history(sampler->shm, id), number, &sample, incarnation_of(sampler->shm, id));
	if (all != NULL)
		add_sample(all, &sample);
}

static void
sampler_record(struct sampler *sampler, uint64_t elapsed_ms)
{
	struct history_head *head = shm_history_head(sampler->shm);
	const struct config *config = sampler->config;
	uint64_t number = head->count;
	struct sample all = { 0 };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	head->wall_ms[number % HISTORY_POINTS] =
	    (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	head->elapsed_ms[number % HISTORY_POINTS] =
	    elapsed_ms < UINT32_MAX ? (uint32_t)elapsed_ms : UINT32_MAX;
	for (size_t i = 0; i < config->listener_count; i++)
		record_object(sampler, config->listeners[i].id, number, &all);
	for (size_t i = 0; i < config->pool_count; i++)
		record_object(sampler, config->pools[i].id, number, NULL);
	record(&head->total, number, &all, 1);
	head->count = number + 1;
}

static void
sampler_arm(struct sampler *sampler, uint64_t wait_ms)
{
	struct timeval wait = { .tv_sec = (time_t)(wait_ms / 1000),
		.tv_usec = (suseconds_t)(wait_ms % 1000) * 1000 };

	event_add(&sampler->timer, &wait);
}

/* The control process before may have recorded a moment ago: the beat goes on. */
static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sampler *sampler = arg;
	struct history_head *head = shm_history_head(sampler->shm);
	uint64_t now = clock_us() / 1000, last = head->last_ms;
	uint64_t elapsed = now > last ? now - last : 0;

	(void)fd;
	(void)what;
	if (elapsed >= HISTORY_INTERVAL_MS || last > now) {
		head->last_ms = now;
		sampler_record(sampler, last == 0 ? HISTORY_INTERVAL_MS : elapsed);
		elapsed = 0;
	}
	sampler_arm(sampler, HISTORY_INTERVAL_MS - elapsed);
}

struct sampler *
sampler_start(struct event_base *base, const struct config *config, struct shm *shm)
{
	struct sampler *sampler = xcalloc(1, sizeof(*sampler));

	sampler->config = config;
	sampler->shm = shm;
	event_assign(&sampler->timer, base, -1, 0, on_timer, sampler);
	sampler_arm(sampler, 0);
	return sampler;
}

void
sampler_stop(struct sampler *sampler)
{
	if (sampler == NULL)
		return;
	event_del(&sampler->timer);
	free(sampler);
}

/* ---- showing it ---- */

static uint64_t
oldest_point(const struct history_head *head, const struct history *history)
{
	uint64_t count = head->count;
	uint64_t oldest = count > HISTORY_POINTS ? count - HISTORY_POINTS : 0;

	return history->first > oldest ? history->first : oldest;
}

/* Rows of numbers, in the order of "columns". */
static void
export_points(struct json *json, const struct history_head *head, const struct history *history)
{
	static const char *const columns[] = { "time_ms", "elapsed_ms", "requests", "connections",
		"status_4xx", "status_5xx", "failures", "active", "bytes_in", "bytes_out",
		"measured", "p50_us", "p90_us", "p99_us" };
	uint64_t count = head->count;

	json_open(json, "columns", '[');
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		json_put_string(json, NULL, columns[i]);
	json_close(json, ']');
	json_open(json, "points", '[');
	for (uint64_t n = oldest_point(head, history); history->incarnation != 0 && n < count;
	     n++) {
		const struct history_point *p = &history->points[n % HISTORY_POINTS];
		const uint64_t row[] = { head->wall_ms[n % HISTORY_POINTS],
			head->elapsed_ms[n % HISTORY_POINTS], p->requests, p->connections,
			p->status_4xx, p->status_5xx, p->failures, p->active, p->bytes_in,
			p->bytes_out, p->measured, p->p50_us, p->p90_us, p->p99_us };

		json_open(json, NULL, '[');
		for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
			json_put_uint(json, NULL, row[i]);
		json_close(json, ']');
	}
	json_close(json, ']');
}

/* Where names are found by entity. */
struct names {
	const struct pool_config **pools;
	const struct server_config **servers;
	size_t size;
};

static void
names_make(struct names *names, const struct config *config, const struct shm *shm)
{
	names->size = shm_capacity(shm);
	names->pools = xcalloc(names->size, sizeof(*names->pools));
	names->servers = xcalloc(names->size, sizeof(*names->servers));
	for (size_t i = 0; i < config->pool_count; i++)
		for (size_t k = 0; k < config->pools[i].server_count; k++) {
			const struct server_config *server = &config->pools[i].servers[k];

			names->pools[server->id] = &config->pools[i];
			names->servers[server->id] = server;
		}
}

static const char *
state_name(const struct history_event *event, unsigned state)
{
	return event->kind == HISTORY_ADMIN ? collect_admin_name(state)
					    : collect_health_name(state);
}

static void
export_events(struct json *json, const struct history_head *head, const struct config *config,
    const struct shm *shm)
{
	uint64_t count = head->event_count;
	struct names names;

	names_make(&names, config, shm);
	json_open(json, "events", '[');
	for (uint64_t n = count > HISTORY_EVENTS ? count - HISTORY_EVENTS : 0; n < count; n++) {
		const struct history_event *event = &head->events[n % HISTORY_EVENTS];
		uint64_t wall_ms = event->wall_ms;
		char text[HISTORY_TEXT_SIZE];

		/* Servers that are not configured any more have no name. */
		if (wall_ms == 0 || event->server_id >= names.size ||
		    names.servers[event->server_id] == NULL ||
		    event->incarnation != shm_entity(shm, event->server_id)->incarnation)
			continue;
		memcpy(text, event->text, sizeof(text));
		text[sizeof(text) - 1] = '\0';
		json_open(json, NULL, '{');
		json_put_uint(json, "time_ms", wall_ms);
		json_put_string(json, "pool", names.pools[event->server_id]->name);
		json_put_string(json, "server", names.servers[event->server_id]->name);
		json_put_string(json, "kind", event->kind == HISTORY_ADMIN ? "admin" : "health");
		json_put_string(json, "from", state_name(event, event->from));
		json_put_string(json, "to", state_name(event, event->to));
		json_put_string(json, "text", text);
		json_close(json, '}');
	}
	json_close(json, ']');
	free(names.pools);
	free(names.servers);
}

void
sampler_export(struct text *text, const struct config *config, const struct shm *shm,
    const struct listener_config *listener, const struct pool_config *pool)
{
	const struct history_head *head = shm_history_head(shm);
	const struct history *history = &head->total;
	struct json json = { .text = text };

	if (listener != NULL)
		history = shm_history(shm, listener->id);
	else if (pool != NULL)
		history = shm_history(shm, pool->id);
	json_open(&json, NULL, '{');
	json_put_uint(&json, "interval_ms", HISTORY_INTERVAL_MS);
	json_put_string(&json, "listener", listener != NULL ? listener->name : NULL);
	json_put_string(&json, "pool", pool != NULL ? pool->name : NULL);
	export_points(&json, head, history);
	export_events(&json, head, config, shm);
	json_close(&json, '}');
	text_puts(text, "\n");
}
