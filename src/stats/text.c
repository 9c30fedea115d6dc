#include "text_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

static void
text_reserve(struct text *text, size_t more)
{
	if (text->size - text->len >= more)
		return;
	if (text->size == 0)
		text->size = 1024;
	while (text->size - text->len < more)
		text->size *= 2;
	text->data = xrealloc(text->data, text->size);
}

void
text_add(struct text *text, const void *data, size_t len)
{
	text_reserve(text, len);
	if (len > 0)
		memcpy(text->data + text->len, data, len);
	text->len += len;
}

void
text_puts(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

void
text_printf(struct text *text, const char *format, ...)
{
	va_list args, again;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len > 0) {
		text_reserve(text, (size_t)len + 1);
		vsnprintf(text->data + text->len, (size_t)len + 1, format, again);
		text->len += (size_t)len;
	}
	va_end(again);
}

char *
text_room(struct text *text, size_t len)
{
	text_reserve(text, len);
	return text->data + text->len;
}

void
text_advance(struct text *text, const char *end)
{
	text->len = (size_t)(end - text->data);
}

size_t
text_print_uint(char *at, uint64_t value)
{
	char digits[20], *p = digits + sizeof(digits);
	size_t len;

	do
		*--p = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	len = (size_t)(digits + sizeof(digits) - p);
	memcpy(at, p, len);
	return len;
}

void
text_uint(struct text *text, uint64_t value)
{
	text->len += text_print_uint(text_room(text, 20), value);
}

void
text_fini(struct text *text)
{
	free(text->data);
	*text = (struct text){ 0 };
}

/*
 * Bytes of the UTF-8 sequence at `p` (Unicode 15, table 3-7), 0 if it is none.  The terminating NUL
 * is no continuation byte, so nothing is read past it.
 */
static size_t
utf8_len(const unsigned char *p)
{
	size_t len = p[0] < 0x80   ? 1
		     : p[0] < 0xc2 ? 0
		     : p[0] < 0xe0 ? 2
		     : p[0] < 0xf0 ? 3
		     : p[0] < 0xf5 ? 4
				   : 0;

	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* How one character below 0x80 is escaped; NULL: it stands for itself.  May use `room`. */
typedef const char *text_escape_fn(unsigned char c, char room[static 8]);

static const char *
text_escape_json(unsigned char c, char room[static 8])
{
	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\n':
		return "\\n";
	case '\t':
		return "\\t";
	default:
		if (c >= 0x20 && c != 0x7f)
			return NULL;
		snprintf(room, 8, "\\u%04x", c);
		return room;
	}
}

static const char *
text_escape_label(unsigned char c, char room[static 8])
{
	(void)room;
	return c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : NULL;
}

static void
text_quoted(struct text *text, const char *string, text_escape_fn *escape)
{
	const char *plain = string, *p = string; /* from `plain` to `p` nothing needs a change */

	text_puts(text, "\"");
	while (*p != '\0') {
		size_t len = utf8_len((const unsigned char *)p);
		char room[8];
		const char *instead = len == 0 ? "\xef\xbf\xbd" : NULL;

		if (len == 1)
			instead = escape((unsigned char)*p, room);
		if (instead != NULL) {
			text_add(text, plain, (size_t)(p - plain));
			text_puts(text, instead);
			plain = p + 1;
		}
		p += len > 0 ? len : 1;
	}
	text_add(text, plain, (size_t)(p - plain));
	text_puts(text, "\"");
}

void
text_json_string(struct text *text, const char *string)
{
	text_quoted(text, string, text_escape_json);
}

void
text_label_value(struct text *text, const char *string)
{
	text_quoted(text, string, text_escape_label);
}

static void
json_key(struct json *json, const char *key)
{
	if (json->needs_comma)
		text_add(json->text, ", ", 2);
	json->needs_comma = true;
	if (key != NULL) {
		text_json_string(json->text, key);
		text_add(json->text, ": ", 2);
	}
}

void
json_open(struct json *json, const char *key, char bracket)
{
	json_key(json, key);
	text_add(json->text, &bracket, 1);
	json->needs_comma = false;
}

void
json_close(struct json *json, char bracket)
{
	text_add(json->text, &bracket, 1);
	json->needs_comma = true;
}

void
json_put_string(struct json *json, const char *key, const char *value)
{
	if (value == NULL) {
		json_put_null(json, key);
		return;
	}
	json_key(json, key);
	text_json_string(json->text, value);
}

void
json_put_uint(struct json *json, const char *key, uint64_t value)
{
	json_key(json, key);
	text_uint(json->text, value);
}

void
json_put_bool(struct json *json, const char *key, bool value)
{
	json_key(json, key);
	text_puts(json->text, value ? "true" : "false");
}

void
json_put_null(struct json *json, const char *key)
{
	json_key(json, key);
	text_puts(json->text, "null");
}
