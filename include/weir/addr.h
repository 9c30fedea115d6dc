/*
 * addr: socket addresses and networks, from and to text.
 *
 * Used by every program.  Literal addresses only: weir never asks a name server.
 */
#ifndef WEIR_ADDR_H
#define WEIR_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDR_TEXT_SIZE = 64 }; /* enough for "[IPv6%scope]:65535" and its NUL */

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len; /* bytes of the union that count; 0: no address */
};

/* An IPv4 network is kept as its IPv4-mapped IPv6 form, so that both families compare alike. */
struct network {
	struct in6_addr base; /* host bits zero */
	uint8_t bits;         /* 0 to 128; an IPv4 /24 is 120 */
};

/*
 * Parse "192.0.2.1:80", "[2001:db8::1]:80" or, when `default_port` is not 0, the same without the port.
 * "*:80" is [::]:80 for dual-stack use by the caller.  Returns 0, or -1 when the text is anything else.
 */
int addr_parse(struct addr *addr, const char *text, uint16_t default_port);
/* Parse a bare IPv4 or IPv6 address (no brackets, no port).  Returns 0 or -1. */
int addr_parse_ip(struct addr *addr, const char *text, uint16_t port);
/* "192.0.2.1:80" or "[2001:db8::1]:80".  Returns `text`. */
const char *addr_print(const struct addr *addr, char text[static ADDR_TEXT_SIZE]);
/* The address without the port and without brackets; IPv4-mapped IPv6 addresses as IPv4.  Returns `text`. */
const char *addr_print_ip(const struct addr *addr, char text[static ADDR_TEXT_SIZE]);
uint16_t addr_port(const struct addr *addr);
void addr_set_port(struct addr *addr, uint16_t port);
bool addr_equal(const struct addr *a, const struct addr *b);
/* The IP of `addr` in IPv6 form (IPv4 as ::ffff:a.b.c.d). */
struct in6_addr addr_ip6(const struct addr *addr);
/* The same, of an IPv6 address only the first `bits` (0: all): those that make one client. */
struct in6_addr addr_source(const struct addr *addr, unsigned bits);

/* "203.0.113.0/24", "2001:db8::/32" or an address alone.  Returns 0; -1: no network; -2: host bits are set. */
int network_parse(struct network *network, const char *text);
/* Returns `text`; IPv4 networks are written as such. */
const char *network_print(const struct network *network, char text[static ADDR_TEXT_SIZE]);
/* An IPv6 network contains no IPv4 address: "::/0" is all of IPv6 and nothing else. */
bool network_contains(const struct network *network, const struct in6_addr *ip);

#endif
