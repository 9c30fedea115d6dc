#include "weir/yaml.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "weir/arena.h"
#include "weir/file.h"

#include "yaml_priv.h"

enum {
	DEPTH_MAX = 64,
	NODES_MAX = 10 * 1000 * 1000,
	SORT_ABOVE = 16, /* keys: up to here comparing all with all is quicker than sorting */
};

/*
 * libyaml counts columns in characters, diagnostics count bytes.  The cursor walks along with the
 * events, forward in nearly all cases, so that translating all positions of a text costs one pass
 * over it.
 */
struct cursor {
	size_t line;   /* from 0 */
	size_t column; /* characters from the start of the line */
	const char *line_start;
	const char *at; /* line_start <= at <= end */
};

struct frame { /* one list or map that is still open */
	struct yaml_node *node;
	const char *name; /* the key that it, or the list it is in, stands at; NULL: the root */
	size_t first;    /* its first entry in reader.entries */
	const char *key; /* map: the key that waits for its value */
	struct where key_where;
};

struct reader {
	struct arena *arena;
	struct diag *diag;
	const char *file; /* in the arena */
	const char *begin; /* of the first line: of the text, or of the byte order mark before it */
	const char *text;
	const char *end;
	yaml_parser_t parser;
	struct cursor cursor;
	struct frame frames[DEPTH_MAX];
	size_t depth;
	struct yaml_pair *entries; /* owned; children of all open nodes, the innermost last; lists
				      leave .key NULL */
	size_t entry_count, entry_size;
	size_t nodes;
	yaml_skip_fn *skip;           /* NULL: everything is wanted */
	size_t skipped;               /* open lists and maps of a value that is passed over */
	bool is_skipping;
	struct yaml_keys keys;        /* seen so far */
	struct yaml_node *root;       /* of the current document */
	struct yaml_node **documents; /* owned */
	size_t document_count, document_size;
};

/* Bytes of the line break at `p` in YAML's sense (LF, CR, CRLF, NEL, LS, PS); 0: none. */
static size_t
break_len(const char *p, const char *end)
{
	size_t left = (size_t)(end - p);

	if (left >= 1 && *p == '\n')
		return 1;
	if (left >= 1 && *p == '\r')
		return left >= 2 && p[1] == '\n' ? 2 : 1;
	if (left >= 2 && memcmp(p, "\xc2\x85", 2) == 0)
		return 2;
	if (left >= 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0))
		return 3;
	return 0;
}

static const char *
next_char(const char *p, const char *end)
{
	if (p < end)
		p++;
	while (p < end && ((unsigned char)*p & 0xc0) == 0x80)
		p++;
	return p;
}

static struct where
where_of(struct reader *r, yaml_mark_t mark)
{
	struct cursor *c = &r->cursor;

	if (mark.line < c->line)
		*c = (struct cursor){ .line_start = r->begin, .at = r->text };
	else if (mark.line == c->line && mark.column < c->column) {
		c->column = 0;
		c->at = c->line_start;
	}
	while (c->line < mark.line && c->at < r->end) {
		size_t len = break_len(c->at, r->end);

		if (len == 0) {
			c->at = next_char(c->at, r->end);
			continue;
		}
		c->at += len;
		c->line_start = c->at;
		c->line++;
		c->column = 0;
	}
	for (; c->column < mark.column && c->at < r->end; c->column++)
		c->at = next_char(c->at, r->end);
	return (struct where){ .file = r->file,
		.line = (unsigned)(mark.line + 1),
		.column = (unsigned)(c->at - c->line_start + 1) };
}

/* The place of a byte offset; used for errors only. */
static struct where
where_of_byte(struct reader *r, size_t offset)
{
	const char *stop = r->text + offset, *line_start = r->begin;
	unsigned line = 1;

	if (stop > r->end)
		stop = r->end;
	for (const char *p = r->text; p < stop;) {
		size_t len = break_len(p, r->end);

		p = len ? p + len : p + 1;
		if (len > 0 && p <= stop) {
			line++;
			line_start = p;
		}
	}
	return (struct where){ r->file, line, (unsigned)(stop - line_start + 1) };
}

