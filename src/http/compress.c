#include "weir/compress.h"

#include "weir/accept.h"

/* Does a list field of the message have this element? */
static bool
has_element(const struct message *m, struct slice name, struct slice wanted)
{
	for (unsigned i = 0; i < m->field_count; i++) {
		struct slice list = message_value(m, &m->fields[i]), element;

		if (!slice_equal_nocase(message_name(m, &m->fields[i]), name))
			continue;
		while (list_next(&list, &element))
			if (slice_equal_nocase(element, wanted))
				return true;
	}
	return false;
}

static struct slice
find_value(const struct message *m, struct slice name)
{
	for (unsigned i = 0; i < m->field_count; i++)
		if (slice_equal_nocase(message_name(m, &m->fields[i]), name))
			return message_value(m, &m->fields[i]);
	return (struct slice){ NULL, 0 };
}

/* "text/html; charset=utf-8" is "text/html", and one of "text/" followed by a star. */
static bool
is_wanted_type(const struct compression_config *conf, struct slice value)
{
	const char *end = value.len > 0 ? memchr(value.ptr, ';', value.len) : NULL;
	struct slice type = value;

	if (end != NULL)
		type.len = (size_t)(end - value.ptr);
	type = slice_trim(type);
	for (size_t i = 0; i < conf->type_count; i++) {
		struct slice wanted = slice_of(conf->types[i]);

		if (slice_equal_nocase(type, wanted))
			return true;
		if (wanted.ptr[wanted.len - 1] == '*' && type.len >= wanted.len &&
		    strncasecmp(type.ptr, wanted.ptr, wanted.len - 1) == 0)
			return true;
	}
	return false;
}

/* Fields that say something about the bytes of the body, or forbid to change them. */
static bool
is_bound(const struct message *response)
{
	static const char *const names[] = { "content-encoding", "content-range", "content-md5",
		"digest", "content-digest", "repr-digest", "trailer" };

	for (unsigned i = 0; i < response->field_count; i++)
		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			if (slice_equal_nocase(
				message_name(response, &response->fields[i]), slice_of(names[k])))
				return true;
	return has_element(response, SLICE("cache-control"), SLICE("no-transform"));
}

/*
 * Does the client ask about the weak form of this validator?  Then it has what was compressed, and
 * a 304 with the strong one would be about something else (RFC 9111 section 4.3.4).
 */
static bool
has_weak_form(const struct message *request, const struct message *response)
{
	struct slice etag = find_value(response, SLICE("etag"));

	for (unsigned i = 0; etag.len > 0 && i < request->field_count; i++) {
		struct slice list = message_value(request, &request->fields[i]), element;

		if (!slice_equal_nocase(
			message_name(request, &request->fields[i]), SLICE("if-none-match")))
			continue;
		while (list_next(&list, &element))
			if (slice_starts(element, SLICE("W/")) && element.len == etag.len + 2 &&
			    memcmp(element.ptr + 2, etag.ptr, etag.len) == 0)
				return true;
	}
	return false;
}

enum compress
compress_choose(const struct compression_config *conf, const struct message *request,
    const struct message *response)
{
	/* RFC 9110 section 9.3.2: HEAD is answered with the fields that GET would have. */
	bool is_head = request->method == METHOD_HEAD && response->status != 204;
	int gzip, identity;

	if (response->status == 304)
		return has_weak_form(request, response) ? COMPRESS_SAME : COMPRESS_NO;
	if ((response->framing == FRAMING_NONE && !is_head) || response->status == 206 ||
	    (response->has_length && response->content_length < conf->min_size) ||
	    !is_wanted_type(conf, find_value(response, SLICE("content-type"))) ||
	    is_bound(response))
		return COMPRESS_NO;
	gzip = accept_coding(request, SLICE("gzip"));
	identity = accept_coding(request, SLICE("identity"));
	if (gzip <= 0 || gzip < identity ||
	    has_element(request, SLICE("cache-control"), SLICE("no-transform")))
		return COMPRESS_VARY;
	return COMPRESS_YES;
}

/* A strong validator names the bytes; these will be others (RFC 9110 section 8.8.1). */
static void
weaken_etag(const struct message *response, struct field_edits *edits)
{
	struct slice etag = find_value(response, SLICE("etag"));
	size_t at = edits->used;

	if (etag.len == 0 || slice_starts(etag, SLICE("W/")))
		return;
	edits_write(edits, SLICE("W/"));
	edits_write(edits, etag);
	edits_put(
	    edits, EDIT_SET, SLICE("ETag"), (struct slice){ edits->text + at, edits->used - at });
}

void
compress_edit(struct message *response, enum compress choice, struct field_edits *edits)
{
	if (choice != COMPRESS_NO && !has_element(response, SLICE("vary"), SLICE("*")) &&
	    !has_element(response, SLICE("vary"), SLICE("accept-encoding")))
		edits_put(edits, EDIT_ADD, SLICE("Vary"), SLICE("Accept-Encoding"));
	if (choice == COMPRESS_SAME)
		weaken_etag(response, edits);
	if (choice != COMPRESS_YES)
		return;
	edits_put(edits, EDIT_ADD, SLICE("Content-Encoding"), SLICE("gzip"));
	edits_put(edits, EDIT_REMOVE, SLICE("Accept-Ranges"), (struct slice){ NULL, 0 });
	weaken_etag(response, edits);
	for (unsigned i = 0; i < response->field_count; i++) {
		struct field *f = &response->fields[i];

		if (f->id == FIELD_CONTENT_LENGTH || f->id == FIELD_TRANSFER_ENCODING)
			f->dropped = true;
	}
	response->has_length = false;
	if (response->framing != FRAMING_NONE)
		response->framing = FRAMING_CHUNKED;
}
