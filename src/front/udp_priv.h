/*
 * What udp.c (sockets, and where datagrams go), udp_batch.c (system calls) and udp_flow.c (flows) share.
 */
#ifndef WEIR_UDP_PRIV_H
#define WEIR_UDP_PRIV_H

#include <event2/event_struct.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "front_priv.h"
#include "weir/balance.h"

enum {
	UDP_BATCH = 64,          /* messages in one system call */
	UDP_DATAGRAM_MAX = 65536, /* more than any can have */
	ANSWERS_MAX = 8,          /* of one flow with one system call */
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
	uint32_t drops;    /* what the kernel had told when it was last asked, and when that was */
	uint64_t asked_ms;
};

/* Room for an address that a datagram came to, or goes out from, and for the size of segments. */
union udp_control {
	struct cmsghdr align;
	char data[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

/* One or more datagrams that follow each other: all of `segment` bytes, but the last may have less. */
struct udp_run {
	size_t len, segment; /* of all; segment 0: an empty datagram */
};

/* Runs that are received or sent with one call. */
struct udp_batch {
	struct mmsghdr msgs[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	struct addr names[UDP_BATCH];
	union udp_control controls[UDP_BATCH];
	char *data; /* owned; UDP_DATAGRAM_MAX for each; pages cost memory once touched */
};

struct flow;

struct udp {
	struct udp_socket *sockets; /* owned */
	struct flow **buckets;      /* owned; bucket_count (a power of two) chains */
	size_t bucket_count, flow_count;
	uint64_t seed; /* clients choose their ports: they shall not choose the bucket */
	bool can_segment; /* the kernel takes runs apart */
	struct udp_batch in, out;
	unsigned in_used; /* places of `in` that are to be made ready before the next call */
	struct udp_run in_runs[UDP_BATCH], out_runs[UDP_BATCH]; /* of the places of `in`, of the messages in `out` */
	/* While a batch is gone through: who has something to send, and for each place the next one of its flow. */
	struct flow *pending[UDP_BATCH];
	unsigned pending_count;
	uint8_t in_next[UDP_BATCH]; /* UDP_BATCH: none */
	struct udp_socket *out_socket; /* what is in `out` goes there */
	const struct flow *out_flow;   /* whose answer is the last one; may have ended: only to be compared */
	unsigned out_count, out_used;  /* messages; places whose data they have */
};

/* One client's datagrams to one address, with a socket of their own towards the server. */
struct flow {
	struct client client; /* first; its transport has the descriptor and the event */
	struct flow *next;    /* in its bucket */
	uint64_t hash;
	struct udp_socket *socket;
	struct pool *pool;
	struct server *server; /* counted as active */
	struct addr local;     /* what the client spoke to */
	bool is_pending;       /* in udp.pending; the places of its first and last run in the batch: */
	uint8_t first_in, last_in;
	uint8_t owed; /* answers, if its server sends one for each datagram; at most ANSWERS_MAX */
	bool hears_runs;       /* the kernel gives what its server sends at once as one */
	bool takes_one_by_one; /* the way to its server takes no segments */
	uint8_t header_len;    /* of the PROXY protocol; 0: none */
	uint64_t bytes_in, bytes_out;
	uint64_t noted_ms; /* when the shared memory was last told of its server */
	/* What follows is not looked at for each datagram. */
	uint64_t memory_key, id, started_us;
	uint8_t header[FLOW_HEADER_MAX];
};

/* The flow of a client that spoke to `local`; NULL: none.  hash: set for flow_open(). */
struct flow *flow_find(struct udp_socket *socket, const struct addr *client, const struct addr *local, uint64_t *hash);
/*
 * A new one, with a server and a socket.  NULL: refused, or nobody is there; counted as such.
 * tried  servers that it shall not get
 */
struct flow *flow_open(struct udp_socket *socket, const struct addr *client, const struct addr *local, uint64_t hash,
    struct balance_request *tried);
/*
 * Hand a run of the client on, whose datagrams lie in `iov`, none of them in two pieces.
 * Returns 0; -1: the server refuses them, the flow should end.
 */
int flow_send(struct flow *flow, const struct iovec *iov, unsigned count, const struct udp_run *run);
/* May datagrams of the client still go to its server? */
bool flow_is_usable(const struct flow *flow);
/* Its idle time starts anew. */
void flow_moved(struct flow *flow);
/* So many answers have come. */
void flow_heard(struct flow *flow, unsigned answers);
void flow_end(struct flow *flow, enum end end);

/* udp_batch.c */
void batch_init(struct udp_batch *batch);
/* Make `count` places from `first` on ready to receive. */
void batch_clear(struct udp_batch *batch, unsigned first, unsigned count, bool with_names);
/* Fill places that are ready.  Returns how many; -1 with errno. */
int batch_receive(struct udp_batch *batch, int fd, unsigned first, unsigned count);
/* One datagram, from a socket that was not asked for runs: for less than the price of a message.  Returns 1 or -1. */
int batch_receive_one(struct udp_batch *batch, int fd, unsigned place);
/* The size of the datagrams that came with one message. */
size_t batch_segment(const struct mmsghdr *message);
/* Send from the address that the client spoke to. */
void udp_set_source(struct msghdr *h, union udp_control *control, const struct addr *local);
/* Have the kernel make datagrams of this size. */
void udp_set_segment(struct msghdr *h, union udp_control *control, size_t segment);
unsigned run_datagrams(const struct udp_run *run);
/* Put `next` behind `run`, if the kernel can send them as one. */
bool run_join(struct udp_run *run, const struct udp_run *next);
/* Can it do so at all? */
bool udp_can_segment(int fd);
/* Have it give what came together as one message, where it can. */
void udp_ask_for_runs(int fd);
/* How many datagrams the socket has had no room for since it was made; wraps around. */
uint32_t udp_kernel_drops(int fd);

/* udp.c: read what the server of `flow` has sent, and queue it for the client. */
void udp_on_answer(evutil_socket_t fd, short what, void *flow);

#endif
