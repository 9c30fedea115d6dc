/* What the option tables say, for editors (JSON Schema) and for people (the reference in
 * weir.yaml(5)). */
#include "conf_priv.h"

#include <stdlib.h>
#include <string.h>

static void schema_block(FILE *out, const struct block *b, const char *doc, unsigned depth);

static void
json_text(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			fprintf(out, "\\u%04x", (unsigned char)*text);
		else
			putc(*text, out);
	}
	putc('"', out);
}

static void
new_line(FILE *out, unsigned depth)
{
	putc('\n', out);
	for (unsigned i = 0; i < depth; i++)
		fputs("  ", out);
}

static bool
is_digits(const char *text)
{
	return *text != '\0' && strspn(text, "0123456789") == strlen(text);
}

/* A word as JSON: 301 is a number. */
static void
json_word(FILE *out, const char *text)
{
	if (is_digits(text))
		fputs(text, out);
	else
		json_text(out, text);
}

static const struct kind *
item_kind(const struct option *o)
{
	return o->kind->item != NULL ? o->kind->item : o->kind;
}

static void
schema_words(FILE *out, const struct option *o)
{
	fputs("\"enum\": [", out);
	for (const struct word *w = o->words; w->text != NULL; w++) {
		json_word(out, w->text);
		/* YAML 1.1 editors take the word off for false */
		if (strcmp(w->text, "off") == 0)
			fputs(", false", out);
		fputs(w[1].text != NULL ? ", " : "]", out);
	}
}

static void
schema_names(FILE *out, const char *const *names)
{
	fputs("\"enum\": [", out);
	for (; *names != NULL; names++) {
		json_text(out, *names);
		fputs(names[1] != NULL ? ", " : "]", out);
	}
}

static void
schema_number(FILE *out, const struct option *o)
{
	if (o->kind == &kind_auto_count)
		fputs("\"anyOf\": [{\"const\": \"auto\"}, {", out);
	fputs("\"type\": \"integer\"", out);
	if (o->min != NULL)
		fprintf(out, ", \"minimum\": %s", o->min);
	if (o->max != NULL)
		fprintf(out, ", \"maximum\": %s", o->max);
	if (o->kind == &kind_auto_count)
		fputs("}]", out);
}

/* The members that say what one value may be. */
static void
schema_scalar(FILE *out, const struct option *o)
{
	const struct kind *k = item_kind(o);

	if (k->schema != NULL)
		fputs(k->schema, out);
	else if (k->names != NULL)
		schema_names(out, k->names());
	else if (o->words != NULL)
		schema_words(out, o);
	else
		schema_number(out, o);
}

static void
schema_default(FILE *out, const struct option *o)
{
	const char *preset = o->preset;

	if (preset == NULL || preset[0] == '\0' || o->kind->shape == SHAPE_BLOCK)
		return;
	fputs(", \"default\": ", out);
	if (o->kind->shape == SHAPE_LIST) {
		putc('[', out);
		json_text(out, preset);
		putc(']', out);
	} else if (o->kind == &kind_bool) {
		fputs(strcmp(preset, "on") == 0 ? "true" : "false", out);
	} else {
		json_word(out, preset);
	}
}

static void
schema_description(FILE *out, const struct option *o)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	if (stream == NULL)
		return;
	fputs(o->doc != NULL ? o->doc : o->block->doc, stream);
	if (o->scope != NULL)
		fprintf(stream, " Only %s.", o->scope);
	if (o->kind->shape <= SHAPE_LIST) {
		fputs(" Allowed: ", stream);
		option_print_allowed(o, stream);
		putc('.', stream);
	}
	fclose(stream);
	fputs("\"description\": ", out);
	json_text(out, text);
	free(text);
}

static void
schema_array(FILE *out, const struct option *o, unsigned depth)
{
	fputs(", \"type\": \"array\", ", out);
	if (o->min != NULL)
		fprintf(out, "\"minItems\": %s, ", o->min);
	fputs("\"items\": ", out);
	schema_block(out, o->block, o->block->doc, depth);
}

static void
schema_option(FILE *out, const struct option *o, unsigned depth)
{
	if (o->kind->shape == SHAPE_BLOCK) {
		schema_block(out, o->block, o->block->doc, depth);
		return;
	}
	putc('{', out);
	schema_description(out, o);
	switch (o->kind->shape) {
	case SHAPE_SCALAR:
		fputs(", ", out);
		schema_scalar(out, o);
		break;
	case SHAPE_LIST: /* one value alone is as good as a list of one */
		fputs(", \"if\": {\"type\": \"array\"}, \"then\": {", out);
		if (o->min != NULL)
			fprintf(out, "\"minItems\": %s, ", o->min);
		fputs("\"items\": {", out);
		schema_scalar(out, o);
		fputs("}}, \"else\": {", out);
		schema_scalar(out, o);
		putc('}', out);
		break;
	case SHAPE_BLOCK:
		break;
	case SHAPE_BLOCKS:
		schema_array(out, o, depth);
		break;
	case SHAPE_NAMED:
		fputs(", \"type\": \"object\", \"additionalProperties\": ", out);
		schema_block(out, o->block, o->block->doc, depth);
		break;
	case SHAPE_TEXTS:
		fputs(", \"type\": \"object\", \"additionalProperties\": "
		      "{\"type\": [\"string\", \"number\", \"boolean\", \"null\"]}",
		    out);
		break;
	}
	schema_default(out, o);
	putc('}', out);
}

