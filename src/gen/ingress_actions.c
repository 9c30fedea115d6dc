/* actions.SERVICE: what a rule does instead of, or before, passing a request to that Service. */
#include <string.h>

#include "weir/arena.h"

#include "ingress_priv.h"
#include "manifest_priv.h"

enum { BODY_LEN_MAX = 1024, RATE_MAX = 100000, WEIGHT_MAX = 100 };

#define STATUS_ALLOWED "a status of 200 to 299 or 400 to 599"
#define TYPE_ALLOWED   "text/plain, text/css, text/html, application/javascript, application/json"

/* What is being read: one annotation about one Service. */
struct reader {
	struct service *ingress;
	struct arena *arena;
	struct diag *diag;
	const char *key, *service;
	struct gen_route *route;
};

static bool
field_error(struct reader *r, const char *name, const struct yaml_node *node,
    const struct yaml_node *object, const char *allowed)
{
	if (node == NULL)
		diag_error(
		    r->diag, object->where, "%s: %s is missing; allowed: %s", r->key, name, allowed);
	else
		diag_error(r->diag, node->where, "%s: %s %s is not allowed; allowed: %s", r->key, name,
		    node->type == YAML_SCALAR ? quote_value(r->arena, node->text)
					      : yaml_type_name(node->type),
		    allowed);
	return false;
}

/* A number, in quotes or without; 0 when it is not there. */
static bool
read_number(struct reader *r, const struct yaml_node *object, const char *name, unsigned max,
    unsigned *number)
{
	const struct yaml_node *node = yaml_get(object, name);

	*number = 0;
	if (node == NULL)
		return true;
	if (node->type == YAML_SCALAR && number_parse(node->text, number) && *number <= max)
		return true;
	return field_error(r, name, node, object, arena_printf(r->arena, "0 to %u", max));
}

/* ---- FixedResponse ---- */

static bool
has_status(const struct yaml_node *node)
{
	unsigned status;

	return node != NULL && node->type == YAML_SCALAR && strlen(node->text) == 3 &&
	       number_parse(node->text, &status) && strchr("245", node->text[0]) != NULL;
}

static bool
read_response(struct reader *r, const struct yaml_node *config)
{
	const struct yaml_node *status = yaml_get(config, "statusCode");
	const struct yaml_node *type = yaml_get(config, "contentType");
	const struct yaml_node *body = yaml_get(config, "messageBody");
	struct gen_respond *respond = arena_alloc(r->arena, sizeof(*respond));

	if (!has_status(status))
		return field_error(r, "statusCode", status, config, STATUS_ALLOWED);
	if (type != NULL &&
	    (type->type != YAML_SCALAR || !choice_has(TYPE_ALLOWED, type->text, false)))
		return field_error(r, "contentType", type, config, TYPE_ALLOWED);
	if (body != NULL && (body->type != YAML_SCALAR || body->len > BODY_LEN_MAX))
		return field_error(r, "messageBody", body, config, "0 to 1024 characters");
	respond->status = status->text;
	respond->content_type = type != NULL ? type->text : "text/plain";
	respond->body = body != NULL ? body->text : "";
	if (respond->body[0] != '\0' &&
	    (strcmp(status->text, "204") == 0 || strcmp(status->text, "205") == 0))
		return field_error(r, "messageBody", body, config, "none with this statusCode");
	r->route->respond = respond;
	return true;
}

/* ---- TrafficLimit ---- */

static bool
read_limit(struct reader *r, const struct yaml_node *config)
{
	struct gen_limit *limit = &r->route->limit;

	if (!read_number(r, config, "QPS", RATE_MAX, &limit->requests) ||
	    !read_number(r, config, "perSourceIpQps", RATE_MAX, &limit->per_source) ||
	    !read_number(r, config, "burst", RATE_MAX, &limit->burst))
		return false;
	if (limit->requests > 0 && limit->per_source >= limit->requests)
		return field_error(r, "perSourceIpQps", yaml_get(config, "perSourceIpQps"), config,
		    "less than QPS");
	return true;
}

/* ---- ForwardPool ---- */

/* Servers that the site file knows by an ID of the cloud. */
static struct gen_pool *
find_site_pool(struct reader *r, const struct yaml_node *entry)
{
	struct gen *gen = r->ingress->gen;
	const struct yaml_node *id = yaml_get(entry, "poolID");
	const struct site_pool *known;
	struct gen_pool *pool;

	if (id == NULL || id->type != YAML_SCALAR) {
		field_error(r, "poolID", id, entry, "an ID of the site file's pools");
		return NULL;
	}
	pool = index_find(gen->model.site_pools, id->text);
	known = index_find(gen->site.pools, id->text);
	if (pool != NULL)
		return pool;
	if (known == NULL) {
		field_error(r, "poolID", id, entry, "an ID of the site file's pools");
		return NULL;
	}
	pool = arena_alloc(r->arena, sizeof(*pool));
	pool->name = known->name;
	pool->protocol = POOL_HTTP;
	for (size_t i = 0; i < known->count; i++) {
		struct gen_server *server = arena_alloc(r->arena, sizeof(*server));

		*server = known->servers[i];
		list_add(&pool->servers, server);
	}
	while (index_add(gen->model.pool_names, pool->name, pool) != NULL)
		pool->name = arena_printf(r->arena, "%s@site", pool->name);
	list_add(&gen->model.pools, pool);
	index_add(gen->model.site_pools, known->name, pool);
	return pool;
}

