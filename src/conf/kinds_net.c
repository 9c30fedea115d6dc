/* Kinds of values that the network knows: addresses, networks, hosts, statuses, TLS. */
#include "conf_priv.h"

#include <ctype.h>
#include <netinet/in.h>
#include <string.h>

#include "weir/tls_policy.h"

enum { STATUS_MIN = 100, STATUS_MAX = 599, HOST_LEN_MAX = 253, LABEL_LEN_MAX = 63 };

static void
text_print(FILE *out, const struct option *option, const void *at)
{
	const char *text = *(const char *const *)at;

	(void)option;
	yaml_write_scalar(out, text != NULL ? text : "");
}

static const char *
parse_address(const char *text, struct addr *addr)
{
	if (addr_parse(addr, text, 0) == -1)
		return "is not an address with its port";
	return addr_port(addr) == 0 ? "has port 0" : NULL;
}

static bool
is_unspecified(const struct addr *addr)
{
	static const uint8_t zero[16];
	struct in6_addr ip = addr_ip6(addr);
	size_t skip = addr->sa.sa_family == AF_INET ? 12 : 0;

	return memcmp(ip.s6_addr + skip, zero, 16 - skip) == 0;
}

static const char *
server_address_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	const char *wrong = parse_address(text, at);

	(void)arena;
	(void)option;
	if (wrong == NULL && is_unspecified(at))
		return "is no address of a server";
	return wrong;
}

static const char *
listen_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	(void)arena;
	(void)option;
	return parse_address(text, at);
}

static void
address_print(FILE *out, const struct option *option, const void *at)
{
	char text[ADDR_TEXT_SIZE];

	(void)option;
	yaml_write_scalar(out, addr_print(at, text));
}

static bool *
switch_of(const struct option *option, const void *at)
{
	return (bool *)((uintptr_t)at - option->offset + option->count_offset);
}

static const char *
address_or_off_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	*switch_of(option, at) =
	    strcmp(text, "off") != 0 && strcmp(text, "no") != 0 && strcmp(text, "false") != 0;
	return *switch_of(option, at) ? listen_parse(arena, option, text, at) : NULL;
}

static void
address_or_off_print(FILE *out, const struct option *option, const void *at)
{
	if (*switch_of(option, at))
		address_print(out, option, at);
	else
		fputs("off", out);
}

static const char *
network_item_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	int result = network_parse(at, text);

	(void)arena;
	(void)option;
	return result == -1   ? "is not a network"
	       : result == -2 ? "has bits set behind its prefix"
			      : NULL;
}

static void
network_item_print(FILE *out, const struct option *option, const void *at)
{
	char text[ADDR_TEXT_SIZE];

	(void)option;
	yaml_write_scalar(out, network_print(at, text));
}

/* "204": exactly three digits. */
static int
parse_status(const char *text)
{
	if (!isdigit((unsigned char)text[0]) || !isdigit((unsigned char)text[1]) ||
	    !isdigit((unsigned char)text[2]))
		return -1;
	return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
}

static const char *
status_item_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	struct status_set *set = at;
	size_t len = strlen(text);
	int first = -1, last = -1;

	(void)arena;
	(void)option;
	if (len == 3 && isdigit((unsigned char)text[0]) && strcmp(text + 1, "xx") == 0) {
		first = (text[0] - '0') * 100;
		last = first + 99;
	} else if (len == 3) {
		first = last = parse_status(text);
	} else if (len == 7 && text[3] == '-') {
		first = parse_status(text);
		last = parse_status(text + 4);
	}
	if (first < STATUS_MIN || last > STATUS_MAX || first > last)
		return "is not a status or a range of them";
	for (int status = first; status <= last; status++)
		set->bits[status / 64] |= UINT64_C(1) << (status % 64);
	return NULL;
}

bool
status_set_has(const struct status_set *set, unsigned status)
{
	return status <= STATUS_MAX && (set->bits[status / 64] >> (status % 64) & 1) != 0;
}

/* The last status of the run that begins at `first`. */
static unsigned
status_run_end(const struct status_set *set, unsigned first)
{
	while (status_set_has(set, first + 1))
		first++;
	return first;
}

