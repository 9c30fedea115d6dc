/*
 * Version 1 is a line:
 *
 *	PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 CR LF       (107 bytes at most)
 *
 * Version 2 is binary:
 *
 *	0            12    13       14       16
 *	+------------+-----+--------+--------+--------------------------+------------+
 *	| signature  | ver | family | length | addresses and ports      | extensions |
 *	|            | cmd | proto  | (16)   | 12 (IPv4) or 36 (IPv6)   |            |
 *	+------------+-----+--------+--------+--------------------------+------------+
 *	                                      <------- length bytes --------------->
 *
 * An extension is | type (1) | length (2) | value |.  One of them is a checksum of the header.
 */
#include "weir/proxyproto.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum {
	V1_MAX = 107,
	V2_HEAD = 16,
	V2_LOCAL = 0x20,
	V2_PROXY = 0x21,
	V2_UNSPEC = 0x00,
	V2_TCP4 = 0x11,
	V2_UDP4 = 0x12,
	V2_TCP6 = 0x21,
	V2_UDP6 = 0x22,
	V2_LEN4 = 12,
	V2_LEN6 = 36,
	V2_EXTENSION_HEAD = 3,
	V2_CHECKSUM = 0x03, /* a type of extension */
	V2_CHECKSUM_LEN = 4
};

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const char v1_start[] = "PROXY ";

static void
set_ip4(struct addr *addr, const void *ip, uint16_t port)
{
	memset(addr, 0, sizeof(*addr));
	addr->in.sin_family = AF_INET;
	addr->in.sin_port = htons(port);
	memcpy(&addr->in.sin_addr, ip, 4);
	addr->len = sizeof(addr->in);
}

static void
set_ip6(struct addr *addr, const void *ip, uint16_t port)
{
	memset(addr, 0, sizeof(*addr));
	addr->in6.sin6_family = AF_INET6;
	addr->in6.sin6_port = htons(port);
	memcpy(&addr->in6.sin6_addr, ip, 16);
	addr->len = sizeof(addr->in6);
}

/* ---- version 1 ---- */

/* The text up to the next space or the end; false when there is none. */
static bool
take_word(char **rest, char **word)
{
	char *end = strchr(*rest, ' ');

	*word = *rest;
	*rest = end != NULL ? end + 1 : *rest + strlen(*rest);
	if (end != NULL)
		*end = '\0';
	return **word != '\0';
}

static bool
parse_port(const char *text, uint16_t *port)
{
	unsigned value = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (const char *c = text; *c != '\0'; c++) {
		if (*c < '0' || *c > '9')
			return false;
		value = value * 10 + (unsigned)(*c - '0');
		if (value > UINT16_MAX)
			return false;
	}
	*port = (uint16_t)value;
	return true;
}

static bool
parse_ip(bool is_ip6, const char *text, struct addr *addr)
{
	unsigned char ip[16];

	if (inet_pton(is_ip6 ? AF_INET6 : AF_INET, text, ip) != 1)
		return false;
	if (is_ip6)
		set_ip6(addr, ip, 0);
	else
		set_ip4(addr, ip, 0);
	return true;
}

/* `line` is what stands between "PROXY " and CR LF. */
static enum proxyproto_result
parse_v1_line(char *line, struct proxyproto *header)
{
	char *family, *source, *destination, *source_port, *destination_port;
	uint16_t from, to;
	bool is_ip6;

	if (!take_word(&line, &family))
		return PROXYPROTO_BAD;
	if (strcmp(family, "UNKNOWN") == 0)
		return PROXYPROTO_DONE; /* whatever follows is to be ignored */
	is_ip6 = strcmp(family, "TCP6") == 0;
	if (!is_ip6 && strcmp(family, "TCP4") != 0)
		return PROXYPROTO_BAD;
	if (!take_word(&line, &source) || !take_word(&line, &destination) ||
	    !take_word(&line, &source_port))
		return PROXYPROTO_BAD;
	destination_port = line; /* with anything behind it, it is no port */
	if (!parse_ip(is_ip6, source, &header->source) ||
	    !parse_ip(is_ip6, destination, &header->destination) ||
	    !parse_port(source_port, &from) || !parse_port(destination_port, &to))
		return PROXYPROTO_BAD;
	addr_set_port(&header->source, from);
	addr_set_port(&header->destination, to);
	header->has_addresses = true;
	return PROXYPROTO_DONE;
}

