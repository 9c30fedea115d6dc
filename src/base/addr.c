#include "weir/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
port_parse(const char *text, uint16_t *port)
{
	unsigned long value = 0;

	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (unsigned long)(*text - '0');
		if (value > 65535)
			return -1;
	}
	*port = (uint16_t)value;
	return 0;
}

int
addr_parse_ip(struct addr *addr, const char *text, uint16_t port)
{
	memset(addr, 0, sizeof(*addr));
	if (inet_pton(AF_INET, text, &addr->in.sin_addr) == 1) {
		addr->in.sin_family = AF_INET;
		addr->in.sin_port = htons(port);
		addr->len = sizeof(addr->in);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &addr->in6.sin6_addr) == 1) {
		addr->in6.sin6_family = AF_INET6;
		addr->in6.sin6_port = htons(port);
		addr->len = sizeof(addr->in6);
		return 0;
	}
	memset(addr, 0, sizeof(*addr));
	return -1;
}

int
addr_parse(struct addr *addr, const char *text, uint16_t default_port)
{
	char host[INET6_ADDRSTRLEN + 1];
	const char *end, *port_text = NULL;
	uint16_t port = default_port;
	bool bracket = text[0] == '[';
	size_t len;

	if (bracket) {
		text++;
		end = strchr(text, ']');
		if (end == NULL || (end[1] != ':' && end[1] != '\0'))
			return -1;
		port_text = end[1] == ':' ? end + 2 : NULL;
	} else {
		end = strchr(text, ':');
		port_text = end != NULL ? end + 1 : NULL;
		if (end == NULL)
			end = text + strlen(text);
	}
	len = (size_t)(end - text);
	if (len == 0 || len >= sizeof(host))
		return -1;
	if (port_text != NULL ? port_parse(port_text, &port) == -1 : default_port == 0)
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	if (strcmp(host, "*") == 0 && !bracket)
		strcpy(host, "::");
	else if (bracket != (strchr(host, ':') != NULL))
		return -1;
	return addr_parse_ip(addr, host, port);
}

/* inet_ntop() formats IPv4 with snprintf; this is on the path of each request (X-Forwarded-For). */
static void
print_ip4(const uint8_t *octets, char *text)
{
	for (int i = 0; i < 4; i++) {
		unsigned n = octets[i];

		if (n >= 100)
			*text++ = (char)('0' + n / 100);
		if (n >= 10)
			*text++ = (char)('0' + n / 10 % 10);
		*text++ = (char)('0' + n % 10);
		*text++ = i < 3 ? '.' : '\0';
	}
}

const char *
addr_print_ip(const struct addr *addr, char text[static ADDR_TEXT_SIZE])
{
	const struct in6_addr *ip6 = &addr->in6.sin6_addr;

	text[0] = '\0';
	if (addr->sa.sa_family == AF_INET)
		print_ip4((const uint8_t *)&addr->in.sin_addr, text);
	else if (addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(ip6))
		print_ip4(ip6->s6_addr + 12, text);
	else if (addr->sa.sa_family == AF_INET6)
		inet_ntop(AF_INET6, ip6, text, ADDR_TEXT_SIZE);
	return text;
}

const char *
addr_print(const struct addr *addr, char text[static ADDR_TEXT_SIZE])
{
	char ip[ADDR_TEXT_SIZE];

	addr_print_ip(addr, ip);
	snprintf(
	    text, ADDR_TEXT_SIZE, strchr(ip, ':') ? "[%.45s]:%u" : "%.45s:%u", ip, addr_port(addr));
	return text;
}

uint16_t
addr_port(const struct addr *addr)
{
	return ntohs(addr->sa.sa_family == AF_INET6 ? addr->in6.sin6_port : addr->in.sin_port);
}

void
addr_set_port(struct addr *addr, uint16_t port)
{
	if (addr->sa.sa_family == AF_INET6)
		addr->in6.sin6_port = htons(port);
	else
		addr->in.sin_port = htons(port);
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	struct in6_addr ip_a = addr_ip6(a), ip_b = addr_ip6(b);

	return a->sa.sa_family == b->sa.sa_family && addr_port(a) == addr_port(b) &&
	       memcmp(&ip_a, &ip_b, sizeof(ip_a)) == 0;
}

struct in6_addr
addr_ip6(const struct addr *addr)
{
	struct in6_addr ip = { 0 };

	if (addr->sa.sa_family == AF_INET6)
		return addr->in6.sin6_addr;
	ip.s6_addr[10] = ip.s6_addr[11] = 0xff;
	memcpy(ip.s6_addr + 12, &addr->in.sin_addr, 4);
	return ip;
}

/* Clears the bits of `ip` past `bits`.  Returns whether any of them was set. */
static bool
clear_host_bits(struct in6_addr *ip, unsigned bits)
{
	bool was_set = false;

	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits >= (i + 1) * 8 ? 8 : bits <= i * 8 ? 0 : bits - i * 8;
		uint8_t mask = (uint8_t)(0xff00U >> keep);

		was_set |= (ip->s6_addr[i] & (uint8_t)~mask) != 0;
		ip->s6_addr[i] &= mask;
	}
	return was_set;
}

int
network_parse(struct network *network, const char *text)
{
	char host[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	struct addr addr;
	unsigned max;
	uint16_t bits;

	if (len >= sizeof(host))
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	if (addr_parse_ip(&addr, host, 0) == -1)
		return -1;
	max = addr.sa.sa_family == AF_INET ? 32 : 128;
	bits = (uint16_t)max;
	if (slash != NULL && (port_parse(slash + 1, &bits) == -1 || bits > max))
		return -1;
	network->base = addr_ip6(&addr);
	network->bits = (uint8_t)(bits + (128 - max));
	return clear_host_bits(&network->base, network->bits) ? -2 : 0;
}

struct in6_addr
addr_source(const struct addr *addr, unsigned bits)
{
	struct in6_addr ip = addr_ip6(addr);

	if (bits > 0 && bits < 128 && !IN6_IS_ADDR_V4MAPPED(&ip))
		clear_host_bits(&ip, bits);
	return ip;
}

const char *
network_print(const struct network *network, char text[static ADDR_TEXT_SIZE])
{
	struct addr addr = { .len = sizeof(addr.in6) };
	bool is_v4 = network->bits >= 96 && IN6_IS_ADDR_V4MAPPED(&network->base);
	char ip[ADDR_TEXT_SIZE];

	addr.in6.sin6_family = AF_INET6;
	addr.in6.sin6_addr = network->base;
	if (is_v4)
		addr_print_ip(&addr, ip);
	else
		inet_ntop(AF_INET6, &network->base, ip, sizeof(ip));
	snprintf(text, ADDR_TEXT_SIZE, "%.45s/%u", ip, network->bits - (is_v4 ? 96U : 0U));
	return text;
}

bool
network_contains(const struct network *network, const struct in6_addr *ip)
{
	struct in6_addr masked = *ip;

	if (network->bits < 96 && IN6_IS_ADDR_V4MAPPED(ip))
		return false;
	clear_host_bits(&masked, network->bits);
	return memcmp(&masked, &network->base, sizeof(masked)) == 0;
}
