/* Walk the YAML tree along the option tables: values, defaults, bounds, unknown and missing keys.
 */
#include "conf_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 64, BROKEN_MAX = 1000, META_KEY_MAX = 256 };

static void load_block(struct load *l, const struct block *b, const struct yaml_node *map,
    struct where where, void *base);

static void *
field(void *base, size_t offset)
{
	return (char *)base + offset;
}

/* Places in the tree outlive the nodes they come from. */
static struct where
kept(const struct load *l, struct where where)
{
	where.file = l->config->file;
	return where;
}

static void
set_broken(struct load *l, const void *at)
{
	if (l->broken_count == BROKEN_MAX)
		return;
	if (l->broken == NULL)
		l->broken = xcalloc(BROKEN_MAX, sizeof(*l->broken));
	l->broken[l->broken_count++] = at;
}

bool
load_is_broken(const struct load *load, const void *at)
{
	for (size_t i = 0; i < load->broken_count; i++)
		if (load->broken[i] == at)
			return true;
	return false;
}

static char *
allowed_text(const struct option *o)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return xstrdup("");
	option_print_allowed(o, out);
	fclose(out);
	return text;
}

/* `what` is wrong with the value of `o`; long texts are cut. */
static void
report_value(
    struct load *l, const struct option *o, struct where where, const char *text, const char *what)
{
	char *allowed = allowed_text(o);

	if (text == NULL)
		diag_error(l->diag, where, "%s: %s; allowed: %s", o->name, what, allowed);
	else
		diag_error(l->diag, where, "%s: \"%.*s%s\" %s; allowed: %s", o->name, SHOWN_MAX,
		    text, strlen(text) > SHOWN_MAX ? "..." : "", what, allowed);
	free(allowed);
}

static void
report_type(struct load *l, const struct option *o, const struct yaml_node *node, const void *at)
{
	char *what = xprintf("%s is given", yaml_type_name(node->type));

	report_value(l, o, node->where, NULL, what);
	free(what);
	set_broken(l, at);
}

/* "off" says that the feature is not wanted, which is all that this version can do. */
static bool
is_off(const struct yaml_node *node)
{
	return node->type == YAML_SCALAR &&
	       (strcmp(node->text, "off") == 0 || strcmp(node->text, "false") == 0 ||
		   strcmp(node->text, "no") == 0);
}

/* Is this a key (value NULL) or a value that the design names and this version does not serve? */
static bool
is_unserved(const struct block *b, const char *key, const char *value)
{
	for (const struct unserved *u = conf_unserved; u->block != NULL; u++)
		if (strcmp(u->block, b->name) == 0 && strcmp(u->key, key) == 0 &&
		    (value == NULL ? u->value == NULL
				   : u->value != NULL && strcmp(u->value, value) == 0))
			return true;
	return false;
}

static void
store_number(void *at, size_t width, uint64_t value)
{
	uint16_t narrow = (uint16_t)value;
	uint32_t wide = (uint32_t)value;

	memcpy(at, width == sizeof(narrow) ? (void *)&narrow : (void *)&wide, width);
}

/* Returns NULL when done, else what is wrong. */
static const char *
load_number(const struct load *l, const struct option *o, const char *text, void *at)
{
	const struct kind *k = o->kind;
	uint64_t value = CONF_AUTO, bound;

	if (k != &kind_auto_count || strcmp(text, "auto") != 0) {
		if (!k->number(text, &value))
			return arena_printf(l->arena, "is not %s", k->name);
		if (o->min != NULL && k->number(o->min, &bound) && value < bound)
			return "is too small";
		if ((o->max != NULL && k->number(o->max, &bound) && value > bound) ||
		    value > UINT32_MAX)
			return "is too big";
	}
	store_number(at, k->width, value);
	return NULL;
}

/* One scalar of kind `k`, which is that of `o` or of its items. */
static void
load_scalar(struct load *l, const struct block *b, const struct option *o, const struct kind *k,
    const struct yaml_node *node, void *at)
{
	const char *wrong;

	if (node->type != YAML_SCALAR) {
		report_type(l, o, node, at);
		return;
	}
	if (is_unserved(b, o->name, node->text))
		wrong = "is not served by this version";
	else if (k->number != NULL)
		wrong = load_number(l, o, node->text, at);
	else
		wrong = k->parse(l->arena, o, node->text, at);
	if (wrong == NULL)
		return;
	report_value(l, o, node->where, node->text, wrong);
	set_broken(l, at);
}

static void
check_item_count(struct load *l, const struct option *o, const struct yaml_node *node, size_t count)
{
	uint64_t least;

	if (o->min != NULL && kind_count.number(o->min, &least) && count < least)
		report_value(l, o, node->where, NULL, "the list is too short");
}

static void
set_array(const struct option *o, void *base, void *items, size_t count)
{
	*(void **)field(base, o->offset) = items;
	*(size_t *)field(base, o->count_offset) = count;
}

