/* The rules of an Ingress: hosts and paths. */
#include <string.h>

#include "weir/arena.h"
#include "weir/regex.h"

#include "ingress_priv.h"

enum { PATH_LEN_MAX = 1024, FAULT_SIZE = 256 };

/* What is being read. */
struct reader {
	struct service *ingress;
	struct ingress_rules *rules;
	const char *host; /* of the rule; NULL: any */
	const struct gen_cors *cors;
	size_t rule, path;
};

static const char *
print_node(struct arena *arena, const struct yaml_node *node)
{
	return node->type == YAML_SCALAR ? quote_value(arena, node->text)
					 : yaml_type_name(node->type);
}

/* The host of a rule, lower case, in *host.  Returns false after an error. */
static bool
read_host(struct service *ingress, const struct yaml_node *node, size_t rule, const char **host)
{
	struct arena *arena = ingress->gen->arena;
	char *copy;

	*host = NULL;
	if (node == NULL || node->type == YAML_NULL ||
	    (node->type == YAML_SCALAR && node->len == 0))
		return true;
	if (node->type != YAML_SCALAR || !check_host_name(node->text)) {
		diag_error(ingress->gen->diag, node->where,
		    "spec.rules[%zu].host: %s is not a host name; allowed: a name such as "
		    "shop.example.com or *.example.com",
		    rule, print_node(arena, node));
		return false;
	}
	copy = arena_strdup(arena, node->text);
	for (char *p = copy; *p != '\0'; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 'a' - 'A' : *p);
	*host = copy;
	return true;
}

/* url-match-mode: no annotation, as API servers know none on a path, but a property of it. */
static enum path_match
read_mode(struct reader *r, const struct yaml_node *item, bool counts)
{
	struct diag *diag = r->ingress->gen->diag;
	const struct annotation *row = annotation_row(CCE_URL_MATCH_MODE);
	const char *key = annotation_key(CCE_URL_MATCH_MODE);
	const struct yaml_node *node = yaml_get(yaml_get(item, "property"), key);

	if (node == NULL || node->type == YAML_NULL)
		return PATH_STARTS_WITH;
	if (node->type != YAML_SCALAR || !choice_has(row->choices, node->text, false)) {
		diag_error(diag, node->where, "%s: %s is not a known value; allowed: %s%s", key,
		    print_node(r->ingress->gen->arena, node), row->choices,
		    node->type == YAML_SCALAR && choice_has(row->choices, node->text, true)
			? " (case matters)"
			: "");
		return PATH_STARTS_WITH;
	}
	if (!counts)
		diag_warning(diag, node->where,
		    "%s: no effect; it belongs to pathType ImplementationSpecific", key);
	if (strcmp(node->text, "EQUAL_TO") == 0)
		return PATH_EXACT;
	return strcmp(node->text, "REGEX") == 0 ? PATH_REGEX : PATH_STARTS_WITH;
}

static enum path_match
read_match(struct reader *r, const struct yaml_node *item)
{
	const struct yaml_node *type = yaml_get(item, "pathType");
	const char *text = type != NULL && type->type == YAML_SCALAR ? type->text : "";
	bool is_specific = type == NULL || strcmp(text, "ImplementationSpecific") == 0;
	enum path_match mode = read_mode(r, item, is_specific);

	if (is_specific)
		return mode;
	if (strcmp(text, "Exact") == 0)
		return PATH_EXACT;
	if (strcmp(text, "Prefix") != 0)
		diag_error(r->ingress->gen->diag, type->where,
		    "spec.rules[%zu].http.paths[%zu].pathType: %s is not known; allowed: Exact, "
		    "Prefix, ImplementationSpecific",
		    r->rule, r->path, print_node(r->ingress->gen->arena, type));
	return PATH_PREFIX;
}

/* The highest group that a rewrite names. */
static unsigned
count_groups(const char *rewrite)
{
	unsigned highest = 0;

	for (const char *p = strchr(rewrite, '$'); p != NULL; p = strchr(p + 1, '$'))
		if ((unsigned)(p[1] - '0') > highest)
			highest = (unsigned)(p[1] - '0');
	return highest;
}

