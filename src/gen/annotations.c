#include "annotations_priv.h"

#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"

#include "manifest_priv.h"
#include "values_priv.h"

static const char *const prefixes[] = {
	[PREFIX_ACK] = "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-",
	[PREFIX_BETA] = "service.beta.kubernetes.io/",
	[PREFIX_ELB] = "kubernetes.io/elb.",
	[PREFIX_PLAIN] = "kubernetes.io/",
	[PREFIX_PATH] = "ingress.beta.kubernetes.io/",
};
static const char legacy_prefix[] = "service.beta.kubernetes.io/alicloud-loadbalancer-";
static const char alb_prefix[] = "alb.ingress.kubernetes.io/";

static char *keys[ANNOTATION_COUNT]; /* owned: the full key of each row */
static struct index *key_index;      /* full key -> row */
static struct list legacy_keys;      /* owned: keys with the legacy prefix */

const struct annotation *
annotation_row(enum annotation_id id)
{
	return id < ACK_END ? &ack_annotations[id] : &cce_annotations[id - ACK_END];
}

static enum annotation_id
annotation_id(const struct annotation *row)
{
	if (row >= ack_annotations && row < ack_annotations + ACK_END)
		return (enum annotation_id)(row - ack_annotations);
	return (enum annotation_id)(row - cce_annotations + ACK_END);
}

enum provider
annotation_provider(const struct annotation *row)
{
	return annotation_id(row) < ACK_END ? PROVIDER_ACK : PROVIDER_CCE;
}

const char *
provider_name(enum provider provider)
{
	return provider == PROVIDER_CCE ? "cce" : "ack";
}

const char *
annotation_key(enum annotation_id id)
{
	return keys[id];
}

static void
index_row(const char *key, enum annotation_id id)
{
	/* rows are constant; the index only lends them out again as such */
	union {
		const struct annotation *row;
		void *value;
	} u = { .row = annotation_row(id) };

	index_add(key_index, key, u.value);
}

void
annotations_start(void)
{
	key_index = index_new();
	for (unsigned i = 0; i < ANNOTATION_COUNT; i++) {
		const struct annotation *row = annotation_row(i);

		keys[i] = xprintf("%s%s", prefixes[row->prefix], row->name);
		index_row(keys[i], i);
		if (i < ACK_END && row->prefix == PREFIX_ACK) {
			char *legacy = xprintf("%s%s", legacy_prefix, row->name);

			list_add(&legacy_keys, legacy);
			index_row(legacy, i);
		}
	}
}

void
annotations_stop(void)
{
	for (unsigned i = 0; i < ANNOTATION_COUNT; i++)
		free(keys[i]);
	for (size_t i = 0; i < legacy_keys.count; i++)
		free(legacy_keys.items[i]);
	list_fini(&legacy_keys);
	index_free(key_index);
	key_index = NULL;
}

static bool
has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const struct annotation *
find_row(const char *key)
{
	const struct annotation *row = index_find(key_index, key);

	if (row != NULL)
		return row;
	for (enum annotation_id id = CCE_HEADERS; id <= CCE_ACTIONS; id++)
		if (has_prefix(key, keys[id]))
			return annotation_row(id);
	return NULL;
}

/* The known prefix that `key` begins with, and whose it is; NULL: none of ours. */
static const char *
known_prefix(const char *key, enum provider *provider)
{
	*provider = PROVIDER_CCE;
	if (has_prefix(key, prefixes[PREFIX_ELB]))
		return prefixes[PREFIX_ELB];
	*provider = PROVIDER_ACK;
	if (has_prefix(key, prefixes[PREFIX_ACK]))
		return prefixes[PREFIX_ACK];
	if (has_prefix(key, legacy_prefix))
		return legacy_prefix;
	if (has_prefix(key, alb_prefix))
		return alb_prefix;
	return NULL;
}

static enum provider
key_provider(const char *key)
{
	const struct annotation *row = find_row(key);
	enum provider provider;

	if (row != NULL)
		return annotation_provider(row);
	return known_prefix(key, &provider) != NULL ? provider : PROVIDER_NONE;
}

static const struct yaml_node *
annotations_of(const struct object *object)
{
	const struct yaml_node *map = yaml_get(object->metadata, "annotations");

	return map != NULL && map->type == YAML_MAP ? map : NULL;
}

void
annotations_providers(
    const struct object *object, const struct yaml_pair **ack, const struct yaml_pair **cce)
{
	const struct yaml_node *map = annotations_of(object);

	*ack = *cce = NULL;
	for (size_t i = 0; map != NULL && i < map->count; i++) {
		enum provider provider = key_provider(map->pairs[i].key);

		if (provider == PROVIDER_ACK && *ack == NULL)
			*ack = &map->pairs[i];
		if (provider == PROVIDER_CCE && *cce == NULL)
			*cce = &map->pairs[i];
	}
}

