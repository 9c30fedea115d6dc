/* Kinds of values that are numbers, words and texts. */
#include "conf_priv.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* Decimal digits alone.  Returns the text behind them; NULL without digits or on overflow. */
static const char *
parse_digits(const char *text, uint64_t *value)
{
	if (*text < '0' || *text > '9')
		return NULL;
	for (*value = 0; *text >= '0' && *text <= '9'; text++) {
		if (*value > UINT64_MAX / 10 - 1)
			return NULL;
		*value = *value * 10 + (uint64_t)(*text - '0');
	}
	return text;
}

struct unit {
	const char *text;
	uint64_t factor;
};

static bool
parse_unit(const char *text, const struct unit *units, size_t count, uint64_t *value)
{
	const char *unit = parse_digits(text, value);

	for (size_t i = 0; unit != NULL && i < count; i++) {
		if (strcmp(unit, units[i].text) != 0)
			continue;
		if (*value > UINT64_MAX / units[i].factor)
			return false;
		*value *= units[i].factor;
		return true;
	}
	return false;
}

/* Largest unit first: printing takes the first that divides. */
static void
print_unit(FILE *out, const struct unit *units, size_t count, uint64_t value)
{
	size_t i = 0;

	while (i + 1 < count && (value == 0 || value % units[i].factor != 0))
		i++;
	fprintf(out, "%" PRIu64 "%s", value / units[i].factor, units[i].text);
}

static const struct unit durations[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
	{ "ms", 1 } };
static const struct unit sizes[] = { { "g", 1U << 30 }, { "m", 1U << 20 }, { "k", 1U << 10 },
	{ "", 1 } };
/* In bytes a second, as they are kept. */
static const struct unit bits[] = { { "g", 1000000000 / 8 }, { "m", 1000000 / 8 },
	{ "k", 1000 / 8 } };

/* In an hour, as they are kept. */
static const struct unit rates[] = { { "/s", 3600 }, { "/m", 60 }, { "/h", 1 } };

static bool
duration_number(const char *text, uint64_t *value)
{
	return parse_unit(text, durations, COUNT(durations), value);
}

static void
duration_print(FILE *out, const struct option *option, const void *at)
{
	uint32_t value;

	(void)option;
	memcpy(&value, at, sizeof(value));
	print_unit(out, durations, COUNT(durations), value);
}

static bool
size_number(const char *text, uint64_t *value)
{
	return parse_unit(text, sizes, COUNT(sizes), value);
}

static void
size_print(FILE *out, const struct option *option, const void *at)
{
	uint32_t value;

	(void)option;
	memcpy(&value, at, sizeof(value));
	print_unit(out, sizes, COUNT(sizes), value);
}

static bool
bits_number(const char *text, uint64_t *value)
{
	return parse_unit(text, bits, COUNT(bits), value);
}

static void
bits_print(FILE *out, const struct option *option, const void *at)
{
	uint32_t value;

	(void)option;
	memcpy(&value, at, sizeof(value));
	print_unit(out, bits, COUNT(bits), value);
}

static bool
rate_number(const char *text, uint64_t *value)
{
	return parse_unit(text, rates, COUNT(rates), value);
}

static void
rate_print(FILE *out, const struct option *option, const void *at)
{
	uint32_t value;

	(void)option;
	memcpy(&value, at, sizeof(value));
	print_unit(out, rates, COUNT(rates), value);
}

static bool
count_number(const char *text, uint64_t *value)
{
	const char *end = parse_digits(text, value);

	return end != NULL && *end == '\0';
}

static void
count_print(FILE *out, const struct option *option, const void *at)
{
	uint32_t value = 0;

	if (option->kind->width == sizeof(uint16_t)) {
		uint16_t narrow;

		memcpy(&narrow, at, sizeof(narrow));
		value = narrow;
	} else {
		memcpy(&value, at, sizeof(value));
	}
	fprintf(out, "%" PRIu32, value);
}

static void
auto_count_print(FILE *out, const struct option *option, const void *at)
{
	unsigned value;

	memcpy(&value, at, sizeof(value));
	if (value == CONF_AUTO)
		fputs("auto", out);
	else
		count_print(out, option, at);
}

static const char *
bool_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	static const char *const words[] = { "off", "on", "false", "true", "no", "yes" };

	(void)arena;
	(void)option;
	for (size_t i = 0; i < COUNT(words); i++)
		if (strcasecmp(text, words[i]) == 0) {
			*(bool *)at = i % 2 == 1;
			return NULL;
		}
	return "is neither on nor off";
}

static void
bool_print(FILE *out, const struct option *option, const void *at)
{
	(void)option;
	fputs(*(const bool *)at ? "on" : "off", out);
}

