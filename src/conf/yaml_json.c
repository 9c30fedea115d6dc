/* JSON as YAML: what the two write differently. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "weir/arena.h"

#include "yaml_priv.h"

static int
hex4(const char *p, const char *end)
{
	int value = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit == -1)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

/* Is `p` a JSON escape of a character outside the basic plane: backslash, uD8xx to uDBxx,
 * backslash, uDCxx to uDFxx? */
static bool
is_surrogate_pair(const char *p, const char *end, unsigned *code)
{
	int high, low;

	if (end - p < 12 || p[1] != 'u' || p[6] != '\\' || p[7] != 'u')
		return false;
	high = hex4(p + 2, end);
	low = hex4(p + 8, end);
	if (high < 0xd800 || high > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return false;
	*code = 0x10000U + (((unsigned)high - 0xd800U) << 10) + ((unsigned)low - 0xdc00U);
	return true;
}

/*
 * No byte moves outside of texts: a pair is two bytes longer than YAML's escape, and as many spaces
 * follow the closing quote.
 */
char *
yaml_from_json(const char *text, size_t len, size_t *out_len)
{
	const char *end = text + len, *p = text;
	char *copy = xmalloc(len + 1), *out = copy;
	bool in_text = false;
	size_t owed = 0;
	unsigned code;

	while (p < end) {
		if (!in_text) {
			in_text = *p == '"';
			*out++ = *p == '\t' ? ' ' : *p;
			p++;
		} else if (*p == '\\' && is_surrogate_pair(p, end, &code)) {
			out += sprintf(out, "\\U%08X", code);
			p += 12;
			owed += 2;
		} else if (*p == '\\' && end - p >= 2) {
			*out++ = *p++;
			*out++ = *p++;
		} else {
			in_text = *p != '"';
			*out++ = *p++;
			for (; !in_text && owed > 0; owed--)
				*out++ = ' ';
		}
	}
	*out = '\0';
	*out_len = (size_t)(out - copy);
	return copy;
}

bool
yaml_looks_like_json(const char *text, size_t len)
{
	size_t skip = 0;

	while (skip < len && strchr(" \t\r\n", text[skip]) != NULL && text[skip] != '\0')
		skip++;
	return skip < len && (text[skip] == '{' || text[skip] == '[');
}
