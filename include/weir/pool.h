/*
 * pool: the servers of a pool as one worker sees them.
 *
 * Runs in: worker.  Made at start from the configuration; pool_set_servers() lets servers come and go later.  Health,
 * run-time weights and other workers' counts are read from shared memory.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "weir/conf.h"
#include "weir/shm.h"
#include "weir/tls_servers.h"

struct hash;
struct h2_upstream;
struct queue;
struct power;
struct upstream;
struct weights;
struct wlc;
struct wrr;
TAILQ_HEAD(upstream_list, upstream);
TAILQ_HEAD(h2_upstream_list, h2_upstream);

struct server {
	const struct server_config *conf; /* borrowed from the generation; its own once it is leaving */
	struct pool *pool;                /* the pool it is in */
	struct entity *entity;            /* shared memory */
	struct tally *tally;              /* shared memory, this worker's own */
	struct latency *latency;          /* likewise */
	struct upstream_list idle;        /* kept connections, most recently used first; upstream.c */
	struct usage *usage;              /* shared memory, shared by the workers */
	struct h2_upstream_list h2;       /* connections of HTTP/2, those with room first; h2_upstream.c */
	unsigned idle_count;              /* of both, those that nobody uses */
	uint32_t passed_over;             /* the pick of its pool that found it full, see pool->picks */
	unsigned active; /* requests and sessions of this worker: all that point here from one turn to the next */
	bool is_leaving; /* taken out of the pool while it runs; in pool->leaving until nothing is active */
	uint64_t left_ms; /* when that was ... */
	uint32_t left_revision; /* ... and by which change */
	LIST_ENTRY(server) link; /* in pool->leaving */
	bool is_kept;    /* while pool_set_servers() sorts them */
	bool has_left; /* its sessions are to be cut (front/leave.c) */
	struct tls_session tls_session;   /* for the next connection, where the pool has TLS */
};

/*
 * Something is wrong with the server: counted by its kind and its reason.
 * field  TALLY_CONNECT_ERRORS or TALLY_RESPONSE_ERRORS
 * end    enum end
 */
static inline void
server_count_error(struct server *server, enum tally_field field, unsigned end)
{
	tally_add(server->tally, field, 1);
	latency_count_end(server->latency, end);
}

struct pool {
	const struct pool_config *conf; /* borrowed from the generation */
	struct shm *shm;
	struct entity *entity;          /* shared memory */
	struct tally *tally;            /* shared memory, this worker's own */
	struct latency *latency;        /* likewise */
	struct server **servers;        /* owned, each of them too; conf->server_count of them, same order */
	LIST_HEAD(server_list, server) leaving; /* owned */
	int slot;                       /* in shared memory */
	struct server **by_cookie;      /* owned; open-addressing hash of the cookie values; NULL unless sticky by cookie */
	struct server **by_entity;      /* owned; the same of the entity ids */
	size_t index_mask;              /* of both: size - 1, the size being a power of two above the number of servers */
	struct usage *usage;            /* shared memory, shared by the workers */
	bool is_counted;                /* struct usage's `active` is kept: limits or the method want it */
	bool is_full;                   /* the last pick found servers, but they had reached their limits */
	uint32_t searches;              /* so that plain searches begin elsewhere each time */
	uint32_t picks;                 /* under limits; counted from 1, as server.passed_over begins with 0 */
	struct queue *queue;            /* owned; those that wait for a place; NULL: nobody may */
	unsigned retry_credit;          /* in 1/100 of a retry; see retry.h */
	uint32_t first;                 /* where in a round this worker starts, in 1/2^32: workers do not march in step */
	struct weights *weights;        /* owned; what servers weigh now (balance_weights.c) */
	struct wrr *wrr;                /* owned; weighted round robin's schedule (balance_wrr.c); NULL: another method */
	struct wlc *wlc;                /* owned; weighted least connections' turns (balance_wlc.c); likewise */
	struct power *power;            /* owned; the table to draw from (balance_power.c); likewise */
	struct hash *hash;              /* owned; who owns which slots (balance_hash.c); likewise */
};

/*
 * An array of config->pool_count pools, owned by the caller.
 * config  bound by shm_bind_config(), and outlives the pools
 * slot    this worker's slot in shared memory
 */
struct pool *pools_new(const struct config *config, struct shm *shm, int slot);
void pools_free(struct pool *pools, const struct config *config);

/*
 * From now on the pool has other servers.  Who is known by name and address stays with its connections; one that is not
 * among them gets no new request, and goes when the last of what it has is over.
 * conf      that of the pool: it gets the servers too
 * servers   made by conf_copy_servers(), bound; taken
 * revision  number of the change, above all before
 * Context   between two turns of the event loop.
 */
void pool_set_servers(struct pool *pool, struct pool_config *conf, struct server_config *servers, size_t count,
    uint32_t revision);
/*
 * Free what is leaving and has nothing active any more.
 * Returns the revision of the oldest change of which something is left; UINT32_MAX: nothing is.
 */
uint32_t pool_reap(struct pool *pool);

/* Once at load, in the master: fill server.cookie of all servers: HMAC-SHA256(secret, pool name NUL server name), 128 bits in hex. */
void pool_name_cookies(struct config *config, const uint8_t *secret, size_t secret_len);
/* The same for servers that come later. */
void pool_name_servers(struct server_config *servers, size_t count, const char *pool_name, const uint8_t *secret,
    size_t secret_len);
/* The server whose cookie value this is; NULL if none. */
struct server *pool_find_cookie(const struct pool *pool, const char *value, size_t len);
/* The server with this entity; NULL if none. */
struct server *pool_find_entity(const struct pool *pool, uint32_t id);

#endif
