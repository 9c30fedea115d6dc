#include "manifest_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "weir/addr.h"
#include "weir/arena.h"
#include "weir/file.h"

/* Ten thousand Services with their endpoints are some 30 MB of YAML. */
enum { FILE_SIZE_MAX = 1 << 30, LIST_DEPTH_MAX = 8 };

void
manifest_init(struct manifest *manifest, struct arena *arena, struct diag *diag)
{
	*manifest = (struct manifest){ .arena = arena, .diag = diag };
	manifest->by_name = index_new();
	manifest->node_names = index_new();
	manifest->slices = index_new();
	manifest->endpoints = index_new();
	manifest->pod_labels = index_new();
}

void
manifest_fini(struct manifest *manifest)
{
	for (size_t i = 0; i < manifest->sources.count; i++) {
		struct source *source = manifest->sources.items[i];

		free(source->text);
		free(source->line_starts);
	}
	for (size_t i = 0; i < manifest->owned_lists.count; i++)
		list_fini(manifest->owned_lists.items[i]);
	list_fini(&manifest->owned_lists);
	list_fini(&manifest->sources);
	list_fini(&manifest->services);
	list_fini(&manifest->ingresses);
	list_fini(&manifest->nodes);
	index_free(manifest->by_name);
	index_free(manifest->node_names);
	index_free(manifest->slices);
	index_free(manifest->endpoints);
	index_free(manifest->pod_labels);
}

const char *
source_line(struct source *source, unsigned line)
{
	if (source->text == NULL)
		source->text = file_read(source->name, FILE_SIZE_MAX, &source->len);
	if (source->text == NULL)
		return NULL;
	if (source->line_starts == NULL) {
		size_t count = 1, n = 0;

		for (size_t i = 0; i < source->len; i++)
			count += source->text[i] == '\n';
		source->line_starts = xcalloc(count, sizeof(*source->line_starts));
		source->line_starts[n++] = 0;
		for (size_t i = 0; i < source->len; i++)
			if (source->text[i] == '\n')
				source->line_starts[n++] = (uint32_t)(i + 1);
		source->line_count = count;
	}
	if (line == 0 || line > source->line_count)
		return NULL;
	return source->text + source->line_starts[line - 1];
}

const char *
object_label(const struct object *object, const char *key)
{
	return yaml_get_text(yaml_get(object->metadata, "labels"), key);
}

bool
object_matches(const struct object *object, const struct yaml_node *selector)
{
	const struct yaml_node *labels = yaml_get(object->metadata, "labels");

	for (size_t i = 0; i < selector->count; i++) {
		const struct yaml_node *want = selector->pairs[i].value;
		const char *have = yaml_get_text(labels, selector->pairs[i].key);

		if (want->type != YAML_SCALAR || have == NULL || strcmp(have, want->text) != 0)
			return false;
	}
	return true;
}

const char *
object_condition(const struct object *object, const char *type)
{
	const struct yaml_node *list = yaml_get(object->status, "conditions");

	if (list == NULL || list->type != YAML_LIST)
		return NULL;
	for (size_t i = 0; i < list->count; i++) {
		const char *name = yaml_get_text(list->items[i], "type");

		if (name != NULL && strcmp(name, type) == 0)
			return yaml_get_text(list->items[i], "status");
	}
	return NULL;
}

/* The list under `key`, made if need be; frees the key. */
static struct list *
list_at(struct manifest *manifest, struct index *index, char *key)
{
	struct list *list = index_find(index, key);

	if (list == NULL) {
		list = arena_alloc(manifest->arena, sizeof(*list));
		list_add(&manifest->owned_lists, list);
		index_add(index, arena_strdup(manifest->arena, key), list);
	}
	free(key);
	return list;
}

