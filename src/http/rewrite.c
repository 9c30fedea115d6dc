#include "weir/rewrite.h"

#include <stdio.h>

/* The whole line of a field, with its CR LF: up to the next field, or to the empty line. */
static struct slice
field_line(const struct message *m, unsigned i)
{
	size_t from = m->fields[i].name;
	size_t to = i + 1 < m->field_count ? m->fields[i + 1].name : m->head_len - 2;

	return (struct slice){ m->base + from, to - from };
}

/* From the end of the field's value to the end of its line. */
static struct slice
field_line_end(const struct message *m, unsigned i)
{
	struct slice line = field_line(m, i);
	size_t skip = m->fields[i].value + m->fields[i].value_len - m->fields[i].name;

	return (struct slice){ line.ptr + skip, line.len - skip };
}

static bool
is_within(struct slice part, struct slice whole)
{
	return part.ptr != NULL && part.ptr >= whole.ptr &&
	       part.ptr + part.len <= whole.ptr + whole.len;
}

static void
add_upgrade(struct outv *out, const struct message *m)
{
	outv_text(out, SLICE("Connection: upgrade\r\n"));
	for (unsigned i = 0; i < m->field_count; i++)
		if (m->fields[i].id == FIELD_UPGRADE)
			outv_text(out, field_line(m, i));
}

static void
add_fields(struct outv *out, const struct field_edits *edits)
{
	for (unsigned i = 0; i < edits->count; i++) {
		const struct field_edit *edit = &edits->v[i];

		if (edit->op == EDIT_REMOVE)
			continue;
		outv_text(out, edit->name);
		outv_text(out, SLICE(": "));
		outv_text(out, edit->value);
		outv_text(out, SLICE("\r\n"));
	}
}

static void
add_request_line(struct outv *out, const struct message *m, struct slice target)
{
	static const struct slice version = SLICE(" HTTP/1.1\r\n");
	bool is_origin_form = m->base + m->target == m->path.ptr && m->path.len == m->target_len;
	size_t line_len = m->target + m->target_len + version.len;

	if (target.ptr != NULL) {
		outv_add(out, m->base, m->target);
		outv_text(out, target);
		outv_text(out, version);
		return;
	}
	if (is_origin_form && m->minor == 1) {
		outv_add(out, m->base, line_len);
		return;
	}
	outv_add(out, m->base, m->target); /* the method and its space */
	if (m->path.len == 0)
		outv_text(out, m->method == METHOD_OPTIONS ? SLICE("*") : SLICE("/"));
	else if (m->path.ptr[0] == '?')
		outv_text(out, SLICE("/"));
	outv_add(out, m->path.ptr, m->path.len);
	outv_text(out, version);
}

static void
add_host(struct outv *out, const struct message *m, const struct request_edits *edits)
{
	char text[ADDR_TEXT_SIZE];

	outv_text(out, SLICE("Host: "));
	if (m->host.len > 0)
		outv_text(out, m->host);
	else
		outv_text(out, slice_of(addr_print(edits->server, text)));
	outv_text(out, SLICE("\r\n"));
}

static void
add_max_forwards(struct outv *out, int count)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "Max-Forwards: %d\r\n", count);

	outv_copy(out, text, (size_t)len);
}

/* Position of the last X-Forwarded-For that is passed on; -1: none. */
static int
last_forwarded_for(const struct message *m, const struct request_edits *edits)
{
	if (edits->forwarded->for_ == FORWARDED_FOR_APPEND)
		for (int i = (int)m->field_count - 1; i >= 0; i--)
			if (m->fields[i].id == FIELD_X_FORWARDED_FOR)
				return i;
	return -1;
}

static bool
is_left_out(const struct field *f, const struct request_edits *edits)
{
	return f->dropped ||
	       (f->id == FIELD_X_FORWARDED_FOR &&
		   edits->forwarded->for_ == FORWARDED_FOR_REPLACE) ||
	       (f->id == FIELD_X_FORWARDED_PROTO && edits->forwarded->proto);
}

