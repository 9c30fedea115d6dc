/*
 * preface: connections whose first bytes say who the client is (PROXY protocol), until they have.
 *
 * Runs in: worker.  The header is looked at without being taken, and then taken alone, so that what
 * follows it, TLS for example, is untouched.  Then the connection becomes what the listener's
 * protocol says, and this object ends.
 */
#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front_priv.h"
#include "weir/acl.h"
#include "weir/log.h"
#include "weir/proxyproto.h"

struct preface {
	struct client client; /* first */
};

#define OF_CLIENT(c) ((struct preface *)(void *)(c))

static void
preface_cut(struct client *client, enum end end)
{
	(void)end;
	client_close(client, &client->listener->worker->prefaces, true);
}

static void
preface_drain(struct client *client)
{
	(void)client; /* it is about to begin */
}

static void
refuse(struct preface *p, const char *why)
{
	static struct log_limit limit;
	const struct listener *listener = p->client.listener;
	char text[ADDR_TEXT_SIZE];

	if (log_allowed(&limit, 1, 10000))
		log_warnx("listener %s: PROXY protocol from %s: %s", listener->conf->name,
		    addr_print_ip(&p->client.address, text), why);
	tally_add(listener->tally, TALLY_REFUSED, 1);
	preface_cut(&p->client, END_REQUEST_MALFORMED);
}

/* The header is complete: take it off, and begin with what follows. */
static void
begin(struct preface *p, const struct proxyproto *header)
{
	struct front *front = p->client.front;
	const struct listener *listener = p->client.listener;
	struct addr address = header->has_addresses ? header->source : p->client.address;
	uint8_t data[PROXYPROTO_PARSE_MAX];
	ssize_t n;
	int fd = p->client.transport.fd;

	do
		n = recv(p->client.transport.fd, data, header->len, 0);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)header->len) { /* cannot be: it was there */
		preface_cut(&p->client, END_INTERNAL);
		return;
	}
	if (client_is_refused(listener, &address) || client_is_throttled(listener, &address)) {
		tally_add(listener->tally, TALLY_REFUSED, 1);
		preface_cut(&p->client, END_REQUEST_MALFORMED);
		return;
	}
	event_del(&p->client.transport.event);
	p->client.transport.fd = -1; /* not to be closed */
	client_close(&p->client, &listener->worker->prefaces, false);
	client_begin(front, listener, fd, &address);
}

static void
on_ready(struct transport *transport)
{
	struct preface *p = OF_CLIENT(CLIENT_OF_TRANSPORT(transport));
	uint8_t data[PROXYPROTO_PARSE_MAX];
	struct proxyproto header;
	ssize_t n;

	do
		n = recv(transport->fd, data, sizeof(data), MSG_PEEK);
	while (n == -1 && errno == EINTR);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		preface_cut(&p->client, END_CLIENT_CLOSED);
		return;
	}
	switch (proxyproto_parse(data, (size_t)n, &header)) {
	case PROXYPROTO_DONE:
		begin(p, &header);
		return;
	case PROXYPROTO_MORE:
		if (transport->peer_closed)
			preface_cut(&p->client, END_CLIENT_CLOSED);
		return;
	case PROXYPROTO_BAD:
		refuse(p, "no valid header");
		return;
	}
}

static void
on_fire(struct timer *timer)
{
	preface_cut(CLIENT_OF_TIMER(timer), END_CLIENT_TIMEOUT_HEAD);
}

size_t
preface_size(void)
{
	return sizeof(struct preface);
}

void
preface_accept(
    struct front *front, const struct listener *listener, int fd, const struct addr *address)
{
	static const struct client_kind kind = { preface_drain, preface_cut, NULL };
	struct preface *p = slab_take(&listener->worker->prefaces);

	if (transport_open(&p->client.transport, listener->worker->base, fd, on_ready) == -1) {
		slab_give(&listener->worker->prefaces, p);
		return;
	}
	client_add(&p->client, &kind, front, listener, address, on_fire);
	timer_set(&p->client.timer, listener->conf->timeouts.client_head);
}