const struct list *
manifest_find_pods(
    const struct manifest *manifest, const char *namespace_, const struct yaml_node *selector)
{
	const struct list *best = NULL;

	for (size_t i = 0; i < selector->count; i++) {
		const struct yaml_node *value = selector->pairs[i].value;
		const struct list *list;
		char *key;

		if (value->type != YAML_SCALAR)
			return NULL;
		key = xprintf("%s/%s=%s", namespace_, selector->pairs[i].key, value->text);
		list = index_find(manifest->pod_labels, key);
		free(key);
		if (list == NULL)
			return NULL;
		if (best == NULL || list->count < best->count)
			best = list;
	}
	return best;
}

static void
add_service(struct manifest *manifest, struct object *object)
{
	list_add(&manifest->services, object);
}

static void
add_ingress(struct manifest *manifest, struct object *object)
{
	list_add(&manifest->ingresses, object);
}

static void
add_slice(struct manifest *manifest, struct object *object)
{
	const char *service = object_label(object, "kubernetes.io/service-name");

	if (service != NULL)
		list_add(list_at(manifest, manifest->slices,
			     xprintf("%s/%s", object->namespace_, service)),
		    object);
}

static void
add_endpoints(struct manifest *manifest, struct object *object)
{
	index_add(manifest->endpoints, object->label, object);
}

static void
add_pod(struct manifest *manifest, struct object *object)
{
	const struct yaml_node *labels = yaml_get(object->metadata, "labels");

	if (labels == NULL || labels->type != YAML_MAP)
		return;
	for (size_t i = 0; i < labels->count; i++) {
		const struct yaml_node *value = labels->pairs[i].value;

		if (value->type == YAML_SCALAR)
			list_add(list_at(manifest, manifest->pod_labels,
				     xprintf("%s/%s=%s", object->namespace_, labels->pairs[i].key,
					 value->text)),
			    object);
	}
}

/* Presence counts, not value. */
static const char *const node_exclusions[] = {
	"node-role.kubernetes.io/master",
	"node-role.kubernetes.io/control-plane",
	"node.kubernetes.io/exclude-from-external-load-balancers",
	"alpha.service-controller.kubernetes.io/exclude-balancer",
	"service.beta.kubernetes.io/exclude-node",
	"service.alibabacloud.com/exclude-node",
};

static const char *
node_refusal(struct manifest *manifest, const struct object *object)
{
	const struct yaml_node *labels = yaml_get(object->metadata, "labels");
	const struct yaml_node *taints = yaml_get(object->spec, "taints");
	const char *ready = object_condition(object, "Ready");

	for (size_t i = 0; i < sizeof(node_exclusions) / sizeof(node_exclusions[0]); i++)
		if (yaml_get(labels, node_exclusions[i]) != NULL)
			return arena_printf(manifest->arena, "label %s", node_exclusions[i]);
	for (size_t i = 0; taints != NULL && taints->type == YAML_LIST && i < taints->count; i++) {
		const char *key = yaml_get_text(taints->items[i], "key");

		if (key != NULL && strcmp(key, "ToBeDeletedByClusterAutoscaler") == 0)
			return "taint ToBeDeletedByClusterAutoscaler";
	}
	if (object->is_deleting)
		return "it is being deleted";
	if (ready == NULL || strcmp(ready, "True") != 0)
		return "condition Ready is not True";
	return NULL;
}

static void
read_node_addresses(struct node *node)
{
	const struct yaml_node *list = yaml_get(node->object->status, "addresses");

	for (size_t i = 0; list != NULL && list->type == YAML_LIST && i < list->count; i++) {
		const char *type = yaml_get_text(list->items[i], "type");
		const char *text = yaml_get_text(list->items[i], "address");
		struct addr addr;

		if (type == NULL || text == NULL || strcmp(type, "InternalIP") != 0 ||
		    addr_parse_ip(&addr, text, 0) == -1)
			continue;
		if (addr.sa.sa_family == AF_INET && node->ip4 == NULL)
			node->ip4 = text;
		if (addr.sa.sa_family == AF_INET6 && node->ip6 == NULL)
			node->ip6 = text;
	}
}