static const struct word *
find_word(const struct option *option, const char *text)
{
	for (const struct word *w = option->words; w->text != NULL; w++)
		if (strcmp(w->text, text) == 0)
			return w;
	return NULL;
}

/* Written next to the number it stands for, so that the printed form is always one of the words. */
static void
print_word_of(FILE *out, const struct option *option, int value)
{
	for (const struct word *w = option->words; w->text != NULL; w++)
		if (w->value == value) {
			fputs(w->text, out);
			return;
		}
}

static const char *
enum_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	const struct word *word = find_word(option, text);

	(void)arena;
	if (word == NULL)
		return "is not known here";
	memcpy(at, &word->value, sizeof(word->value));
	return NULL;
}

static void
enum_print(FILE *out, const struct option *option, const void *at)
{
	int value;

	memcpy(&value, at, sizeof(value));
	print_word_of(out, option, value);
}

static const char *
flag_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	const struct word *word = find_word(option, text);

	(void)arena;
	if (word == NULL)
		return "is not known here";
	*(bool *)at = word->value != 0;
	return NULL;
}

static void
flag_print(FILE *out, const struct option *option, const void *at)
{
	print_word_of(out, option, *(const bool *)at);
}

static const char *
word_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	const struct word *word = find_word(option, text);

	(void)arena;
	if (word == NULL)
		return "is not known here";
	*(const char **)at = word->text;
	return NULL;
}

static void
text_print(FILE *out, const struct option *option, const void *at)
{
	const char *text = *(const char *const *)at;

	(void)option;
	yaml_write_scalar(out, text != NULL ? text : "");
}

/* A word is never quoted, be it "off". */
static void
word_print(FILE *out, const struct option *option, const void *at)
{
	const char *text = *(const char *const *)at;

	if (text != NULL && find_word(option, text) != NULL)
		fputs(text, out);
	else
		text_print(out, option, at);
}

/* The configuration's own version: there is nothing to keep. */
static const char *
version_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	(void)arena;
	(void)option;
	(void)at;
	return strcmp(text, "1") == 0 ? NULL : "is a version that this program does not read";
}

static void
version_print(FILE *out, const struct option *option, const void *at)
{
	(void)option;
	(void)at;
	fputs("1", out);
}

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

static const char *
text_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	(void)option;
	if (*text == '\0')
		return "is empty";
	if (strlen(text) > 1024)
		return "is longer than 1024 bytes";
	if (has_control(text))
		return "has control characters";
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

/* Names stand in logs, statistics and commands, where spaces separate words. */
static const char *
name_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	if (strchr(text, ' ') != NULL)
		return "has a space";
	if (strlen(text) > 512)
		return "is longer than 512 bytes";
	return text_parse(arena, option, text, at);
}

static const char *
path_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	if (*text != '/')
		return "is not an absolute path";
	return text_parse(arena, option, text, at);
}

static const char *
path_or_word_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	if (find_word(option, text) != NULL)
		return word_parse(arena, option, text, at);
	return path_parse(arena, option, text, at);
}

static const char *
url_path_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	if (*text != '/')
		return "does not start with a slash";
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f ||
		    strchr("\"<>\\^`{|}#", *p) != NULL)
			return "has characters that a path on the wire cannot have (write them as "
			       "%XX)";
	return text_parse(arena, option, text, at);
}

/* RFC 6265 section 4.1.1: a token. */
static const char *
cookie_name_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f ||
		    strchr("()<>@,;:\\\"/[]?={}", *p) != NULL)
			return "has characters that a cookie's name cannot have";
	if (strlen(text) > 128)
		return "is longer than 128 bytes";
	return text_parse(arena, option, text, at);
}

#define TEXT_SCHEMA "\"type\": \"string\", \"minLength\": 1"

