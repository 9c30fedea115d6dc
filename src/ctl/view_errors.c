/*
 * view_errors: malformed messages, each with a mark under the byte where parsing stopped.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "view_priv.h"

enum { LINE_WIDTH = 100, LINE_BEFORE = 70 };

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

/* The daemon escapes them already; who else may answer at that socket is not known. */
static void
put_printable(const char *text, size_t len, FILE *out)
{
	for (size_t i = 0; i < len; i++)
		putc((unsigned char)text[i] >= ' ' && text[i] != 0x7f ? text[i] : '?', out);
}

/* After the last "\\n" of `text`: where its last line begins. */
static const char *
last_line(const char *text)
{
	const char *line = text;

	for (const char *p = text; *p != '\0'; p++)
		if (p[0] == '\\' && p[1] != '\0') {
			if (p[1] == 'n')
				line = p + 2;
			p++;
		}
	return line;
}

/* The bytes of `text` up to its first "\\n" and with it. */
static size_t
first_line(const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		if (p[0] == '\\' && p[1] != '\0') {
			if (p[1] == 'n')
				return (size_t)(p + 2 - text);
			p++;
		}
	return strlen(text);
}

/* The line that holds the fault, cut around it, and the mark below. */
static void
view_place(const char *before, const char *after, bool has_position, FILE *out)
{
	const char *line = last_line(before);
	size_t lead = strlen(line), rest = first_line(after);

	if (lead > LINE_BEFORE) {
		line += lead - LINE_BEFORE;
		lead = LINE_BEFORE;
	}
	if (rest > LINE_WIDTH - lead)
		rest = LINE_WIDTH - lead;
	fputs("    ", out);
	put_printable(line, lead, out);
	put_printable(after, rest, out);
	if (has_position)
		fprintf(out, "\n    %*s^", (int)lead, "");
	putc('\n', out);
}

static void
view_error(const json_t *error, FILE *out)
{
	time_t when = (time_t)(json_integer_value(json_object_get(error, "time_ms")) / 1000);
	const json_t *position = json_object_get(error, "position");
	json_int_t length = json_integer_value(json_object_get(error, "length"));
	const char *server = text_of(error, "server");
	char date[32] = "-";
	struct tm tm;

	if (localtime_r(&when, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(out, "%s ", date);
	put_printable(text_of(error, "kind"), strlen(text_of(error, "kind")), out);
	if (server[0] != '\0') {
		fputs(" of ", out);
		put_printable(text_of(error, "pool"), strlen(text_of(error, "pool")), out);
		putc('/', out);
		put_printable(server, strlen(server), out);
	}
	fputs(server[0] != '\0' ? " for " : " from ", out);
	put_printable(text_of(error, "client"), strlen(text_of(error, "client")), out);
	fputs(" at ", out);
	put_printable(text_of(error, "listener"), strlen(text_of(error, "listener")), out);
	fputs("\n  ", out);
	put_printable(text_of(error, "reason"), strlen(text_of(error, "reason")), out);
	if (json_is_integer(position))
		fprintf(out, ", at byte %" JSON_INTEGER_FORMAT, json_integer_value(position));
	if (length > 0)
		fprintf(out, " of %" JSON_INTEGER_FORMAT, length);
	putc('\n', out);
	view_place(
	    text_of(error, "before"), text_of(error, "after"), json_is_integer(position), out);
}

void
view_errors(const json_t *result, FILE *out)
{
	const json_t *error;
	size_t i;

	if (json_array_size(result) == 0)
		fputs("no malformed messages\n", out);
	json_array_foreach(result, i, error)
	{
		if (i > 0)
			putc('\n', out);
		view_error(error, out);
	}
}
