#include "query_priv.h"

#include <string.h>

static bool
is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_token_char((unsigned char)s.ptr[i]))
			return false;
	return s.len > 0;
}

/* Takes the part before the first `separator` off `rest`; false if there is none. */
static bool
slice_cut(struct slice *rest, char separator, struct slice *part)
{
	const char *at = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;

	if (at == NULL)
		return false;
	part->ptr = rest->ptr;
	part->len = (size_t)(at - rest->ptr);
	rest->ptr += part->len + 1;
	rest->len -= part->len + 1;
	return true;
}

/* "/path?query" or "http://host/path?query": the path alone; an empty slice if it is neither (RFC
 * 9112 §3.2). */
static struct slice
query_path(struct slice target, struct slice *args)
{
	static const struct slice none = { NULL, 0 };
	struct slice scheme = SLICE("http://"), path;

	for (size_t i = 0; i < target.len; i++)
		if ((unsigned char)target.ptr[i] <= ' ' || (unsigned char)target.ptr[i] >= 0x7f)
			return none;
	if (target.len > scheme.len && strncasecmp(target.ptr, scheme.ptr, scheme.len) == 0) {
		const char *at = memchr(target.ptr + scheme.len, '/', target.len - scheme.len);

		if (at == NULL)
			return SLICE("/");
		target.len -= (size_t)(at - target.ptr);
		target.ptr = at;
	}
	if (target.len == 0 || target.ptr[0] != '/')
		return none;
	if (!slice_cut(&target, '?', &path))
		return target;
	*args = target;
	return path;
}

/* Returns 0 or the status to refuse with. */
static unsigned
query_read_start(struct query *query, struct slice line)
{
	struct slice method, target;

	if (!slice_cut(&line, ' ', &method) || !is_token(method) || !slice_cut(&line, ' ', &target))
		return 400;
	if (line.len != 8 || memcmp(line.ptr, "HTTP/", 5) != 0 || line.ptr[5] < '0' ||
	    line.ptr[5] > '9' || line.ptr[6] != '.' || line.ptr[7] < '0' || line.ptr[7] > '9')
		return 400;
	if (line.ptr[5] != '1')
		return 505;
	query->is_old = query->closes = line.ptr[7] == '0';
	query->is_head = slice_equal(method, SLICE("HEAD"));
	if (!query->is_head && !slice_equal(method, SLICE("GET")))
		return 405;
	query->path = query_path(target, &query->args);
	return query->path.len > 0 ? 0 : 400;
}

static bool
list_has(struct slice list, struct slice word)
{
	struct slice item;

	while (slice_cut(&list, ',', &item))
		if (slice_equal_nocase(slice_trim(item), word))
			return true;
	return slice_equal_nocase(slice_trim(list), word);
}

static unsigned
query_read_field(struct query *query, struct slice line, unsigned *hosts)
{
	struct slice name, value;

	if (!slice_cut(&line, ':', &name) || !is_token(name))
		return 400; /* also obsolete line folding */
	value = slice_trim(line);
	for (size_t i = 0; i < value.len; i++)
		if (((unsigned char)value.ptr[i] < ' ' && value.ptr[i] != '\t') ||
		    value.ptr[i] == 0x7f)
			return 400;
	if (slice_equal_nocase(name, SLICE("host")))
		(*hosts)++;
	if (slice_equal_nocase(name, SLICE("connection")) && list_has(value, SLICE("close")))
		query->closes = true;
	/* No page takes a body, and what is not read must not be taken for the next request. */
	if (slice_equal_nocase(name, SLICE("transfer-encoding")) ||
	    (slice_equal_nocase(name, SLICE("content-length")) && !slice_equal(value, SLICE("0"))))
		return 400;
	return 0;
}

/*
 * Takes one line off `rest`.  Returns 1; 0: it is not complete; -1: it ends without CR, or a CR or
 * NUL stands inside.
 */
static int
query_take_line(struct slice *rest, struct slice *line)
{
	struct slice stray;

	if (!slice_cut(rest, '\n', line))
		return rest->len > 0 && memchr(rest->ptr, '\0', rest->len) != NULL ? -1 : 0;
	if (line->len == 0 || line->ptr[line->len - 1] != '\r')
		return -1;
	line->len--;
	if (line->len > 0 && memchr(line->ptr, '\0', line->len) != NULL)
		return -1;
	return slice_cut(&(struct slice){ line->ptr, line->len }, '\r', &stray) ? -1 : 1;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "a%20b" to "a b", cut at `size`.  Returns false for what is no such text, or holds a NUL. */
static bool
query_decode(struct slice value, char *text, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int high = i + 2 < value.len ? hex_digit(value.ptr[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(value.ptr[i + 2]) : -1;

			if (low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (c == '\0' || len + 1 >= size)
			return false;
		text[len++] = c;
	}
	text[len] = '\0';
	return true;
}

int
query_get(const struct query *query, const char *name, char *text, size_t size)
{
	struct slice rest = query->args, item, key;

	while (rest.len > 0) {
		if (!slice_cut(&rest, '&', &item)) {
			item = rest;
			rest.len = 0;
		}
		if (slice_cut(&item, '=', &key) && slice_equal(key, slice_of(name)))
			return query_decode(item, text, size) ? 1 : -1;
	}
	return 0;
}

static bool
query_refuse(struct query *query, unsigned status, size_t len)
{
	query->status = status;
	query->closes = true;
	query->len = len;
	return true;
}

bool
query_parse(struct query *query, const char *text, size_t len)
{
	struct slice rest = { text, len }, line;
	unsigned hosts = 0, status = 0;

	*query = (struct query){ 0 };
	for (bool is_start = true;; is_start = false) {
		int got = query_take_line(&rest, &line);

		if (got == 0)
			return false;
		if (got == -1)
			return query_refuse(query, 400, len);
		if (line.len == 0 && !is_start)
			break;
		if (is_start)
			status = query_read_start(query, line);
		else
			status = query_read_field(query, line, &hosts);
		if (status != 0)
			return query_refuse(query, status, len);
	}
	query->len = (size_t)(rest.ptr - text);
	/* RFC 9112 §3.2: one Host field, no more; only HTTP/1.0 may do without. */
	if (hosts > 1 || (hosts == 0 && !query->is_old))
		return query_refuse(query, 400, len);
	return true;
}