static enum proxyproto_result
parse_v1(const uint8_t *data, size_t len, struct proxyproto *header)
{
	size_t start = sizeof(v1_start) - 1, limit = len < V1_MAX ? len : V1_MAX;
	const uint8_t *end = memchr(data, '\r', limit);
	char line[V1_MAX + 1];

	if (end == NULL)
		return limit == V1_MAX ? PROXYPROTO_BAD : PROXYPROTO_MORE;
	if ((size_t)(end - data) < start || end == data + V1_MAX - 1)
		return PROXYPROTO_BAD;
	if (end == data + len - 1)
		return PROXYPROTO_MORE;
	if (end[1] != '\n' || memchr(data, '\0', (size_t)(end - data)) != NULL)
		return PROXYPROTO_BAD;
	header->len = (size_t)(end - data) + 2;
	memcpy(line, data + start, (size_t)(end - data) - start);
	line[(size_t)(end - data) - start] = '\0';
	return parse_v1_line(line, header);
}

/* ---- version 2 ---- */

static uint16_t
read_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* One more byte of a CRC-32C (RFC 3720, appendix B.4). */
static uint32_t
add_to_checksum(uint32_t crc, uint8_t byte)
{
	crc ^= byte;
	for (int bit = 0; bit < 8; bit++)
		crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
	return crc;
}

/* The value of the checksum, at `value`, counts as zeros. */
static bool
has_checksum(const uint8_t *data, size_t len, const uint8_t *value)
{
	uint32_t crc = UINT32_MAX, expected = 0;

	for (size_t i = 0; i < len; i++) {
		bool is_value = data + i >= value && data + i < value + V2_CHECKSUM_LEN;

		crc = add_to_checksum(crc, is_value ? 0 : data[i]);
	}
	for (int i = 0; i < V2_CHECKSUM_LEN; i++)
		expected = expected << 8 | value[i];
	return ~crc == expected;
}

/* Are these all of the header from `at` on, and is the checksum right if there is one? */
static bool
are_extensions(const uint8_t *data, size_t at, size_t len)
{
	const uint8_t *checksum = NULL;

	while (at < len) {
		size_t value = at + V2_EXTENSION_HEAD;

		if (value > len || value + read_u16(data + at + 1) > len)
			return false;
		if (data[at] == V2_CHECKSUM) {
			if (read_u16(data + at + 1) != V2_CHECKSUM_LEN || checksum != NULL)
				return false;
			checksum = data + value;
		}
		at = value + read_u16(data + at + 1);
	}
	return checksum == NULL || has_checksum(data, len, checksum);
}

static enum proxyproto_result
parse_v2(const uint8_t *data, size_t len, struct proxyproto *header)
{
	const uint8_t *p = data + V2_HEAD;
	size_t body, extensions;

	if (len < V2_HEAD)
		return PROXYPROTO_MORE;
	if (data[12] != V2_LOCAL && data[12] != V2_PROXY)
		return PROXYPROTO_BAD;
	body = read_u16(data + 14);
	if (V2_HEAD + body > PROXYPROTO_PARSE_MAX)
		return PROXYPROTO_BAD;
	if (len < V2_HEAD + body)
		return PROXYPROTO_MORE;
	header->len = V2_HEAD + body;
	if (data[12] == V2_LOCAL)
		return PROXYPROTO_DONE;
	switch (data[13]) {
	case V2_UNSPEC:
		return PROXYPROTO_DONE;
	case V2_TCP4:
		if (body < V2_LEN4)
			return PROXYPROTO_BAD;
		set_ip4(&header->source, p, read_u16(p + 8));
		set_ip4(&header->destination, p + 4, read_u16(p + 10));
		extensions = V2_HEAD + V2_LEN4;
		break;
	case V2_TCP6:
		if (body < V2_LEN6)
			return PROXYPROTO_BAD;
		set_ip6(&header->source, p, read_u16(p + 32));
		set_ip6(&header->destination, p + 16, read_u16(p + 34));
		extensions = V2_HEAD + V2_LEN6;
		break;
	default:
		return PROXYPROTO_BAD;
	}
	if (!are_extensions(data, extensions, header->len))
		return PROXYPROTO_BAD;
	header->has_addresses = true;
	return PROXYPROTO_DONE;
}