void
rewrite_request(struct outv *out, const struct message *m, const struct request_edits *edits)
{
	bool is_absolute = m->path.ptr != m->base + m->target, has_host = false;
	int last_for = last_forwarded_for(m, edits);
	char ip[ADDR_TEXT_SIZE];

	if (edits->forwarded->for_ != FORWARDED_FOR_OFF)
		addr_print_ip(edits->client, ip);
	add_request_line(out, m, edits->target);
	for (unsigned i = 0; i < m->field_count; i++) {
		const struct field *f = &m->fields[i];
		struct slice line = field_line(m, i), value = message_value(m, f);

		if (is_left_out(f, edits) ||
		    (edits->fields != NULL && edits_hide(edits->fields, message_name(m, f))))
			continue;
		if (f->id == FIELD_HOST) {
			if (is_absolute)
				continue; /* RFC 9112 section 3.2.2: replaced by the target's
					     authority */
			has_host = true;
			outv_add(out, line.ptr, line.len);
		} else if ((int)i == last_for) {
			outv_add(out, line.ptr, (size_t)(value.ptr + value.len - line.ptr));
			outv_text(out, value.len > 0 ? SLICE(", ") : SLICE(""));
			outv_text(out, slice_of(ip));
			outv_text(out, SLICE("\r\n"));
		} else if (f->id == FIELD_MAX_FORWARDS && m->max_forwards > 0) {
			add_max_forwards(out, m->max_forwards - 1);
		} else if (f->id == FIELD_COOKIE && is_within(edits->cookie_cut, value)) {
			struct slice cut = edits->cookie_cut, end = field_line_end(m, i);

			if (cut.len == value.len)
				continue;
			outv_add(out, line.ptr, (size_t)(cut.ptr - line.ptr));
			outv_add(out, cut.ptr + cut.len,
			    (size_t)(value.ptr + value.len - cut.ptr) - cut.len);
			outv_add(out, end.ptr, end.len);
		} else {
			outv_add(out, line.ptr, line.len);
		}
	}
	if (!has_host && !edits_hide(edits->fields, SLICE("Host")))
		add_host(out, m, edits);
	if (last_for == -1 && edits->forwarded->for_ != FORWARDED_FOR_OFF) {
		outv_text(out, SLICE("X-Forwarded-For: "));
		outv_text(out, slice_of(ip));
		outv_text(out, SLICE("\r\n"));
	}
	if (edits->forwarded->proto)
		outv_text(out, edits->is_tls ? SLICE("X-Forwarded-Proto: https\r\n")
					     : SLICE("X-Forwarded-Proto: http\r\n"));
	if (edits->te_trailers)
		outv_text(out, SLICE("TE: trailers\r\n"));
	if (edits->fields != NULL)
		add_fields(out, edits->fields);
	if (edits->upgrade)
		add_upgrade(out, m);
	outv_text(out, SLICE("\r\n"));
}

/* The line moves to the front, and the date between it and the fields: the head stays one piece. */
static void
add_status_line_before(struct outv *out, const struct message *m, struct slice date)
{
	size_t len = m->target + m->target_len + 2;
	char *at = (char *)(uintptr_t)m->base - date.len;

	memmove(at, m->base, len);
	memcpy(at + len, date.ptr, date.len);
	outv_add(out, at, len + date.len);
}

static void
add_status_line(struct outv *out, const struct message *m)
{
	/* Everything behind "HTTP/1.x 200": some servers leave out the space before an empty
	 * reason. */
	const char *behind = m->base + 12;
	size_t len = m->target + m->target_len + 2 - 12;

	if (m->minor == 1) {
		outv_add(out, m->base, 12);
	} else {
		outv_text(out, SLICE("HTTP/1.1"));
		outv_add(out, m->base + 8, 4);
	}
	if (behind[0] != ' ')
		outv_text(out, SLICE(" "));
	outv_add(out, behind, len);
}

void
rewrite_response(struct outv *out, const struct message *m, const struct response_edits *edits)
{
	bool is_plain = m->minor == 1 && m->base[12] == ' ';

	if (is_plain && edits->date.len > 0 && edits->room >= edits->date.len) {
		add_status_line_before(out, m, edits->date);
	} else {
		add_status_line(out, m);
		outv_text(out, edits->date);
	}
	for (unsigned i = 0; i < m->field_count; i++) {
		const struct field *f = &m->fields[i];
		struct slice line = field_line(m, i);

		if (f->dropped || (f->id == FIELD_TRANSFER_ENCODING && edits->drop_coding))
			continue;
		/* RFC 9110 section 8.6: no Content-Length with 1xx and 204, whatever the server
		 * says. */
		if ((f->id == FIELD_CONTENT_LENGTH || f->id == FIELD_TRANSFER_ENCODING) &&
		    (m->status < 200 || m->status == 204))
			continue;
		if (edits->fields != NULL && edits_hide(edits->fields, message_name(m, f)))
			continue;
		outv_add(out, line.ptr, line.len);
	}
	if (edits->fields != NULL)
		add_fields(out, edits->fields);
	outv_text(out, edits->set_cookie);
	if (edits->add_coding)
		outv_text(out, SLICE("Transfer-Encoding: chunked\r\n"));
	if (edits->close)
		outv_text(out, SLICE("Connection: close\r\n"));
	if (edits->keep_alive)
		outv_text(out, SLICE("Connection: keep-alive\r\n"));
	if (edits->upgrade)
		add_upgrade(out, m);
	outv_add(out, m->base + m->head_len - 2, 2);
}