static void
status_print(FILE *out, const struct option *option, const void *at)
{
	const struct status_set *set = at;
	const char *separator = "";

	(void)option;
	putc('[', out);
	for (unsigned status = STATUS_MIN; status <= STATUS_MAX; status++) {
		unsigned last;

		if (!status_set_has(set, status))
			continue;
		last = status_run_end(set, status);
		fputs(separator, out);
		separator = ", ";
		if (status % 100 == 0 && last >= status + 99) {
			last = status + 99;
			fprintf(out, "%uxx", status / 100);
		} else if (last == status) {
			fprintf(out, "%u", status);
		} else {
			fprintf(out, "%u-%u", status, last);
		}
		status = last;
	}
	putc(']', out);
}

static const char *
alpn_item_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	(void)arena;
	for (const struct word *w = option->words; w->text != NULL; w++)
		if (strcmp(w->text, text) == 0) {
			*(const char **)at = w->text;
			return NULL;
		}
	return "is not known here";
}

/* Labels of letters, digits, hyphens (and underscores, which people use), none empty. */
static bool
is_host(const char *text)
{
	size_t label = 0;

	if (*text == '\0' || strlen(text) > HOST_LEN_MAX)
		return false;
	for (;; text++) {
		if (*text == '.' || *text == '\0') {
			if (label == 0 || label > LABEL_LEN_MAX || text[-1] == '-')
				return false;
			label = 0;
			if (*text == '\0')
				return true;
		} else if (isalnum((unsigned char)*text) || *text == '_' ||
			   (*text == '-' && label > 0)) {
			label++;
		} else {
			return false;
		}
	}
}

static const char *
host_name_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	char *copy;

	(void)option;
	if (!is_host(strncmp(text, "*.", 2) == 0 ? text + 2 : text))
		return "is not a host name";
	copy = arena_strdup(arena, text);
	for (char *p = copy; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	*(const char **)at = copy;
	return NULL;
}

/* What may stand in a Host field: a name or an address, with or without a port. */
static const char *
host_field_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	size_t len = strlen(text);

	(void)option;
	if (len == 0 || len > HOST_LEN_MAX + 6 ||
	    strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:[]") !=
		len)
		return "is not a host";
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

static const char *
certificate_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	(void)option;
	if (!tls_certificate_id_valid(text))
		return "is not the ID of a certificate";
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

static const char *
certificate_or_path_parse(
    struct arena *arena, const struct option *option, const char *text, void *at)
{
	if (text[0] != '/')
		return certificate_parse(arena, option, text, at);
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

static const char *
policy_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	const struct tls_policy *policy = tls_policy_find(text);
	const char *const *names = tls_policy_names();
	const char *nearest;
	size_t count = 0;

	(void)option;
	if (policy != NULL) {
		*(const char **)at = policy->name;
		return NULL;
	}
	while (names[count] != NULL)
		count++;
	nearest = yaml_nearest(text, names, count, conf_near(text));
	return nearest != NULL ? arena_printf(arena, "is not a policy (did you mean %s?)", nearest)
			       : "is not a policy";
}

enum { BYTES_MAX = 1024 };

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char
hex_byte(const char *digits)
{
	int byte = hex_value(digits[0]) * 16 + hex_value(digits[1]);

	return (char)byte;
}

static const char *
bytes_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	bool is_hex = strncmp(text, "0x", 2) == 0;
	size_t len = strlen(text);
	char *bytes;

	(void)option;
	if (is_hex) {
		text += 2;
		len -= 2;
		if (len % 2 != 0 || len == 0 || strspn(text, "0123456789abcdefABCDEF") != len)
			return "starts with 0x, but is not pairs of hexadecimal digits";
		len /= 2;
	}
	if (len == 0)
		return "is empty";
	if (len > BYTES_MAX)
		return "is longer than 1024 bytes";
	bytes = arena_alloc(arena, len);
	for (size_t i = 0; i < len; i++)
		bytes[i] = is_hex ? hex_byte(text + 2 * i) : text[i];
	*(struct slice *)at = (struct slice){ bytes, len };
	return NULL;
}

