#include "json_priv.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

#include "collect_priv.h"
#include "manifest_priv.h"

enum { DEPTH_MAX = 32 };

/*
 * Where a byte of the value stands in the file.  YAML folds lines, strips indentation and knows
 * escapes, but it never reorders: the n-th byte of the value that is no white space is the n-th
 * such byte (or escape) of the source.  The cursor only moves forward.
 */
struct cursor {
	const char *text;   /* the value, up to here */
	const char *src;    /* the source, likewise; NULL: the text is not to be had */
	const char *end;    /* of the source */
	char quote;         /* ' or "; 0: plain or block */
	struct where where; /* of src */
};

struct parser {
	struct arena *arena;
	struct diag *diag;
	const char *key;
	const char *start, *p; /* the value */
	struct cursor cursor;
	bool failed;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
cursor_step(struct cursor *c)
{
	if (*c->src == '\n') {
		c->where.line++;
		c->where.column = 1;
	} else {
		c->where.column++;
	}
	c->src++;
}

static void
cursor_init(struct cursor *c, struct source *source, const struct yaml_node *value)
{
	const char *line = source != NULL ? source_line(source, value->where.line) : NULL;

	*c = (struct cursor){ .text = value->text, .where = value->where };
	if (line == NULL)
		return;
	c->end = source->text + source->len;
	if ((size_t)(c->end - line) < value->where.column)
		return;
	c->src = line + value->where.column - 1;
	if (*c->src == '|' || *c->src == '>') {
		while (c->src < c->end && *c->src != '\n')
			cursor_step(c);
	} else if (*c->src == '\'' || *c->src == '"') {
		c->quote = *c->src;
		cursor_step(c);
	}
}

/* Pass one character of the value in the source, which may be an escape there. */
static void
cursor_pass(struct cursor *c)
{
	size_t more = 0;

	if (c->quote == '\'' && c->src[0] == '\'')
		more = 1;
	else if (c->quote == '"' && c->src[0] == '\\' && c->end - c->src > 1)
		more = c->src[1] == 'x' ? 3 : c->src[1] == 'u' ? 5 : c->src[1] == 'U' ? 9 : 1;
	cursor_step(c);
	while (more-- > 0 && c->src < c->end)
		cursor_step(c);
}

static void
cursor_skip_space(struct cursor *c)
{
	for (;;) {
		if (c->src < c->end && is_space(*c->src)) {
			cursor_step(c);
		} else if (c->quote == '"' && c->end - c->src > 1 && c->src[0] == '\\' &&
			   strchr("nrt \t\r\n", c->src[1]) != NULL) {
			cursor_step(c);
			cursor_step(c);
		} else {
			return;
		}
	}
}

static struct where
where_of(struct parser *parser, const char *p)
{
	struct cursor *c = &parser->cursor;

	if (c->src == NULL)
		return c->where;
	for (; c->text < p; c->text++) {
		if (is_space(*c->text))
			continue;
		cursor_skip_space(c);
		if (c->src >= c->end)
			break;
		cursor_pass(c);
	}
	cursor_skip_space(c);
	return c->where;
}

static void *
fail(struct parser *parser, const char *at, const char *what)
{
	unsigned line = 1;

	if (parser->failed)
		return NULL;
	parser->failed = true;
	for (const char *p = parser->start; p < at; p++)
		line += *p == '\n';
	diag_error(parser->diag, where_of(parser, at),
	    "%s: not valid JSON (%s, line %u of the value); allowed: JSON", parser->key, what,
	    line);
	return NULL;
}

static void
skip_space(struct parser *parser)
{
	while (is_space(*parser->p))
		parser->p++;
}

static struct yaml_node *
new_node(struct parser *parser, enum yaml_type type)
{
	struct yaml_node *node = arena_alloc(parser->arena, sizeof(*node));

	node->type = type;
	node->where = where_of(parser, parser->p);
	return node;
}

static int
hex4(const char *p, unsigned *code)
{
	*code = 0;
	for (int i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdef";
		const char *at = p[i] != '\0' ? strchr(digits, p[i] | 0x20) : NULL;

		if (at == NULL || (p[i] < '0'))
			return -1;
		*code = *code * 16 + (unsigned)(at - digits);
	}
	return 0;
}

static char *
put_utf8(char *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*out++ = (char)(0xe0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	} else {
		*out++ = (char)(0xf0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	}
	return out;
}

/* \uXXXX at parser->p (after the u), with its low surrogate if it is a high one. */
static char *
parse_unicode(struct parser *parser, char *out)
{
	unsigned code, low;

	if (hex4(parser->p, &code) == -1 || code == 0)
		return fail(parser, parser->p, "bad \\u escape");
	parser->p += 4;
	if (code >= 0xdc00 && code <= 0xdfff)
		return fail(parser, parser->p - 4, "half a surrogate pair");
	if (code >= 0xd800 && code <= 0xdbff) {
		if (parser->p[0] != '\\' || parser->p[1] != 'u' ||
		    hex4(parser->p + 2, &low) == -1 || low < 0xdc00 || low > 0xdfff)
			return fail(parser, parser->p, "half a surrogate pair");
		parser->p += 6;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	return put_utf8(out, code);
}

/* The text between the quotes; parser->p stands after the opening one. */
static char *
parse_text(struct parser *parser, size_t *len)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *start = parser->p;
	char *text, *out;

	/* the decoded text is never longer than the source */
	for (const char *p = start;; p++) {
		if (*p == '\0')
			return fail(parser, start - 1, "text without closing quote");
		if (*p == '"') {
			text = out = arena_alloc(parser->arena, (size_t)(p - start) + 1);
			break;
		}
		if (*p == '\\' && p[1] != '\0')
			p++;
	}
	while (*parser->p != '"') {
		const char *escape;

		if ((unsigned char)*parser->p < 0x20)
			return fail(parser, parser->p, "control character in a text");
		if (*parser->p != '\\') {
			*out++ = *parser->p++;
			continue;
		}
		parser->p++;
		if (*parser->p == 'u') {
			parser->p++;
			out = parse_unicode(parser, out);
			if (out == NULL)
				return NULL;
			continue;
		}
		escape = *parser->p != '\0' ? strchr(from, *parser->p) : NULL;
		if (escape == NULL)
			return fail(parser, parser->p - 1, "unknown escape");
		*out++ = to[escape - from];
		parser->p++;
	}
	parser->p++;
	*len = (size_t)(out - text);
	return text;
}

static struct yaml_node *
parse_scalar(struct parser *parser)
{
	struct yaml_node *node = new_node(parser, YAML_SCALAR);
	size_t len = strcspn(parser->p, ",]}: \t\r\n\"");
	const char *p = parser->p, *end = p + len;

	node->text = arena_strndup(parser->arena, p, len);
	node->len = len;
	parser->p = end;
	if (strcmp(node->text, "null") == 0) {
		node->type = YAML_NULL;
		return node;
	}
	if (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0)
		return node;
	if (*p == '\'')
		return fail(parser, p, "single quotes");
	/* RFC 8259 §6: -? (0 | [1-9][0-9]*) fraction? exponent? */
	p = node->text;
	p += *p == '-';
	len = strspn(p, "0123456789");
	if (len == 0 || (*p == '0' && len > 1))
		return fail(parser, parser->p - node->len, "unexpected text");
	p += len;
	if (*p == '.') {
		len = strspn(++p, "0123456789");
		p += len;
		if (len == 0)
			return fail(parser, parser->p - node->len, "bad number");
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '+' || *p == '-';
		len = strspn(p, "0123456789");
		p += len;
		if (len == 0)
			return fail(parser, parser->p - node->len, "bad number");
	}
	return *p == '\0' ? node : fail(parser, parser->p - node->len, "bad number");
}

static struct yaml_node *parse_value(struct parser *parser, int depth);

/* After an item: true if another one follows; sets failed on anything else than ',' or `close`. */
static bool
more_items(struct parser *parser, char close)
{
	skip_space(parser);
	if (*parser->p == close) {
		parser->p++;
		return false;
	}
	if (*parser->p != ',') {
		fail(parser, parser->p, *parser->p == '\0' ? "it ends too early" : "comma missing");
		return false;
	}
	parser->p++;
	skip_space(parser);
	if (*parser->p == close) {
		fail(parser, parser->p, "trailing comma");
		return false;
	}
	return true;
}

static bool
is_empty(struct parser *parser, char close)
{
	parser->p++;
	skip_space(parser);
	if (*parser->p != close)
		return false;
	parser->p++;
	return true;
}

static struct yaml_node *
parse_list(struct parser *parser, int depth)
{
	struct yaml_node *node = new_node(parser, YAML_LIST);
	struct list items = { 0 };

	if (is_empty(parser, ']'))
		return node;
	do {
		list_add(&items, parse_value(parser, depth + 1));
	} while (!parser->failed && more_items(parser, ']'));
	node->count = items.count;
	node->items = arena_array(parser->arena, items.count, sizeof(*node->items));
	memcpy(node->items, items.items, items.count * sizeof(*node->items));
	list_fini(&items);
	return parser->failed ? NULL : node;
}

static bool
parse_pair(struct parser *parser, struct yaml_pair *pair, int depth)
{
	size_t len;
	const char *at = parser->p;

	if (*at != '"') {
		fail(parser, at,
		    *at == '\'' ? "single quotes" : "a name in double quotes is missing");
		return false;
	}
	pair->where = where_of(parser, at);
	parser->p++;
	pair->key = parse_text(parser, &len);
	if (pair->key == NULL)
		return false;
	skip_space(parser);
	if (*parser->p != ':') {
		fail(parser, parser->p, "colon missing");
		return false;
	}
	parser->p++;
	pair->value = parse_value(parser, depth + 1);
	return pair->value != NULL;
}

static struct yaml_node *
parse_map(struct parser *parser, int depth)
{
	struct yaml_node *node = new_node(parser, YAML_MAP);
	size_t size = 0;

	if (is_empty(parser, '}'))
		return node;
	do {
		const char *at = parser->p;

		if (node->count == size) {
			size_t old = size * sizeof(*node->pairs);

			size = size ? size * 2 : 8;
			node->pairs = arena_grow(
			    parser->arena, node->pairs, old, size * sizeof(*node->pairs));
		}
		if (!parse_pair(parser, &node->pairs[node->count], depth))
			return NULL;
		if (yaml_get_pair(node, node->pairs[node->count].key) != NULL)
			return fail(parser, at, "a name twice");
		node->count++;
	} while (more_items(parser, '}'));
	return parser->failed ? NULL : node;
}

static struct yaml_node *
parse_value(struct parser *parser, int depth)
{
	struct yaml_node *node;

	if (depth > DEPTH_MAX)
		return fail(parser, parser->p, "nested too deep");
	skip_space(parser);
	switch (*parser->p) {
	case '{':
		return parse_map(parser, depth);
	case '[':
		return parse_list(parser, depth);
	case '"':
		node = new_node(parser, YAML_SCALAR);
		node->quoted = true;
		parser->p++;
		node->text = parse_text(parser, &node->len);
		return node->text != NULL ? node : NULL;
	case '\0':
		return fail(parser, parser->p, "it ends too early");
	default:
		return parse_scalar(parser);
	}
}

struct yaml_node *
json_parse(struct arena *arena, struct diag *diag, struct source *source,
    const struct yaml_node *value, const char *key)
{
	struct parser parser = {
		.arena = arena, .diag = diag, .key = key, .start = value->text, .p = value->text
	};
	struct yaml_node *root;

	if (value->type != YAML_SCALAR) {
		diag_error(diag, value->where, "%s: %s; allowed: JSON as text", key,
		    yaml_type_name(value->type));
		return NULL;
	}
	cursor_init(&parser.cursor, source, value);
	root = parse_value(&parser, 0);
	if (root == NULL)
		return NULL;
	skip_space(&parser);
	if (*parser.p != '\0')
		return fail(&parser, parser.p, "text after the value");
	return root;
}
