#include "diff_priv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"
#include "weir/conf.h"
#include "weir/diag.h"

#include "collect_priv.h"

#ifndef WEIR_SYSCONFDIR
#define WEIR_SYSCONFDIR "/etc"
#endif

enum { LCS_MAX = 1500 }; /* lines that differ in one block; beyond, all old then all new */

/* A listener, a pool or a section without names: some lines of the printed configuration. */
struct block {
	const char *title; /* "listeners default/web:80" */
	const char **lines;
	size_t count;
	bool is_seen;
};

struct text {
	struct arena *arena;
	struct list blocks; /* struct block */
	struct index *by_title;
};

/* The configuration as lines in `copy`, which the arena owns. */
static char *
print_config(struct arena *arena, const struct config *config)
{
	char *text = NULL, *copy;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return arena_strdup(arena, "");
	conf_dump(config, out);
	fclose(out);
	copy = arena_strndup(arena, text, len);
	free(text);
	return copy;
}

static struct block *
begin_block(struct text *t, const char *section, const char *name)
{
	struct block *block = arena_alloc(t->arena, sizeof(*block));

	block->title = name != NULL ? arena_printf(t->arena, "%s %s", section, name) : section;
	list_add(&t->blocks, block);
	index_add(t->by_title, block->title, block);
	return block;
}

static void
text_init(struct text *t, const struct config *config)
{
	static const char item[] = "  - name: ";
	const char *section = "", **lines;
	struct block *block = NULL;
	size_t count = 1, n = 0;
	char *p, *end;

	*t = (struct text){ .arena = arena_new(), .by_title = index_new() };
	p = print_config(t->arena, config);
	for (const char *c = p; *c != '\0'; c++)
		count += *c == '\n';
	lines = arena_array(t->arena, count + 1, sizeof(*lines));
	for (; *p != '\0'; p = end + 1) {
		end = strchrnul(p, '\n');
		if (*end == '\0')
			break;
		*end = '\0';
		if (*p != ' ')
			section = arena_strndup(t->arena, p, strcspn(p, ":"));
		if (*p != ' ' || strncmp(p, item, sizeof(item) - 1) == 0) {
			block = begin_block(t, section, *p == ' ' ? p + sizeof(item) - 1 : NULL);
			block->lines = lines + n;
		}
		lines[n++] = p;
		if (block != NULL)
			block->count++;
	}
}

static void
text_fini(struct text *t)
{
	list_fini(&t->blocks);
	index_free(t->by_title);
	arena_free(t->arena);
}

static void
print_lines(FILE *out, char sign, const char **lines, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%c%s\n", sign, lines[i]);
}

/* The longest common subsequence stays, the rest is old or new. */
static void
print_lcs(FILE *out, const char **old, size_t old_count, const char **new, size_t new_count)
{
	size_t width = new_count + 1, i = 0, k = 0;
	uint16_t *longest = xcalloc((old_count + 1) * width, sizeof(*longest));

	for (size_t a = old_count; a-- > 0;)
		for (size_t b = new_count; b-- > 0;) {
			uint16_t down = longest[(a + 1) * width + b];
			uint16_t right = longest[a * width + b + 1];

			if (strcmp(old[a], new[b]) == 0)
				longest[a * width + b] =
				    (uint16_t)(longest[(a + 1) * width + b + 1] + 1);
			else
				longest[a * width + b] = down > right ? down : right;
		}
	while (i < old_count && k < new_count) {
		if (strcmp(old[i], new[k]) == 0) {
			i++;
			k++;
		} else if (longest[(i + 1) * width + k] >= longest[i * width + k + 1]) {
			fprintf(out, "-%s\n", old[i++]);
		} else {
			fprintf(out, "+%s\n", new[k++]);
		}
	}
	print_lines(out, '-', old + i, old_count - i);
	print_lines(out, '+', new + k, new_count - k);
	free(longest);
}

static void
compare(FILE *out, const struct block *old, const struct block *new)
{
	size_t lead = 0, tail = 0, least = old->count < new->count ? old->count : new->count;
	size_t old_count, new_count;

	while (lead < least && strcmp(old->lines[lead], new->lines[lead]) == 0)
		lead++;
	while (tail < least - lead &&
	       strcmp(old->lines[old->count - tail - 1], new->lines[new->count - tail - 1]) == 0)
		tail++;
	old_count = old->count - lead - tail;
	new_count = new->count - lead - tail;
	if (old_count + new_count == 0)
		return;
	fprintf(out, "@@ %s @@\n", new->title);
	if (old_count > LCS_MAX || new_count > LCS_MAX) {
		print_lines(out, '-', old->lines + lead, old_count);
		print_lines(out, '+', new->lines + lead, new_count);
		return;
	}
	print_lcs(out, old->lines + lead, old_count, new->lines + lead, new_count);
}

static void
compare_texts(FILE *out, struct text *old, struct text *new)
{
	for (size_t i = 0; i < new->blocks.count; i++) {
		const struct block *block = new->blocks.items[i];
		struct block *before = index_find(old->by_title, block->title);

		if (before != NULL) {
			before->is_seen = true;
			compare(out, before, block);
			continue;
		}
		fprintf(out, "@@ %s @@\n", block->title);
		print_lines(out, '+', block->lines, block->count);
	}
	for (size_t i = 0; i < old->blocks.count; i++) {
		const struct block *block = old->blocks.items[i];

		if (block->is_seen)
			continue;
		fprintf(out, "@@ %s @@\n", block->title);
		print_lines(out, '-', block->lines, block->count);
	}
}

int
diff_print(const char *path, const struct config *config, FILE *out)
{
	struct diag *diag = diag_new();
	struct config *before;
	struct text old, new;

	if (path == NULL)
		path = WEIR_SYSCONFDIR "/weir/weir.yaml";
	before = conf_load(path, diag);
	if (before == NULL) {
		diag_print(diag, "weirgen", stderr);
		fprintf(stderr, "%s: error: there is nothing to compare with\n", path);
		diag_free(diag);
		return -1;
	}
	text_init(&old, before);
	text_init(&new, config);
	compare_texts(out, &old, &new);
	text_fini(&old);
	text_fini(&new);
	conf_free(before);
	diag_free(diag);
	return 0;
}
