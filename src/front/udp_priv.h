/*
 * What udp.c (sockets and batches) and udp_flow.c (flows) share.
 */
#ifndef WEIR_UDP_PRIV_H
#define WEIR_UDP_PRIV_H

#include <event2/event_struct.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "front_priv.h"
#include "weir/balance.h"

enum {
	UDP_BATCH = 32,          /* datagrams in one system call */
	UDP_DATAGRAM_MAX = 65536, /* more than any can have */
	FLOW_HEADER_MAX = 52      /* PROXY protocol version 2 with IPv6 addresses */
};

/* One listening socket. */
struct udp_socket {
	struct udp_socket *next; /* owned */
	struct front *front;
	const struct listener *listener;
	int fd; /* owned: answers go out there after the worker's own descriptor was closed */
	struct event event;
	struct addr local;
	bool is_wildcard; /* each datagram says which address it came to */
};

/* Room for an address that a datagram came to, or goes out from. */
union udp_control {
	struct cmsghdr align;
	char data[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* Datagrams that are received or sent with one call. */
struct udp_batch {
	struct mmsghdr msgs[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	struct addr names[UDP_BATCH];
	union udp_control controls[UDP_BATCH];
	char *data; /* owned; UDP_BATCH * UDP_DATAGRAM_MAX; pages cost memory once touched */
};

struct flow;

struct udp {
	struct udp_socket *sockets; /* owned */
	struct flow **buckets;      /* owned; bucket_count (a power of two) chains */
	size_t bucket_count, flow_count;
	uint64_t seed; /* clients choose their ports: they shall not choose the bucket */
	struct udp_batch in, out;
	struct udp_socket *out_socket; /* what is in `out` goes there */
	unsigned out_count;
};

/* One client's datagrams to one address, with a socket of their own towards the server. */
struct flow {
	struct client client; /* first; its transport has the descriptor and the event */
	struct flow *next;    /* in its bucket */
	struct udp_socket *socket;
	struct pool *pool;
	struct server *server; /* counted as active */
	struct addr local;     /* what the client spoke to */
	uint8_t header_len;  /* of the PROXY protocol; 0: none */
	uint8_t header[FLOW_HEADER_MAX];
	uint64_t hash, memory_key;
	uint64_t noted_ms; /* when the shared memory was last told of its server */
	uint64_t id, started_us, bytes_in, bytes_out;
};

/* The flow of a client that spoke to `local`; NULL: none.  hash: set for flow_open(). */
struct flow *flow_find(struct udp_socket *socket, const struct addr *client, const struct addr *local, uint64_t *hash);
/*
 * A new one, with a server and a socket.  NULL: refused, or nobody is there; counted as such.
 * tried  servers that it shall not get
 */
struct flow *flow_open(struct udp_socket *socket, const struct addr *client, const struct addr *local, uint64_t hash,
    struct balance_request *tried);
/* Hand a datagram of the client on.  Returns 0; -1: the server refuses them, the flow should end. */
int flow_send(struct flow *flow, const void *data, size_t len);
/* May datagrams of the client still go to its server? */
bool flow_is_usable(const struct flow *flow);
/* Its idle time starts anew. */
void flow_moved(struct flow *flow);
void flow_end(struct flow *flow, enum end end);

/* udp.c: read what the server of `flow` has sent, and queue it for the client. */
void udp_on_answer(evutil_socket_t fd, short what, void *flow);

#endif
