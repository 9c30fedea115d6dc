/*
 * log_template: the lines of a custom access log, from text to parts.
 */
#include <string.h>

#include "conf_priv.h"

static const char *const field_names[LOG_FIELDS] = {
	[LOG_TEXT] = NULL,
	[LOG_TIME] = "time",
	[LOG_ID] = "id",
	[LOG_LISTENER] = "listener",
	[LOG_CLIENT] = "client",
	[LOG_CLIENT_IP] = "client_ip",
	[LOG_METHOD] = "method",
	[LOG_HOST] = "host",
	[LOG_TARGET] = "target",
	[LOG_PROTOCOL] = "protocol",
	[LOG_STATUS] = "status",
	[LOG_POOL] = "pool",
	[LOG_SERVER] = "server",
	[LOG_BYTES_IN] = "bytes_in",
	[LOG_BYTES_OUT] = "bytes_out",
	[LOG_RETRIES] = "retries",
	[LOG_CONNECT_MS] = "connect_ms",
	[LOG_FIRST_BYTE_MS] = "first_byte_ms",
	[LOG_TOTAL_MS] = "total_ms",
	[LOG_END] = "end",
	[LOG_TLS_VERSION] = "tls_version",
	[LOG_TLS_CIPHER] = "tls_cipher",
	[LOG_TRACE_ID] = "trace_id",
	[LOG_ROUTE] = "route",
	[LOG_HEADER] = NULL, /* "header:NAME" */
};

static const char header_prefix[] = "header:";

enum { NAME_MAX_LEN = 128, PREFIX_LEN = sizeof(header_prefix) - 1 };

struct compile {
	struct load *load;
	struct where where;
	struct log_part *parts;
	size_t count;
};

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || c == '_';
}

static void
add_part(struct compile *c, enum log_field field, const char *text, size_t len)
{
	struct log_part *part = &c->parts[c->count++];

	part->field = field;
	part->text = text != NULL ? arena_strndup(c->load->arena, text, len) : NULL;
	part->len = len;
}

static void
complain(struct compile *c, const char *name)
{
	const char *names[LOG_FIELDS], *nearest;
	size_t count = 0;

	for (size_t i = 0; i < LOG_FIELDS; i++)
		if (field_names[i] != NULL)
			names[count++] = field_names[i];
	nearest = yaml_nearest(name, names, count, conf_near(name));
	if (nearest != NULL)
		diag_error(c->load->diag, c->where,
		    "template: unknown variable \"$%s\"; did you mean \"$%s\"?", name, nearest);
	else
		diag_error(c->load->diag, c->where,
		    "template: unknown variable \"$%s\"; weir.yaml(5) lists them", name);
}

static void
add_variable(struct compile *c, const char *text, size_t len)
{
	char name[NAME_MAX_LEN + 1];

	if (len == 0 || len > NAME_MAX_LEN) {
		diag_error(c->load->diag, c->where,
		    "template: \"$\" without the name of a variable; \"$$\" is a dollar sign");
		return;
	}
	memcpy(name, text, len);
	name[len] = '\0';
	if (strncmp(name, header_prefix, PREFIX_LEN) == 0 && name[PREFIX_LEN] != '\0') {
		add_part(c, LOG_HEADER, name + PREFIX_LEN, len - PREFIX_LEN);
		return;
	}
	for (size_t i = 0; i < LOG_FIELDS; i++)
		if (field_names[i] != NULL && strcmp(name, field_names[i]) == 0) {
			add_part(c, (enum log_field)i, NULL, 0);
			return;
		}
	complain(c, name);
}

/* $name, ${name} or $$ at `p`; returns what follows. */
static const char *
read_variable(struct compile *c, const char *p)
{
	const char *begin = p + 1, *end = begin;

	if (*begin == '$') {
		add_part(c, LOG_TEXT, "$", 1);
		return begin + 1;
	}
	if (*begin == '{') {
		end = strchr(++begin, '}');
		if (end == NULL) {
			diag_error(c->load->diag, c->where, "template: \"${\" without its \"}\"");
			return begin + strlen(begin);
		}
		add_variable(c, begin, (size_t)(end - begin));
		return end + 1;
	}
	while (is_name_char(*end))
		end++;
	add_variable(c, begin, (size_t)(end - begin));
	return end;
}

void
log_template_compile(struct load *load, struct where where, struct access_log_config *log)
{
	const char *text = log->template;
	struct compile c = { .load = load, .where = where };

	/* No part is shorter than a byte of the text. */
	c.parts = arena_array(load->arena, strlen(text) + 1, sizeof(*c.parts));
	while (*text != '\0') {
		size_t plain = strcspn(text, "$");

		if (plain > 0)
			add_part(&c, LOG_TEXT, text, plain);
		text += plain;
		if (*text == '$')
			text = read_variable(&c, text);
	}
	log->parts = c.parts;
	log->part_count = c.count;
}
