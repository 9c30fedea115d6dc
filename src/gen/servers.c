/*
 * In what emit.c writes, each pool begins with its name, and its servers stand in lines of their
 * own:
 *
 *	  - name: POOL
 *	    servers:
 *	      - {name: a, address: "192.0.2.1:80", weight: 1}
 *
 * Everything outside of such lists has to be the same.
 */
#include "servers_priv.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/conf.h"
#include "weir/slice.h"

static const char pool_head[] = "  - name: ", list_head[] = "    servers:",
		  item_head[] = "      - {";

/* The next line, without its end; its ptr is NULL when there is none. */
static struct slice
take_line(struct slice *text)
{
	const char *end = text->len > 0 ? memchr(text->ptr, '\n', text->len) : NULL;
	struct slice line = { text->ptr, end != NULL ? (size_t)(end - text->ptr) : 0 };

	if (end == NULL)
		return (struct slice){ NULL, 0 };
	text->ptr = end + 1;
	text->len -= line.len + 1;
	return line;
}

static bool
begins_with(struct slice text, const char *head)
{
	size_t len = strlen(head);

	return text.len >= len && memcmp(text.ptr, head, len) == 0;
}

static bool
is_same(struct slice a, struct slice b)
{
	return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* The lines of a list, all of them with their ends. */
static struct slice
take_items(struct slice *text)
{
	struct slice items = { text->ptr, 0 };

	while (begins_with(*text, item_head)) {
		struct slice before = *text;

		if (take_line(text).ptr == NULL) {
			*text = before;
			break;
		}
	}
	items.len = (size_t)(text->ptr - items.ptr);
	return items;
}

/* A name as a flow mapping can have it: quotes do no harm. */
static void
write_name(FILE *out, struct slice name)
{
	const char *quote = name.len > 0 && name.ptr[0] == '"' ? "" : "\"";

	fprintf(out, "{name: %s%.*s%s, servers: [", quote, (int)name.len, name.ptr, quote);
}

static void
write_pool(FILE *out, struct slice name, struct slice items, bool is_first)
{
	struct slice line;

	fputs(is_first ? "" : ", ", out);
	write_name(out, name);
	for (bool first = true; (line = take_line(&items)).ptr != NULL; first = false) {
		size_t lead = sizeof(item_head) - 2; /* up to the brace */

		fprintf(out, "%s%.*s", first ? "" : ", ", (int)(line.len - lead), line.ptr + lead);
	}
	fputs("]}", out);
}

/* Where both texts stand. */
struct walk {
	struct slice old, new;
	bool in_pools;
	struct slice pool; /* its name */
	size_t changed;
};

/* One line, or a list.  Returns false when they differ elsewhere. */
static bool
walk_on(struct walk *w, FILE *out)
{
	struct slice a = take_line(&w->old), b = take_line(&w->new);
	struct slice old_items, new_items;

	if (a.ptr == NULL || b.ptr == NULL)
		return a.ptr == b.ptr && w->old.len == 0 && w->new.len == 0;
	if (w->in_pools && begins_with(a, list_head) && begins_with(b, list_head)) {
		old_items = take_items(&w->old);
		new_items = take_items(&w->new);
		if (!is_same(old_items, new_items))
			write_pool(out, w->pool, new_items, w->changed++ == 0);
		return true;
	}
	if (!is_same(a, b))
		return false;
	if (a.len > 0 && a.ptr[0] != ' ')
		w->in_pools = is_same(a, slice_of("pools:"));
	if (begins_with(a, pool_head))
		w->pool = (struct slice){ a.ptr + sizeof(pool_head) - 1,
			a.len - (sizeof(pool_head) - 1) };
	return true;
}

char *
servers_find_change(const char *old, size_t old_len, const char *new, size_t new_len)
{
	struct walk w = { .old = { old, old_len }, .new = { new, new_len } };
	char from[CONF_DIGEST_SIZE], to[CONF_DIGEST_SIZE], *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool ok = out != NULL;

	if (!ok)
		return NULL;
	conf_digest(old, old_len, from);
	conf_digest(new, new_len, to);
	fprintf(out, "{from: \"%s\", to: \"%s\", pools: [", from, to);
	while (ok && (w.old.len > 0 || w.new.len > 0))
		ok = walk_on(&w, out);
	fputs("]}", out);
	if (fclose(out) == 0 && ok && w.changed > 0)
		return text;
	free(text);
	return NULL;
}
