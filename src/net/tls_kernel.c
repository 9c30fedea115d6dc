#include "weir/tls_kernel.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

/* Without the module, OpenSSL would try in vain with each handshake, by a system call. */
static bool
kernel_has_it(void)
{
#ifdef TCP_ULP
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has;

	if (fd == -1)
		return false;
	has = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 || errno == ENOTCONN;
	close(fd);
	return has;
#else
	return false;
#endif
}

enum tls_kernel
tls_kernel_find(bool wanted)
{
	if (!wanted)
		return TLS_KERNEL_OFF;
#if defined(SSL_OP_ENABLE_KTLS) && !defined(OPENSSL_NO_KTLS)
	return kernel_has_it() ? TLS_KERNEL_ON : TLS_KERNEL_NO_MODULE;
#else
	(void)kernel_has_it;
	return TLS_KERNEL_NOT_BUILT;
#endif
}

const char *
tls_kernel_text(enum tls_kernel state)
{
	switch (state) {
	case TLS_KERNEL_OFF:
		return "off";
	case TLS_KERNEL_ON:
		return "on";
	case TLS_KERNEL_NO_MODULE:
		return "not available: the kernel has no module tls";
	case TLS_KERNEL_NOT_BUILT:
		return "not available: OpenSSL was built without it";
	}
	return "";
}
