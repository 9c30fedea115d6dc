/*
 * The conditions of routes.
 */
#include "weir/acl.h"
#include "weir/route.h"

enum { PARAMETER_MAX = 1024 };

/* '*' any bytes, '?' any byte.  Only the last '*' is ever tried again: the time is bounded by the
 * product of both lengths. */
static bool
matches(const char *pattern, struct slice text)
{
	const char *star = NULL;
	size_t i = 0, star_at = 0;

	while (i < text.len) {
		if (*pattern == '*') {
			star = pattern++;
			star_at = i;
		} else if (*pattern != '\0' && (*pattern == '?' || *pattern == text.ptr[i])) {
			pattern++;
			i++;
		} else if (star != NULL) {
			pattern = star + 1;
			i = ++star_at;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static bool
is_value(const struct condition_config *c, struct slice text)
{
	for (size_t i = 0; i < c->value_count; i++)
		if (matches(c->values[i], text))
			return true;
	return false;
}

/* Take what stands before `separator` from *rest; false when nothing is left. */
static bool
take_part(struct slice *rest, char separator, struct slice *part)
{
	const char *end = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
	size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;

	if (rest->len == 0)
		return false;
	*part = (struct slice){ rest->ptr, len };
	len += end != NULL;
	rest->ptr += len;
	rest->len -= len;
	return true;
}

static bool
has_method(const struct condition_config *c, const struct message *request)
{
	struct slice method = { request->base, request->method_len };

	for (size_t i = 0; i < c->method_count; i++)
		if (slice_equal(method, slice_of(c->methods[i])))
			return true;
	return false;
}

static bool
has_header(const struct condition_config *c, const struct message *request)
{
	struct slice name = slice_of(c->header);

	for (unsigned i = 0; i < request->field_count; i++) {
		const struct field *f = &request->fields[i];

		if (slice_equal_nocase(message_name(request, f), name) &&
		    is_value(c, message_value(request, f)))
			return true;
	}
	return false;
}

static bool
has_cookie(const struct condition_config *c, const struct message *request)
{
	struct slice name = slice_of(c->cookie);

	for (unsigned i = 0; i < request->field_count; i++) {
		struct slice rest = message_value(request, &request->fields[i]), pair, key;

		if (request->fields[i].id != FIELD_COOKIE)
			continue;
		while (take_part(&rest, ';', &pair)) {
			pair = slice_trim(pair);
			if (!take_part(&pair, '=', &key) || !slice_equal(key, name))
				continue;
			if (pair.len >= 2 && pair.ptr[0] == '"' && pair.ptr[pair.len - 1] == '"')
				pair = (struct slice){ pair.ptr + 1, pair.len - 2 };
			if (is_value(c, pair))
				return true;
		}
	}
	return false;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As forms write it: %XX, and '+' for a space.  len 0 when it is too long. */
static struct slice
decode(struct slice text, char out[static PARAMETER_MAX])
{
	struct slice result = { out, 0 };

	if (text.len > PARAMETER_MAX)
		return result;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%' && text.len - i > 2 && hex(text.ptr[i + 1]) >= 0 &&
			   hex(text.ptr[i + 2]) >= 0) {
			c = (char)(hex(text.ptr[i + 1]) << 4 | hex(text.ptr[i + 2]));
			i += 2;
		}
		out[result.len++] = c;
	}
	return result;
}

static bool
has_parameter(const struct condition_config *c, const struct message *request)
{
	char name[PARAMETER_MAX], value[PARAMETER_MAX];
	struct slice rest = request->path, pair, key;

	take_part(&rest, '?', &pair);
	while (take_part(&rest, '&', &pair)) {
		if (take_part(&pair, '=', &key) && pair.len <= PARAMETER_MAX &&
		    slice_equal(decode(key, name), slice_of(c->query)) &&
		    is_value(c, decode(pair, value)))
			return true;
	}
	return false;
}

static bool
condition_holds(const struct condition_config *condition, const struct message *request,
    const struct addr *client)
{
	if (condition->method_count > 0)
		return has_method(condition, request);
	if (condition->header != NULL)
		return has_header(condition, request);
	if (condition->cookie != NULL)
		return has_cookie(condition, request);
	if (condition->query != NULL)
		return has_parameter(condition, request);
	return condition->source_acl != NULL && acl_contains(condition->source_acl, client);
}

bool
route_conditions_hold(
    const struct route_config *route, const struct message *request, const struct addr *client)
{
	for (size_t i = 0; i < route->when_count; i++)
		if (!condition_holds(&route->when[i], request, client))
			return false;
	return true;
}
