/*
 * What the files of the HTTP/1 parser share: h1_parse.c (lines and their octets), h1_meaning.c
 * (what they say) and h1_opinion.c (llhttp's reading of them).
 */
#ifndef WEIR_H1_PARSE_PRIV_H
#define WEIR_H1_PARSE_PRIV_H

#include "weir/h1_parse.h"

/*
 * Octets allowed in: a token (RFC 9110 section 5.6.2), a field value (section 5.5: visible, space,
 * tab, obs-text), a request target (visible ASCII), a host (RFC 3986 section 3.2.2 with port, no
 * userinfo).
 */
enum { IN_TOKEN = 1, IN_VALUE = 2, IN_TARGET = 4, IN_HOST = 8 };

extern const uint8_t h1_octets[256];

/* Bytes from data[from] on that are all of `kind`; returns the position of the first that is not,
 * at most `end`. */
static inline size_t
h1_span(const char *data, size_t from, size_t end, unsigned kind)
{
	while (from < end && (h1_octets[(unsigned char)data[from]] & kind))
		from++;
	return from;
}

/* Note what h1_fault() will say; `text` is static.  Returns H1_BAD. */
enum h1_result h1_bad(const char *text, size_t position);

/* h1_meaning.c: all that the message has behind its lines; the lines themselves are parsed. */
enum h1_result h1_read_fields(struct message *m, bool is_request);
/* Section 3.2 of RFC 9112, for requests, behind h1_read_fields(). */
enum h1_result h1_read_target(struct message *m);

/* h1_opinion.c: does llhttp find the same target, names and values? */
bool h1_opinion_agrees(const struct message *m, bool is_request);

#endif
