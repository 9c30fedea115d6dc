/* Annotation values against their rows: types, ranges, JSON fields. */
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

#include "annotations_priv.h"
#include "json_priv.h"
#include "manifest_priv.h"
#include "values_priv.h"

bool
number_parse(const char *text, unsigned *number)
{
	unsigned long long n = 0;

	if (text[0] == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (unsigned)(*text - '0');
		if (n > 4294967295u)
			return false;
	}
	*number = (unsigned)n;
	return true;
}

bool
choice_has(const char *choices, const char *text, bool ignore_case)
{
	size_t len = strlen(text);

	while (choices != NULL) {
		size_t item = strcspn(choices, ",");

		if (item == len && (ignore_case ? strncasecmp(choices, text, len)
						: strncmp(choices, text, len)) == 0)
			return true;
		if (choices[item] == '\0')
			return false;
		choices += item + 1;
		choices += strspn(choices, " ");
	}
	return false;
}

const char *
quote_value(struct arena *arena, const char *text)
{
	size_t len = strlen(text);

	if (len <= 64)
		return arena_printf(arena, "\"%s\"", text);
	len = 64;
	while (len > 60 && (text[len] & 0xc0) == 0x80) /* not inside a UTF-8 character */
		len--;
	return arena_printf(arena, "\"%.*s...\"", (int)len, text);
}

bool
text_looks_typed(const char *text)
{
	static const char words[] = "y,n,yes,no,on,off,true,false,null,~";
	const char *p = text;
	size_t digits;

	if (choice_has(words, text, true))
		return true;
	p += *p == '-' || *p == '+';
	if (strcmp(p, ".inf") == 0 || strcmp(p, ".nan") == 0)
		return true;
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'o') && p[2] != '\0')
		return strspn(p + 2, "0123456789abcdefABCDEF_") == strlen(p + 2);
	digits = strspn(p, "0123456789_");
	if (digits == 0 && *p != '.')
		return false;
	p += digits;
	if (*p == '.')
		p += 1 + strspn(p + 1, "0123456789_");
	if (p == text || (p == text + 1 && *text == '.'))
		return false;
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '-' || *p == '+';
		digits = strspn(p, "0123456789");
		if (digits == 0)
			return false;
		p += digits;
	}
	return *p == '\0';
}

static void __attribute__((format(printf, 4, 0))) complain(struct annotation_set *set,
    const struct value *value, bool is_error, const char *format, va_list args)
{
	char *text = xvprintf(format, args);

	if (is_error)
		diag_error(set->diag, value->where, "%s: %s", value->key, text);
	else
		diag_warning(set->diag, value->where, "%s: %s", value->key, text);
	free(text);
}

void
value_error(struct annotation_set *set, const struct value *value, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(set, value, true, format, args);
	va_end(args);
}

void
value_warning(struct annotation_set *set, const struct value *value, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(set, value, false, format, args);
	va_end(args);
}

static void __attribute__((format(printf, 3, 0)))
set_note(struct annotation_set *set, struct value *value, const char *format, va_list args)
{
	char *text = xvprintf(format, args);

	value->note = arena_strdup(set->arena, text);
	free(text);
}

void
value_note(struct annotation_set *set, struct value *value, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_note(set, value, format, args);
	va_end(args);
}

void
value_idle(struct annotation_set *set, struct value *value, const char *format, ...)
{
	va_list args;

	value->no_effect = true;
	va_start(args, format);
	set_note(set, value, format, args);
	va_end(args);
}

/* "1 to 60 (seconds)" */
static const char *
print_range(struct arena *arena, unsigned min, unsigned max, const char *unit)
{
	if (max == UINT_MAX)
		return "a whole number";
	if (unit == NULL)
		return arena_printf(arena, "%u to %u", min, max);
	return arena_printf(arena, "%u to %u (%s)", min, max, unit);
}