const struct yaml_pair *
annotations_any(const struct object *object)
{
	const struct yaml_pair *ack, *cce;

	annotations_providers(object, &ack, &cce);
	return ack != NULL ? ack : cce;
}

/* "; did you mean KEY?", or nothing. */
static const char *
hint(struct annotation_set *set, const char *prefix, const char *key)
{
	const char *names[ANNOTATION_COUNT] = { NULL };
	const char *name = key + strlen(prefix), *nearest;

	for (unsigned i = 0; i < ANNOTATION_COUNT; i++)
		if (has_prefix(keys[i], prefix) || (prefix == legacy_prefix && i < ACK_END))
			names[i] = annotation_row(i)->name;
	nearest = yaml_nearest(name, names, ANNOTATION_COUNT, 3);
	return nearest != NULL ? arena_printf(set->arena, "; did you mean %s%s?", prefix, nearest)
			       : "; see weir-annotations(7)";
}

const char *
annotation_name(const char *key)
{
	enum provider provider;
	const char *prefix = known_prefix(key, &provider);

	return prefix != NULL ? key + strlen(prefix) : key;
}

static void
warn_unknown(struct annotation_set *set, struct yaml_pair *pair)
{
	enum provider provider;
	const char *prefix = known_prefix(pair->key, &provider);

	if (prefix == NULL)
		return;
	if (prefix == alb_prefix) {
		diag_warning(
		    set->diag, pair->where, "%s: belongs to NLB/ALB, no effect on CLB", pair->key);
		if (pair->value->type == YAML_SCALAR && pair->key[strlen(prefix)] != '\0')
			list_add(&set->foreign, pair);
	} else {
		diag_warning(set->diag, pair->where, "%.128s: unknown annotation%s", pair->key,
		    hint(set, prefix, pair->key));
	}
}

/* The text of the value without spaces around it; NULL when it is none. */
static const char *
read_text(struct annotation_set *set, const struct yaml_pair *pair, bool is_json)
{
	const struct yaml_node *node = pair->value;
	size_t lead, end;

	if (node->type == YAML_NULL) {
		diag_warning(set->diag, node->where,
		    "%s: no value; quote it: Kubernetes accepts "
		    "only strings",
		    pair->key);
		return "";
	}
	if (node->type != YAML_SCALAR) {
		diag_error(set->diag, node->where, "%s: %s; allowed: a string", pair->key,
		    yaml_type_name(node->type));
		return NULL;
	}
	if (!node->quoted && text_looks_typed(node->text))
		diag_warning(set->diag, node->where,
		    "%s: %s is not a string; quote it: Kubernetes accepts only strings", pair->key,
		    node->text);
	if (is_json)
		return node->text;
	lead = strspn(node->text, " \t\r\n");
	end = node->len;
	while (end > lead && strchr(" \t\r\n", node->text[end - 1]) != NULL)
		end--;
	if (lead == 0 && end == node->len)
		return node->text;
	diag_warning(set->diag, node->where, "%s: %s has spaces around it, removed", pair->key,
	    quote_value(set->arena, node->text));
	return arena_strndup(set->arena, node->text + lead, end - lead);
}

static bool
is_legacy(const char *key)
{
	return has_prefix(key, legacy_prefix);
}

/* Two keys for one row: the new prefix wins, even with an empty value. */
static bool
resolve_legacy(
    struct annotation_set *set, struct value *value, const struct yaml_pair *pair, const char *text)
{
	const char *before = value->text != NULL ? value->text : "";

	if (strcmp(before, text != NULL ? text : "") != 0)
		diag_warning(set->diag, is_legacy(pair->key) ? pair->where : value->where,
		    "%s and %s differ (lines %u and %u); %s counts", value->key, pair->key,
		    value->where.line, pair->value->where.line,
		    is_legacy(pair->key) ? value->key : pair->key);
	return !is_legacy(pair->key);
}

static void
read_pair(struct annotation_set *set, const struct annotation *row, const struct yaml_pair *pair)
{
	struct value *value = &set->values[annotation_id(row)];
	const char *text = read_text(set, pair, row->kind == KIND_JSON);
	bool is_repeated = value->row != NULL;

	/* ACK's controller takes an empty value for an absent one */
	if (text != NULL && text[0] == '\0' && set->provider == PROVIDER_ACK)
		text = NULL;
	if (is_repeated && row->name[strlen(row->name) - 1] == '.')
		return; /* headers.A and headers.B share a row */
	if (is_repeated && !resolve_legacy(set, value, pair, text))
		return;
	*value = (struct value){ .row = row,
		.key = pair->key,
		.node = pair->value,
		.where = pair->value->where,
		.text = text };
	if (!is_repeated)
		list_add(&set->written, value);
}