static void
report_syntax(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem != NULL ? p->problem : "out of memory";
	struct where where;

	if (p->error == YAML_READER_ERROR) {
		diag_error(r->diag, where_of_byte(r, p->problem_offset),
		    "not valid YAML: %s; UTF-8 text without control characters is allowed",
		    problem);
		return;
	}
	where = where_of(r, p->problem_mark);
	if (p->context != NULL)
		diag_error(r->diag, where, "not valid YAML: %s, %s that starts at line %zu",
		    problem, p->context, p->context_mark.line + 1);
	else
		diag_error(r->diag, where, "not valid YAML: %s", problem);
}

static struct yaml_node *
new_node(struct reader *r, enum yaml_type type, struct where where)
{
	struct yaml_node *node = arena_alloc(r->arena, sizeof(*node));

	node->type = type;
	node->where = where;
	return node;
}

/* Keeps what `pair` says as a child of the innermost open node. */
static void
push_entry(struct reader *r, struct yaml_pair pair)
{
	if (r->entry_count == r->entry_size) {
		r->entry_size = r->entry_size ? r->entry_size * 2 : 256;
		r->entries = xrealloc(r->entries, r->entry_size * sizeof(*r->entries));
	}
	r->entries[r->entry_count++] = pair;
}

static void
take_key(struct reader *r, struct frame *f, const char *text, size_t len, struct where where)
{
	f->key_where = where;
	f->key = len > 0 ? yaml_keys_keep(&r->keys, r->arena, text, len) : "";
	if (len == 0)
		diag_error(
		    r->diag, where, "the key is empty; a key is a word or a text in quotes");
	r->is_skipping = len > 0 && r->skip != NULL && r->skip(f->name, f->key);
}

/* Something that is no scalar: nothing follows from what it stands for. */
static void
refuse_key(struct reader *r, struct frame *f, const struct yaml_node *node)
{
	f->key_where = node->where;
	f->key = "";
	diag_error(r->diag, node->where, "%s stands where a key is expected; a key is a scalar",
	    yaml_type_name(node->type));
}

/* A node is complete: hand it to what it stands in. */
static void
attach(struct reader *r, struct yaml_node *node)
{
	struct frame *f = r->depth > 0 ? &r->frames[r->depth - 1] : NULL;

	if (f == NULL) {
		r->root = node;
	} else if (f->node->type == YAML_LIST) {
		push_entry(r, (struct yaml_pair){ .where = node->where, .value = node });
	} else if (f->key == NULL) {
		refuse_key(r, f, node);
	} else {
		push_entry(r, (struct yaml_pair){ f->key, f->key_where, node });
		f->key = NULL;
	}
}

static int
compare_keys(const void *left, const void *right)
{
	const struct yaml_pair *a = *(const struct yaml_pair *const *)left;
	const struct yaml_pair *b = *(const struct yaml_pair *const *)right;
	int order = strcmp(a->key, b->key);

	return order != 0 ? order : (a > b) - (a < b);
}

static void
report_duplicate(struct reader *r, const struct yaml_pair *first, const struct yaml_pair *again)
{
	if (again->key[0] != '\0')
		diag_error(r->diag, again->where,
		    "key \"%s\" is given twice; the first is at line %u", again->key,
		    first->where.line);
}

static void
check_duplicates(struct reader *r, const struct yaml_node *map)
{
	const struct yaml_pair **sorted;

	if (map->count <= SORT_ABOVE) {
		for (size_t i = 1; i < map->count; i++)
			for (size_t j = 0; j < i; j++)
				if (strcmp(map->pairs[i].key, map->pairs[j].key) == 0) {
					report_duplicate(r, &map->pairs[j], &map->pairs[i]);
					break;
				}
		return;
	}
	sorted = xcalloc(map->count, sizeof(*sorted));
	for (size_t i = 0; i < map->count; i++)
		sorted[i] = &map->pairs[i];
	qsort(sorted, map->count, sizeof(*sorted), compare_keys);
	for (size_t i = 1, first = 0; i < map->count; i++) {
		if (strcmp(sorted[i]->key, sorted[first]->key) == 0)
			report_duplicate(r, sorted[first], sorted[i]);
		else
			first = i;
	}
	free(sorted);
}

static bool
open_node(struct reader *r, struct yaml_node *node)
{
	const struct frame *outer = &r->frames[r->depth > 0 ? r->depth - 1 : 0];

	if (r->depth == DEPTH_MAX) {
		diag_error(
		    r->diag, node->where, "nested too deeply; %d levels are allowed", DEPTH_MAX);
		return false;
	}
	r->frames[r->depth] = (struct frame){ .node = node, .first = r->entry_count };
	if (r->depth > 0)
		r->frames[r->depth].name = outer->key != NULL ? outer->key : outer->name;
	r->depth++;
	return true;
}