static void
check_groups(struct reader *r, const struct yaml_node *node, unsigned have)
{
	struct annotation_set *set = &r->ingress->set;
	struct value *rewrite = value_get(set, CCE_REWRITE_TARGET);

	if (rewrite != NULL && count_groups(rewrite->text) > have)
		value_error(set, rewrite,
		    "%s names group %u, and path %s (%s:%u) has %u; allowed: groups in parentheses "
		    "of every path",
		    quote_value(set->arena, rewrite->text), count_groups(rewrite->text),
		    quote_value(set->arena, node->text), node->where.file, node->where.line, have);
}

static bool
check_expression(struct reader *r, const struct yaml_node *node)
{
	char fault[FAULT_SIZE];
	struct regex *regex = regex_new(node->text, fault);

	if (regex == NULL)
		diag_error(r->ingress->gen->diag, node->where,
		    "path %s: not a valid regular expression (%s)",
		    quote_value(r->ingress->gen->arena, node->text), fault);
	else
		check_groups(r, node, regex_groups(regex));
	regex_free(regex);
	return regex != NULL;
}

/* Is the text of the path one that can be met? */
static bool
check_text(struct reader *r, const struct yaml_node *node, enum path_match match)
{
	struct diag *diag = r->ingress->gen->diag;
	const char *text = print_node(r->ingress->gen->arena, node);

	if (node->len > PATH_LEN_MAX) {
		diag_error(diag, node->where,
		    "spec.rules[%zu].http.paths[%zu].path: %s is %zu bytes long; allowed: 1 to %d",
		    r->rule, r->path, text, node->len, PATH_LEN_MAX);
		return false;
	}
	if (match == PATH_REGEX)
		return check_expression(r, node);
	if (check_path(node->text))
		return true;
	diag_error(diag, node->where,
	    "spec.rules[%zu].http.paths[%zu].path: %s is not a path; allowed: as in a request: "
	    "starting with /, no spaces, others as %%XX",
	    r->rule, r->path, text);
	return false;
}

/* "/a/" and "/a" are the same to Prefix; the root stays. */
static const char *
read_text(struct reader *r, const struct yaml_node *node, enum path_match match)
{
	size_t len;

	if (node == NULL || node->type != YAML_SCALAR || node->len == 0)
		return match == PATH_REGEX ? ".*" : "/";
	if (!check_text(r, node, match))
		return NULL;
	len = node->len;
	while (match == PATH_PREFIX && len > 1 && node->text[len - 1] == '/')
		len--;
	return arena_strndup(r->ingress->gen->arena, node->text, len);
}

/* The Service of a path, by which annotations are called; NULL: none, which is an error elsewhere. */
static const char *
service_of(const struct yaml_node *item)
{
	const struct yaml_node *backend = yaml_get(item, "backend");
	const char *name = yaml_get_text(yaml_get(backend, "service"), "name");

	return name != NULL ? name : yaml_get_text(backend, "serviceName");
}

/* The back end is not asked for where an action does without. */
static bool
read_pool(struct reader *r, const struct yaml_node *item, const char *service, struct gen_route *route)
{
	struct gen *gen = r->ingress->gen;

	if (route->redirect != NULL)
		return true;
	if (route->respond != NULL || route->share_count > 0) {
		index_add(gen->ingress_services,
		    arena_printf(gen->arena, "%s/%s", r->ingress->object->namespace_, service),
		    r->ingress);
		return true;
	}
	route->pool = ingress_find_pool(r->ingress, yaml_get(item, "backend"),
	    arena_printf(gen->arena, "spec.rules[%zu].http.paths[%zu].backend", r->rule, r->path));
	return route->pool != NULL;
}

/* What is done with the requests of the path; false after an error. */
static bool
read_target(struct reader *r, const struct yaml_node *item, struct gen_route *route)
{
	const char *service = service_of(item);
	struct annotation_set *set = &r->ingress->set;
	struct arena *arena = r->ingress->gen->arena;
	const char *status = value_text(set, CCE_REDIRECT_URL_CODE);
	struct value *rewrite = value_get(set, CCE_REWRITE_TARGET);

	route->redirect = value_text(set, CCE_REDIRECT_URL);
	if (route->redirect != NULL)
		route->status = status != NULL ? status : "301";
	if (service != NULL && !ingress_read_actions(r->ingress, service, route))
		return false;
	if (rewrite != NULL && route->respond != NULL)
		value_warning(set, rewrite, "no effect on path %s (%s:%u), which has a fixed response",
		    quote_value(arena, route->path), route->where.file, route->where.line);
	else if (rewrite != NULL && route->match == PATH_REGEX)
		route->rewrite = rewrite->text;
	else if (rewrite != NULL)
		value_warning(set, rewrite,
		    "no effect on path %s (%s:%u): it belongs to url-match-mode REGEX",
		    quote_value(arena, route->path), route->where.file, route->where.line);
	return read_pool(r, item, service, route);
}

