/*
 * shm_sticky_file: the sticky table as it is kept over a restart.
 *
 * Runs in: master.  Servers are named by the hash of their names, and ages count from when the table
 * was written: ids and the monotonic clock mean nothing in another run.
 *
 *	struct file_head | struct file_entry[count]
 */
#include <stdlib.h>
#include <string.h>

#include "shm_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"

struct file_head {
	uint64_t saved_wall_s;
	uint64_t sets; /* of the table that it was */
	uint64_t count;
};

struct file_entry {
	uint64_t server; /* first half of its entity's key */
	uint64_t word;   /* as in the table, with its age for the second of its use, and its set for the entity */
};

struct named {
	uint64_t key;
	uint32_t id;
};

static int
compare_named(const void *left, const void *right)
{
	const struct named *a = left, *b = right;

	return (a->key > b->key) - (a->key < b->key);
}

void *
shm_sticky_save(const struct shm *shm, size_t *len)
{
	size_t most = shm->sticky_sets * SHM_STICKY_WAYS;
	struct file_head head = { .sets = shm->sticky_sets };
	char *out;

	for (size_t i = 0; i < most; i++)
		head.count += shm_sticky_means(
		    shm, atomic_load_explicit(&shm->sticky[i], memory_order_relaxed));
	most = head.count; /* workers go on: more may have come since */
	head.count = 0;
	out = xmalloc(sizeof(head) + most * sizeof(struct file_entry));
	head.saved_wall_s = (uint64_t)now_wall_s;
	for (size_t i = 0; i < shm->sticky_sets * SHM_STICKY_WAYS && head.count < most; i++) {
		uint64_t word = atomic_load_explicit(&shm->sticky[i], memory_order_relaxed);
		struct file_entry entry;

		if (!shm_sticky_means(shm, word))
			continue;
		entry.server = shm->entities[shm_sticky_id(word)].key[0];
		entry.word = shm_sticky_pack(word, i / SHM_STICKY_WAYS);
		memcpy(out + sizeof(head) + head.count++ * sizeof(entry), &entry, sizeof(entry));
	}
	memcpy(out, &head, sizeof(head));
	*len = sizeof(head) + head.count * sizeof(struct file_entry);
	return out;
}

uint64_t
shm_sticky_count(const void *data)
{
	struct file_head head;

	memcpy(&head, data, sizeof(head));
	return head.count;
}

/* All servers in order of their keys; owned by the caller. */
static struct named *
list_servers(const struct shm *shm, size_t *count)
{
	size_t used = shm_used(shm);
	struct named *list = xcalloc(used + 1, sizeof(*list));

	*count = 0;
	for (uint32_t id = 0; id < used; id++)
		if (shm->entities[id].kind == ENTITY_SERVER)
			list[(*count)++] = (struct named){ shm->entities[id].key[0], id };
	qsort(list, *count, sizeof(*list), compare_named);
	return list;
}

long
shm_sticky_load(struct shm *shm, const void *data, size_t len)
{
	struct file_head head;
	struct named *servers;
	size_t server_count;
	uint64_t gone_s = 0;
	long loaded = 0;

	if (len < sizeof(head))
		return -1;
	memcpy(&head, data, sizeof(head));
	if (head.sets == 0 || head.sets > SHM_STICKY_SETS_MAX || (head.sets & (head.sets - 1)) != 0 ||
	    head.count != (len - sizeof(head)) / sizeof(struct file_entry) ||
	    (len - sizeof(head)) % sizeof(struct file_entry) != 0 ||
	    head.count > head.sets * SHM_STICKY_WAYS)
		return -1;
	if ((uint64_t)now_wall_s > head.saved_wall_s) /* else the clock was set back */
		gone_s = (uint64_t)now_wall_s - head.saved_wall_s;
	servers = list_servers(shm, &server_count);
	for (size_t i = 0; i < head.count; i++) {
		struct file_entry entry;
		struct named wanted, *server;

		memcpy(&entry, (const char *)data + sizeof(head) + i * sizeof(entry), sizeof(entry));
		wanted.key = entry.server;
		server = bsearch(&wanted, servers, server_count, sizeof(*servers), compare_named);
		if (server != NULL && shm_sticky_unpack(shm, entry.word, head.sets, server->id, gone_s))
			loaded++;
	}
	free(servers);
	return loaded;
}
