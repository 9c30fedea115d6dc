#include "probe_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "weir/conf.h"
#include "weir/tls_servers.h"

struct ssl_st *
probe_tls_new(const struct tls_servers *tls, const struct health_config *health,
    const struct addr *address, int fd)
{
	char buffer[TLS_NAME_SIZE];
	const char *host = health->host != NULL ? health->host : "";
	SSL *ssl =
	    tls_servers_new_ssl(tls, tls_servers_name(tls, host, strlen(host), buffer), address);

	if (ssl != NULL && SSL_set_fd(ssl, fd) == 1)
		return ssl;
	probe_tls_free(ssl);
	return NULL;
}

enum probe_step
probe_tls_handshake(struct ssl_st *ssl, char text[static PROBE_TEXT_SIZE])
{
	int result, error;
	const char *why;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(ssl);
	if (result == 1)
		return PROBE_PASSED;
	error = SSL_get_error(ssl, result);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return PROBE_WAIT;
	why = tls_servers_fault(ssl);
	if (why == NULL)
		why = ERR_reason_error_string(ERR_peek_error());
	if (why == NULL)
		why = error == SSL_ERROR_SYSCALL && errno != 0 ? strerror(errno)
							       : "connection closed";
	snprintf(text, PROBE_TEXT_SIZE, "TLS: %.*s", PROBE_TEXT_SIZE - 6, why);
	ERR_clear_error();
	return PROBE_FAILED;
}

bool
probe_tls_is_h2(struct ssl_st *ssl)
{
	const unsigned char *name;
	unsigned len;

	SSL_get0_alpn_selected(ssl, &name, &len);
	return len == 2 && memcmp(name, "h2", 2) == 0;
}

void
probe_tls_free(struct ssl_st *ssl)
{
	SSL_free(ssl);
	ERR_clear_error();
}

/* As a system call returns it. */
static ssize_t
result_of(SSL *ssl, int result, size_t n)
{
	int saved = errno, error;

	if (result == 1)
		return (ssize_t)n;
	error = SSL_get_error(ssl, result);
	ERR_clear_error();
	switch (error) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		errno = saved != 0 ? saved : ECONNRESET;
		return -1;
	default:
		errno = EPROTO;
		return -1;
	}
}

ssize_t
probe_receive(int fd, struct ssl_st *ssl, void *data, size_t size)
{
	size_t n = 0;
	int result;

	if (ssl == NULL)
		return recv(fd, data, size, 0);
	errno = 0;
	result = SSL_read_ex(ssl, data, size, &n);
	return result_of(ssl, result, n);
}

ssize_t
probe_send(int fd, struct ssl_st *ssl, const void *data, size_t len)
{
	size_t n = 0;
	int result;

	if (ssl == NULL)
		return send(fd, data, len, MSG_NOSIGNAL);
	errno = 0;
	result = SSL_write_ex(ssl, data, len, &n);
	return result_of(ssl, result, n);
}
