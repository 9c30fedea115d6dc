/*
 * What the files of the front share: front.c (accepting, life of the worker), h1.c (HTTP/1 clients), tcp.c.
 */
#ifndef WEIR_FRONT_PRIV_H
#define WEIR_FRONT_PRIV_H

#include <sys/queue.h>

#include "weir/addr.h"
#include "weir/ends.h"
#include "weir/front.h"
#include "weir/listener.h"
#include "weir/slice.h"
#include "weir/transport.h"
#include "weir/wheel.h"
#include "weir/worker.h"

/* First in every kind of client: what front.c needs to count and to end them. */
struct client {
	struct grave grave;
	LIST_ENTRY(client) link;
	const struct client_kind *kind;
	const struct listener *listener;
	struct front *front;
	struct transport transport;
	struct timer timer;
	struct addr address;
};

struct buf;    /* buf.h */
struct server; /* pool.h */

struct client_kind {
	/* The worker has begun to drain, or wants idle ones gone. */
	void (*drain)(struct client *client);
	/* End it at once, whatever it does. */
	void (*cut)(struct client *client, enum end end);
	/* The server that it has for its whole life; NULL: none.  The pointer may be NULL too. */
	struct server *(*server)(const struct client *client);
};

LIST_HEAD(client_list, client);

/* Each of them takes the descriptor over. */
void h1_accept(struct front *front, const struct listener *listener, int fd, const struct addr *address);
/* For listeners with proxy_protocol; then client_begin(). */
void preface_accept(struct front *front, const struct listener *listener, int fd, const struct addr *address);
size_t preface_size(void);
/* Serve what the listener's protocol says. */
void client_begin(struct front *front, const struct listener *listener, int fd, const struct addr *address);
void tcp_accept(struct front *front, const struct listener *listener, int fd, const struct addr *address);
/* Watches the servers of all pools, and cuts sessions of `clients` whose server leaves. */
struct leave *leave_new(struct worker *worker, struct client_list *clients);
void leave_free(struct leave *leave);
/* Servers were taken out of pools by the change of this number: look after what they have. */
void leave_on_change(struct leave *leave, uint32_t revision);
/* The last change of whose servers nothing is left, and of all changes before. */
uint32_t leave_settled(const struct leave *leave);
/* Take datagrams from `fd`, which stays the caller's.  Returns 0 or -1. */
int udp_listen(struct front *front, const struct listener *listener, int fd);
/* Answers go on, new datagrams are others' business. */
void udp_drain(struct worker *worker);
/* After each turn of the event loop. */
void udp_turn(struct worker *worker);
/* After the last flow has gone. */
void udp_free(struct worker *worker);
size_t udp_flow_size(void);
size_t h1_client_size(void);
size_t h1_tunnel_size(void);
size_t tcp_client_size(void);

/*
 * Make `client` (fresh from its slab, first member of a larger object) one of the front's and open its transport, with
 * TLS if the listener has it.  Returns 0; -1: the descriptor is closed and the memory given back.
 */
int client_open(struct client *client, struct slab *slab, const struct client_kind *kind, struct front *front,
    const struct listener *listener, int fd, const struct addr *address, void (*on_ready)(struct transport *),
    void (*on_fire)(struct timer *));
/* The same for one that has its transport already; it is not counted as a connection. */
void client_add(struct client *client, const struct client_kind *kind, struct front *front,
    const struct listener *listener, const struct addr *address, void (*on_fire)(struct timer *));
/* May this address not use the listener? */
bool client_is_refused(const struct listener *listener, const struct addr *address);
/* Does it come more often than the listener's rate allows?  Each that does not counts. */
bool client_is_throttled(const struct listener *listener, const struct addr *address);
/* Is the limit of clients reached? */
bool front_is_full(const struct front *front);
struct worker *front_worker(struct front *front);
/* The address the client spoke to, for the pools whose balancing wants it; else none, as it costs a system call. */
void client_local_address(const struct client *client, struct addr *local);
/* Closes the transport, stops the timer, forgets the client and buries it. */
void client_close(struct client *client, struct slab *slab, bool reset);

/* A request that cannot even begin (refuse.c). */
struct refusal {
	enum end end;
	bool is_h2;
	bool close;         /* the reply says Connection: close */
	struct slice head;  /* what came of it; ptr NULL: nothing */
	const char *reason; /* what was wrong with it, at `position`; NULL: what the end says */
	size_t position;
};

/* Counts, logs and keeps it.  Returns the reply, an HTTP/1.1 message that the caller owns. */
struct buf *client_refuse(const struct client *client, const struct refusal *refusal);
/* Counts what was malformed and keeps it for `weirctl errors`; FAULT_NOWHERE is a position. */
void client_report(const struct client *client, const char *reason, size_t position, const char *data, size_t len);

#define CLIENT_OF_TRANSPORT(t) ((struct client *)(void *)((char *)(t) - offsetof(struct client, transport)))
#define CLIENT_OF_TIMER(t) ((struct client *)(void *)((char *)(t) - offsetof(struct client, timer)))

/* handshake.c: count one that failed; why: for the log. */
void client_count_handshake(const struct client *client);
void client_count_tls_failure(const struct client *client, enum tls_fault fault, const char *why);

#endif