static void
add_node(struct manifest *manifest, struct object *object)
{
	struct node *node = arena_alloc(manifest->arena, sizeof(*node));
	const char *cordoned = yaml_get_text(object->spec, "unschedulable");
	const char *type = object_label(object, "type");

	node->object = object;
	node->name = object->name;
	node->refusal = node_refusal(manifest, object);
	node->is_unschedulable = cordoned != NULL && strcmp(cordoned, "true") == 0;
	node->is_virtual = type != NULL && strcmp(type, "virtual-kubelet") == 0;
	node->index = manifest->nodes.count;
	read_node_addresses(node);
	list_add(&manifest->nodes, node);
	index_add(manifest->node_names, node->name, node);
}

/* Found by name, when an Ingress asks for it. */
static void
add_secret(struct manifest *manifest, struct object *object)
{
	(void)manifest;
	(void)object;
}

static const struct kind {
	const char *group; /* apiVersion up to the slash; "" for v1 */
	const char *kind;
	bool is_namespaced;
	void (*add)(struct manifest *manifest, struct object *object);
} kinds[] = {
	{ "", "Service", true, add_service },
	{ "", "Endpoints", true, add_endpoints },
	{ "", "Pod", true, add_pod },
	{ "", "Node", false, add_node },
	{ "", "Secret", true, add_secret },
	{ "discovery.k8s.io", "EndpointSlice", true, add_slice },
	{ "networking.k8s.io", "Ingress", true, add_ingress },
	{ "extensions", "Ingress", true, add_ingress },
};

static const struct kind *
find_kind(const char *api, const char *name)
{
	const char *slash = strchr(api, '/');
	size_t len = slash != NULL ? (size_t)(slash - api) : 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].kind, name) == 0 && strlen(kinds[i].group) == len &&
		    strncmp(kinds[i].group, api, len) == 0)
			return &kinds[i];
	return NULL;
}

/* Names become parts of listener names and of log lines; Kubernetes itself allows no more than
 * this. */
static bool
name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= 253 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

static const struct yaml_node *
map_at(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *node = yaml_get(map, key);

	return node != NULL && node->type == YAML_MAP ? node : NULL;
}

static void
check_name(struct manifest *manifest, const char *what, struct where where, const char *name)
{
	if (!name_is_valid(name))
		diag_error(manifest->diag, where,
		    "%s: \"%.64s\" is not a valid name; allowed: 1 to 253 of a-z, 0-9, '-', '.'",
		    what, name);
}

static void
add_object(struct manifest *manifest, struct source *source, const struct kind *kind,
    const struct yaml_node *root)
{
	struct object *object = arena_alloc(manifest->arena, sizeof(*object)), *first;
	const struct yaml_node *metadata = map_at(root, "metadata");
	const struct yaml_node *name = yaml_get(metadata, "name");
	const char *namespace_ = yaml_get_text(metadata, "namespace");

	if (name == NULL || name->type != YAML_SCALAR) {
		diag_error(manifest->diag, root->where, "%s: metadata.name is missing", kind->kind);
		return;
	}
	check_name(manifest, "metadata.name", name->where, name->text);
	if (namespace_ == NULL || namespace_[0] == '\0')
		namespace_ = "default";
	else
		check_name(manifest, "metadata.namespace", yaml_get(metadata, "namespace")->where,
		    namespace_);
	*object = (struct object){ .source = source,
		.root = root,
		.metadata = metadata,
		.spec = map_at(root, "spec"),
		.status = map_at(root, "status"),
		.namespace_ = kind->is_namespaced ? namespace_ : "",
		.name = name->text,
		.where = name->where };
	object->label = kind->is_namespaced
			    ? arena_printf(manifest->arena, "%s/%s", namespace_, name->text)
			    : name->text;
	object->is_deleting = yaml_get_text(metadata, "deletionTimestamp") != NULL;
	first = index_add(manifest->by_name,
	    arena_printf(manifest->arena, "%s/%s", kind->kind, object->label), object);
	if (first != NULL) {
		diag_error(manifest->diag, object->where,
		    "%s %s stands twice; it was first at %s:%u", kind->kind, object->label,
		    first->where.file, first->where.line);
		return;
	}
	kind->add(manifest, object);
}