static void
check_number(struct annotation_set *set, struct value *value)
{
	const struct annotation *row = value->row;
	const char *range = print_range(set->arena, row->min, row->max, row->unit);

	if (!number_parse(value->text, &value->number))
		value_error(set, value, "%s is not a whole number; allowed: %s",
		    quote_value(set->arena, value->text), range);
	else if (value->number < row->min || value->number > row->max)
		value_error(set, value, "%s is out of range; allowed: %s",
		    quote_value(set->arena, value->text), range);
	else
		value->is_valid = true;
}

static void
check_choice(struct annotation_set *set, struct value *value)
{
	const struct annotation *row = value->row;

	if (choice_has(row->choices, value->text, row->ignore_case) ||
	    choice_has(row->quiet_choices, value->text, false)) {
		value->is_valid = true;
		return;
	}
	value_error(set, value, "%s is not a known value; allowed: %s%s",
	    quote_value(set->arena, value->text), row->choices,
	    choice_has(row->choices, value->text, true) ? " (case matters)" : "");
}

static size_t
count_characters(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += (*text & 0xc0) != 0x80;
	return count;
}

static void
check_text(struct annotation_set *set, struct value *value)
{
	const struct annotation *row = value->row;
	size_t count = count_characters(value->text);

	if (row->max > 0 && (count < row->min || count > row->max))
		value_error(set, value, "%s is %zu characters; allowed: %u to %u",
		    quote_value(set->arena, value->text), count, row->min, row->max);
	else if (row->check != NULL && !row->check(value->text))
		value_error(set, value, "%s is not %s; allowed: %s",
		    quote_value(set->arena, value->text), row->what, row->allowed);
	else
		value->is_valid = true;
}

static const struct json_field *
find_field(const struct json_field *fields, const char *name)
{
	for (; fields->name != NULL; fields++)
		if (strcmp(fields->name, name) == 0)
			return fields;
	return NULL;
}

/* The value as the user wrote it: a text in quotes, a number without. */
static const char *
print_json(struct arena *arena, const struct yaml_node *node)
{
	if (node->type != YAML_SCALAR)
		return node->type == YAML_NULL ? "null" : yaml_type_name(node->type);
	return node->quoted ? quote_value(arena, node->text) : node->text;
}

/* All findings about the inside of a JSON value have this form and the place of the field. */
static bool
field_error(struct annotation_set *set, const struct value *value, const char *name,
    const struct yaml_node *node, const char *is, const char *allowed)
{
	diag_error(set->diag, node->where, "%s: %s %s is %s; allowed: %s", value->key, name,
	    print_json(set->arena, node), is, allowed);
	return false;
}

static bool
check_field_number(struct annotation_set *set, const struct value *value,
    const struct json_field *field, const struct yaml_node *node)
{
	const char *range = print_range(set->arena, field->min, field->max, field->unit);
	unsigned number;

	if (node->type != YAML_SCALAR || !number_parse(node->text, &number))
		return field_error(set, value, field->name, node, "not a whole number", range);
	if (number < field->min || number > field->max)
		return field_error(set, value, field->name, node, "out of range", range);
	if (node->quoted && field->only_number)
		diag_warning(set->diag, node->where, "%s: %s %s should be a number, without quotes",
		    value->key, field->name, print_json(set->arena, node));
	return true;
}

static bool
check_field_text(struct annotation_set *set, const struct value *value,
    const struct json_field *field, const struct yaml_node *node)
{
	size_t count;

	if (node->type != YAML_SCALAR || !node->quoted)
		return field_error(
		    set, value, field->name, node, "not a text", "a text in double quotes");
	if (field->choices != NULL && !choice_has(field->choices, node->text, false))
		return field_error(
		    set, value, field->name, node, "not a known value", field->choices);
	count = count_characters(node->text);
	if (field->max > 0 && (count < field->min || count > field->max))
		return field_error(set, value, field->name, node,
		    arena_printf(set->arena, "%zu characters", count),
		    print_range(set->arena, field->min, field->max, NULL));
	if (field->check != NULL && !field->check(node->text))
		return field_error(set, value, field->name, node, "malformed", field->allowed);
	return true;
}

