#include "channel_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct header {
	uint32_t type;
	uint32_t len;
};

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int
channel_open(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
}

int
channel_send(int fd, enum message_type type, const void *payload, size_t len, int pass_fd)
{
	struct header header = { .type = (uint32_t)type, .len = (uint32_t)len };
	struct iovec iov[2] = { { .iov_base = &header, .iov_len = sizeof(header) } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = len > 0 ? 2 : 1 };
	union control control = { 0 };
	ssize_t n;

	if (len > CHANNEL_PAYLOAD_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	memcpy(&iov[1].iov_base, &payload, sizeof(payload)); /* sendmsg() only reads it */
	iov[1].iov_len = len;
	if (pass_fd != -1) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &pass_fd, sizeof(int));
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	return n == -1 ? -1 : 0;
}

/* There is room for one descriptor, so the kernel has dropped any others. */
static int
passed_fd(struct msghdr *msg)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	int fd = -1;

	if (cmsg != NULL && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
	    cmsg->cmsg_len >= CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));
	return fd;
}

enum channel_got
channel_receive(int fd, struct message *message, bool accept_fd)
{
	struct header header;
	struct iovec iov[2] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = message->payload, .iov_len = CHANNEL_PAYLOAD_MAX },
	};
	union control control;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	if (accept_fd) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
	}
	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return CHANNEL_WAIT;
	if (n <= 0)
		return CHANNEL_CLOSED;
	message->fd = accept_fd ? passed_fd(&msg) : -1;
	if ((size_t)n < sizeof(header) || (msg.msg_flags & MSG_TRUNC) != 0 ||
	    header.len != (size_t)n - sizeof(header) || header.type == MESSAGE_NONE ||
	    header.type >= MESSAGE_TYPES) {
		if (message->fd != -1)
			close(message->fd);
		return CHANNEL_BAD;
	}
	message->type = (enum message_type)header.type;
	message->len = header.len;
	message->payload[header.len] = '\0';
	return CHANNEL_MESSAGE;
}