static void
schema_required(FILE *out, const struct block *b, unsigned depth)
{
	const char *before = "\"required\": [";

	for (size_t i = 0; i < b->option_count; i++) {
		if (b->options[i].preset != NULL)
			continue;
		if (before[0] != ',')
			new_line(out, depth);
		fputs(before, out);
		json_text(out, b->options[i].name);
		before = ", ";
	}
	if (before[0] == ',')
		fputs("],", out);
}

/* What stands between the braces of the block's schema, and the closing one. */
static void
schema_members(FILE *out, const struct block *b, unsigned depth)
{
	new_line(out, depth);
	fputs("\"type\": \"object\",", out);
	new_line(out, depth);
	fputs("\"additionalProperties\": false,", out);
	schema_required(out, b, depth);
	new_line(out, depth);
	fputs("\"properties\": {", out);
	for (size_t i = 0; i < b->option_count; i++) {
		new_line(out, depth + 1);
		json_text(out, b->options[i].name);
		fputs(": ", out);
		schema_option(out, &b->options[i], depth + 2);
		if (i + 1 < b->option_count)
			putc(',', out);
	}
	new_line(out, depth);
	putc('}', out);
	new_line(out, depth - 1);
	putc('}', out);
}

static void
schema_block(FILE *out, const struct block *b, const char *doc, unsigned depth)
{
	putc('{', out);
	new_line(out, depth);
	fputs("\"description\": ", out);
	json_text(out, doc);
	putc(',', out);
	schema_members(out, b, depth);
}

void
conf_print_schema(FILE *out)
{
	fputs("{\n"
	      "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
	      "  \"title\": \"weir configuration\",",
	    out);
	schema_members(out, &conf_root, 1);
	putc('\n', out);
}

/* One text as mdoc: each sentence on its own line, nothing that roff would take for a request or an
 * escape. */
static void
mdoc_text(FILE *out, const char *text)
{
	bool at_start = true;

	for (; *text != '\0'; text++) {
		if (at_start && (*text == '.' || *text == '\''))
			fputs("\\&", out);
		at_start = strncmp(text, ". ", 2) == 0;
		if (at_start) {
			fputs(".\n", out);
			text++;
		} else if (*text == '\\') {
			fputs("\\e", out);
		} else {
			putc(*text, out);
		}
	}
	putc('\n', out);
}

/* Directories are those of `configure --prefix=/usr`, whatever this build has: the page must not
 * depend on it. */
static char *
usual_preset(const char *preset)
{
	static const char *const dirs[][2] = { { WEIR_SYSCONFDIR, "/etc" },
		{ WEIR_RUNSTATEDIR, "/run" }, { WEIR_LOCALSTATEDIR, "/var" } };

	for (size_t i = 0; i < COUNT(dirs); i++) {
		size_t len = strlen(dirs[i][0]);

		if (preset[0] == '/' && strncmp(preset, dirs[i][0], len) == 0 &&
		    strncmp(preset + len, "/", 1) == 0 && preset[len + 1] != '\0')
			return xprintf("%s%s", dirs[i][1], preset + len);
	}
	return xstrdup(preset);
}

static void
manual_option(FILE *out, const struct option *o, const char *path)
{
	char *preset;

	fprintf(out, ".It Cm %s\n", o->name);
	mdoc_text(out, o->doc != NULL ? o->doc : o->block->doc);
	if (o->block != NULL)
		fprintf(out, "See\n.Sx %s%s%s .\n", path, path[0] ? "." : "", o->name);
	if (o->scope != NULL)
		fprintf(out, "Only %s.\n", o->scope);
	if (o->kind->shape <= SHAPE_LIST) {
		fputs("Allowed: ", out);
		option_print_allowed(o, out);
		fputs(".\n", out);
	}
	if (o->preset == NULL)
		fputs("It must be given.\n", out);
	if (o->preset == NULL || o->preset[0] == '\0' || o->kind->shape == SHAPE_BLOCK)
		return;
	preset = usual_preset(o->preset);
	fprintf(out, "Default:\n.Ql %s .\n", preset);
	free(preset);
}

static void
manual_block(FILE *out, const struct block *b, const char *path)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (size_t i = 0; i < b->option_count; i++)
		manual_option(out, &b->options[i], path);
	fputs(".El\n", out);
	for (size_t i = 0; i < b->option_count; i++) {
		const struct option *o = &b->options[i];
		char *below;

		if (o->block == NULL)
			continue;
		below = xprintf("%s%s%s", path, path[0] ? "." : "", o->name);
		fprintf(out, ".Ss %s\n", below);
		if (o->kind->shape == SHAPE_BLOCKS)
			fputs("A list of mappings.\n", out);
		else if (o->kind->shape == SHAPE_NAMED)
			fputs("A mapping of names to mappings.\n", out);
		mdoc_text(out, o->block->doc);
		manual_block(out, o->block, below);
		free(below);
	}
}

void
conf_print_manual(FILE *out)
{
	manual_block(out, &conf_root, "");
}
