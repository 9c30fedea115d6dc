/*
 * h1_opinion: the second reader of each head: llhttp in strict mode.
 */
#include <llhttp.h>

#include "h1_parse_priv.h"

/* llhttp's spans, collected while it runs over a complete head. */
struct opinion {
	llhttp_t parser;
	const char *names[FIELDS_MAX + 1], *values[FIELDS_MAX + 1];
	uint32_t name_lens[FIELDS_MAX + 1], value_lens[FIELDS_MAX + 1];
	unsigned names_seen, values_seen, max;
	const char *url;
	size_t url_len;
};

static int
on_url(llhttp_t *parser, const char *at, size_t len)
{
	struct opinion *o = parser->data;

	o->url = at;
	o->url_len = len;
	return 0;
}

static int
on_name(llhttp_t *parser, const char *at, size_t len)
{
	struct opinion *o = parser->data;

	if (o->names_seen >= o->max || o->names_seen != o->values_seen)
		return -1;
	o->names[o->names_seen] = at;
	o->name_lens[o->names_seen++] = (uint32_t)len;
	return 0;
}

/* An empty value may come without a span, so a value belongs to the last name. */
static int
on_value(llhttp_t *parser, const char *at, size_t len)
{
	struct opinion *o = parser->data;

	if (o->values_seen >= o->names_seen)
		return -1; /* a folded line */
	o->values[o->values_seen] = at;
	o->value_lens[o->values_seen++] = (uint32_t)len;
	return 0;
}

static int
on_value_complete(llhttp_t *parser)
{
	struct opinion *o = parser->data;

	while (o->values_seen < o->names_seen) {
		o->values[o->values_seen] = NULL;
		o->value_lens[o->values_seen++] = 0;
	}
	return 0;
}

static int
on_headers_complete(llhttp_t *parser)
{
	(void)parser;
	return 1; /* the body is not llhttp's business */
}

static struct opinion opinion; /* one worker, one thread; no state between two heads */

static llhttp_settings_t settings;

bool
h1_opinion_agrees(const struct message *m, bool is_request)
{
	struct opinion *o = &opinion;
	struct slice method = m->method == METHOD_CONNECT ? SLICE("CONNECT") : SLICE("GET");
	size_t skip = is_request ? m->method_len : 0;
	llhttp_errno_t error;

	if (settings.on_headers_complete == NULL) {
		llhttp_settings_init(&settings);
		settings.on_url = on_url;
		settings.on_header_field = on_name;
		settings.on_header_value = on_value;
		settings.on_header_value_complete = on_value_complete;
		settings.on_headers_complete = on_headers_complete;
	}
	llhttp_init(&o->parser, is_request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	o->parser.data = o;
	o->names_seen = o->values_seen = 0;
	o->max = m->field_count;
	/* llhttp knows a fixed list of methods, HTTP does not: the method, checked already, is
	 * shown as GET (or CONNECT, which has a target of its own kind). */
	if (is_request && llhttp_execute(&o->parser, method.ptr, method.len) != HPE_OK)
		return false;
	error = llhttp_execute(&o->parser, m->base + skip, m->head_len - skip);
	/* It stops behind the head of a message that changes the protocol. */
	if (error == HPE_PAUSED_UPGRADE &&
	    llhttp_get_error_pos(&o->parser) == m->base + m->head_len)
		error = HPE_OK;
	if (error != HPE_OK)
		return false;
	on_value_complete(&o->parser);
	if (o->names_seen != m->field_count || o->values_seen != m->field_count)
		return false;
	if (is_request && (o->url != m->base + m->target || o->url_len != m->target_len))
		return false;
	for (unsigned i = 0; i < m->field_count; i++) {
		const struct field *f = &m->fields[i];
		struct slice value = { o->values[i], o->value_lens[i] };

		value = slice_trim(value);
		if (o->names[i] != m->base + f->name || o->name_lens[i] != f->name_len)
			return false;
		if (value.len != f->value_len || (value.len > 0 && value.ptr != m->base + f->value))
			return false;
	}
	return true;
}
