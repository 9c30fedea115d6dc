/*
 * json: a JSON value inside a manifest, as nodes that know their place in the manifest's file.
 *
 * RFC 8259, strictly: no trailing commas, comments or single quotes.  Texts become quoted scalars; numbers, true and
 * false plain ones; null YAML_NULL.
 */
#ifndef GEN_JSON_PRIV_H
#define GEN_JSON_PRIV_H

#include "weir/diag.h"
#include "weir/yaml.h"

struct arena;
struct source; /* manifest_priv.h */

/*
 * Parse the text of the scalar `value`, which stands in `source`.
 * key      what diagnostics call it.
 * Returns  the tree from `arena`; NULL with one error in `diag`.
 */
struct yaml_node *json_parse(struct arena *arena, struct diag *diag, struct source *source,
    const struct yaml_node *value, const char *key);

#endif
