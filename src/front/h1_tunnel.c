/*
 * h1_tunnel: an HTTP/1 client after Upgrade: bytes both ways until both sides have ended.
 */
#include "h1_priv.h"
#include "weir/series.h"
#include "weir/upstream.h"

static void
on_tunnel_upstream(void *user, struct upstream *up)
{
	(void)up;
	h1_run(user);
}

static void
on_tunnel_upstream_timeout(void *user, struct upstream *up)
{
	(void)user;
	(void)up; /* the client's timer counts */
}

void
h1_switched(struct exchange *x)
{
	static const struct upstream_user ops = { on_tunnel_upstream, on_tunnel_upstream_timeout };
	struct h1_client *c = x->front;
	struct h1_tunnel *t = slab_take(&h1_worker(c)->tunnels);

	t->upstream = x->upstream;
	t->server = x->server;
	t->pool = x->pool->tally;
	t->series = series_share(x->series);
	x->upstream = NULL;
	x->server = NULL;
	t->upstream->user_ops = &ops;
	t->upstream->user = c;
	timer_clear(&t->upstream->timer);
	/* An end, or a reset, that came with the head has no edge of its own. */
	t->upstream->transport.readable = true;
	exchange_free(x, END_OK);
	c->x = NULL;

	tunnel_init(&t->tunnel, &c->client.transport, t->upstream);
	tunnel_take_pending(&t->tunnel.out, t->upstream->in);
	t->upstream->in = NULL;
	/* Bytes that the client sent right behind its head are the tunnel's first. */
	c->in->start = c->body_at;
	tunnel_take_pending(&t->tunnel.in, c->in);
	c->in = NULL;
	c->tunnel = t;
	c->state = H1_TUNNEL;
	timer_set(&c->client.timer, h1_timeouts(c)->tunnel);
	if (!c->is_running)
		h1_run(c);
}

void
h1_end_tunnel(struct h1_client *c)
{
	struct h1_tunnel *t = c->tunnel;
	struct tally *tally = c->client.listener->tally;

	tally_add(tally, TALLY_BYTES_IN, t->tunnel.in.bytes);
	tally_add(tally, TALLY_BYTES_OUT, t->tunnel.out.bytes);
	tally_add(t->pool, TALLY_BYTES_IN, t->tunnel.in.bytes);
	tally_add(t->pool, TALLY_BYTES_OUT, t->tunnel.out.bytes);
	tally_add(t->server->tally, TALLY_BYTES_IN, t->tunnel.in.bytes);
	tally_add(t->server->tally, TALLY_BYTES_OUT, t->tunnel.out.bytes);
	series_add_bytes(t->series, t->tunnel.in.bytes, t->tunnel.out.bytes);
	series_end(t->series);
	tunnel_fini(&t->tunnel);
	upstream_close(t->upstream, false);
	balance_release(t->server);
	slab_give(&h1_worker(c)->tunnels, t);
	c->tunnel = NULL;
}

enum step
h1_tunnel(struct h1_client *c)
{
	bool moved;
	int result;

	/* The rest of the 101 goes first. */
	result = h1_write_out(c);
	if (result == IO_WAIT)
		return STEP_WAIT;
	if (result == 0)
		result = tunnel_run(&c->tunnel->tunnel, &moved);
	if (result == IO_WAIT) {
		if (moved)
			timer_set(&c->client.timer, h1_timeouts(c)->tunnel);
		return STEP_WAIT;
	}
	h1_end_tunnel(c);
	return h1_close(c, result < 0);
}
