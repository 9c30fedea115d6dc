/*
 * yaml: YAML (and so JSON) text as a tree of nodes that know where they stand.
 *
 * Used by: conf (the configuration) and gen (manifests, site file).  Knows nothing of what keys mean.  Scalars keep
 * their source text: nothing is turned into a boolean or a number here.  Anchors and aliases are refused, duplicate
 * keys are an error, nesting and node count are bounded.  Built on libyaml's event parser.
 */
#ifndef WEIR_YAML_H
#define WEIR_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/diag.h"

struct arena;

enum yaml_type { YAML_NULL = 0, YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_pair;

/* There are millions of them in large manifests. */
struct yaml_node {
	struct where where;  /* of the first byte of the value */
	enum yaml_type type;
	bool quoted;         /* scalar: written in quotes or as a block */
	const char *text;    /* scalar: its text, NUL-terminated (a NUL inside is refused) */
	size_t len;          /* scalar: bytes of text */
	size_t count;        /* list, map: number of items or pairs */
	union {
		struct yaml_node **items; /* list */
		struct yaml_pair *pairs;  /* map, in the order of the file */
	};
};

struct yaml_pair {
	const char *key;
	struct where where; /* of the key */
	struct yaml_node *value;
};

/* YAML_NULL: an empty value, `null` or `~` without quotes.  An empty quoted text is a scalar of length 0. */

/*
 * Parse all documents of a text.
 * file     name for diagnostics; copied.
 * count    set to the number of documents.
 * Returns  an array of document roots from `arena` (never NULL); documents before a syntax error are delivered, the
 *          error goes to `diag`.
 */
struct yaml_node **yaml_parse(struct arena *arena, struct diag *diag, const char *file, const char *text, size_t len,
    size_t *count);
/*
 * Is the value at `key` of no use?  It is passed over, however large: it must be YAML, and nothing more is looked at.
 * at  the key that the map, or the list it is in, stands at; NULL: it is the root
 */
typedef bool yaml_skip_fn(const char *at, const char *key);
/* Like yaml_parse(), but for the values that `skip` (NULL: none) is true of: their keys are missing in the tree. */
struct yaml_node **yaml_parse_wanted(struct arena *arena, struct diag *diag, const char *file, const char *text,
    size_t len, yaml_skip_fn *skip, size_t *count);
/* The text of a file ("-": standard input), for yaml_parse() and the caller to free; NULL with an error in `diag`. */
char *yaml_read_file(struct diag *diag, const char *path, size_t max, size_t *len);
/* The same for a file ("-": standard input), at most `max` bytes; one that cannot be read is an error in `diag`. */
struct yaml_node **yaml_parse_file(struct arena *arena, struct diag *diag, const char *path, size_t max, size_t *count);

/* The value of `key` in a map; NULL if `map` is NULL or no map, or the key is absent. */
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
const struct yaml_pair *yaml_get_pair(const struct yaml_node *map, const char *key);
/* The text of a scalar at `key`; NULL if absent or of another type. */
const char *yaml_get_text(const struct yaml_node *map, const char *key);
/* "a mapping", "a list", "a scalar", "nothing": for diagnostics. */
const char *yaml_type_name(enum yaml_type type);

/* Write a scalar so that YAML 1.1 and 1.2 parsers read the same text back: quoted where it must be. */
void yaml_write_scalar(FILE *out, const char *text);

/* The nearest of `count` names (NULL ones skipped) within `max` edits of `name`; NULL if none is that near. */
const char *yaml_nearest(const char *name, const char *const *names, size_t count, unsigned max);

#endif
