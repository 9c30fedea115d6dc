/*
 * h1_trailers: the trailers of a chunked request.
 *
 * They are held back until the last one has come, so that those that may not be passed on can be
 * taken out: servers may add trailers to the head (RFC 9110 section 6.5.1), and what frames, routes
 * or authenticates a request, or belongs to a connection (section 7.6.1), must not come that way.
 */
#include "h1_priv.h"

/* A buffer that can take more bytes behind those that have come. */
static void
use_body_buffer(struct h1_client *c)
{
	struct slice first = h1_body_in_head(c);

	if (first.len > 0) {
		c->body = buf_take(BUF_LARGE);
		memcpy(c->body->data, first.ptr, first.len);
		c->body->end = (uint32_t)first.len;
		c->in->end = c->body_at;
	}
	if (buf_room(c->body) == 0)
		buf_pack(c->body);
}

/* Returns the bytes read, or IO_*. */
static ssize_t
read_more(struct h1_client *c)
{
	struct transport *t = &c->client.transport;
	ssize_t n;

	use_body_buffer(c);
	n = t->readable ? transport_read(t, c->body->data + c->body->end, buf_room(c->body))
			: IO_WAIT;
	if (n == IO_WAIT)
		return h1_wait_for_body(c);
	if (n < 0)
		return IO_CLOSED;
	timer_clear(&c->client.timer);
	c->body->end += (uint32_t)n;
	return n;
}

static bool
may_pass(const struct message *request, struct slice name)
{
	return field_may_trail(name) && !message_has_element(request, FIELD_CONNECTION, name);
}

/* Take the lines that may not pass out of the `len` bytes; what is left stands at their end.
 * Returns its length. */
static size_t
filter(const struct message *request, char *lines, size_t len)
{
	char *end = lines + len, *kept = end;
	size_t line_len;

	/* From the last line to the first: the chunked coding was checked, so each one ends in CR
	 * LF. */
	for (char *at = end; at > lines; at -= line_len) {
		const char *lf = memrchr(lines, '\n', (size_t)(at - lines) - 1);
		char *line = lf != NULL ? lines + (lf - lines) + 1 : lines;
		const char *colon = memchr(line, ':', (size_t)(at - line));
		struct slice name = { line, colon != NULL ? (size_t)(colon - line) : 0 };

		line_len = (size_t)(at - line);
		if (colon != NULL && !may_pass(request, name))
			continue;
		kept -= line_len;
		memmove(kept, line, line_len);
	}
	return (size_t)(end - kept);
}

ssize_t
h1_take_trailers(struct h1_client *c, const char **bytes)
{
	size_t at, len, left;

	for (;;) {
		struct slice held = h1_body_in_head(c);
		ptrdiff_t n;
		ssize_t more;

		if (held.len == 0 && c->body != NULL)
			held = (struct slice){ buf_head(c->body), buf_len(c->body) };
		n = chunked_next(
		    &c->chunked, held.ptr + c->scanned, held.len - c->scanned, &at, &len);
		if (n < 0)
			return IO_ERROR;
		c->scanned += (uint32_t)n;
		if (chunked_is_end(&c->chunked))
			break;
		more = read_more(c);
		if (more < 0)
			return more;
	}
	use_body_buffer(c);
	left = filter(&c->x->request, buf_head(c->body), c->scanned);
	buf_consume(c->body, c->scanned - left);
	c->scanned = 0;
	c->body_ready = (uint32_t)left;
	*bytes = buf_head(c->body);
	return (ssize_t)left;
}