static void
load_list(struct load *l, const struct block *b, const struct option *o,
    const struct yaml_node *node, void *base)
{
	struct yaml_node *const one[] = { (struct yaml_node *)(uintptr_t)node };
	bool is_list = node->type == YAML_LIST;
	struct yaml_node *const *items = is_list ? node->items : one;
	size_t count = is_list ? node->count : 1;
	const struct kind *item = o->kind->item;
	char *array = field(base, o->offset);
	struct where *wheres = NULL;

	check_item_count(l, o, node, count);
	if (o->kind->item_size > 0) {
		array = arena_array(l->arena, count, o->kind->item_size);
		set_array(o, base, array, count);
	}
	if (o->where_offset != 0) {
		wheres = arena_array(l->arena, count, sizeof(*wheres));
		*(struct where **)field(base, o->where_offset) = wheres;
	}
	for (size_t i = 0; i < count; i++) {
		load_scalar(l, b, o, item, items[i], array + i * o->kind->item_size);
		if (wheres != NULL)
			wheres[i] = kept(l, items[i]->where);
	}
}

static void
load_blocks(struct load *l, const struct option *o, const struct yaml_node *node, void *base)
{
	char *array;

	if (node->type == YAML_NULL)
		return;
	if (node->type != YAML_LIST) {
		report_type(l, o, node, field(base, o->offset));
		return;
	}
	check_item_count(l, o, node, node->count);
	array = arena_array(l->arena, node->count, o->block->size);
	set_array(o, base, array, node->count);
	for (size_t i = 0; i < node->count; i++)
		load_block(
		    l, o->block, node->items[i], node->items[i]->where, array + i * o->block->size);
}

static void
load_named(struct load *l, const struct option *o, const struct yaml_node *node, void *base)
{
	const char *wrong;
	char *array;

	if (node->type == YAML_NULL)
		return;
	if (node->type != YAML_MAP) {
		report_type(l, o, node, field(base, o->offset));
		return;
	}
	array = arena_array(l->arena, node->count, o->block->size);
	set_array(o, base, array, node->count);
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_pair *pair = &node->pairs[i];
		void *item = array + i * o->block->size;

		wrong = kind_name.parse(l->arena, o, pair->key, field(item, o->block->key_offset));
		if (wrong != NULL)
			diag_error(l->diag, pair->where, "%s: name \"%.*s\" %s; allowed: %s",
			    o->name, SHOWN_MAX, pair->key, wrong, kind_name.form);
		load_block(l, o->block, pair->value, pair->where, item);
	}
}

static void
load_texts(struct load *l, const struct option *o, const struct yaml_node *node, void *base)
{
	struct meta_config *array;

	if (node->type == YAML_NULL)
		return;
	if (node->type != YAML_MAP) {
		report_type(l, o, node, field(base, o->offset));
		return;
	}
	array = arena_array(l->arena, node->count, sizeof(*array));
	set_array(o, base, array, node->count);
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_pair *pair = &node->pairs[i];

		array[i].key = arena_strdup(l->arena, pair->key);
		array[i].value = "";
		if (strlen(pair->key) > META_KEY_MAX)
			diag_error(l->diag, pair->where,
			    "%s: the key is too long; %d bytes are allowed", o->name, META_KEY_MAX);
		if (pair->value->type == YAML_SCALAR)
			array[i].value =
			    arena_strndup(l->arena, pair->value->text, pair->value->len);
		else if (pair->value->type != YAML_NULL)
			diag_error(l->diag, pair->value->where, "%s: %s is given; allowed: a text",
			    pair->key, yaml_type_name(pair->value->type));
	}
}

static void
load_option(struct load *l, const struct block *b, const struct option *o,
    const struct yaml_node *node, void *base)
{
	switch (o->kind->shape) {
	case SHAPE_SCALAR:
		load_scalar(l, b, o, o->kind, node, field(base, o->offset));
		if (o->where_offset != 0)
			*(struct where *)field(base, o->where_offset) = kept(l, node->where);
		break;
	case SHAPE_LIST:
		load_list(l, b, o, node, base);
		break;
	case SHAPE_BLOCK: /* "global:" with all below commented out is as good as none */
		load_block(l, o->block,
		    node->type == YAML_NULL && o->preset[0] != '\0' ? NULL : node, node->where,
		    field(base, o->offset));
		break;
	case SHAPE_BLOCKS:
		load_blocks(l, o, node, base);
		break;
	case SHAPE_NAMED:
		load_named(l, o, node, base);
		break;
	case SHAPE_TEXTS:
		load_texts(l, o, node, base);
		break;
	}
}

/* The option is not in the file: take its preset, read like anything a user writes. */
static void
load_preset(
    struct load *l, const struct block *b, const struct option *o, struct where where, void *base)
{
	struct yaml_node node = { .type = YAML_SCALAR, .where = where, .text = o->preset };

