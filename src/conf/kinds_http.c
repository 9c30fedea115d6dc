/* Kinds of values that HTTP knows: expressions, names of fields, answers. */
#include "conf_priv.h"

#include <stdlib.h>
#include <string.h>

#include "weir/regex.h"

enum { REGEX_LEN_MAX = 1024, FIELD_NAME_MAX = 64, BODY_MAX = 16 * 1024 };

static void
text_print(FILE *out, const struct option *option, const void *at)
{
	const char *text = *(const char *const *)at;

	(void)option;
	yaml_write_scalar(out, text != NULL ? text : "");
}

static const char *
regex_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	char fault[128];
	struct regex *regex;

	(void)option;
	if (*text == '\0')
		return "is empty";
	if (strlen(text) > REGEX_LEN_MAX)
		return "is longer than 1024 bytes";
	regex = regex_new(text, fault);
	if (regex == NULL)
		return arena_printf(arena, "is not an expression (%s)", fault);
	regex_free(regex);
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

/* RFC 9110 section 5.6.2. */
bool
is_token(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
		if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f ||
		    strchr("()<>@,;:\\\"/[]?={}", *text) != NULL)
			return false;
	return true;
}

static const char *
field_name_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	(void)option;
	if (!is_token(text) || strlen(text) > FIELD_NAME_MAX)
		return "is not the name of a field";
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

static const char *
method_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	(void)option;
	if (!is_token(text) || strlen(text) > FIELD_NAME_MAX)
		return "is not a method";
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

static const char *
pattern_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	(void)option;
	if (strlen(text) > 256)
		return "is longer than 256 bytes";
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return "has control characters";
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

static const char *
media_type_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	const char *slash = strchr(text, '/');

	(void)option;
	if (slash == NULL || slash == text || slash[1] == '\0' || strlen(text) > 128)
		return "is not a media type";
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f || *p == ',')
			return "is not a media type";
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

static const char *
body_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	(void)option;
	if (strlen(text) > BODY_MAX)
		return "is longer than 16384 bytes";
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

static const char *
rewrite_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	struct text_config parts;

	(void)option;
	if (*text != '/')
		return "does not start with a slash";
	if (strlen(text) > 1024)
		return "is longer than 1024 bytes";
	*(const char **)at = arena_strdup(arena, text);
	return text_compile(arena, text, TEXT_USE_REWRITE, &parts);
}

static const char *
url_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	struct text_config parts;

	(void)option;
	if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
		return "starts neither with http:// nor with https://";
	if (strchr(text, '/')[2] == '\0')
		return "has no host";
	if (strlen(text) > 1024)
		return "is longer than 1024 bytes";
	*(const char **)at = arena_strdup(arena, text);
	return text_compile(arena, text, TEXT_USE_URL, &parts);
}

#define TEXT_SCHEMA "\"type\": \"string\", \"minLength\": 1"

const struct kind kind_regex = {
	.name = "an expression",
	.form = "a regular expression (PCRE2), 1024 bytes at most",
	.parse = regex_parse,
	.print = text_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_field_name = {
	.name = "a field name",
	.form = "names of fields such as X-Tenant",
	.parse = field_name_parse,
	.print = text_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_field_names = {
	.shape = SHAPE_LIST,
	.name = "a list of field names",
	.item = &kind_field_name,
	.item_size = sizeof(char *),
};
static const struct kind kind_method = {
	.name = "a method",
	.form = "methods such as GET",
	.parse = method_parse,
	.print = text_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_methods = {
	.shape = SHAPE_LIST,
	.name = "a list of methods",
	.item = &kind_method,
	.item_size = sizeof(char *),
};
static const struct kind kind_pattern = {
	.name = "a pattern",
	.form = "texts, in which * stands for any bytes and ? for any byte",
	.parse = pattern_parse,
	.print = text_print,
	.schema = "\"type\": [\"string\", \"number\", \"boolean\"]",
};
const struct kind kind_patterns = {
	.shape = SHAPE_LIST,
	.name = "a list of patterns",
	.item = &kind_pattern,
	.item_size = sizeof(char *),
};
const struct kind kind_media_type = {
	.name = "a media type",
	.form = "a media type such as text/plain",
	.parse = media_type_parse,
	.print = text_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_media_types = {
	.shape = SHAPE_LIST,
	.name = "a list of media types",
	.item = &kind_media_type,
	.item_size = sizeof(char *),
};
const struct kind kind_body = {
	.name = "a text",
	.form = "a text of 16384 bytes at most",
	.parse = body_parse,
	.print = text_print,
	.schema = "\"type\": [\"string\", \"number\"]",
};
const struct kind kind_rewrite = {
	.name = "a path",
	.form = "a path that starts with a slash, with $1 to $9 for groups of the route's regex",
	.parse = rewrite_parse,
	.print = text_print,
	.schema = "\"type\": \"string\", \"pattern\": \"^/\"",
};
const struct kind kind_url = {
	.name = "a URL",
	.form = "a URL that starts with http:// or https://, with the variables ${host}, ${path}, "
		"${query}, ${scheme}, ${listen_port}, and $1 to $9",
	.parse = url_parse,
	.print = text_print,
	.schema = "\"type\": \"string\", \"pattern\": \"^https?://\"",
};
