/*
 * tls_turn: handshakes take turns with all else.
 *
 * A step of a handshake may cost a millisecond, a hundred times what a request does.  So each turn
 * of the event loop has room for some of them only; the others wait in line, and connections that
 * are established are served in between.
 */
#include "tls_priv.h"

static struct {
	TAILQ_HEAD(, tls) line; /* the longest first */
	unsigned limit;         /* steps in one turn of the loop */
	unsigned left;          /* in this one */
} turns = { .line = TAILQ_HEAD_INITIALIZER(turns.line), .limit = 16, .left = 16 };

void
transport_limit_handshakes(unsigned steps)
{
	turns.limit = turns.left = steps;
}

bool
tls_turn_take(struct transport *t)
{
	struct tls *tls = t->ssl;

	if (tls->turn == TLS_TURN_DUE || (turns.left > 0 && TAILQ_EMPTY(&turns.line))) {
		if (turns.left > 0)
			turns.left--;
		tls->turn = TLS_TURN_NONE;
		return true;
	}
	if (tls->turn == TLS_TURN_NONE) {
		tls->turn = TLS_TURN_WAITING;
		tls->transport = t;
		TAILQ_INSERT_TAIL(&turns.line, tls, line);
	}
	return false;
}

void
tls_turn_leave(struct tls *tls)
{
	if (tls->turn == TLS_TURN_WAITING)
		TAILQ_REMOVE(&turns.line, tls, line);
	tls->turn = TLS_TURN_NONE;
}

bool
transport_turn(void)
{
	struct tls *tls;

	turns.left = turns.limit;
	for (unsigned i = 0; i < turns.limit && (tls = TAILQ_FIRST(&turns.line)) != NULL; i++) {
		TAILQ_REMOVE(&turns.line, tls, line);
		tls->turn = TLS_TURN_DUE;
		tls->transport->on_ready(tls->transport); /* may free it */
	}
	return !TAILQ_EMPTY(&turns.line);
}