	if (o->preset[0] == '\0')
		return;
	node.len = strlen(o->preset);
	if (o->kind->shape == SHAPE_BLOCK)
		load_block(l, o->block, NULL, where, field(base, o->offset));
	else
		load_option(l, b, o, &node, base);
}

static void
report_unknown_key(struct load *l, const struct block *b, const struct yaml_pair *pair)
{
	const char *names[64], *nearest;
	char *list = NULL;

	for (size_t i = 0; i < b->option_count; i++) {
		char *longer =
		    xprintf("%s%s%s", list ? list : "", list ? ", " : "", b->options[i].name);

		names[i] = b->options[i].name;
		free(list);
		list = longer;
	}
	nearest = yaml_nearest(pair->key, names, b->option_count, conf_near(pair->key));
	if (nearest != NULL)
		diag_error(l->diag, pair->where,
		    "unknown key \"%.*s\" in %s, did you mean \"%s\"?; allowed: %s", SHOWN_MAX,
		    pair->key, b->name, nearest, list);
	else
		diag_error(l->diag, pair->where, "unknown key \"%.*s\" in %s; allowed: %s",
		    SHOWN_MAX, pair->key, b->name, list);
	free(list);
}

static const struct option *
find_option(const struct block *b, const char *name)
{
	for (size_t i = 0; i < b->option_count; i++)
		if (strcmp(b->options[i].name, name) == 0)
			return &b->options[i];
	return NULL;
}

/* Returns the set of the options that were there, one bit each. */
static uint64_t
load_pairs(struct load *l, const struct block *b, const struct yaml_node *map, void *base)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < map->count; i++) {
		const struct yaml_pair *pair = &map->pairs[i];
		const struct option *o = find_option(b, pair->key);

		if (o != NULL) {
			uint64_t bit = UINT64_C(1) << (o - b->options);

			if ((seen & bit) == 0) /* a key that is given twice was an error already */
				load_option(l, b, o, pair->value, base);
			seen |= bit;
		} else if (is_unserved(b, pair->key, NULL)) {
			if (!is_off(pair->value))
				diag_error(l->diag, pair->where,
				    "%s is not served by this version; leave it out", pair->key);
		} else {
			report_unknown_key(l, b, pair);
		}
	}
	return seen;
}

/* Was a word wrong that decides about the meaning of other keys? */
static bool
is_undecided(const struct load *l, const struct block *b, const void *base)
{
	for (size_t i = 0; i < b->option_count; i++) {
		const struct option *o = &b->options[i];

		if ((o->kind == &kind_enum || o->kind == &kind_flag) &&
		    load_is_broken(l, (const char *)base + o->offset))
			return true;
	}
	return false;
}

/* Keys that mean nothing beside what else was given. */
static void
check_scopes(struct load *l, const struct block *b, const struct yaml_node *map, const void *base)
{
	if (is_undecided(l, b, base))
		return;
	for (size_t i = 0; i < map->count; i++) {
		const struct option *o = find_option(b, map->pairs[i].key);

		if (o != NULL && o->applies != NULL && !o->applies(base))
			diag_error(l->diag, map->pairs[i].where,
			    "%s has no meaning here; it is allowed %s", o->name, o->scope);
	}
}

/* map NULL: the mapping is not in the file, only presets count. */
static void
load_block(struct load *l, const struct block *b, const struct yaml_node *map, struct where where,
    void *base)
{
	uint64_t seen = 0;
	size_t errors;

	if (map != NULL && map->type != YAML_MAP) {
		diag_error(l->diag, where, "%s: %s is given; allowed: a mapping of keys to values",
		    b->name, yaml_type_name(map->type));
		set_broken(l, base);
		map = NULL;
	} else if (map != NULL) {
		seen = load_pairs(l, b, map, base);
	}
	if (b->where_offset != NOWHERE)
		*(struct where *)field(base, b->where_offset) = kept(l, where);
	for (size_t i = 0; i < b->option_count; i++) {
		const struct option *o = &b->options[i];

		if ((seen & UINT64_C(1) << i) != 0)
			continue;
		if (o->preset != NULL)
			load_preset(l, b, o, where, base);
		else if (map != NULL)
			diag_error(l->diag, where, "key \"%s\" is missing in %s; it must be given",
			    o->name, b->name);
	}
	if (map == NULL)
		return;
	errors = diag_errors(l->diag);
	if (b->finish != NULL)
		b->finish(l, map, base);
	if (diag_errors(l->diag) == errors)
		check_scopes(l, b, map, base);
}

void
schema_load(struct load *load, const struct block *block, const struct yaml_node *root, void *structure)
{
	load_block(load, block, root, root->where, structure);
}

void
load_add_bound(struct load *load, struct bound bound)
{
	if (load->bound_count == load->bound_size) {
		load->bound_size = load->bound_size ? load->bound_size * 2 : 64;
		load->bounds = xrealloc(load->bounds, load->bound_size * sizeof(*load->bounds));
	}
	bound.where = kept(load, bound.where);
	load->bounds[load->bound_count++] = bound;
}
