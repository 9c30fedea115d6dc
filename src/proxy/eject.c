#include "weir/eject.h"

#include "weir/clock.h"
#include "weir/log.h"

/*
 * Does the pool keep enough servers?  `out` counts as out already.  Two workers that eject at the
 * same time both see the other's server as out: too few are ejected then, never too many.
 */
static bool
enough_stay(const struct pool *pool, const struct server *out)
{
	size_t up = 0, stay = 0;

	for (size_t i = 0; i < pool->conf->server_count; i++) {
		const struct server *server = pool->servers[i];
		const struct entity *e = server->entity;

		if (atomic_load(&e->health) == HEALTH_DOWN ||
		    atomic_load(&e->admin) != ADMIN_READY ||
		    shm_weight(pool->shm, server->conf) == 0)
			continue;
		up++;
		stay += server != out && atomic_load(&e->is_ejected) == 0;
	}
	return stay >= 1 && stay * 100 >= up * pool->conf->eject.keep;
}

/* What an ejection writes into struct usage. */
struct sentence {
	uint32_t in_row;
	uint64_t eject_ms, readmit_ms;
};

static struct sentence
sentence_read(struct usage *usage)
{
	return (struct sentence){ atomic_load(&usage->ejections_in_row),
		atomic_load(&usage->eject_ms), atomic_load(&usage->readmit_ms) };
}

static void
sentence_write(struct usage *usage, const struct sentence *sentence)
{
	atomic_store(&usage->ejections_in_row, sentence->in_row);
	atomic_store(&usage->eject_ms, sentence->eject_ms);
	atomic_store(&usage->readmit_ms, sentence->readmit_ms);
}

/* A server that held out for as long as it had been left out begins anew. */
static struct sentence
sentence_next(const struct eject_config *conf, const struct sentence *last)
{
	uint32_t row = now_ms - last->readmit_ms >= last->eject_ms ? 0 : last->in_row;
	uint64_t time_ms = conf->time_ms;

	for (uint32_t i = 0; i < row && time_ms < conf->time_max_ms; i++)
		time_ms *= 2;
	if (time_ms > conf->time_max_ms)
		time_ms = conf->time_max_ms;
	return (struct sentence){ row + 1, time_ms, now_ms + time_ms };
}

static void
eject(struct server *server, uint32_t failures, enum end why)
{
	static struct log_limit limit;
	struct pool *pool = server->pool;
	struct sentence last = sentence_read(server->usage), next;

	if (last.readmit_ms > now_ms)
		return; /* another worker is at it */
	next = sentence_next(&pool->conf->eject, &last);
	/* Before the flag, as who takes servers back reads it after. */
	sentence_write(server->usage, &next);
	if (!shm_eject(pool->shm, server->conf->id))
		return;
	if (!enough_stay(pool, server)) {
		sentence_write(server->usage, &last);
		shm_readmit(pool->shm, pool->conf->id, server->conf->id, 0);
		if (log_allowed(&limit, 1, 10000))
			log_warnx("pool %s server %s: %u failures in a row, but too few others "
				  "would stay",
			    pool->conf->name, server->conf->name, failures);
		return;
	}
	shm_touch_pool(pool->shm, pool->conf->id);
	tally_add(server->tally, TALLY_EJECTIONS, 1);
	log_warnx("pool %s server %s: %u failures in a row (%s), left out for %llu ms",
	    pool->conf->name, server->conf->name, failures,
	    why == END_OK ? "bad status" : end_table[why].word, (unsigned long long)next.eject_ms);
}

void
eject_count_failure(struct server *server, enum end why)
{
	const struct eject_config *conf = &server->pool->conf->eject;
	uint32_t failures;

	if (!conf->on)
		return;
	failures = atomic_fetch_add_explicit(&server->usage->failures, 1, memory_order_relaxed) + 1;
	if (failures >= conf->errors &&
	    atomic_load_explicit(&server->entity->is_ejected, memory_order_relaxed) == 0)
		eject(server, failures, why);
}
