/*
 * series: what is counted as one route, and which certificates are shown to clients.
 *
 * A name tells a route from the others of its listener, over reloads too: so it is made of what the
 * route is for, not of its place in the file.
 */
#include "conf_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

enum { HASH_LEN = 9 /* "~" and eight digits */ };

/* A text of bounded length; what does not fit is left out, and known to be. */
struct name_text {
	char data[1024];
	size_t len;
	uint64_t hash; /* of all of it */
};

static void
name_add(struct name_text *name, const char *text)
{
	for (; *text != '\0'; text++) {
		/* FNV-1a: the same in every version and on every machine. */
		name->hash = (name->hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
		if (name->len + 1 < sizeof(name->data))
			name->data[name->len] = *text;
		name->len++;
	}
}

static void
name_add_list(struct name_text *name, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		name_add(name, i > 0 ? "," : "");
		name_add(name, texts[i]);
	}
}

static void
name_add_condition(struct name_text *name, const struct condition_config *c)
{
	if (c->method_count > 0) {
		name_add(name, "+method=");
		name_add_list(name, c->methods, c->method_count);
		return;
	}
	if (c->source_count > 0) {
		name_add(name, "+source");
		return;
	}
	name_add(name, c->header != NULL ? "+header:" : c->query != NULL ? "+query:" : "+cookie:");
	name_add(name, c->header != NULL ? c->header : c->query != NULL ? c->query : c->cookie);
	name_add(name, "=");
	name_add_list(name, c->values, c->value_count);
}

/* "/v1" exactly, "/v1/" and a star by segments, "/v1" and a star by text, "~" before an expression. */
static void
name_add_path(struct name_text *name, const struct route_config *route)
{
	size_t len = route->path != NULL ? strlen(route->path) : 0;

	switch (route->match) {
	case PATH_ANY:
		name_add(name, "/*");
		return;
	case PATH_EXACT:
		name_add(name, route->path);
		return;
	case PATH_PREFIX:
		name_add(name, route->path);
		name_add(name, len > 0 && route->path[len - 1] == '/' ? "*" : "/*");
		return;
	case PATH_STARTS_WITH:
		name_add(name, route->path);
		name_add(name, "*");
		return;
	case PATH_REGEX:
		name_add(name, "~");
		name_add(name, route->path);
		return;
	}
}

/*
 * A name that is too long ends with what tells it from others that begin alike.  A letter of several
 * bytes is not cut, and a name has no blanks: it is one word of a log line.
 */
static const char *
name_finish(struct arena *arena, struct name_text *name)
{
	size_t len = name->len;

	if (len > ROUTE_NAME_MAX) {
		len = ROUTE_NAME_MAX - HASH_LEN;
		while (len > 0 && ((unsigned char)name->data[len] & 0xc0) == 0x80)
			len--;
		snprintf(name->data + len, HASH_LEN + 1, "~%08x", (unsigned)(name->hash & 0xffffffff));
		len += HASH_LEN;
	}
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name->data[i] <= ' ' || name->data[i] == 0x7f)
			name->data[i] = '_';
	return arena_strndup(arena, name->data, len);
}

static const char *
route_name(struct arena *arena, const struct route_config *route)
{
	struct name_text name = { .hash = UINT64_C(0xcbf29ce484222325) };

	if (route->name != NULL) {
		name_add(&name, route->name);
		return name_finish(arena, &name);
	}
	name_add(&name, route->host != NULL ? route->host : "");
	name_add_path(&name, route);
	for (size_t i = 0; i < route->when_count; i++)
		name_add_condition(&name, &route->when[i]);
	return name_finish(arena, &name);
}

/* ---- series of routes ---- */

/* One route with the place that is told its series. */
struct member {
	const char *name;
	unsigned *series;
	size_t first; /* of those with this name, in the order of the file */
};

static unsigned
add_series(struct config *c, const struct listener_config *listener, const char *name)
{
	c->route_series[c->route_series_count] =
	    (struct route_series){ .name = name, .listener = listener };
	return (unsigned)c->route_series_count++;
}

static int
compare_members(const void *left, const void *right)
{
	const struct member *a = *(struct member *const *)left, *b = *(struct member *const *)right;
	int order = strcmp(a->name, b->name);

	return order != 0 ? order : (a > b) - (a < b);
}

static void
find_firsts(struct member *members, size_t count)
{
	struct member **sorted = xcalloc(count, sizeof(*sorted)), *first = NULL;

	for (size_t i = 0; i < count; i++)
		sorted[i] = &members[i];
	qsort(sorted, count, sizeof(*sorted), compare_members);
	for (size_t i = 0; i < count; i++) {
		if (first == NULL || strcmp(first->name, sorted[i]->name) != 0)
			first = sorted[i];
		sorted[i]->first = (size_t)(first - members);
	}
	free(sorted);
}

static size_t
list_members(struct load *l, struct listener_config *listener, struct member *members)
{
	size_t count = 0;

	for (size_t i = 0; i < listener->route_count; i++)
		members[count++] = (struct member){ .series = &listener->routes[i].series,
			.name = route_name(l->arena, &listener->routes[i]) };
	for (size_t i = 0; i < listener->sni_route_count; i++)
		if (listener->sni_routes[i].name != NULL)
			members[count++] = (struct member){ .series = &listener->sni_routes[i].series,
				.name = listener->sni_routes[i].name };
	return count;
}

