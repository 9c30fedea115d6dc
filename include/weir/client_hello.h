/*
 * client_hello: what a TLS client says first, read without answering it (RFC 8446 §4.1.2, RFC 6066 §3).
 *
 * Runs in: worker.  Knows bytes in memory alone; trusts none of them.
 */
#ifndef WEIR_CLIENT_HELLO_H
#define WEIR_CLIENT_HELLO_H

#include <stddef.h>

#include "weir/slice.h"

enum { CLIENT_HELLO_MAX = 16 * 1024 }; /* bytes on the wire, the headers of records included */

enum hello_result {
	HELLO_DONE = 0,
	HELLO_MORE, /* so far it may become one */
	HELLO_BAD   /* it is none, or is malformed */
};

/*
 * data     all that the client has sent so far, from the first byte
 * name     set with HELLO_DONE: the server name as it stands there, in a buffer valid until the next call; len 0: none
 */
enum hello_result client_hello_parse(const void *data, size_t len, struct slice *name);

#endif
