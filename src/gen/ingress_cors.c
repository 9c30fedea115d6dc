/* cors- annotations: what pages of other origins may do (the Fetch standard's CORS protocol). */
#include <string.h>

#include "weir/arena.h"

#include "ingress_priv.h"

/* SCHEME://HOST[:PORT], as browsers send it; "*." in front of a host stands for any name below it. */
static bool
is_origin(const char *text)
{
	const char *rest = strstr(text, "://");

	if (rest != NULL && strncmp(rest, "://*.", 5) == 0)
		rest += 2;
	return rest != NULL &&
	       (strncmp(text, "http:", 5) == 0 || strncmp(text, "https:", 6) == 0) &&
	       rest[3] != '\0' && strlen(text) <= 128 &&
	       strspn(rest + 3, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") == strlen(rest + 3);
}

/* Returns false after an error. */
static bool
read_origins(struct annotation_set *set, struct value *value, struct gen_cors *cors)
{
	const char **items;
	size_t count;
	bool ok;

	if (strcmp(value->text, "*") == 0)
		return true;
	items = value_items(set, value, &count);
	ok = count > 0 && count <= 32;
	for (size_t i = 0; i < count; i++)
		ok = ok && is_origin(items[i]);
	cors->origins = items;
	cors->origin_count = count;
	if (!ok)
		value_error(set, value, "%s is not a list of origins; allowed: %s",
		    quote_value(set->arena, value->text), value->row->allowed);
	return ok;
}

const struct gen_cors *
ingress_read_cors(struct service *ingress)
{
	static const enum annotation_id others[] = { CCE_CORS_ALLOW_HEADERS,
		CCE_CORS_EXPOSE_HEADERS, CCE_CORS_ALLOW_METHODS, CCE_CORS_ALLOW_CREDENTIALS,
		CCE_CORS_MAX_AGE };
	static const enum annotation_id excluding[] = { CCE_REDIRECT_URL, CCE_REWRITE_TARGET,
		CCE_SSL_REDIRECT };
	struct annotation_set *set = &ingress->set;
	struct value *origin = value_get(set, CCE_CORS_ALLOW_ORIGIN);
	struct gen_cors *cors = arena_alloc(set->arena, sizeof(*cors));

	for (size_t i = 0; origin == NULL && i < sizeof(others) / sizeof(others[0]); i++) {
		if (value_get(set, others[i]) == NULL)
			continue;
		value_warning(set, value_get(set, others[i]), "no effect without %s",
		    annotation_key(CCE_CORS_ALLOW_ORIGIN));
		value_idle(set, value_get(set, others[i]), "no effect without cors-allow-origin");
	}
	if (origin == NULL)
		return NULL;
	for (size_t i = 0; i < sizeof(excluding) / sizeof(excluding[0]); i++)
		if (value_get(set, excluding[i]) != NULL && !value_is(set, excluding[i], "false"))
			value_error(
			    set, origin, "cannot be set with %s", annotation_key(excluding[i]));
	cors->with_credentials = value_is(set, CCE_CORS_ALLOW_CREDENTIALS, "true");
	cors->methods = value_text(set, CCE_CORS_ALLOW_METHODS);
	cors->headers = value_text(set, CCE_CORS_ALLOW_HEADERS);
	cors->expose = value_text(set, CCE_CORS_EXPOSE_HEADERS);
	cors->max_age = value_text(set, CCE_CORS_MAX_AGE);
	return read_origins(set, origin, cors) ? cors : NULL;
}
