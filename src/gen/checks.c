/* The forms of annotation values. */
#include <arpa/inet.h>
#include <string.h>

#include "weir/addr.h"
#include "weir/tls_policy.h"

#include "annotations_priv.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static bool
is_made_of(const char *text, const char *set, size_t min, size_t max)
{
	size_t len = strlen(text);

	return len >= min && len <= max && strspn(text, set) == len;
}

bool
check_not_blank(const char *text)
{
	return text[0] != '\0' && strpbrk(text, " \t\r\n") == NULL;
}

bool
check_instance_id(const char *text)
{
	return is_made_of(text, LETTERS DIGITS "_-", 1, 100);
}

bool
check_certificate_id(const char *text)
{
	return tls_certificate_id_valid(text);
}

bool
check_ipv4(const char *text)
{
	struct in_addr ip;

	return inet_pton(AF_INET, text, &ip) == 1;
}

bool
check_ip(const char *text)
{
	struct addr addr;

	return addr_parse_ip(&addr, text, 0) == 0;
}

bool
check_spec(const char *text)
{
	return strncmp(text, "slb.", 4) == 0 && is_made_of(text + 4, LETTERS DIGITS "._-", 1, 60);
}

/* Bytes of the UTF-8 character at `p` if it is a CJK ideograph (U+3400 to U+9FFF, U+20000 on), else
 * 0. */
static size_t
chinese_len(const unsigned char *p)
{
	unsigned c;

	if ((p[0] & 0xf0) == 0xe0 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80) {
		c = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
		return c >= 0x3400 && c <= 0x9fff ? 3 : 0;
	}
	if ((p[0] & 0xf8) == 0xf0 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 &&
	    (p[3] & 0xc0) == 0x80) {
		c = (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 |
		    (p[3] & 0x3fu);
		return c >= 0x20000 && c <= 0x323af ? 4 : 0;
	}
	return 0;
}

bool
check_instance_name(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t count = 0;

	while (*p != '\0') {
		size_t len = chinese_len(p);

		if (len == 0 && (strchr(LETTERS, *p) != NULL ||
				    (count > 0 && strchr(DIGITS "._-", *p) != NULL)))
			len = 1;
		if (len == 0)
			return false;
		p += len;
		count++;
	}
	return count >= 2 && count <= 128;
}

bool
check_resource_name(const char *text)
{
	return is_made_of(text, LETTERS DIGITS "_.-", 1, 64);
}

/* RFC 1123 labels of 1 to 63, 253 in all. */
static bool
is_dns_name(const char *text, const char *set)
{
	if (strlen(text) > 253)
		return false;
	for (;;) {
		size_t len = strcspn(text, ".");

		if (len == 0 || len > 63 || strspn(text, set) < len || text[0] == '-' ||
		    text[len - 1] == '-')
			return false;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

bool
check_dns_name(const char *text)
{
	return is_dns_name(text, "abcdefghijklmnopqrstuvwxyz" DIGITS "-");
}

bool
check_server_name(const char *text)
{
	if (strncmp(text, "*.", 2) == 0)
		text += 2;
	return strchr(text, '.') != NULL && is_dns_name(text, LETTERS DIGITS "-");
}

bool
check_host_name(const char *text)
{
	if (strncmp(text, "*.", 2) == 0)
		text += 2;
	return is_dns_name(text, LETTERS DIGITS "-");
}

bool
check_cookie_name(const char *text)
{
	/* RFC 6265 tokens; a leading $ was reserved by RFC 2965 and CLB refuses it */
	return text[0] != '$' && is_made_of(text, LETTERS DIGITS "!#$%&'*+-.^_`|~", 1, 200);
}

bool
check_app_cookie_name(const char *text)
{
	return is_made_of(text, LETTERS DIGITS "_.-", 1, 255);
}

bool
check_path(const char *text)
{
	if (text[0] != '/')
		return false;
	/* what stands in a request line as it is; all else goes there as %XX (RFC 3986) */
	for (; *text != '\0'; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f ||
		    strchr("\"<>\\^`{|}#", *text) != NULL)
			return false;
	return true;
}

bool
check_health_uri(const char *text)
{
	return strlen(text) <= 80 && check_path(text);
}

bool
check_health_domain(const char *text)
{
	return strcmp(text, "$_ip") == 0 || is_made_of(text, LETTERS DIGITS ".-", 1, 80);
}

bool
check_url(const char *text)
{
	size_t scheme = strncmp(text, "http://", 7) == 0    ? 7
			: strncmp(text, "https://", 8) == 0 ? 8
							    : 0;

	return scheme != 0 && strlen(text) <= 512 && text[scheme] != '\0' && text[scheme] != '/' &&
	       check_path(text + scheme - 1);
}

bool
check_header_name(const char *text)
{
	return is_made_of(text, LETTERS DIGITS "_-", 1, 40);
}

bool
check_field_value(const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		if (*p < ' ' || *p > '~' || *p == '"' || *p == '\\')
			return false;
	return text[0] != '\0' && strlen(text) <= 512;
}

bool
check_rewrite(const char *text)
{
	for (const char *p = strchr(text, '$'); p != NULL; p = strchr(p + 1, '$'))
		if (p[1] < '1' || p[1] > '9')
			return false;
	return strlen(text) <= 1024 && check_path(text);
}

bool
check_probe_port(const char *text)
{
	unsigned port;

	return strcmp(text, "-520") == 0 ||
	       (number_parse(text, &port) && port >= 1 && port <= 65535);
}
