/*
 * h2_codes: the error codes of HTTP/2 (RFC 9113 section 7), from one connection to the next.
 *
 * Runs in: worker.  Used by the front and by the connections to servers.
 */
#ifndef WEIR_H2_CODES_H
#define WEIR_H2_CODES_H

#include <stdint.h>

/*
 * A peer reset its stream with `code`: with what is the stream of the other side to be reset?  What a code says of the
 * request passes; what it says of a connection, or of weir's frames there, is an INTERNAL_ERROR to the other side, and so
 * is NO_ERROR, as something is missing all the same.
 */
uint32_t h2_codes_pass(uint32_t code);
/* The same towards a server, which only has to know that the request is given up. */
uint32_t h2_codes_give_up(uint32_t code);

#endif
