/* What a rule looks at beside host and path: headers.SERVICE and conditions.SERVICE. */
#include <string.h>

#include "weir/addr.h"
#include "weir/arena.h"

#include "ingress_priv.h"
#include "json_priv.h"
#include "manifest_priv.h"

enum { VALUE_LEN_MAX = 128, HEADER_VALUES_MAX = 9, VALUES_MAX = 10 };

/* What is being read: one annotation about one Service. */
struct reader {
	struct service *ingress;
	struct arena *arena;
	struct diag *diag;
	const char *key;
	size_t values; /* of all conditions so far */
};

typedef bool check_fn(const char *text);

static bool
is_pattern(const char *text)
{
	size_t len = strlen(text);

	return len >= 1 && len <= VALUE_LEN_MAX && strpbrk(text, " \"\t\r\n") == NULL;
}

static bool
is_method(const char *text)
{
	return choice_has("GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS", text, false);
}

static bool
is_network(const char *text)
{
	struct network network;

	return network_parse(&network, text) == 0;
}

#define PATTERN_ALLOWED                                                                            \
	"texts of 1 to 128 characters, no spaces or quotes; * and ? stand for others"

static const char *
print_node(struct reader *r, const struct yaml_node *node)
{
	return node->type == YAML_SCALAR ? quote_value(r->arena, node->text)
					 : yaml_type_name(node->type);
}

static bool
add_value(struct reader *r, struct gen_condition *condition, const struct yaml_node *node,
    check_fn *check, const char *allowed)
{
	if (node == NULL || node->type != YAML_SCALAR || !node->quoted || !check(node->text)) {
		diag_error(r->diag, node != NULL ? node->where : r->ingress->object->where,
		    "%s: %s is not a value; allowed: %s", r->key,
		    node != NULL ? print_node(r, node) : "nothing", allowed);
		return false;
	}
	condition->values[condition->value_count++] = node->text;
	r->values++;
	return true;
}

/* The list of texts under `values`. */
static bool
read_values(struct reader *r, struct gen_condition *condition, const struct yaml_node *object,
    size_t max, check_fn *check, const char *allowed)
{
	const struct yaml_node *list = yaml_get(object, "values");

	if (list == NULL || list->type != YAML_LIST || list->count == 0 || list->count > max) {
		diag_error(r->diag, list != NULL ? list->where : object->where,
		    "%s: values must be a list; allowed: 1 to %zu texts", r->key, max);
		return false;
	}
	condition->values = arena_array(r->arena, list->count, sizeof(*condition->values));
	for (size_t i = 0; i < list->count; i++)
		if (!add_value(r, condition, list->items[i], check, allowed))
			return false;
	return true;
}

/* The name under `key`. */
static bool
read_name(struct reader *r, struct gen_condition *condition, const struct yaml_node *object,
    check_fn *check, const char *what)
{
	const struct yaml_node *name = yaml_get(object, "key");

	if (name == NULL || name->type != YAML_SCALAR || !check(name->text)) {
		diag_error(
		    r->diag, name != NULL ? name->where : object->where, "%s: key is %s", r->key, what);
		return false;
	}
	condition->name = name->text;
	return true;
}

static bool
read_header(struct reader *r, struct gen_condition *condition, const struct yaml_node *object,
    size_t max)
{
	condition->kind = CONDITION_HEADER;
	return read_name(r, condition, object, check_header_name,
		   "not the name of a field; allowed: 1 to 40 letters, digits, _, -") &&
	       read_values(r, condition, object, max, is_pattern, PATTERN_ALLOWED);
}

/* ---- what has to hold, and what may hold instead ---- */

/* All of `conditions`; a rule holds when one of its sets does. */
static void
add_to_all(struct reader *r, struct list *sets, const struct gen_condition *condition)
{
	for (size_t i = 0; i < sets->count; i++) {
		struct gen_condition_set *set = sets->items[i];
		struct gen_condition *longer =
		    arena_array(r->arena, set->count + 1, sizeof(*longer));

		if (set->count > 0)
			memcpy(longer, set->items, set->count * sizeof(*longer));
		longer[set->count++] = *condition;
		set->items = longer;
	}
}

/* One set becomes as many as there are names: any of them is enough. */
static void
add_any(struct reader *r, struct list *sets, const struct gen_condition *conditions, size_t count)
{
	struct list out = { 0 };

	for (size_t i = 0; i < sets->count; i++) {
		for (size_t k = 0; k < count; k++) {
			struct gen_condition_set *copy = arena_alloc(r->arena, sizeof(*copy));
			struct list one = { 0 };

			*copy = *(struct gen_condition_set *)sets->items[i];
			list_add(&one, copy);
			add_to_all(r, &one, &conditions[k]);
			list_fini(&one);
			list_add(&out, copy);
		}
	}
	list_fini(sets);
	*sets = out;
}

/* Pairs of names and values, of which one is enough. */
static bool
read_cookies(struct reader *r, struct list *sets, const struct yaml_node *object)
{
	const struct yaml_node *list = yaml_get(object, "values");
	struct gen_condition *found;
	size_t count = 0;

	if (list == NULL || list->type != YAML_LIST || list->count == 0 ||
	    list->count > VALUES_MAX) {
		diag_error(r->diag, list != NULL ? list->where : object->where,
		    "%s: values must be a list; allowed: 1 to %d of {\"key\",\"value\"}", r->key,
		    VALUES_MAX);
		return false;
	}
	found = arena_array(r->arena, list->count, sizeof(*found));
	for (size_t i = 0; i < list->count; i++) {
		struct gen_condition one = { .kind = CONDITION_COOKIE };
		size_t at = 0;

		if (!read_name(r, &one, list->items[i], check_cookie_name,
			"not the name of a cookie; allowed: 1 to 200 characters of a cookie name"))
			return false;
		while (at < count && strcmp(found[at].name, one.name) != 0)
			at++;
		if (at == count) {
			one.values = arena_array(r->arena, list->count, sizeof(*one.values));
			found[count++] = one;
		}
		if (!add_value(r, &found[at], yaml_get(list->items[i], "value"), is_pattern,
			PATTERN_ALLOWED))
			return false;
	}
	add_any(r, sets, found, count);
	return true;
}