/* Does the annotation belong on such an object? */
static void
check_object(struct annotation_set *set, const struct annotation *row, const struct yaml_pair *pair,
    bool is_ingress)
{
	if (row->prefix == PREFIX_PATH)
		diag_warning(set->diag, pair->where,
		    "%s: no effect as an annotation, it is a property of a path of an Ingress",
		    pair->key);
	else if (row->on_ingress_only && !is_ingress)
		diag_warning(set->diag, pair->where,
		    "%s: no effect on a Service, it belongs on an Ingress", pair->key);
	else if (row->on_service_only && is_ingress)
		diag_warning(set->diag, pair->where,
		    "%s: no effect on an Ingress, it belongs on a Service", pair->key);
}

static void
read_pairs(struct annotation_set *set, bool is_ingress)
{
	const struct yaml_node *map = annotations_of(set->object);

	for (size_t i = 0; map != NULL && i < map->count; i++) {
		struct yaml_pair *pair = &map->pairs[i];
		const struct annotation *row = find_row(pair->key);

		if (row == NULL) {
			warn_unknown(set, pair);
		} else if (annotation_provider(row) != set->provider) {
			diag_warning(set->diag, pair->where,
			    "%s: ignored, the site file chooses provider %s", pair->key,
			    provider_name(set->provider));
			list_add(&set->ignored, pair);
		} else {
			read_pair(set, row, pair);
			check_object(set, row, pair, is_ingress);
		}
	}
}

/* What belongs on a Service must not be found on an Ingress by what reads both. */
static void
drop_value(struct annotation_set *set, struct value *value)
{
	value_idle(set, value, "no effect on an Ingress");
	value->is_valid = false;
}

void
annotations_read(struct annotation_set *set, struct arena *arena, struct diag *diag,
    const struct object *object, const char *what, enum provider provider, bool is_ingress)
{
	*set = (struct annotation_set){
		.arena = arena, .diag = diag, .object = object, .what = what, .provider = provider
	};
	read_pairs(set, is_ingress);
	for (size_t i = 0; i < set->written.count; i++) {
		struct value *value = set->written.items[i];

		if (value->text == NULL) {
			value_idle(set, value, "empty: the same as absent");
			continue;
		}
		value_check(set, value);
		if (value->row->prefix == PREFIX_PATH)
			value_idle(set, value, "no effect: it is a property of a path");
		else if (value->row->on_ingress_only && !is_ingress)
			value_idle(set, value, "no effect on a Service");
		else if (value->row->on_service_only && is_ingress)
			drop_value(set, value);
		else if (annotation_id(value->row) >= ACK_NLB_FIRST &&
			 annotation_id(value->row) < ACK_END)
			value_warning(set, value, "belongs to NLB/ALB, no effect on CLB");
	}
}

void
annotation_set_fini(struct annotation_set *set)
{
	list_fini(&set->written);
	list_fini(&set->ignored);
	list_fini(&set->foreign);
}

static const char *
print_protocols(struct arena *arena, unsigned protocols)
{
	return arena_printf(arena, "%s%s%s%s%s", protocols & ON_TCP ? " tcp" : "",
	    protocols & ON_UDP ? " udp" : "", protocols & ON_HTTP ? " http" : "",
	    protocols & ON_HTTPS ? " https" : "", protocols & ON_TLS ? " tls" : "");
}

void
annotations_check_protocols(struct annotation_set *set, unsigned protocols)
{
	for (size_t i = 0; i < set->written.count; i++) {
		struct value *value = set->written.items[i];
		unsigned wanted = value->row->protocols;

		if (!value->is_valid || value->no_effect || wanted == 0 ||
		    (wanted & protocols) != 0)
			continue;
		value_warning(set, value, "no effect: it applies to%s listeners, %s has%s",
		    print_protocols(set->arena, wanted), set->what,
		    print_protocols(set->arena, protocols));
		value_idle(set, value, "no effect: no%s listener here",
		    print_protocols(set->arena, wanted));
	}
}

struct value *
value_get(struct annotation_set *set, enum annotation_id id)
{
	struct value *value = &set->values[id];

	return value->is_valid ? value : NULL;
}

const char *
value_text(struct annotation_set *set, enum annotation_id id)
{
	struct value *value = value_get(set, id);

	return value != NULL ? value->text : NULL;
}

bool
value_is(struct annotation_set *set, enum annotation_id id, const char *text)
{
	const char *have = value_text(set, id);

	if (have == NULL)
		return false;
	return (annotation_row(id)->ignore_case ? strcasecmp(have, text) : strcmp(have, text)) == 0;
}

unsigned
value_number(struct annotation_set *set, enum annotation_id id, unsigned preset)
{
	struct value *value = value_get(set, id);

	return value != NULL ? value->number : preset;
}

bool
value_is_written(const struct annotation_set *set, enum annotation_id id)
{
	return set->values[id].text != NULL;
}