/* One route for each set of conditions, of which any is enough. */
static void
add_routes(struct reader *r, const struct yaml_node *item, const struct gen_route *route)
{
	const char *service = service_of(item);
	struct list sets = { 0 };

	if (service != NULL && !ingress_read_conditions(r->ingress, service, &sets)) {
		list_fini(&sets);
		return;
	}
	for (size_t i = 0; i < sets.count || i == 0; i++) {
		struct gen_route *copy = arena_alloc(r->ingress->gen->arena, sizeof(*copy));

		*copy = *route;
		if (sets.count > 0)
			copy->conditions = *(struct gen_condition_set *)sets.items[i];
		list_add(&r->rules->routes, copy);
	}
	list_fini(&sets);
}

static void
read_path(struct reader *r, const struct yaml_node *item)
{
	const struct yaml_node *path = yaml_get(item, "path");
	struct gen_route route;

	route = (struct gen_route){
		.object = r->ingress->object,
		.where = path != NULL ? path->where : item->where,
		.host = r->host,
		.match = read_match(r, item),
		.cors = r->cors,
	};
	route.path = read_text(r, path, route.match);
	if (route.path != NULL && read_target(r, item, &route))
		add_routes(r, item, &route);
}

static void
read_rule(struct reader *r, const struct yaml_node *rule)
{
	const struct yaml_node *paths = yaml_get(yaml_get(rule, "http"), "paths");

	if (!read_host(r->ingress, yaml_get(rule, "host"), r->rule, &r->host))
		return;
	if (paths == NULL || paths->type != YAML_LIST)
		return; /* what the host gets is the default back end's */
	for (size_t i = 0; i < paths->count; i++) {
		r->path = i;
		read_path(r, paths->items[i]);
	}
}

/* Conditions and actions for Services that no rule names. */
static void
check_services(struct service *ingress, enum annotation_id id)
{
	const struct yaml_node *map = yaml_get(ingress->object->metadata, "annotations");
	const char *prefix = annotation_key(id);
	size_t len = strlen(prefix);

	for (size_t i = 0; map != NULL && map->type == YAML_MAP && i < map->count; i++) {
		const struct yaml_pair *pair = &map->pairs[i];

		if (strncmp(pair->key, prefix, len) != 0 ||
		    index_find(ingress->gen->ingress_services,
			arena_printf(ingress->gen->arena, "%s/%s", ingress->object->namespace_,
			    pair->key + len)) != NULL)
			continue;
		diag_warning(ingress->gen->diag, pair->where,
		    "%.128s: no effect: no rule has a Service of that name", pair->key);
	}
}

void
ingress_read_rules(struct service *ingress, struct ingress_rules *rules)
{
	struct reader r = {
		.ingress = ingress, .rules = rules, .cors = ingress_read_cors(ingress)
	};
	const struct yaml_node *list = yaml_get(ingress->object->spec, "rules");
	const struct yaml_node *backend = yaml_get(ingress->object->spec, "defaultBackend");
	const char *place = "spec.defaultBackend";
	size_t errors = diag_errors(ingress->gen->diag);

	if (backend == NULL) {
		backend = yaml_get(ingress->object->spec, "backend"); /* v1beta1 */
		place = "spec.backend";
	}
	if (backend != NULL) {
		rules->pool = ingress_find_pool(ingress, backend, place);
		rules->pool_where = backend->where;
	}
	for (size_t i = 0; list != NULL && list->type == YAML_LIST && i < list->count; i++) {
		r.rule = i;
		read_rule(&r, list->items[i]);
	}
	for (enum annotation_id id = CCE_HEADERS; id <= CCE_ACTIONS; id++)
		check_services(ingress, id);
	if (rules->routes.count == 0 && rules->pool == NULL &&
	    diag_errors(ingress->gen->diag) == errors)
		diag_error(ingress->gen->diag, ingress->object->where,
		    "%s has no path and no default back end; allowed: at least one of them",
		    ingress->what);
}
