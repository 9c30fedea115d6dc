/* The certificates of an Ingress: ELB's own by ID, or Secrets. */
#include <string.h>

#include "weir/arena.h"

#include "certificate_priv.h"
#include "ingress_priv.h"
#include "secret_priv.h"

/* What is being put together. */
struct names {
	struct service *ingress;
	struct gen_server_name *items;
	size_t count, size;
	struct index *seen; /* name -> struct gen_server_name */
};

static const struct yaml_node *
tls_list(const struct service *ingress)
{
	const struct yaml_node *list = yaml_get(ingress->object->spec, "tls");

	return list != NULL && list->type == YAML_LIST && list->count > 0 ? list : NULL;
}

bool
ingress_has_tls(const struct service *ingress)
{
	return tls_list(ingress) != NULL ||
	       value_is_written(&ingress->set, CCE_TLS_CERTIFICATE_IDS);
}

static void
add_name(struct names *names, const char *name, const char *id, struct where where)
{
	struct gen_server_name *item = &names->items[names->count], *first;

	*item = (struct gen_server_name){ name, id };
	first = index_add(names->seen, name, item);
	if (first == NULL)
		names->count++;
	else if (strcmp(first->certificate, id) != 0)
		diag_warning(names->ingress->gen->diag, where,
		    "spec.tls of %s has two certificates for %s: %s counts", names->ingress->what,
		    quote_value(names->ingress->gen->arena, name),
		    quote_value(names->ingress->gen->arena, first->certificate));
}

/* The hosts of one entry; they are asked for by SNI, which knows no other form. */
static void
add_hosts(struct names *names, const struct yaml_node *hosts, const char *id, size_t entry)
{
	struct gen *gen = names->ingress->gen;

	for (size_t i = 0; i < hosts->count; i++) {
		const struct yaml_node *host = hosts->items[i];
		char *name;

		if (host->type != YAML_SCALAR || !check_host_name(host->text)) {
			diag_error(gen->diag, host->where,
			    "spec.tls[%zu].hosts[%zu]: %s is not a host name; allowed: a name such "
			    "as shop.example.com or *.example.com",
			    entry, i,
			    host->type == YAML_SCALAR ? quote_value(gen->arena, host->text)
						      : yaml_type_name(host->type));
			continue;
		}
		name = arena_strdup(gen->arena, host->text);
		for (char *p = name; *p != '\0'; p++)
			*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 'a' - 'A' : *p);
		if (id != NULL)
			add_name(names, name, id, host->where);
	}
}

/* The certificate of one entry; NULL after an error. */
static const char *
read_secret(struct service *ingress, const struct yaml_node *entry, size_t number)
{
	struct gen *gen = ingress->gen;
	const struct yaml_node *name = yaml_get(entry, "secretName");
	const struct gen_certificate *certificate;
	const char *fault;

	if (name == NULL || name->type != YAML_SCALAR || name->len == 0) {
		diag_error(gen->diag, name != NULL ? name->where : entry->where,
		    "spec.tls[%zu].secretName is missing in %s; allowed: the name of a Secret",
		    number, ingress->what);
		return NULL;
	}
	certificate = secret_find(gen, ingress->object->namespace_, name->text);
	if (certificate == NULL) {
		diag_error(gen->diag, name->where,
		    "spec.tls[%zu].secretName: Secret %s/%s is not in the input", number,
		    ingress->object->namespace_, name->text);
		return NULL;
	}
	if (certificate->id == NULL || !certificate->has_key_type)
		return certificate->id;
	fault = ports_judge_key(ingress, name->text, certificate->key_type);
	if (fault != NULL)
		diag_error(gen->diag, name->where, "spec.tls[%zu].secretName: %s", number, fault);
	return certificate->id;
}

/* An entry without hosts is the default; if all have some, the first is. */
static void
read_entries(struct names *names, const struct yaml_node *list)
{
	struct service *ingress = names->ingress;
	const char *first = NULL;

	for (size_t i = 0; i < list->count; i++) {
		const struct yaml_node *entry = list->items[i];
		const struct yaml_node *hosts = yaml_get(entry, "hosts");
		const char *id = read_secret(ingress, entry, i);

		first = first != NULL ? first : id;
		if (hosts != NULL && hosts->type == YAML_LIST && hosts->count > 0)
			add_hosts(names, hosts, id, i);
		else if (ingress->certificate == NULL)
			ingress->certificate = id;
		else if (id != NULL && strcmp(id, ingress->certificate) != 0)
			diag_warning(ingress->gen->diag, entry->where,
			    "spec.tls[%zu] of %s has no hosts and is not the first such: it has no "
			    "effect",
			    i, ingress->what);
	}
	if (ingress->certificate == NULL)
		ingress->certificate = first;
}

static size_t
count_hosts(const struct yaml_node *list)
{
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct yaml_node *hosts = yaml_get(list->items[i], "hosts");

		count += hosts != NULL && hosts->type == YAML_LIST ? hosts->count : 0;
	}
	return count;
}

static void
read_spec(struct service *ingress, const struct yaml_node *list)
{
	struct names names = { .ingress = ingress, .seen = index_new() };

	names.items = arena_array(ingress->gen->arena, count_hosts(list) + 1, sizeof(*names.items));
	read_entries(&names, list);
	ingress->server_names = names.items;
	ingress->server_name_count = names.count;
	index_free(names.seen);
}

/* The first ID is the default, the others are asked for by the names that they hold. */
static void
read_ids(struct service *ingress, struct value *value)
{
	const char **ids;
	size_t count;

	ids = value_items(&ingress->set, value, &count);
	if (count == 0)
		value_error(
		    &ingress->set, value, "\"\" is empty; allowed: %s", value->row->allowed);
	if (count > 0 && ports_check_certificate_id(ingress, value, ids[0]))
		ingress->certificate = ids[0];
	if (count > 1)
		ports_add_names(ingress, value, ids + 1, count - 1);
	if (tls_list(ingress) != NULL)
		diag_warning(ingress->gen->diag, tls_list(ingress)->where,
		    "spec.tls of %s has no effect: %s counts", ingress->what, value->key);
}

void
ingress_read_tls(struct service *ingress)
{
	struct value *value = value_get(&ingress->set, CCE_TLS_CERTIFICATE_IDS);

	if (value != NULL)
		read_ids(ingress, value);
	else if (tls_list(ingress) != NULL)
		read_spec(ingress, tls_list(ingress));
	if (ingress_has_tls(ingress) && (service_protocols(ingress) & ON_HTTPS) == 0)
		diag_warning(ingress->gen->diag, ingress->object->where,
		    "%s has a certificate and no HTTPS port", ingress->what);
}
