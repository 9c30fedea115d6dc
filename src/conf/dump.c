/* Print a configuration with every default filled in (weir -T), along the option tables. */
#include "conf_priv.h"

#include <string.h>

static void dump_block(
    FILE *out, const struct block *b, const void *base, unsigned depth, bool flow);

static const void *
field(const void *base, size_t offset)
{
	return (const char *)base + offset;
}

static size_t
item_count(const struct option *o, const void *base)
{
	return *(const size_t *)field(base, o->count_offset);
}

static const char *
array_of(const struct option *o, const void *base)
{
	return *(const char *const *)field(base, o->offset);
}

static bool
is_zero(const char *at, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (at[i] != 0)
			return false;
	return true;
}

/* Has the option a value that needs saying?  One without a preset may have none. */
static bool
is_set(const struct option *o, const void *base)
{
	if (o->applies != NULL && !o->applies(base))
		return false;
	if (o->kind->shape == SHAPE_BLOCK && o->block->is_on != NULL)
		return o->block->is_on(field(base, o->offset));
	if (o->preset == NULL || o->preset[0] != '\0')
		return true;
	if (o->kind->shape != SHAPE_SCALAR)
		return item_count(o, base) > 0;
	return !is_zero(
	    field(base, o->offset), o->kind->number != NULL ? o->kind->width : sizeof(char *));
}

static void
indent(FILE *out, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		fputs("  ", out);
}

static void
dump_list(FILE *out, const struct option *o, const void *base)
{
	const char *array = array_of(o, base);
	size_t count = item_count(o, base);

	putc('[', out);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			fputs(", ", out);
		o->kind->item->print(out, o, array + i * o->kind->item_size);
	}
	putc(']', out);
}

static void
dump_blocks(FILE *out, const struct option *o, const void *base, unsigned depth)
{
	const char *array = array_of(o, base);
	size_t count = item_count(o, base);

	for (size_t i = 0; i < count; i++) {
		putc('\n', out);
		indent(out, depth);
		fputs("- ", out);
		dump_block(
		    out, o->block, array + i * o->block->size, depth + 1, o->block->one_line);
	}
}

static void
dump_blocks_flow(FILE *out, const struct option *o, const void *base)
{
	const char *array = array_of(o, base);
	size_t count = item_count(o, base);

	fputs(" [", out);
	for (size_t i = 0; i < count; i++) {
		fputs(i > 0 ? ", " : "", out);
		dump_block(out, o->block, array + i * o->block->size, 0, true);
	}
	putc(']', out);
}

static void
dump_named(FILE *out, const struct option *o, const void *base, unsigned depth)
{
	const char *array = array_of(o, base);
	size_t count = item_count(o, base);

	for (size_t i = 0; i < count; i++) {
		const char *item = array + i * o->block->size;

		putc('\n', out);
		indent(out, depth);
		yaml_write_scalar(out, *(const char *const *)field(item, o->block->key_offset));
		fputs(": ", out);
		dump_block(out, o->block, item, depth + 1, true);
	}
}

static void
dump_texts_flow(FILE *out, const struct option *o, const void *base)
{
	const struct meta_config *meta = *(struct meta_config *const *)field(base, o->offset);
	size_t count = item_count(o, base);

	fputs(" {", out);
	for (size_t i = 0; i < count; i++) {
		fputs(i > 0 ? ", " : "", out);
		yaml_write_scalar(out, meta[i].key);
		fputs(": ", out);
		yaml_write_scalar(out, meta[i].value);
	}
	putc('}', out);
}

static void
dump_texts(FILE *out, const struct option *o, const void *base, unsigned depth)
{
	const struct meta_config *meta = *(struct meta_config *const *)field(base, o->offset);
	size_t count = item_count(o, base);

	for (size_t i = 0; i < count; i++) {
		putc('\n', out);
		indent(out, depth);
		yaml_write_scalar(out, meta[i].key);
		fputs(": ", out);
		yaml_write_scalar(out, meta[i].value);
	}
}

static void
dump_value(FILE *out, const struct option *o, const void *base, unsigned depth, bool flow)
{
	const struct kind *k = o->kind;

	switch (k->shape) {
	case SHAPE_SCALAR:
		putc(' ', out);
		k->print(out, o, field(base, o->offset));
		break;
	case SHAPE_LIST:
		putc(' ', out);
		if (k->item_size > 0)
			dump_list(out, o, base);
		else
			k->print(out, o, field(base, o->offset));
		break;
	case SHAPE_BLOCK:
		if (flow || o->block->one_line) {
			putc(' ', out);
			dump_block(out, o->block, field(base, o->offset), depth + 1, true);
		} else {
			putc('\n', out);
			indent(out, depth + 1);
			dump_block(out, o->block, field(base, o->offset), depth + 1, false);
		}
		break;
	case SHAPE_BLOCKS:
		if (flow)
			dump_blocks_flow(out, o, base);
		else
			dump_blocks(out, o, base, depth + 1);
		break;
	case SHAPE_NAMED:
		dump_named(out, o, base, depth + 1);
		break;
	case SHAPE_TEXTS:
		if (flow)
			dump_texts_flow(out, o, base);
		else
			dump_texts(out, o, base, depth + 1);
		break;
	}
}

/* The first line begins where `out` stands; the last one is not ended. */
static void
dump_block(FILE *out, const struct block *b, const void *base, unsigned depth, bool flow)
{
	bool first = true;

	if (flow)
		putc('{', out);
	for (size_t i = 0; i < b->option_count; i++) {
		const struct option *o = &b->options[i];

		if (!is_set(o, base))
			continue;
		if (!first && flow)
			fputs(", ", out);
		if (!first && !flow) {
			putc('\n', out);
			indent(out, depth);
		}
		first = false;
		fprintf(out, "%s:", o->name);
		dump_value(out, o, base, depth, flow);
	}
	if (flow)
		putc('}', out);
}

void
conf_dump(const struct config *config, FILE *out)
{
	dump_block(out, &conf_root, config, 0, false);
	putc('\n', out);
}
