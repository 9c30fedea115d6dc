#include "weir/sticky.h"

#include <xxhash.h>

#include "weir/shm.h"

static struct server *
if_stickable(const struct pool *pool, struct server *server)
{
	return server != NULL && shm_server_stickable(pool->shm, server->conf) ? server : NULL;
}

struct server *
sticky_find_cookie(const struct pool *pool, struct slice value)
{
	return if_stickable(pool, pool_find_cookie(pool, value.ptr, value.len));
}

enum { COOKIE_LEN = sizeof(((struct server_config *)NULL)->cookie) - 1 };

struct server *
sticky_find_prefix(const struct pool *pool, struct slice value, struct slice *prefix)
{
	*prefix = (struct slice){ value.ptr, 0 };
	if (value.len <= COOKIE_LEN || value.ptr[COOKIE_LEN] != '~')
		return NULL;
	for (size_t i = 0; i < COOKIE_LEN; i++)
		if (!((value.ptr[i] >= '0' && value.ptr[i] <= '9') ||
			(value.ptr[i] >= 'a' && value.ptr[i] <= 'f')))
			return NULL;
	/* Of a server that is gone, too: the application shall have its own value. */
	prefix->len = COOKIE_LEN + 1;
	return if_stickable(pool, pool_find_cookie(pool, value.ptr, COOKIE_LEN));
}

/* Seconds, rounded up. */
static uint32_t
seconds(uint32_t ms)
{
	return ms / 1000 + (ms % 1000 != 0);
}

static uint64_t
source_key(const struct pool *pool, const struct addr *client)
{
	struct {
		struct in6_addr ip; /* the same on an IPv4 and on a dual-stack socket */
		uint64_t pool; /* by its name: ids are others after a restart */
	} key = { addr_source(client, pool->conf->sticky.ipv6_prefix), pool->entity->key[0] };

	return XXH3_64bits(&key, sizeof(key));
}

struct server *
sticky_find_source(const struct pool *pool, const struct addr *client)
{
	uint32_t id = shm_sticky_find(
	    pool->shm, source_key(pool, client), seconds(pool->conf->sticky.timeout_ms));

	return id != UINT32_MAX ? if_stickable(pool, pool_find_entity(pool, id)) : NULL;
}

void
sticky_store_source(const struct pool *pool, const struct addr *client, const struct server *server)
{
	shm_sticky_store(pool->shm, source_key(pool, client), server->conf->id,
	    seconds(pool->conf->sticky.timeout_ms));
}

uint64_t
sticky_flow_key(const struct pool *pool, const struct addr *client, const struct addr *local)
{
	struct {
		struct in6_addr client, local;
		uint64_t pool;
		uint32_t client_port, local_port;
	} key = { addr_ip6(client), addr_ip6(local), pool->entity->key[0], addr_port(client),
		addr_port(local) };

	return XXH3_64bits(&key, sizeof(key));
}

struct server *
sticky_find_flow(const struct pool *pool, uint64_t key, uint32_t timeout_ms)
{
	uint32_t id = shm_sticky_find(pool->shm, key, seconds(timeout_ms));

	return id != UINT32_MAX ? if_stickable(pool, pool_find_entity(pool, id)) : NULL;
}

void
sticky_store_flow(
    const struct pool *pool, uint64_t key, const struct server *server, uint32_t timeout_ms)
{
	shm_sticky_store(pool->shm, key, server->conf->id, seconds(timeout_ms));
}

void
sticky_forget_flow(const struct pool *pool, uint64_t key)
{
	shm_sticky_forget(pool->shm, key);
}

/* The part of `rest` before the next ';', which is taken off `rest` with it. */
static struct slice
take_pair(struct slice *rest)
{
	const char *end = rest->len > 0 ? memchr(rest->ptr, ';', rest->len) : NULL;
	struct slice pair = { rest->ptr, end != NULL ? (size_t)(end - rest->ptr) : rest->len };
	size_t taken = pair.len + (end != NULL ? 1 : 0);

	rest->ptr += taken;
	rest->len -= taken;
	return pair;
}

/*
 * cookie-octet of RFC 6265 section 4.1.1: no control characters, space, DQUOTE, comma, semicolon,
 * backslash.
 */
static bool
is_cookie_octet(unsigned char c)
{
	return c > 0x20 && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\';
}

/*
 * cookie-value = *cookie-octet / DQUOTE *cookie-octet DQUOTE.  Without quotes; empty if it is
 * anything else.
 */
static struct slice
unquote_value(struct slice value)
{
	if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"') {
		value.ptr++;
		value.len -= 2;
	}
	for (size_t i = 0; i < value.len; i++)
		if (!is_cookie_octet((unsigned char)value.ptr[i]))
			return (struct slice){ value.ptr, 0 };
	return value;
}

static bool
is_named(struct slice pair, struct slice name, struct slice *value)
{
	const char *equals = pair.len > 0 ? memchr(pair.ptr, '=', pair.len) : NULL;
	size_t name_len;

	if (equals == NULL)
		return false;
	name_len = (size_t)(equals - pair.ptr);
	*value = slice_trim((struct slice){ equals + 1, pair.len - name_len - 1 });
	return slice_equal(slice_trim((struct slice){ pair.ptr, name_len }), name);
}

/*
 * What of `field` goes with `pair`: one separator, unless nothing else is left; `is_first`: no
 * other cookie before it.
 */
static struct slice
cut_of(struct slice field, struct slice pair, bool is_first)
{
	const char *field_end = field.ptr + field.len, *end = pair.ptr + pair.len;
	struct slice rest = { end, (size_t)(field_end - end) };

	if (!is_first)
		return (struct slice){ pair.ptr - 1, pair.len + 1 }; /* "; name=value" */
	while (rest.len > 0 && (rest.ptr[0] == ';' || rest.ptr[0] == ' ' || rest.ptr[0] == '\t')) {
		rest.ptr++;
		rest.len--;
	}
	return (struct slice){ field.ptr, (size_t)(rest.ptr - field.ptr) }; /* "name=value; " */
}

bool
sticky_find_in_field(struct slice field, struct slice name, struct slice *value, struct slice *cut)
{
	struct slice rest = field, raw;
	bool is_first = true;

	while (rest.len > 0) {
		struct slice pair = take_pair(&rest);

		if (is_named(pair, name, &raw)) {
			*value = unquote_value(raw);
			*cut = cut_of(field, pair, is_first);
			return true;
		}
		is_first = is_first && slice_trim(pair).len == 0;
	}
	return false;
}

const char *
sticky_find_set(struct slice field, struct slice name)
{
	struct slice value;

	if (!is_named(take_pair(&field), name, &value))
		return NULL;
	return value.len > 0 && value.ptr[0] == '"' ? value.ptr + 1 : value.ptr;
}
