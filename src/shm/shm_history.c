/*
 * shm_history: where the recent past lies in shared memory; what is in it is for stats/sampler.c.
 */
#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "shm_priv.h"

struct history_head *
shm_history_head(const struct shm *shm)
{
	return (struct history_head *)(void *)shm->history;
}

struct history *
shm_history(const struct shm *shm, uint32_t id)
{
	assert(id < shm->capacity);
	return (struct history *)(void *)(shm->history + shm->history_head_size) + id;
}

void
shm_history_event(struct shm *shm, uint32_t pool_id, uint32_t server_id,
    enum history_event_kind kind, unsigned from, unsigned to)
{
	struct history_head *head = shm_history_head(shm);
	const struct entity *server = shm_entity(shm, server_id);
	uint64_t number =
	    atomic_fetch_add_explicit(&head->event_count, 1, memory_order_relaxed);
	struct history_event *event = &head->events[number % HISTORY_EVENTS];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	atomic_store_explicit(&event->wall_ms, 0, memory_order_relaxed);
	event->pool_id = pool_id;
	event->server_id = server_id;
	event->incarnation = server->incarnation;
	event->kind = (uint8_t)kind;
	event->from = (uint8_t)from;
	event->to = (uint8_t)to;
	snprintf(event->text, sizeof(event->text), "%.*s", HISTORY_TEXT_SIZE - 1,
	    kind == HISTORY_HEALTH ? server->last_check : "");
	atomic_store_explicit(&event->wall_ms,
	    (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, memory_order_release);
}
