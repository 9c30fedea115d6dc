/* Texts with variables: values of fields, rewritten paths, locations. */
#include "conf_priv.h"

#include <string.h>

enum { PARTS_MAX = 32 };

static const struct {
	const char *name;
	enum text_what what;
	bool in_url;
} variables[] = {
	{ "client_ip", TEXT_CLIENT_IP, false },
	{ "client_port", TEXT_CLIENT_PORT, false },
	{ "listen_port", TEXT_LISTEN_PORT, true },
	{ "scheme", TEXT_SCHEME, true },
	{ "host", TEXT_HOST, true },
	{ "method", TEXT_METHOD, false },
	{ "path", TEXT_PATH, true },
	{ "query", TEXT_QUERY, true },
	{ "request_id", TEXT_REQUEST_ID, false },
	{ "origin", TEXT_ORIGIN, false },
	{ "forwarded", TEXT_FORWARDED, false },
};

/* text: behind "${".  Returns the length up to the brace, 0 when it is no variable. */
static size_t
find_variable(const char *text, enum text_use use, enum text_what *what)
{
	size_t len = strcspn(text, "}");

	if (text[len] == '\0')
		return 0;
	for (size_t i = 0; i < COUNT(variables); i++)
		if (strlen(variables[i].name) == len &&
		    strncmp(variables[i].name, text, len) == 0) {
			*what = variables[i].what;
			return use == TEXT_USE_HEADER ||
				       (use == TEXT_USE_URL && variables[i].in_url)
				   ? len
				   : 0;
		}
	return 0;
}

static bool
is_literal(char c, enum text_use use)
{
	unsigned char u = (unsigned char)c;

	if (use == TEXT_USE_HEADER) /* RFC 9110 section 5.5 */
		return u == '\t' || (u >= 0x20 && u != 0x7f);
	return u > 0x20 && u < 0x7f && strchr("\"<>\\^`{|}#", c) == NULL;
}

static void
add_literal(struct text_config *out, const char *at, size_t len)
{
	struct text_part *last = out->count > 0 ? &out->parts[out->count - 1] : NULL;

	if (last != NULL && last->what == TEXT_LITERAL && last->literal + last->len == at)
		last->len += len;
	else
		out->parts[out->count++] =
		    (struct text_part){ .what = TEXT_LITERAL, .literal = at, .len = len };
}

const char *
text_compile(struct arena *arena, const char *text, enum text_use use, struct text_config *out)
{
	const char *p = arena_strdup(arena, text);

	out->parts = arena_array(arena, PARTS_MAX, sizeof(*out->parts));
	out->count = 0;
	while (*p != '\0') {
		enum text_what what = TEXT_LITERAL;
		size_t len;

		if (out->count == PARTS_MAX)
			return "has too many variables";
		if (p[0] == '$' && p[1] == '$') {
			add_literal(out, p + 1, 1);
			p += 2;
		} else if (p[0] == '$' && p[1] == '{') {
			len = find_variable(p + 2, use, &what);
			if (len == 0)
				return use == TEXT_USE_REWRITE
					   ? "has a variable (only $1 to $9 can be used here)"
					   : "has an unknown variable (write $$ for a dollar sign)";
			out->parts[out->count++] = (struct text_part){ .what = what };
			p += len + 3;
		} else if (p[0] == '$' && p[1] >= '1' && p[1] <= '9' && use != TEXT_USE_HEADER) {
			out->parts[out->count++] = (struct text_part){ .what = TEXT_GROUP,
				.group = (unsigned)(p[1] - '0') };
			p += 2;
		} else if (!is_literal(*p, use)) {
			return use == TEXT_USE_HEADER ? "has control characters"
						      : "has characters that a path on the wire "
							"cannot have (write them as %XX)";
		} else {
			add_literal(out, p, 1);
			p++;
		}
	}
	return NULL;
}
