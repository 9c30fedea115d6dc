/*
 * client_cert: what a TLS client proved to be, as texts for header fields.
 *
 * Runs in: worker.  Made once per connection, of a certificate that was verified.
 */
#ifndef WEIR_CLIENT_CERT_H
#define WEIR_CLIENT_CERT_H

struct client_cert {
	char *bytes;       /* owned; the certificate as RFC 9440 writes it: ":BASE64:"; NULL: too long for a field */
	char *subject;     /* owned; RFC 2253, ASCII; NULL: the client showed no certificate */
	char *fingerprint; /* owned; SHA-256 in hex */
};

#endif