/* As text where that is what a person would write. */
static void
bytes_print(FILE *out, const struct option *option, const void *at)
{
	const struct slice *bytes = at;
	char text[BYTES_MAX + 1];
	bool is_text = bytes->len < 2 || memcmp(bytes->ptr, "0x", 2) != 0;

	(void)option;
	for (size_t i = 0; i < bytes->len; i++) {
		text[i] = bytes->ptr[i];
		is_text = is_text && text[i] >= 0x20 && text[i] < 0x7f;
	}
	text[bytes->len] = '\0';
	if (is_text) {
		yaml_write_scalar(out, text);
		return;
	}
	fputs("\"0x", out);
	for (size_t i = 0; i < bytes->len; i++)
		fprintf(out, "%02x", (unsigned char)bytes->ptr[i]);
	fputc('"', out);
}

#define TEXT_SCHEMA "\"type\": \"string\", \"minLength\": 1"

const struct kind kind_bytes = {
	.name = "bytes",
	.form = "a text, or 0x and pairs of hexadecimal digits; 1024 bytes at most",
	.parse = bytes_parse,
	.print = bytes_print,
	.schema = "\"type\": [\"string\", \"number\"]",
};
const struct kind kind_address = {
	.name = "an address",
	.form = "an IP address with its port, such as 192.0.2.1:80 or [2001:db8::1]:80",
	.parse = server_address_parse,
	.print = address_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_address_or_off = {
	.name = "an address",
	.form = "off, or an IP address with its port, such as 127.0.0.1:9180",
	.parse = address_or_off_parse,
	.print = address_or_off_print,
	.schema = "\"anyOf\": [{\"const\": false}, {\"type\": \"string\", \"minLength\": 1}]",
};
static const struct kind kind_listen_item = {
	.name = "an address",
	.form = "IP addresses with their ports, such as 0.0.0.0:80, [::]:80 or *:80",
	.parse = listen_parse,
	.print = address_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_listen = {
	.shape = SHAPE_LIST,
	.name = "a list of addresses",
	.item = &kind_listen_item,
	.item_size = sizeof(struct addr),
};
static const struct kind kind_network_item = {
	.name = "a network",
	.form = "networks or addresses, such as 203.0.113.0/24 or 2001:db8::/32",
	.parse = network_item_parse,
	.print = network_item_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_networks = {
	.shape = SHAPE_LIST,
	.name = "a list of networks",
	.item = &kind_network_item,
	.item_size = sizeof(struct network),
};
static const struct kind kind_status_item = {
	.name = "a status",
	.form = "statuses from 100 to 599, such as 2xx, 301 or 200-204",
	.parse = status_item_parse,
	.schema =
	    "\"anyOf\": [{\"type\": \"integer\", \"minimum\": 100, \"maximum\": 599}, "
	    "{\"type\": \"string\", \"pattern\": \"^[1-5](xx|[0-9][0-9](-[1-5][0-9][0-9])?)$\"}]",
};
const struct kind kind_status = {
	.shape = SHAPE_LIST,
	.name = "a list of statuses",
	.item = &kind_status_item,
	.print = status_print,
};
static const struct kind kind_alpn_item = {
	.name = "a protocol", .parse = alpn_item_parse, .print = text_print
};
const struct kind kind_alpn = {
	.shape = SHAPE_LIST,
	.name = "a list of protocols",
	.item = &kind_alpn_item,
	.item_size = sizeof(char *),
};
const struct kind kind_host_name = {
	.name = "a host name",
	.form = "a host name such as www.example.com, or *.example.com for one more label",
	.parse = host_name_parse,
	.print = text_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_host_field = {
	.name = "a host",
	.form = "a host name or an address, with or without a port",
	.parse = host_field_parse,
	.print = text_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_certificate = {
	.name = "a certificate ID",
	.form = "1 to 128 letters, digits and _.-, not starting with a dot",
	.parse = certificate_parse,
	.print = text_print,
	.schema = "\"type\": [\"string\", \"number\"]",
};
const struct kind kind_certificate_or_path = {
	.name = "a certificate ID or a path",
	.form = "1 to 128 letters, digits and _.-, not starting with a dot, or a path that starts with /",
	.parse = certificate_or_path_parse,
	.print = text_print,
	.schema = "\"type\": [\"string\", \"number\"]",
};
const struct kind kind_policy = {
	.name = "a TLS policy",
	.names = tls_policy_names,
	.parse = policy_parse,
	.print = text_print,
};
