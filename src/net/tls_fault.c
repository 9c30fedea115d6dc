/* tls_fault: what went wrong, for people and for counters. */
#include "tls_priv.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

static const char *last_error = "";
static enum tls_fault last_fault;

const char *
transport_tls_error(void)
{
	return last_error;
}

void
tls_set_error(const char *text)
{
	last_error = text;
}

void
tls_set_fault(enum tls_fault fault)
{
	last_fault = fault;
}

enum tls_fault
transport_handshake_fault(void)
{
	return last_fault;
}

/* What OpenSSL's reasons mean while hands are shaken. */
static enum tls_fault
fault_of(int reason)
{
	if (reason >= SSL_AD_REASON_OFFSET)
		return TLS_FAULT_ALERT;
	switch (reason) {
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		return TLS_FAULT_CLOSED;
	case SSL_R_CALLBACK_FAILED: /* the server's name is refused */
	case SSL_R_INAPPROPRIATE_FALLBACK:
	case SSL_R_NO_APPLICATION_PROTOCOL:
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
	case SSL_R_NO_SUITABLE_GROUPS:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
		return TLS_FAULT_MISMATCH;
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return TLS_FAULT_CERTIFICATE;
	default:
		return TLS_FAULT_MALFORMED;
	}
}

int
tls_failure(struct transport *t, int result)
{
	int saved = errno, error = SSL_get_error(t->ssl->ssl, result);
	unsigned long code = ERR_peek_error();
	const char *reason = ERR_reason_error_string(code);

	ERR_clear_error();
	switch (error) {
	case SSL_ERROR_WANT_READ:
		t->readable = false;
		return IO_WAIT;
	case SSL_ERROR_WANT_WRITE:
		t->writable = false;
		return IO_WAIT;
	case SSL_ERROR_ZERO_RETURN:
		last_fault = TLS_FAULT_CLOSED;
		return IO_CLOSED;
	case SSL_ERROR_SYSCALL:
		t->tls_failed = true;
		last_fault = TLS_FAULT_CLOSED;
		last_error = saved != 0 ? strerror(saved) : "connection closed";
		errno = saved != 0 ? saved : ECONNRESET;
		return IO_ERROR;
	default:
		t->tls_failed = true;
		last_fault = fault_of(ERR_GET_REASON(code));
		last_error = reason != NULL ? reason : "unknown TLS error";
		errno = EPROTO;
		return IO_ERROR;
	}
}