static void
add_document(
    struct manifest *manifest, struct source *source, const struct yaml_node *root, unsigned depth)
{
	const char *api = yaml_get_text(root, "apiVersion"), *kind = yaml_get_text(root, "kind");
	const struct yaml_node *items = yaml_get(root, "items");
	const struct kind *known;

	if (root == NULL || root->type == YAML_NULL)
		return;
	if (root->type != YAML_MAP || kind == NULL || api == NULL) {
		diag_error(manifest->diag, root->where,
		    "not a Kubernetes object: %s; allowed: a mapping with apiVersion and kind",
		    root->type != YAML_MAP ? yaml_type_name(root->type)
		    : kind == NULL         ? "\"kind\" is missing"
					   : "\"apiVersion\" is missing");
		return;
	}
	if (items != NULL && items->type == YAML_LIST && strlen(kind) >= 4 &&
	    strcmp(kind + strlen(kind) - 4, "List") == 0) {
		if (depth == LIST_DEPTH_MAX) {
			diag_error(manifest->diag, root->where,
			    "lists in lists; allowed: %d levels", LIST_DEPTH_MAX);
			return;
		}
		for (size_t i = 0; i < items->count; i++)
			add_document(manifest, source, items->items[i], depth + 1);
		return;
	}
	known = find_kind(api, kind);
	if (known != NULL)
		add_object(manifest, source, known, root);
}

static void
read_file(struct manifest *manifest, const char *path)
{
	struct source *source = arena_alloc(manifest->arena, sizeof(*source));
	const char *name = strcmp(path, "-") == 0 ? "<stdin>" : arena_strdup(manifest->arena, path);
	struct yaml_node **roots;
	size_t count = 0;

	source->name = name;
	source->text = file_read(path, FILE_SIZE_MAX, &source->len);
	if (source->text == NULL) {
		diag_error(manifest->diag, (struct where){ .file = name }, "cannot be read: %s",
		    strerror(errno));
		return;
	}
	list_add(&manifest->sources, source);
	roots = yaml_parse_wanted(manifest->arena, manifest->diag, name, source->text, source->len,
	    manifest_skips, &count);
	/* a file is asked for again where it is needed, which may be never */
	if (strcmp(path, "-") != 0) {
		free(source->text);
		source->text = NULL;
	}
	for (size_t i = 0; i < count; i++)
		add_document(manifest, source, roots[i], 0);
}

static int
is_manifest_name(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot != NULL &&
	       (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0 || strcmp(dot, ".json") == 0);
}

static int
compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* bytes: the same in every locale */
}

static void
read_directory(struct manifest *manifest, const char *path)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, is_manifest_name, compare_names);
	size_t len = strlen(path);

	if (count == -1) {
		diag_error(manifest->diag,
		    (struct where){ .file = arena_strdup(manifest->arena, path) },
		    "cannot be read: %s", strerror(errno));
		return;
	}
	if (count == 0)
		diag_warning(manifest->diag,
		    (struct where){ .file = arena_strdup(manifest->arena, path) },
		    "the directory holds no *.yaml, *.yml or *.json file");
	for (int i = 0; i < count; i++) {
		char *file = xprintf(
		    "%s%s%s", path, len > 0 && path[len - 1] == '/' ? "" : "/", entries[i]->d_name);
		struct stat st;

		if (stat(file, &st) == -1 || !S_ISDIR(st.st_mode))
			read_file(manifest, file);
		free(file);
		free(entries[i]);
	}
	free(entries);
}

void
manifest_read(struct manifest *manifest, const char *path)
{
	struct stat st;

	if (strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		read_directory(manifest, path);
	else
		read_file(manifest, path);
}
