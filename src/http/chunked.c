#include "weir/chunked.h"

#include <string.h>

enum {
	EXTENSIONS_MAX = 4096, /* of the whole body, beyond ... */
	EXTENSION_FREE = 16    /* ... these of each chunk */
};

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
is_text(char c)
{
	return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static bool
is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* The size of a chunk is known: extensions may be as long as the data; what is beyond that adds up.
 */
static void
settle(struct chunked *c)
{
	if (c->left > 0 && c->overhead > c->left + EXTENSION_FREE)
		c->overhead -= (uint16_t)(c->left + EXTENSION_FREE);
	else
		c->overhead = 0;
}

/* Where in ";" name [ "=" ( token / quoted-string ) ] an extension is (RFC 9112 section 7.1.1);
 * white space may stand around the signs. */
enum extension {
	EXTENSION_BEGIN = 0, /* behind ";" */
	EXTENSION_NAME,
	EXTENSION_NAMED, /* white space behind the name */
	EXTENSION_EQUALS,
	EXTENSION_TOKEN,
	EXTENSION_QUOTED,
	EXTENSION_ESCAPED, /* behind a backslash */
	EXTENSION_VALUED,  /* behind the closing quote */
	EXTENSION_SPACE    /* white space behind the value */
};

/* One byte of an extension, but not its CR.  Returns whether it is allowed there. */
static bool
extend(struct chunked *c, char byte)
{
	bool is_space = byte == ' ' || byte == '\t';

	switch ((enum extension)c->extension) {
	case EXTENSION_BEGIN:
		if (is_token(byte))
			c->extension = EXTENSION_NAME;
		return is_space || is_token(byte);
	case EXTENSION_NAME:
	case EXTENSION_NAMED:
		if (is_token(byte))
			return c->extension == EXTENSION_NAME;
		c->extension = byte == '='   ? EXTENSION_EQUALS
			       : byte == ';' ? EXTENSION_BEGIN
					     : EXTENSION_NAMED;
		return is_space || byte == '=' || byte == ';';
	case EXTENSION_EQUALS:
		if (is_space)
			return true;
		c->extension = byte == '"' ? EXTENSION_QUOTED : EXTENSION_TOKEN;
		return byte == '"' || is_token(byte);
	case EXTENSION_TOKEN:
		if (is_token(byte))
			return true;
		c->extension = byte == ';' ? EXTENSION_BEGIN : EXTENSION_SPACE;
		return is_space || byte == ';';
	case EXTENSION_QUOTED:
		if (byte == '"')
			c->extension = EXTENSION_VALUED;
		else if (byte == '\\')
			c->extension = EXTENSION_ESCAPED;
		return is_text(byte);
	case EXTENSION_ESCAPED:
		c->extension = EXTENSION_QUOTED;
		return is_text(byte);
	case EXTENSION_VALUED:
	case EXTENSION_SPACE:
		c->extension = byte == ';' ? EXTENSION_BEGIN : EXTENSION_SPACE;
		return is_space || byte == ';';
	}
	return false;
}

/* May the line end here? */
static bool
is_extended(const struct chunked *c)
{
	return c->extension == EXTENSION_NAME || c->extension == EXTENSION_TOKEN ||
	       c->extension == EXTENSION_VALUED;
}

/* One framing byte (all states but CHUNKED_DATA and those at the end).  Returns whether it is
 * allowed there. */
static bool
step(struct chunked *c, char byte)
{
	int digit;

	switch ((enum chunked_state)c->state) {
	case CHUNKED_SIZE:
		digit = hex_digit(byte);
		if (digit >= 0) {
			if (c->digits++ >= 15) /* 2^60 is the largest: nothing overflows */
				return false;
			c->left = c->left << 4 | (uint64_t)digit;
			return true;
		}
		if (c->digits == 0)
			return false;
		if (byte == '\r') {
			c->state = CHUNKED_SIZE_LF;
			return true;
		}
		c->state = CHUNKED_EXTENSION;
		c->extension = EXTENSION_BEGIN;
		/* Old senders pad the size with spaces; RFC 9112 allows BWS before ';' only. */
		return byte == ';';
	case CHUNKED_EXTENSION:
		if (byte == '\r') {
			c->state = CHUNKED_SIZE_LF;
			return is_extended(c);
		}
		return extend(c, byte) && c->overhead++ < EXTENSIONS_MAX;
	case CHUNKED_SIZE_LF:
		c->state = c->left > 0 ? CHUNKED_DATA : CHUNKED_TRAILER;
		c->digits = 0;
		settle(c);
		return byte == '\n';
	case CHUNKED_DATA_CR:
		c->state = CHUNKED_DATA_LF;
		return byte == '\r';
	case CHUNKED_DATA_LF:
		c->state = CHUNKED_SIZE;
		c->left = 0;
		return byte == '\n';
	case CHUNKED_TRAILER:
		if (byte == '\r') {
			c->state = CHUNKED_END_LF;
			return true;
		}
		c->state = CHUNKED_TRAILER_NAME;
		return is_token(byte) && c->overhead++ < CHUNKED_TRAILERS_MAX;
	case CHUNKED_TRAILER_NAME:
		if (byte == ':') {
			c->state = CHUNKED_TRAILER_VALUE;
			return true;
		}
		return is_token(byte) && c->overhead++ < CHUNKED_TRAILERS_MAX;
	case CHUNKED_TRAILER_VALUE:
		if (byte == '\r') {
			c->state = CHUNKED_TRAILER_LF;
			return true;
		}
		return is_text(byte) && c->overhead++ < CHUNKED_TRAILERS_MAX;
	case CHUNKED_TRAILER_LF:
		c->state = CHUNKED_TRAILER;
		return byte == '\n';
	case CHUNKED_END_LF:
		c->state = CHUNKED_END;
		return byte == '\n';
	case CHUNKED_DATA:
	case CHUNKED_END:
	case CHUNKED_BROKEN:
		break;
	}
	return false;
}

ptrdiff_t
chunked_next(struct chunked *c, const char *bytes, size_t len, size_t *data_at, size_t *data_len)
{
	size_t at = 0;

	*data_at = *data_len = 0;
	while (at < len && c->state != CHUNKED_END) {
		if (c->state == CHUNKED_DATA) {
			size_t take = len - at < c->left ? len - at : (size_t)c->left;

			*data_at = at;
			*data_len = take;
			c->left -= take;
			if (c->left == 0)
				c->state = CHUNKED_DATA_CR;
			return (ptrdiff_t)(at + take);
		}
		if (c->state == CHUNKED_SIZE_LF && c->left == 0 && bytes[at] == '\n') {
			/* The trailers, or their absence, are a piece of their own. */
			step(c, bytes[at++]);
			return (ptrdiff_t)at;
		}
		if (!step(c, bytes[at++])) {
			/* step() may have gone on to a state that would read the same bytes as
			 * something else. */
			c->state = CHUNKED_BROKEN;
			return -1;
		}
	}
	return (ptrdiff_t)at;
}

static ptrdiff_t
skim(struct chunked *c, const char *bytes, size_t len, bool with_trailers)
{
	size_t at = 0, data_at, data_len;

	while (at < len && c->state != CHUNKED_END) {
		ptrdiff_t n;

		/* Nearly always there are none. */
		if (c->state == CHUNKED_TRAILER && !with_trailers &&
		    !(len - at >= 2 && memcmp(bytes + at, "\r\n", 2) == 0))
			break;
		n = chunked_next(c, bytes + at, len - at, &data_at, &data_len);
		if (n < 0)
			return -1;
		at += (size_t)n;
	}
	return (ptrdiff_t)at;
}

ptrdiff_t
chunked_skim(struct chunked *c, const char *bytes, size_t len)
{
	return skim(c, bytes, len, true);
}

ptrdiff_t
chunked_skim_data(struct chunked *c, const char *bytes, size_t len)
{
	return skim(c, bytes, len, false);
}