static bool
check_field_texts(struct annotation_set *set, const struct value *value,
    const struct json_field *field, const struct yaml_node *node)
{
	if (node->type != YAML_LIST || node->count < field->min)
		return field_error(set, value, field->name, node, "not a list of texts",
		    field->min > 0 ? "a list with at least one text" : "a list of texts");
	for (size_t i = 0; i < node->count; i++)
		if (node->items[i]->type != YAML_SCALAR || !node->items[i]->quoted)
			return field_error(set, value, field->name, node->items[i], "not a text",
			    "a text in double quotes");
	return true;
}

static bool
check_object(struct annotation_set *set, struct value *value, const struct yaml_node *object)
{
	bool ok = true;

	if (object->type != YAML_MAP) {
		diag_error(set->diag, object->where, "%s: %s; allowed: %s", value->key,
		    yaml_type_name(object->type), value->row->allowed);
		return false;
	}
	for (size_t i = 0; i < object->count; i++) {
		const struct yaml_pair *pair = &object->pairs[i];
		const struct json_field *field = find_field(value->row->fields, pair->key);

		if (field == NULL) {
			diag_warning(set->diag, pair->where, "%s: unknown field %s, ignored",
			    value->key, quote_value(set->arena, pair->key));
			continue;
		}
		switch (field->type) {
		case FIELD_NUMBER:
			ok = check_field_number(set, value, field, pair->value) && ok;
			break;
		case FIELD_TEXT:
			ok = check_field_text(set, value, field, pair->value) && ok;
			break;
		case FIELD_TEXTS:
			ok = check_field_texts(set, value, field, pair->value) && ok;
			break;
		}
	}
	return ok;
}

static void
check_json(struct annotation_set *set, struct value *value)
{
	struct yaml_node *root =
	    json_parse(set->arena, set->diag, set->object->source, value->node, value->key);

	if (root == NULL)
		return;
	value->json = root;
	value->is_valid = true;
	if (!value->row->is_json_list) {
		value->is_valid = check_object(set, value, root);
		return;
	}
	if (root->type != YAML_LIST) {
		diag_error(set->diag, root->where, "%s: %s; allowed: %s", value->key,
		    yaml_type_name(root->type), value->row->allowed);
		value->is_valid = false;
		return;
	}
	for (size_t i = 0; i < root->count; i++)
		value->is_valid = check_object(set, value, root->items[i]) && value->is_valid;
}

void
value_check(struct annotation_set *set, struct value *value)
{
	switch (value->row->kind) {
	case KIND_TEXT:
		check_text(set, value);
		break;
	case KIND_CHOICE:
		check_choice(set, value);
		break;
	case KIND_NUMBER:
		check_number(set, value);
		break;
	case KIND_LIST:
		value->is_valid = true;
		break;
	case KIND_JSON:
		check_json(set, value);
		break;
	}
}

const char **
value_items(struct annotation_set *set, const struct value *value, size_t *count)
{
	size_t size = 1;
	const char **items, *p = value->text;
	bool has_spaces = false;

	for (const char *c = p; *c != '\0'; c++)
		size += *c == ',';
	items = arena_array(set->arena, size, sizeof(*items));
	*count = 0;
	if (*p == '\0')
		return items;
	for (;;) {
		size_t len = strcspn(p, ","), lead = strspn(p, " \t"), end = len;

		while (end > lead && (p[end - 1] == ' ' || p[end - 1] == '\t'))
			end--;
		has_spaces = has_spaces || lead > 0 || end < len;
		lead = lead < end ? lead : end;
		items[(*count)++] = arena_strndup(set->arena, p + lead, end - lead);
		if (p[len] == '\0')
			break;
		p += len + 1;
	}
	if (has_spaces)
		value_warning(set, value, "%s has spaces around an item, removed",
		    quote_value(set->arena, value->text));
	return items;
}
