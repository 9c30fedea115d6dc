/* Rules for the fields of heads: what may be changed, and one list for each listener and route. */
#include "conf_priv.h"

#include <string.h>
#include <strings.h>

enum { RULES_MAX = 48, VALUE_MAX = 1024, NAME_MAX_LEN = 64 };

/* They say how a message ends, or hold between two neighbours only: weir's own business. */
static const char *const framing_names[] = { "Connection", "Content-Length", "Transfer-Encoding",
	"TE", "Trailer", "Upgrade", "Keep-Alive", "Proxy-Connection", "Expect", "HTTP2-Settings",
	NULL };
static const char *const request_names[] = { "X-Forwarded-For", "Host", NULL };
static const char *const response_names[] = { "Content-Encoding", "Content-Range", NULL };

static bool
is_among(const char *name, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strcasecmp(*names, name) == 0)
			return true;
	return false;
}

static void
check_name(struct load *load, struct where where, const char *key, const char *name,
    const char *const *others)
{
	if (!is_token(name) || strlen(name) > NAME_MAX_LEN)
		diag_error(load->diag, where,
		    "%s: \"%.64s\" is not the name of a field; allowed: 1 to 64 letters, digits "
		    "and "
		    "!#$%%&'*+-.^_`|~",
		    key, name);
	else if (is_among(name, framing_names))
		diag_error(load->diag, where, "%s: %s is set by weir itself and cannot be changed",
		    key, name);
	else if (strcasecmp(name, "X-Forwarded-For") == 0 && is_among(name, others))
		diag_error(load->diag, where, "%s: %s is changed with forwarded.for", key, name);
	else if (is_among(name, others))
		diag_error(load->diag, where, "%s: %s cannot be changed", key, name);
}

/* Servers choose by it who they are: it is one, and always there. */
static void
check_host(struct load *load, const struct yaml_node *value)
{
	const char *host, *wrong = "is no text";

	if (value->type == YAML_SCALAR)
		wrong = kind_host_field.parse(load->arena, NULL, value->text, &host);
	if (wrong != NULL)
		diag_error(load->diag, value->where, "Host: the value %s; allowed: %s", wrong,
		    kind_host_field.form);
}

static void
check_texts(
    struct load *load, const struct yaml_node *map, const char *key, const char *const *others)
{
	const struct yaml_node *texts = yaml_get(map, key);
	struct text_config parts;
	const char *wrong;

	for (size_t i = 0; texts != NULL && texts->type == YAML_MAP && i < texts->count; i++) {
		const struct yaml_pair *pair = &texts->pairs[i];
		const char *value = pair->value->type == YAML_SCALAR ? pair->value->text : "";

		if (others == request_names && strcmp(key, "set") == 0 &&
		    strcasecmp(pair->key, "Host") == 0) {
			check_host(load, pair->value);
			continue;
		}
		check_name(load, pair->where, key, pair->key, others);
		wrong = strlen(value) > VALUE_MAX
			    ? "is longer than 1024 bytes"
			    : text_compile(load->arena, value, TEXT_USE_HEADER, &parts);
		if (wrong != NULL)
			diag_error(
			    load->diag, pair->value->where, "%s: the value %s", pair->key, wrong);
	}
}

static void
headers_finish(struct load *load, const struct yaml_node *map, const char *const *others)
{
	const struct yaml_node *names = yaml_get(map, "remove");

	check_texts(load, map, "set", others);
	check_texts(load, map, "add", others);
	for (size_t i = 0; names != NULL && names->type == YAML_LIST && i < names->count; i++)
		if (names->items[i]->type == YAML_SCALAR && is_token(names->items[i]->text))
			check_name(
			    load, names->items[i]->where, "remove", names->items[i]->text, others);
	if (names != NULL && names->type == YAML_SCALAR && is_token(names->text))
		check_name(load, names->where, "remove", names->text, others);
}

void
headers_finish_request(struct load *load, const struct yaml_node *map, void *structure)
{
	(void)structure;
	headers_finish(load, map, request_names);
}

void
headers_finish_response(struct load *load, const struct yaml_node *map, void *structure)
{
	(void)structure;
	headers_finish(load, map, response_names);
}

/* ---- one list ---- */

struct rule_list {
	struct load *load;
	struct field_rule rules[RULES_MAX];
	size_t count;
	bool is_full;
};

/* What sets or removes a field makes all before it void. */
static void
forget(struct rule_list *list, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++)
		if (strcasecmp(list->rules[i].name, name) != 0)
			list->rules[kept++] = list->rules[i];
	list->count = kept;
}

static void
append(struct rule_list *list, enum edit_op op, const char *name, const char *value)
{
	struct field_rule rule = { .op = op, .name = name };

	if (op != EDIT_ADD)
		forget(list, name);
	if (list->count == RULES_MAX) {
		list->is_full = true;
		return;
	}
	if (op != EDIT_REMOVE)
		text_compile(list->load->arena, value, TEXT_USE_HEADER, &rule.value);
	list->rules[list->count++] = rule;
}

static void
append_headers(struct rule_list *list, const struct headers_config *headers)
{
	for (size_t i = 0; i < headers->remove_count; i++)
		if (headers->remove[i] != NULL)
			append(list, EDIT_REMOVE, headers->remove[i], NULL);
	for (size_t i = 0; i < headers->set_count; i++)
		append(list, EDIT_SET, headers->set[i].key, headers->set[i].value);
	for (size_t i = 0; i < headers->add_count; i++)
		append(list, EDIT_ADD, headers->add[i].key, headers->add[i].value);
}

