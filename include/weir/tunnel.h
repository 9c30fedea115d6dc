/*
 * tunnel: bytes both ways between a client and a server, until both sides have ended.
 *
 * Runs in: worker.  Used for TCP listeners and after Upgrade.  Each direction ends by itself (half-close): when one side
 * has sent everything, the other is told, and may still answer.
 */
#ifndef WEIR_TUNNEL_H
#define WEIR_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct pipe;
struct transport;
struct upstream;

struct tunnel_way {
	struct transport *from, *to; /* borrowed */
	struct upstream *from_server, *to_server; /* whose transport that is; NULL: a client's */
	struct buf *pending;         /* owned; read and not yet written; NULL while empty */
	struct pipe *pipe;           /* owned; the same where the bytes stay in the kernel; never both */
	uint64_t bytes;              /* written so far */
	bool may_splice;             /* both ends are plain, and the listener allows it */
	bool is_bulk;                /* the last read was long: the next one is worth a pipe */
	bool ended;                  /* `from` has sent everything */
	bool told;                   /* `to` knows that */
	bool failed;                 /* `from` has reset its connection, or the like */
};

struct tunnel {
	struct tunnel_way in, out; /* client to server, server to client */
};

void tunnel_init(struct tunnel *tunnel, struct transport *client, struct upstream *server);
/* Let long streams pass through pipes where both transports are plain. */
void tunnel_allow_splice(struct tunnel *tunnel);
/* Bytes that were read before the tunnel began; takes `buf` over (NULL: none). */
void tunnel_take_pending(struct tunnel_way *way, struct buf *buf);
/*
 * Move what can be moved; call it for each event of either side.
 * moved    set to whether anything moved (for the idle timer)
 * Returns  0: both directions have ended; IO_WAIT; IO_ERROR: cut both.
 */
int tunnel_run(struct tunnel *tunnel, bool *moved);
void tunnel_fini(struct tunnel *tunnel);

#endif