static void
close_node(struct reader *r)
{
	struct frame *f = &r->frames[r->depth - 1];
	struct yaml_node *node = f->node;
	/* Before the first entry there is no array. */
	const struct yaml_pair *from = r->entries != NULL ? r->entries + f->first : NULL;

	node->count = r->entry_count - f->first;
	if (node->type == YAML_MAP) {
		node->pairs = arena_array(r->arena, node->count, sizeof(*node->pairs));
		if (node->count > 0)
			memcpy(node->pairs, from, node->count * sizeof(*from));
		check_duplicates(r, node);
	} else {
		node->items = arena_array(r->arena, node->count, sizeof(struct yaml_node *));
		for (size_t i = 0; i < node->count; i++)
			node->items[i] = from[i].value;
	}
	r->entry_count = f->first;
	r->depth--;
	attach(r, node);
}

static bool
is_null_word(const char *text, size_t len)
{
	return len == 0 || (len == 1 && *text == '~') ||
	       (len == 4 && (memcmp(text, "null", 4) == 0 || memcmp(text, "Null", 4) == 0 ||
				memcmp(text, "NULL", 4) == 0));
}

static bool
is_key_next(const struct reader *r)
{
	const struct frame *f = r->depth > 0 ? &r->frames[r->depth - 1] : NULL;

	return f != NULL && f->node->type == YAML_MAP && f->key == NULL;
}

/* `tag` must be the one that the node has anyway, or none. */
static void
check_mark_up(
    struct reader *r, struct where where, const void *anchor, const void *tag, const char *core_tag)
{
	if (anchor != NULL)
		diag_error(r->diag, where,
		    "anchor \"&%s\" is not allowed; write the value out where it is needed",
		    (const char *)anchor);
	if (tag != NULL && strcmp(tag, "!") != 0 && strcmp(tag, core_tag) != 0)
		diag_error(r->diag, where, "tag \"%s\" is not allowed; values have no tags here",
		    (const char *)tag);
}

static void
on_scalar(struct reader *r, const yaml_event_t *event, struct where where)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	bool quoted =
	    event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || event->data.scalar.tag != NULL;
	struct yaml_node *node;

	check_mark_up(r, where, event->data.scalar.anchor, event->data.scalar.tag, YAML_STR_TAG);
	if (memchr(text, '\0', len) != NULL) {
		diag_error(r->diag, where, "the text holds a NUL character; any other is allowed");
		len = strlen(text);
	}
	if (is_key_next(r)) {
		take_key(r, &r->frames[r->depth - 1], text, len, where);
		return;
	}
	node = new_node(r, YAML_SCALAR, where);
	node->quoted = quoted;
	if (!quoted && is_null_word(text, len)) {
		node->type = YAML_NULL;
	} else {
		node->text = arena_strndup(r->arena, text, len);
		node->len = len;
	}
	attach(r, node);
}

/* Part of a value that nobody wants: only its end counts.  Returns false when reading must stop. */
static bool
pass_over(struct reader *r, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		if (r->depth + r->skipped++ < DEPTH_MAX)
			return true;
		diag_error(r->diag, where_of(r, event->start_mark),
		    "nested too deeply; %d levels are allowed", DEPTH_MAX);
		return false;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		r->skipped--;
		break;
	default:
		break;
	}
	if (r->skipped == 0) {
		r->is_skipping = false;
		r->frames[r->depth - 1].key = NULL;
	}
	return true;
}

static void
on_document_end(struct reader *r)
{
	if (r->document_count == r->document_size) {
		r->document_size = r->document_size ? r->document_size * 2 : 16;
		r->documents = xrealloc(r->documents, r->document_size * sizeof(*r->documents));
	}
	r->documents[r->document_count++] = r->root;
	r->root = NULL;
}

