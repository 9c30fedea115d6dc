/*
 * text: a growing text, and a JSON writer on top of it.
 *
 * Runs in: control.  For answers of any size; knows nothing of what is written.
 */
#ifndef WEIR_TEXT_PRIV_H
#define WEIR_TEXT_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *data; /* owned; NULL while empty; not terminated */
	size_t len, size; /* len <= size */
};

void text_add(struct text *text, const void *data, size_t len);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_uint(struct text *text, uint64_t value);
/* Room for `len` bytes behind the text; text_advance() says how far it was used.  For what is written a million times. */
char *text_room(struct text *text, size_t len);
void text_advance(struct text *text, const char *end);
/* Returns the number of digits written, 20 at most. */
size_t text_print_uint(char *at, uint64_t value);
/* Empty again, memory given back. */
void text_fini(struct text *text);

/*
 * Write `string` as a JSON string in quotes, or as a Prometheus label value in quotes.  Bytes that are not UTF-8 become
 * U+FFFD, so that the whole stays readable whatever a name holds.
 */
void text_json_string(struct text *text, const char *string);
void text_label_value(struct text *text, const char *string);

/* JSON written straight into a text, in one line; commas and quotes come by themselves. */
struct json {
	struct text *text; /* borrowed */
	bool needs_comma;
};

/* bracket: '{' or '['; key NULL: an item of a list, or the whole. */
void json_open(struct json *json, const char *key, char bracket);
/* bracket: '}' or ']'. */
void json_close(struct json *json, char bracket);
/* value NULL: null. */
void json_put_string(struct json *json, const char *key, const char *value);
void json_put_uint(struct json *json, const char *key, uint64_t value);
void json_put_bool(struct json *json, const char *key, bool value);
void json_put_null(struct json *json, const char *key);

#endif
