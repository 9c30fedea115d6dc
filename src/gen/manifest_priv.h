/*
 * manifest: the Kubernetes objects of one run, found by name.
 *
 * Knows kinds, names and labels; nothing of annotations or of what becomes of the objects.  All memory comes from the
 * arena and lists of the manifest and lives until manifest_free().
 */
#ifndef GEN_MANIFEST_PRIV_H
#define GEN_MANIFEST_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/diag.h"
#include "weir/yaml.h"

#include "collect_priv.h"

struct arena;

/* The text of one input file: diagnostics inside a JSON value need its exact place. */
struct source {
	const char *name;
	char *text; /* owned */
	size_t len;
	uint32_t *line_starts; /* owned; made by source_line() when first needed */
	size_t line_count;
};

struct object {
	struct source *source;
	const struct yaml_node *root, *metadata, *spec, *status; /* NULL where absent */
	const char *namespace_; /* "default" if not written; of a Node: "" */
	const char *name;
	const char *label;  /* NAMESPACE/NAME */
	struct where where; /* of the name */
	bool is_deleting;   /* metadata.deletionTimestamp is set */
};

struct node {
	const struct object *object;
	const char *name;
	const char *ip4, *ip6; /* first InternalIP of the family; NULL: none */
	const char *refusal;   /* why it cannot be a back end; NULL: it can */
	bool is_unschedulable; /* cordoned */
	bool is_virtual;       /* label type=virtual-kubelet */
	size_t index;          /* position in manifest.nodes */
};

struct manifest {
	struct arena *arena; /* borrowed */
	struct diag *diag;   /* borrowed */
	struct list sources;   /* struct source */
	struct list services;  /* struct object, in the order of the input, as all that follow */
	struct list ingresses; /* struct object */
	struct list nodes;     /* struct node */
	struct index *by_name;    /* "KIND/NAMESPACE/NAME" -> struct object */
	struct index *node_names; /* NAME -> struct node */
	struct index *slices;     /* "NAMESPACE/SERVICE" -> struct list of struct object */
	struct index *endpoints;  /* "NAMESPACE/NAME" -> struct object */
	struct index *pod_labels; /* "NAMESPACE/KEY=VALUE" -> struct list of struct object */
	struct list owned_lists;  /* the lists inside the indexes */
};

void manifest_init(struct manifest *manifest, struct arena *arena, struct diag *diag);
void manifest_fini(struct manifest *manifest);
/* Read a file, a directory (*.yaml *.yml *.json in it, sorted, not below it) or "-"; faults go to the diag. */
void manifest_read(struct manifest *manifest, const char *path);

/* First byte of line `line` (from 1) of `source`; NULL if there is no such line. */
const char *source_line(struct source *source, unsigned line);

/* Does the labels map of `object` hold every pair of the `selector` map? */
bool object_matches(const struct object *object, const struct yaml_node *selector);
/* The value of a label of `object`; NULL if it is not set. */
const char *object_label(const struct object *object, const char *key);
/* The pods that a selector with at least one pair may match; NULL: none.  object_matches() decides. */
const struct list *manifest_find_pods(const struct manifest *manifest, const char *namespace_,
    const struct yaml_node *selector);
/* status of the condition `type` of a Node or Pod: "True", "False", "Unknown"; NULL: not there. */
const char *object_condition(const struct object *object, const char *type);

/* Is this part of an object not read?  See yaml_skip_fn. */
bool manifest_skips(const char *at, const char *key);

#endif
