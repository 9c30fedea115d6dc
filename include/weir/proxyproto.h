/*
 * proxyproto: the header that tells a server who its client is, before anything else: the PROXY protocol, versions 1
 * and 2.
 *
 * Runs in: worker, control (health checks).  Knows bytes and addresses, no connections.
 * Source: "The PROXY protocol, versions 1 & 2", HAProxy Technologies, 2020.
 */
#ifndef WEIR_PROXYPROTO_H
#define WEIR_PROXYPROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/addr.h"

enum {
	PROXYPROTO_PRINT_MAX = 108, /* what proxyproto_print() writes at most */
	PROXYPROTO_PARSE_MAX = 4096 /* a longer header, with extensions, is refused */
};

struct proxyproto {
	size_t len;           /* bytes of the header: the client's own follow */
	bool has_addresses;   /* false: the sender speaks for itself (LOCAL, UNKNOWN) */
	struct addr source, destination;
};

enum proxyproto_result {
	PROXYPROTO_DONE = 0,
	PROXYPROTO_MORE, /* so far it is one, more bytes are needed */
	PROXYPROTO_BAD   /* it is none, of another transport than TCP, or malformed */
};

/*
 * Read the header at the start of `data`.  Never reads the client's own bytes into its result: `len` ends with the
 * header.  Extensions (TLVs) of version 2 are skipped, but must be well-formed, and a checksum among them must be right.
 */
enum proxyproto_result proxyproto_parse(const uint8_t *data, size_t len, struct proxyproto *header);

/*
 * Write the header of `version` (1 or 2).
 * source, destination  may be of different families: the header then has both as IPv6.  NULL: the connection is weir's
 *                      own (LOCAL, UNKNOWN).
 * Returns its length.
 */
size_t proxyproto_print(unsigned version, bool is_udp, const struct addr *source, const struct addr *destination,
    uint8_t out[static PROXYPROTO_PRINT_MAX]);

#endif