enum proxyproto_result
proxyproto_parse(const uint8_t *data, size_t len, struct proxyproto *header)
{
	size_t start1 = sizeof(v1_start) - 1, start2 = sizeof(v2_signature);

	memset(header, 0, sizeof(*header));
	if (len == 0)
		return PROXYPROTO_MORE;
	if (memcmp(data, v1_start, len < start1 ? len : start1) == 0)
		return len < start1 ? PROXYPROTO_MORE : parse_v1(data, len, header);
	if (memcmp(data, v2_signature, len < start2 ? len : start2) == 0)
		return len < start2 ? PROXYPROTO_MORE : parse_v2(data, len, header);
	return PROXYPROTO_BAD;
}

/* ---- writing ---- */

static void
put_u16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static size_t
print_v1(const struct in6_addr *from, const struct in6_addr *to, bool is_ip4, unsigned from_port,
    unsigned to_port, uint8_t *out)
{
	char from_text[INET6_ADDRSTRLEN], to_text[INET6_ADDRSTRLEN];
	int family = is_ip4 ? AF_INET : AF_INET6;
	size_t skip = is_ip4 ? 12 : 0;

	inet_ntop(family, from->s6_addr + skip, from_text, sizeof(from_text));
	inet_ntop(family, to->s6_addr + skip, to_text, sizeof(to_text));
	return (size_t)snprintf((char *)out, PROXYPROTO_PRINT_MAX, "PROXY %s %s %s %u %u\r\n",
	    is_ip4 ? "TCP4" : "TCP6", from_text, to_text, from_port, to_port);
}

static size_t
print_v2(const struct in6_addr *from, const struct in6_addr *to, bool is_ip4, bool is_udp,
    unsigned from_port, unsigned to_port, uint8_t *out)
{
	size_t skip = is_ip4 ? 12 : 0, size = 16 - skip, body = is_ip4 ? V2_LEN4 : V2_LEN6;
	uint8_t *p = out + V2_HEAD;

	out[12] = V2_PROXY;
	if (is_ip4)
		out[13] = is_udp ? V2_UDP4 : V2_TCP4;
	else
		out[13] = is_udp ? V2_UDP6 : V2_TCP6;
	put_u16(out + 14, (unsigned)body);
	memcpy(p, from->s6_addr + skip, size);
	memcpy(p + size, to->s6_addr + skip, size);
	put_u16(p + 2 * size, from_port);
	put_u16(p + 2 * size + 2, to_port);
	return V2_HEAD + body;
}

static size_t
print_local(unsigned version, uint8_t *out)
{
	static const char unknown[] = "PROXY UNKNOWN\r\n";

	if (version == 1) {
		memcpy(out, unknown, sizeof(unknown) - 1);
		return sizeof(unknown) - 1;
	}
	out[12] = V2_LOCAL;
	out[13] = V2_UNSPEC;
	put_u16(out + 14, 0);
	return V2_HEAD;
}

size_t
proxyproto_print(unsigned version, bool is_udp, const struct addr *source,
    const struct addr *destination, uint8_t out[static PROXYPROTO_PRINT_MAX])
{
	struct in6_addr from, to;
	bool is_ip4;

	if (version == 2)
		memcpy(out, v2_signature, sizeof(v2_signature));
	if (source == NULL || destination == NULL)
		return print_local(version, out);
	from = addr_ip6(source);
	to = addr_ip6(destination);
	is_ip4 = IN6_IS_ADDR_V4MAPPED(&from) && IN6_IS_ADDR_V4MAPPED(&to);
	if (version == 1)
		return print_v1(&from, &to, is_ip4, addr_port(source), addr_port(destination), out);
	return print_v2(&from, &to, is_ip4, is_udp, addr_port(source), addr_port(destination), out);
}