const struct kind kind_duration = {
	.name = "a duration",
	.form = "a whole number with its unit (500ms, 5s, 30m, 1h)",
	.number = duration_number,
	.width = 4,
	.print = duration_print,
	.schema = "\"type\": \"string\", \"pattern\": \"^[0-9]+(ms|s|m|h)$\"",
};
const struct kind kind_size = {
	.name = "a size",
	.form = "a whole number of bytes, or with a unit (16k, 8m)",
	.number = size_number,
	.width = 4,
	.print = size_print,
	.schema = "\"anyOf\": [{\"type\": \"integer\"}, {\"type\": \"string\", \"pattern\": "
		  "\"^[0-9]+[kmg]?$\"}]",
};
const struct kind kind_bits = {
	.name = "a bandwidth",
	.form = "bits a second, a whole number with its unit (500k, 10m, 1g; 1k is 1,000)",
	.number = bits_number,
	.width = 4,
	.print = bits_print,
	.schema = "\"type\": \"string\", \"pattern\": \"^[0-9]+[kmg]$\"",
};
const struct kind kind_rate = {
	.name = "a rate",
	.form = "a whole number with its unit (100/s, 30/m, 10/h)",
	.number = rate_number,
	.width = 4,
	.print = rate_print,
	.schema = "\"type\": \"string\", \"pattern\": \"^[0-9]+/[smh]$\"",
};
const struct kind kind_count = {
	.name = "a number",
	.form = "a whole number",
	.number = count_number,
	.width = 4,
	.print = count_print,
};
const struct kind kind_auto_count = {
	.name = "a number",
	.form = "auto, or a whole number",
	.number = count_number,
	.width = 4,
	.print = auto_count_print,
};
const struct kind kind_port = {
	.name = "a port",
	.form = "a port",
	.number = count_number,
	.width = 2,
	.print = count_print,
};
const struct kind kind_bool = {
	.name = "a switch",
	.form = "on or off (also true, false, yes, no)",
	.parse = bool_parse,
	.print = bool_print,
	.schema = "\"enum\": [true, false, \"on\", \"off\", \"yes\", \"no\"]",
};
const struct kind kind_enum = { .name = "a word", .parse = enum_parse, .print = enum_print };
const struct kind kind_flag = { .name = "a word", .parse = flag_parse, .print = flag_print };
const struct kind kind_word = { .name = "a word", .parse = word_parse, .print = word_print };
const struct kind kind_version = {
	.name = "a version",
	.form = "1",
	.parse = version_parse,
	.print = version_print,
	.schema = "\"const\": 1",
};
const struct kind kind_name = {
	.name = "a name",
	.form = "a text without spaces, 512 bytes at most",
	.parse = name_parse,
	.print = text_print,
	.schema = "\"type\": [\"string\", \"number\"]",
};
const struct kind kind_text = {
	.name = "a text",
	.form = "a text of 1024 bytes at most",
	.parse = text_parse,
	.print = text_print,
	.schema = "\"type\": [\"string\", \"number\"]",
};
const struct kind kind_path = {
	.name = "a path",
	.form = "an absolute path",
	.parse = path_parse,
	.print = text_print,
	.schema = "\"type\": \"string\", \"pattern\": \"^/\"",
};
const struct kind kind_path_or_word = {
	.name = "a path",
	.form = "an absolute path",
	.parse = path_or_word_parse,
	.print = word_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_url_path = {
	.name = "a path",
	.form = "a path that starts with a slash, as in a request",
	.parse = url_path_parse,
	.print = text_print,
	.schema = "\"type\": \"string\", \"pattern\": \"^/\"",
};
const struct kind kind_cookie_name = {
	.name = "a cookie name",
	.form = "letters, digits and !#$%&'*+-.^_`|~, 128 bytes at most",
	.parse = cookie_name_parse,
	.print = text_print,
	.schema = TEXT_SCHEMA,
};
const struct kind kind_block = { .shape = SHAPE_BLOCK, .name = "a mapping" };
const struct kind kind_blocks = { .shape = SHAPE_BLOCKS, .name = "a list of mappings" };
const struct kind kind_named = { .shape = SHAPE_NAMED, .name = "a mapping of names to mappings" };
const struct kind kind_texts = { .shape = SHAPE_TEXTS, .name = "a mapping of names to texts" };

unsigned
conf_near(const char *name)
{
	size_t edits = (strlen(name) + 1) / 3;

	return edits > 3 ? 3 : (unsigned)edits;
}

static void
print_words(const struct word *words, FILE *out)
{
	for (const struct word *w = words; w->text != NULL; w++)
		fprintf(out, "%s%s", w == words ? "" : w[1].text == NULL ? " or " : ", ", w->text);
}

void
option_print_allowed(const struct option *option, FILE *out)
{
	const struct kind *kind = option->kind;

	if (kind->item != NULL)
		fputs("a list of: ", out);
	if (kind->item != NULL)
		kind = kind->item;
	if (option->words != NULL)
		print_words(option->words, out);
	for (const char *const *n = kind->names ? kind->names() : NULL; n != NULL && *n != NULL;
	     n++)
		fprintf(out, "%s%s", *n, n[1] == NULL ? "" : n[2] == NULL ? " or " : ", ");
	if (kind->form != NULL)
		fprintf(out, "%s%s", option->words != NULL ? ", or " : "", kind->form);
	else if (option->words == NULL && kind->names == NULL)
		fputs(kind->name, out);
	if (option->kind->shape != SHAPE_SCALAR) {
		if (option->min != NULL)
			fprintf(out, " (at least %s)", option->min);
		return;
	}
	if (option->min != NULL && option->max != NULL)
		fprintf(out, " from %s to %s", option->min, option->max);
	else if (option->min != NULL)
		fprintf(out, ", %s or more", option->min);
	else if (option->max != NULL)
		fprintf(out, ", %s at most", option->max);
}