static struct gen_pool *
find_pool(struct reader *r, const struct yaml_node *entry)
{
	const struct yaml_node *type = yaml_get(entry, "type");
	const char *text = type != NULL && type->type == YAML_SCALAR ? type->text : "";

	if (strcmp(text, "pool") == 0)
		return find_site_pool(r, entry);
	if (strcmp(text, "service") == 0)
		return ingress_find_service(r->ingress, yaml_get(entry, "serviceName"),
		    yaml_get(entry, "servicePort"), r->key);
	field_error(r, "type", type, entry, "service, pool");
	return NULL;
}

static bool
read_forward(struct reader *r, const struct yaml_node *list)
{
	struct gen_share *shares = arena_array(r->arena, list->count, sizeof(*shares));
	unsigned total = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct yaml_node *entry = list->items[i];

		if (yaml_get(entry, "weight") == NULL)
			return field_error(r, "weight", NULL, entry, "0 to 100");
		if (!read_number(r, entry, "weight", WEIGHT_MAX, &shares[i].weight))
			return false;
		shares[i].pool = find_pool(r, entry);
		if (shares[i].pool == NULL)
			return false;
		for (size_t k = 0; k < i; k++)
			if (shares[k].pool == shares[i].pool)
				return field_error(
				    r, "forwardConfig", entry, entry, "each pool once");
		total += shares[i].weight;
	}
	if (total == 0)
		return field_error(r, "weight", NULL, list, "at least one above 0");
	r->route->shares = shares;
	r->route->share_count = list->count;
	return true;
}

/* ---- entries ---- */

static bool
is_last(const struct gen_route *route)
{
	return route->respond != NULL || route->share_count > 0;
}

static bool
read_action(struct reader *r, const struct yaml_node *entry, bool *has_limit)
{
	const struct yaml_node *type = yaml_get(entry, "type"), *config;
	const char *text = type != NULL && type->type == YAML_SCALAR ? type->text : "";
	const struct yaml_node *forward = yaml_get(entry, "forwardConfig");
	bool is_limit = strcmp(text, "TrafficLimit") == 0;
	bool is_response = strcmp(text, "FixedResponse") == 0;

	if (!is_limit && !is_response && strcmp(text, "ForwardPool") != 0)
		return field_error(
		    r, "type", type, entry, "FixedResponse, TrafficLimit, ForwardPool");
	if (is_limit ? *has_limit : is_last(r->route))
		return field_error(r, "type", type, entry,
		    "one TrafficLimit, and one of FixedResponse and ForwardPool");
	if (!is_limit && !is_response) {
		if (forward == NULL || forward->type != YAML_LIST || forward->count == 0)
			return field_error(r, "forwardConfig", forward, entry,
			    "a list of Services and pools with weights");
		return read_forward(r, forward);
	}
	*has_limit = *has_limit || is_limit;
	config = yaml_get(entry, is_limit ? "trafficLimitConfig" : "fixedResponseConfig");
	if (config == NULL || config->type != YAML_MAP)
		return field_error(r, is_limit ? "trafficLimitConfig" : "fixedResponseConfig",
		    config, entry, "an object");
	return is_limit ? read_limit(r, config) : read_response(r, config);
}

bool
ingress_read_actions(struct service *ingress, const char *service, struct gen_route *route)
{
	struct reader r = { .ingress = ingress,
		.arena = ingress->gen->arena,
		.diag = ingress->gen->diag,
		.service = service,
		.route = route };
	const struct yaml_node *json;
	bool ok = true, has_limit = false;

	json = ingress_json_of(ingress, CCE_ACTIONS, service, &r.key, &ok);
	if (json == NULL)
		return ok;
	if (json->type != YAML_LIST) {
		diag_error(r.diag, json->where, "%s: %s; allowed: a JSON list of actions", r.key,
		    yaml_type_name(json->type));
		return false;
	}
	for (size_t i = 0; i < json->count; i++)
		ok = read_action(&r, json->items[i], &has_limit) && ok;
	if (route->redirect != NULL && is_last(route)) {
		diag_error(r.diag, json->where, "%s: cannot be set with %s", r.key,
		    annotation_key(CCE_REDIRECT_URL));
		return false;
	}
	return ok;
}