/* Returns false when reading must stop. */
static bool
on_event(struct reader *r, const yaml_event_t *event)
{
	struct where where = { 0 };

	switch (event->type) {
	case YAML_SCALAR_EVENT:
	case YAML_ALIAS_EVENT:
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		where = where_of(r, event->start_mark);
		if (++r->nodes > NODES_MAX) {
			diag_error(r->diag, where, "too many values; %d are allowed", NODES_MAX);
			return false;
		}
		break;
	default:
		break;
	}
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		on_scalar(r, event, where);
		return true;
	case YAML_ALIAS_EVENT:
		diag_error(r->diag, where,
		    "alias \"*%s\" is not allowed; write the value out where it is needed",
		    (const char *)event->data.alias.anchor);
		attach(r, new_node(r, YAML_NULL, where));
		return true;
	case YAML_SEQUENCE_START_EVENT:
		check_mark_up(r, where, event->data.sequence_start.anchor,
		    event->data.sequence_start.tag, YAML_SEQ_TAG);
		return open_node(r, new_node(r, YAML_LIST, where));
	case YAML_MAPPING_START_EVENT:
		check_mark_up(r, where, event->data.mapping_start.anchor,
		    event->data.mapping_start.tag, YAML_MAP_TAG);
		return open_node(r, new_node(r, YAML_MAP, where));
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		close_node(r);
		return true;
	case YAML_DOCUMENT_END_EVENT:
		on_document_end(r);
		return true;
	case YAML_STREAM_END_EVENT:
		return false;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_START_EVENT:
		return true;
	}
	return false;
}

static void
read_events(struct reader *r)
{
	bool more = true;

	while (more) {
		yaml_event_t event;

		if (!yaml_parser_parse(&r->parser, &event)) {
			report_syntax(r);
			return;
		}
		more = r->is_skipping ? pass_over(r, &event) : on_event(r, &event);
		yaml_event_delete(&event);
	}
}

struct yaml_node **
yaml_parse(struct arena *arena, struct diag *diag, const char *file, const char *text, size_t len,
    size_t *count)
{
	return yaml_parse_wanted(arena, diag, file, text, len, NULL, count);
}

struct yaml_node **
yaml_parse_wanted(struct arena *arena, struct diag *diag, const char *file, const char *text,
    size_t len, yaml_skip_fn *skip, size_t *count)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	char *rewritten = yaml_looks_like_json(text, len) ? yaml_from_json(text, len, &len) : NULL;
	struct yaml_node **documents;

	r->arena = arena;
	r->diag = diag;
	r->skip = skip;
	r->file = arena_strdup(arena, file);
	/* a mark of the byte order says nothing in UTF-8, and belongs to no word (RFC 3629 section 6) */
	r->begin = r->text = rewritten != NULL ? rewritten : text;
	if (len >= 3 && memcmp(r->text, "\xef\xbb\xbf", 3) == 0) {
		r->text += 3;
		len -= 3;
	}
	r->end = r->text + len;
	r->cursor = (struct cursor){ .line_start = r->begin, .at = r->text };
	if (!yaml_parser_initialize(&r->parser)) {
		diag_error(diag, (struct where){ .file = r->file }, "out of memory");
	} else {
		yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
		yaml_parser_set_input_string(
		    &r->parser, (const unsigned char *)r->text, (size_t)(r->end - r->text));
		read_events(r);
		yaml_parser_delete(&r->parser);
	}
	documents = arena_array(arena, r->document_count, sizeof(*documents));
	if (r->document_count > 0)
		memcpy(documents, r->documents, r->document_count * sizeof(*documents));
	*count = r->document_count;
	free(r->documents);
	free(r->entries);
	yaml_keys_fini(&r->keys);
	free(rewritten);
	free(r);
	return documents;
}

char *
yaml_read_file(struct diag *diag, const char *path, size_t max, size_t *len)
{
	struct where where = { .file = strcmp(path, "-") == 0 ? "<stdin>" : path };
	char *text = file_read(path, max, len);

	if (text == NULL && errno == EFBIG)
		diag_error(diag, where, "the file is too big; %zu bytes are allowed", max);
	else if (text == NULL)
		diag_error(diag, where, "cannot read the file: %s", strerror(errno));
	return text;
}

struct yaml_node **
yaml_parse_file(struct arena *arena, struct diag *diag, const char *path, size_t max, size_t *count)
{
	const char *name = strcmp(path, "-") == 0 ? "<stdin>" : path;
	struct yaml_node **documents;
	size_t len;
	char *text = yaml_read_file(diag, path, max, &len);

	if (text == NULL) {
		*count = 0;
		return arena_alloc(arena, sizeof(struct yaml_node *));
	}
	documents = yaml_parse(arena, diag, name, text, len, count);
	free(text);
	return documents;
}
