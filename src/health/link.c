#include "link_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "probe_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"

int
links_init(struct links *links, size_t kept_max, size_t spare_max)
{
	*links = (struct links){ .kept_max = kept_max, .spare_max = spare_max };
	links->epoll = epoll_create1(EPOLL_CLOEXEC);
	return links->epoll == -1 ? -1 : 0;
}

static void
link_free(struct link *link)
{
	close(link->fd);
	free(link);
}

void
links_fini(struct links *links)
{
	struct link *link;

	for (size_t i = 0; i < sizeof(links->spare) / sizeof(links->spare[0]); i++)
		while ((link = LIST_FIRST(&links->spare[i])) != NULL) {
			LIST_REMOVE(link, entry);
			link_free(link);
		}
	if (links->epoll != -1)
		close(links->epoll);
}

static size_t
spare_index(sa_family_t family)
{
	return family == AF_INET6;
}

static struct link *
link_new(struct links *links, sa_family_t family, bool is_stream)
{
	int type = (is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	struct link *link;
	int fd = socket(family, type, 0), error;

	if (fd == -1)
		return NULL;
	link = xcalloc(1, sizeof(*link));
	*link = (struct link){ .links = links, .fd = fd, .family = family, .is_stream = is_stream };
	event.data.ptr = link;
	if (epoll_ctl(links->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
		return link;
	error = errno;
	link_free(link);
	errno = error == ENOSPC ? ENOMEM : error; /* fs.epoll.max_user_watches */
	return NULL;
}

/*
 * The acknowledgment that ends the handshake goes with the request, or not at all: that the port
 * answers is all that a TCP check wants to know, and its server is not woken for a handshake that
 * is left half done.
 */
static void
delay_ack(int fd)
{
	const int off = 0;

	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
}

struct link *
link_open(struct links *links, struct probe *probe, const struct addr *address, bool is_stream)
{
	sa_family_t family = address->sa.sa_family;
	struct link *link = is_stream ? LIST_FIRST(&links->spare[spare_index(family)]) : NULL;
	int error;

	if (link != NULL) {
		LIST_REMOVE(link, entry);
		links->spare_count[spare_index(family)]--;
	} else if ((link = link_new(links, family, is_stream)) == NULL) {
		return NULL;
	}
	if (is_stream)
		delay_ack(link->fd);
	link->probe = probe;
	link->opened_ms = now_ms;
	if (connect(link->fd, &address->sa, address->len) == 0 || errno == EINPROGRESS)
		return link;
	error = errno;
	link_close(link);
	errno = error;
	return NULL;
}

/* Its connection ends with a reset, and the socket is as new: nothing waits in TIME_WAIT on either
 * side. */
static bool
link_disconnect(struct link *link)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	size_t index = spare_index(link->family);
	struct links *links = link->links;

	if (!link->is_stream || !link->is_resettable ||
	    links->spare_count[index] >= links->spare_max ||
	    connect(link->fd, &nobody, sizeof(nobody)) == -1)
		return false;
	link->is_resettable = link->is_connected = false;
	LIST_INSERT_HEAD(&links->spare[index], link, entry);
	links->spare_count[index]++;
	return true;
}

void
link_close(struct link *link)
{
	if (link == NULL)
		return;
	if (link->keeper != NULL) {
		*link->keeper = NULL;
		link->keeper = NULL;
		link->links->kept--;
	}
	link->probe = NULL;
	probe_tls_free(link->ssl);
	link->ssl = NULL;
	probe_h2_free(link->h2);
	link->h2 = NULL;
	if (!link_disconnect(link))
		link_free(link);
}

void
link_keep(struct link *link, struct link **keeper)
{
	if (link->links->kept >= link->links->kept_max) {
		link_close(link);
		return;
	}
	link->probe = NULL;
	link->keeper = keeper;
	link->links->kept++;
	*keeper = link;
}

struct link *
link_take_kept(struct link **keeper, struct probe *probe, uint32_t age_ms)
{
	struct link *link = *keeper;

	if (link == NULL)
		return NULL;
	if (now_ms - link->opened_ms >= age_ms) {
		link_close(link);
		return NULL;
	}
	*keeper = NULL;
	link->keeper = NULL;
	link->links->kept--;
	link->probe = probe;
	return link;
}
