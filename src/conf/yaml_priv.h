/*
 * yaml_priv: the parts of yaml.c that stand alone.
 */
#ifndef CONF_YAML_PRIV_H
#define CONF_YAML_PRIV_H

#include <stdbool.h>
#include <stddef.h>

struct arena;

/*
 * JSON is YAML but for two things: escapes of characters outside the basic plane are pairs there, and tabs may stand
 * before the first bracket.
 * Returns  a copy of `text` with both rewritten, *out_len bytes long (cut only where a text does not end), that the
 *          caller frees.
 */
char *yaml_from_json(const char *text, size_t len, size_t *out_len);
/* Does it begin with a bracket? */
bool yaml_looks_like_json(const char *text, size_t len);

/* Keys seen so far, by their text.  Zeroed to begin with. */
struct yaml_keys {
	struct yaml_key *items; /* owned; open addressing */
	size_t count, mask;
};

/* The copy of a key that all equal ones share, in `arena`, which must be the same for all. */
const char *yaml_keys_keep(struct yaml_keys *keys, struct arena *arena, const char *text, size_t len);
void yaml_keys_fini(struct yaml_keys *keys);

#endif
