/* yaml.h: what needs no parser: look-ups in the tree, writing scalars, the nearest name. */
#include "weir/yaml.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { NEAREST_LEN_MAX = 128 };

const struct yaml_pair *
yaml_get_pair(const struct yaml_node *map, const char *key)
{
	if (map == NULL || map->type != YAML_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->pairs[i].key, key) == 0)
			return &map->pairs[i];
	return NULL;
}

struct yaml_node *
yaml_get(const struct yaml_node *map, const char *key)
{
	const struct yaml_pair *pair = yaml_get_pair(map, key);

	return pair != NULL ? pair->value : NULL;
}

const char *
yaml_get_text(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *value = yaml_get(map, key);

	return value != NULL && value->type == YAML_SCALAR ? value->text : NULL;
}

const char *
yaml_type_name(enum yaml_type type)
{
	switch (type) {
	case YAML_NULL:
		return "nothing";
	case YAML_SCALAR:
		return "a scalar";
	case YAML_LIST:
		return "a list";
	case YAML_MAP:
		return "a mapping";
	}
	return "nothing";
}

/* Words that YAML 1.1 or 1.2 parsers take for something else than text. */
static bool
is_special_word(const char *text)
{
	static const char *const words[] = { "y", "n", "yes", "no", "on", "off", "true", "false",
		"null" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

/* Might a YAML 1.1 or 1.2 parser read a number (also 0x1f, 1e3, 12:30:45) or a date here? */
static bool
is_like_number(const char *text)
{
	size_t len = strlen(text), plain = strspn(text, "0123456789_.:+-"), exponent;

	if (strchr("0123456789", *text) == NULL)
		return false; /* signs and dots in front are quoted anyway */
	if (plain == len)
		return true;
	if (text[0] == '0' && strchr("xXoObB", text[1]) != NULL &&
	    strspn(text + 2, "0123456789abcdefABCDEF_") == len - 2)
		return true;
	if (strspn(text, "0123456789") >= 4 && text[4] == '-')
		return true;
	if (text[plain] != 'e' && text[plain] != 'E')
		return false;
	exponent = plain + 1 + strspn(text + plain + 1, "+-");
	return exponent < len && strspn(text + exponent, "0123456789_") == len - exponent;
}

static bool
is_plain_safe(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || !(isalnum((unsigned char)text[0]) || text[0] == '/' || text[0] == '_'))
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x80 || !(isalnum(c) || strchr("_./-:+@%", c) != NULL))
			return false;
	}
	return text[len - 1] != ':' && !is_special_word(text) && !is_like_number(text);
}

/* Decode one UTF-8 character.  Returns its bytes; 0 when it is malformed. */
static size_t
decode_utf8(const char *text, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)text;
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (len == 1) {
		*code = p[0];
		return 1;
	}
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	*code = p[0] & (0xffU >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (p[i] & 0x3fU);
	}
	return *code < least[len] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff) ? 0
											      : len;
}

static bool
is_printable(uint32_t code)
{
	return code >= 0xa0 && code != 0x2028 && code != 0x2029 && code != 0xfeff &&
	       code != 0xfffe && code != 0xffff;
}

void
yaml_write_scalar(FILE *out, const char *text)
{
	if (is_plain_safe(text)) {
		fputs(text, out);
		return;
	}
	putc('"', out);
	while (*text != '\0') {
		uint32_t code = 0;
		size_t len = decode_utf8(text, &code);

		if (len == 0)
			fprintf(out, "\\x%02X", (unsigned char)*text);
		else if (code == '"' || code == '\\')
			fprintf(out, "\\%c", (char)code);
		else if (code == '\n')
			fputs("\\n", out);
		else if (code == '\t')
			fputs("\\t", out);
		else if (code < 0x20 || (code >= 0x7f && code < 0x100 && !is_printable(code)))
			fprintf(out, "\\x%02X", code);
		else if (code >= 0x80 && !is_printable(code))
			fprintf(out, "\\u%04X", code);
		else
			fwrite(text, 1, len, out);
		text += len ? len : 1;
	}
	putc('"', out);
}

/* Edits (insert, delete, replace, swap of neighbours) from `a` to `b`; more than `max`: max + 1. */
static unsigned
edit_distance(const char *a, size_t a_len, const char *b, size_t b_len, unsigned max)
{
	unsigned rows[3][NEAREST_LEN_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];

	for (unsigned j = 0; j <= b_len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned best, *spare;

		best = row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned edits = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < edits)
				edits = last[j] + 1;
			if (row[j - 1] + 1 < edits)
				edits = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < edits)
				edits = before[j - 2] + 1;
			row[j] = edits;
			if (edits < best)
				best = edits;
		}
		if (best > max)
			return max + 1;
		spare = before;
		before = last;
		last = row;
		row = spare;
	}
	return last[b_len] > max ? max + 1 : last[b_len];
}

const char *
yaml_nearest(const char *name, const char *const *names, size_t count, unsigned max)
{
	const char *nearest = NULL;
	size_t len = strlen(name);
	unsigned least = max + 1;

	if (len > NEAREST_LEN_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t other_len = names[i] != NULL ? strlen(names[i]) : 0;
		unsigned edits;

		if (other_len == 0 || other_len > NEAREST_LEN_MAX)
			continue;
		edits = edit_distance(name, len, names[i], other_len, max);
		if (edits < least) {
			least = edits;
			nearest = names[i];
		}
	}
	return nearest;
}