/* left: how many series there may be yet. */
static void
check_routes_of(struct load *l, struct listener_config *listener, unsigned *left)
{
	size_t most = listener->route_count + listener->sni_route_count, count;
	unsigned others = SERIES_NONE;
	struct config *c = l->config;
	struct member *members;

	listener->unrouted = SERIES_NONE;
	if (most == 0 || listener->name == NULL)
		return;
	members = xcalloc(most, sizeof(*members));
	count = list_members(l, listener, members);
	if (count > 0)
		find_firsts(members, count);
	for (size_t i = 0; i < count; i++) {
		struct member *m = &members[i];

		if (m->first != i) {
			*m->series = *members[m->first].series;
		} else if (*left > 0) {
			*m->series = add_series(c, listener, m->name);
			--*left;
		} else {
			if (others == SERIES_NONE)
				others = add_series(c, listener, "(others)");
			*m->series = others;
		}
		c->route_series[*m->series].routes++;
		c->routes_together += *m->series == others;
	}
	listener->unrouted = add_series(c, listener, "(none)");
	free(members);
}

static void
count_nothing(struct listener_config *listener)
{
	listener->unrouted = SERIES_NONE;
	for (size_t i = 0; i < listener->route_count; i++)
		listener->routes[i].series = SERIES_NONE;
	for (size_t i = 0; i < listener->sni_route_count; i++)
		listener->sni_routes[i].series = SERIES_NONE;
}

static void
check_route_series(struct load *l)
{
	struct config *c = l->config;
	unsigned left = c->global.stats_routes;
	size_t most = 2 * c->listener_count; /* what is past the limit, and what has no route */

	for (size_t i = 0; i < c->listener_count; i++) {
		count_nothing(&c->listeners[i]);
		most += c->listeners[i].route_count + c->listeners[i].sni_route_count;
	}
	if (left == 0 || most == 0)
		return;
	c->route_series = arena_array(l->arena, most, sizeof(*c->route_series));
	for (size_t i = 0; i < c->listener_count; i++)
		check_routes_of(l, &c->listeners[i], &left);
	if (c->routes_together > 0)
		diag_warning(l->diag, (struct where){ .file = c->file },
		    "%zu routes are past the first %u and are counted together, as (others) of "
		    "their listener; more with global.stats.routes",
		    c->routes_together, c->global.stats_routes);
}

/* ---- certificates ---- */

/* A listener shows a certificate. */
struct use {
	const char *certificate;
	const struct listener_config *listener;
	unsigned *served;
};

static int
compare_uses(const void *left, const void *right)
{
	const struct use *a = left, *b = right;
	int order = strcmp(a->certificate, b->certificate);

	return order != 0 ? order : (a->listener > b->listener) - (a->listener < b->listener);
}

static size_t
list_uses(struct config *c, struct use *uses)
{
	size_t count = 0;

	for (size_t i = 0; i < c->listener_count; i++) {
		struct listener_config *listener = &c->listeners[i];
		struct tls_config *tls = &listener->tls;

		tls->served = SERIES_NONE;
		if (tls->certificate != NULL)
			uses[count++] = (struct use){ tls->certificate, listener, &tls->served };
		for (size_t k = 0; k < tls->server_name_count; k++) {
			struct server_name_config *name = &tls->server_names[k];

			name->served = SERIES_NONE;
			if (name->certificate != NULL)
				uses[count++] =
				    (struct use){ name->certificate, listener, &name->served };
		}
	}
	return count;
}

/* uses: all of one certificate. */
static void
add_served(struct load *l, const struct use *uses, size_t count)
{
	struct config *c = l->config;
	struct served_certificate *served = &c->served[c->served_count];

	served->name = uses[0].certificate;
	served->listeners = arena_array(l->arena, count, sizeof(*served->listeners));
	for (size_t i = 0; i < count; i++) {
		*uses[i].served = (unsigned)c->served_count;
		if (i == 0 || uses[i].listener != uses[i - 1].listener)
			served->listeners[served->listener_count++] = uses[i].listener;
	}
	c->served_count++;
}

static void
check_served(struct load *l)
{
	struct config *c = l->config;
	size_t most = 0, count, first = 0;
	struct use *uses;

	for (size_t i = 0; i < c->listener_count; i++)
		most += 1 + c->listeners[i].tls.server_name_count;
	uses = xcalloc(most + 1, sizeof(*uses));
	count = list_uses(c, uses);
	c->served = arena_array(l->arena, count + 1, sizeof(*c->served));
	if (count > 0)
		qsort(uses, count, sizeof(*uses), compare_uses);
	for (size_t i = 0; i < count; i++)
		if (i + 1 == count || strcmp(uses[i].certificate, uses[i + 1].certificate) != 0) {
			add_served(l, uses + first, i + 1 - first);
			first = i + 1;
		}
	free(uses);
}

void
check_series(struct load *l)
{
	if (diag_errors(l->diag) > 0)
		return; /* values are missing, and nobody will count anything */
	check_route_series(l);
	check_served(l);
}