/* ---- entries ---- */

static bool
read_entry(struct reader *r, struct list *sets, const struct yaml_node *entry)
{
	static const struct {
		const char *type, *config;
		enum gen_condition_kind kind;
	} types[] = {
		{ "Method", "methodConfig", CONDITION_METHOD },
		{ "Header", "headerConfig", CONDITION_HEADER },
		{ "Cookie", "cookieConfig", CONDITION_COOKIE },
		{ "QueryString", "queryStringConfig", CONDITION_QUERY },
		{ "SourceIp", "sourceIpConfig", CONDITION_SOURCE },
	};
	const struct yaml_node *type = yaml_get(entry, "type"), *config;
	struct gen_condition condition = { 0 };
	bool ok = false;
	size_t i = 0;

	while (i < sizeof(types) / sizeof(types[0]) &&
	       (type == NULL || type->type != YAML_SCALAR || strcmp(type->text, types[i].type) != 0))
		i++;
	if (i == sizeof(types) / sizeof(types[0])) {
		diag_error(r->diag, type != NULL ? type->where : entry->where,
		    "%s: type is %s; allowed: Method, Header, Cookie, QueryString, SourceIp", r->key,
		    type != NULL ? print_node(r, type) : "missing");
		return false;
	}
	config = yaml_get(entry, types[i].config);
	if (config == NULL || config->type != YAML_MAP) {
		diag_error(r->diag, entry->where, "%s: type \"%s\" needs %s, an object", r->key,
		    types[i].type, types[i].config);
		return false;
	}
	condition.kind = types[i].kind;
	switch (condition.kind) {
	case CONDITION_METHOD:
		ok = read_values(r, &condition, config, VALUES_MAX, is_method,
		    "GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS");
		break;
	case CONDITION_HEADER:
		ok = read_header(r, &condition, config, VALUES_MAX);
		break;
	case CONDITION_COOKIE:
		return read_cookies(r, sets, config);
	case CONDITION_QUERY:
		ok = read_name(r, &condition, config, check_cookie_name,
			 "not the name of a parameter; allowed: 1 to 200 characters, no spaces") &&
		     read_values(
			 r, &condition, config, VALUES_MAX, is_pattern, PATTERN_ALLOWED);
		break;
	case CONDITION_SOURCE:
		ok = read_values(r, &condition, config, VALUES_MAX, is_network,
		    "networks such as 192.168.0.0/16");
		break;
	}
	if (ok)
		add_to_all(r, sets, &condition);
	return ok;
}

static bool
read_entries(struct reader *r, struct list *sets, const struct yaml_node *json)
{
	bool ok = true;

	if (json->type != YAML_LIST) {
		diag_error(r->diag, json->where, "%s: %s; allowed: a JSON list of conditions", r->key,
		    yaml_type_name(json->type));
		return false;
	}
	for (size_t i = 0; i < json->count; i++)
		ok = read_entry(r, sets, json->items[i]) && ok;
	if (r->values > VALUES_MAX) {
		diag_error(r->diag, json->where, "%s: %zu values; allowed: up to %d in all", r->key,
		    r->values, VALUES_MAX);
		return false;
	}
	return ok;
}

const struct yaml_node *
ingress_json_of(
    struct service *ingress, enum annotation_id id, const char *service, const char **key, bool *ok)
{
	struct annotation_set *set = &ingress->set;
	const struct yaml_node *node, *json;

	*key = arena_printf(set->arena, "%s%s", annotation_key(id), service);
	node = yaml_get(yaml_get(ingress->object->metadata, "annotations"), *key);
	if (node == NULL || node->type != YAML_SCALAR)
		return NULL;
	json = json_parse(set->arena, set->diag, ingress->object->source, node, *key);
	*ok = *ok && json != NULL;
	return json;
}

bool
ingress_read_conditions(struct service *ingress, const char *service, struct list *sets)
{
	struct reader r = {
		.ingress = ingress, .arena = ingress->gen->arena, .diag = ingress->gen->diag
	};
	struct gen_condition header = { 0 };
	const struct yaml_node *json;
	bool ok = true;

	list_add(sets, arena_alloc(r.arena, sizeof(struct gen_condition_set)));
	json = ingress_json_of(ingress, CCE_HEADERS, service, &r.key, &ok);
	if (json != NULL && read_header(&r, &header, json, HEADER_VALUES_MAX))
		add_to_all(&r, sets, &header);
	else if (json != NULL)
		ok = false;
	r.values = 0;
	json = ingress_json_of(ingress, CCE_CONDITIONS, service, &r.key, &ok);
	return (json == NULL || read_entries(&r, sets, json)) && ok;
}

bool
ingress_read_choice(struct service *ingress, const struct value *name, const struct value *values,
    enum gen_condition_kind kind, struct gen_condition *condition)
{
	struct reader r = { .ingress = ingress,
		.arena = ingress->gen->arena,
		.diag = ingress->gen->diag,
		.key = values->key };

	*condition = (struct gen_condition){ .kind = kind, .name = name->text };
	return read_values(&r, condition, values->json, VALUES_MAX, is_pattern, PATTERN_ALLOWED);
}