/* What `forwarded` and `request_id` say, but for the two fields that nearly everybody has:
 * rewrite.c. */
static void
append_own(struct rule_list *list, const struct listener_config *listener)
{
	const struct forwarded_config *f = &listener->forwarded;

	if (f->port)
		append(list, EDIT_SET, "X-Forwarded-Port", "${listen_port}");
	if (f->client_port)
		append(list, EDIT_SET, "X-Forwarded-For-Port", "${client_port}");
	if (f->host)
		append(list, EDIT_SET, "X-Forwarded-Host", "${host}");
	if (f->real_ip)
		append(list, EDIT_SET, "X-Real-IP", "${client_ip}");
	if (f->slb_port)
		append(list, EDIT_SET, "XForwardedFor_SLBPORT", "${listen_port}");
	if (f->client_src_port)
		append(list, EDIT_SET, "XForwardedFor_ClientSrcPort", "${client_port}");
	if (f->rfc7239)
		append(list, EDIT_SET, "Forwarded", "${forwarded}");
	if (listener->request_id.pass)
		append(list, EDIT_SET, listener->request_id.header, "${request_id}");
}

static const struct field_rules *
finish_list(struct rule_list *list, struct where where)
{
	struct field_rules *rules;

	if (list->is_full)
		diag_error(list->load->diag, where,
		    "more than %d changes of fields for one request; use fewer", RULES_MAX);
	if (list->count == 0)
		return NULL;
	rules = arena_alloc(list->load->arena, sizeof(*rules));
	rules->rules = arena_array(list->load->arena, list->count, sizeof(*rules->rules));
	memcpy(rules->rules, list->rules, list->count * sizeof(*rules->rules));
	rules->count = list->count;
	return rules;
}

static void
check_proto(
    struct load *load, const struct listener_config *listener, const struct headers_config *headers)
{
	bool found = false;

	for (size_t i = 0; i < headers->set_count; i++)
		found |= strcasecmp(headers->set[i].key, "X-Forwarded-Proto") == 0;
	for (size_t i = 0; i < headers->add_count; i++)
		found |= strcasecmp(headers->add[i].key, "X-Forwarded-Proto") == 0;
	if (found && listener->forwarded.proto)
		diag_error(load->diag, headers->where,
		    "X-Forwarded-Proto is changed here and by forwarded.proto; one of them is "
		    "allowed");
}

static bool
has_headers(const struct headers_config *headers)
{
	return headers->set_count + headers->add_count + headers->remove_count > 0;
}

/* Where the port cannot be told from the configuration, each connection is asked for it. */
static bool
has_ports(const struct listener_config *listener)
{
	for (size_t i = 1; i < listener->listen_count; i++)
		if (addr_port(&listener->listen[i]) != addr_port(&listener->listen[0]))
			return true;
	return false;
}

static bool
text_uses_port(const struct text_config *text)
{
	for (size_t i = 0; i < text->count; i++)
		if (text->parts[i].what == TEXT_LISTEN_PORT)
			return true;
	return false;
}

static bool
rules_use_port(const struct field_rules *rules)
{
	for (size_t i = 0; rules != NULL && i < rules->count; i++)
		if (text_uses_port(&rules->rules[i].value))
			return true;
	return false;
}

static bool
uses_port(const struct listener_config *listener)
{
	bool uses = rules_use_port(listener->request_rules) ||
		    rules_use_port(listener->response_rules) ||
		    text_uses_port(&listener->redirect.location);

	for (size_t i = 0; !uses && i < listener->route_count; i++) {
		const struct route_config *route = &listener->routes[i];

		uses = text_uses_port(&route->redirect.location) ||
		       (has_headers(&route->request_headers) &&
			   rules_use_port(route->request_rules)) ||
		       (has_headers(&route->response_headers) &&
			   rules_use_port(route->response_rules));
	}
	return uses;
}

void
check_headers(struct load *load, struct listener_config *listener)
{
	struct rule_list own = { .load = load }, list;

	check_proto(load, listener, &listener->request_headers);
	append_own(&own, listener);
	append_headers(&own, &listener->request_headers);
	listener->request_rules = finish_list(&own, listener->where);
	for (size_t i = 0; i < listener->route_count; i++) {
		struct route_config *route = &listener->routes[i];

		route->request_rules = listener->request_rules;
		if (!has_headers(&route->request_headers))
			continue;
		check_proto(load, listener, &route->request_headers);
		list = own;
		append_headers(&list, &route->request_headers);
		route->request_rules = finish_list(&list, route->where);
	}
	own = (struct rule_list){ .load = load };
	append_headers(&own, &listener->response_headers);
	listener->response_rules = finish_list(&own, listener->where);
	for (size_t i = 0; i < listener->route_count; i++) {
		struct route_config *route = &listener->routes[i];

		route->response_rules = listener->response_rules;
		if (!has_headers(&route->response_headers))
			continue;
		list = own;
		append_headers(&list, &route->response_headers);
		route->response_rules = finish_list(&list, route->where);
	}
	listener->wants_port = has_ports(listener) && uses_port(listener);
}
