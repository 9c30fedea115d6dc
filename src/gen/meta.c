/* What is carried to the statistics: identity, billing, and what has no effect here. */
#include <string.h>

#include "weir/arena.h"

#include "service_priv.h"

static void
add(struct service *service, struct list *meta, const char *key, const char *value)
{
	struct gen_meta *item;

	for (size_t i = 0; i < meta->count; i++) {
		item = meta->items[i];
		if (strcmp(item->key, key) == 0)
			return; /* keys of the pool are unique; the first counts */
	}
	item = arena_alloc(service->gen->arena, sizeof(*item));
	*item = (struct gen_meta){ key, value };
	list_add(meta, item);
}

static const char *
join_texts(struct arena *arena, const struct yaml_node *list)
{
	const char *text = "";

	for (size_t i = 0; i < list->count; i++)
		text = arena_printf(arena, "%s%s%s", text, i > 0 ? "," : "", list->items[i]->text);
	return text;
}

static void
add_fields(struct service *service, struct list *meta, const struct value *value)
{
	for (size_t i = 0; i < value->json->count; i++) {
		const struct yaml_pair *pair = &value->json->pairs[i];
		const struct json_field *field = value->row->fields;

		while (field->name != NULL && strcmp(field->name, pair->key) != 0)
			field++;
		if (field->name == NULL || !field->in_meta)
			continue;
		add(service, meta, pair->key,
		    field->type == FIELD_TEXTS ? join_texts(service->gen->arena, pair->value)
					       : pair->value->text);
	}
}

static void
add_tags(struct service *service, struct list *meta, enum annotation_id id)
{
	struct value *value = value_get(&service->set, id);
	const char *item;

	/* the items were checked before; spaces were warned about then */
	for (item = value->text; *item != '\0';) {
		size_t len = strcspn(item, ","), lead = strspn(item, " \t"), name;

		name = strcspn(item, ",=");
		if (name > lead)
			add(service, meta,
			    arena_printf(
				service->gen->arena, "tag.%.*s", (int)(name - lead), item + lead),
			    name < len ? arena_strndup(
					     service->gen->arena, item + name + 1, len - name - 1)
				       : "");
		item += len + (item[len] == ',');
	}
}

void
meta_collect(struct service *service, struct list *meta)
{
	for (size_t i = 0; i < service->set.written.count; i++) {
		const struct value *value = service->set.written.items[i];
		const struct annotation *row = value->row;

		if (!value->is_valid || (row->outcome == OUTCOME_ENFORCE && !row->in_meta))
			continue;
		if (row == annotation_row(CCE_AUTOCREATE))
			add_fields(service, meta, value);
		else if (row == annotation_row(ACK_TAGS))
			add_tags(service, meta, ACK_TAGS);
		else if (row == annotation_row(CCE_TAGS))
			add_tags(service, meta, CCE_TAGS);
		else
			add(service, meta, row->meta_key != NULL ? row->meta_key : row->name,
			    value->text);
	}	for (size_t i = 0; i < service->set.foreign.count; i++) {
		const struct yaml_pair *pair = service->set.foreign.items[i];

		add(service, meta, annotation_name(pair->key), pair->value->text);
	}
}
