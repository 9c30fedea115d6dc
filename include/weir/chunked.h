/*
 * chunked: follow the chunked transfer coding without changing it (RFC 9112 section 7.1).
 *
 * Runs in: worker.  Every framing byte is checked, so that what is passed on verbatim reads the same to everybody:
 * sizes of 1 to 15 hex digits, CR LF everywhere, extensions and trailers well-formed and bounded.
 */
#ifndef WEIR_CHUNKED_H
#define WEIR_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of all trailers; those of a gRPC response may carry a status of some kilobytes. */
enum { CHUNKED_TRAILERS_MAX = 15 * 1024 };

enum chunked_state {
	CHUNKED_SIZE = 0, /* hex digits */
	CHUNKED_EXTENSION,
	CHUNKED_SIZE_LF,
	CHUNKED_DATA,
	CHUNKED_DATA_CR,
	CHUNKED_DATA_LF,
	CHUNKED_TRAILER, /* at the start of a trailer line, or of the empty line at the end */
	CHUNKED_TRAILER_NAME,
	CHUNKED_TRAILER_VALUE,
	CHUNKED_TRAILER_LF,
	CHUNKED_END_LF,
	CHUNKED_END,
	CHUNKED_BROKEN /* an error was found: whatever follows is one too */
};

struct chunked {
	uint64_t left;     /* CHUNKED_DATA: bytes of the chunk to come; CHUNKED_SIZE: the size so far */
	uint16_t overhead; /* bytes of extensions beyond those of data, or of all trailers: bounded */
	uint8_t state;     /* enum chunked_state */
	union {
		uint8_t digits;    /* CHUNKED_SIZE */
		uint8_t extension; /* CHUNKED_EXTENSION: how far it is, see chunked.c */
	};
};

static inline void
chunked_init(struct chunked *c)
{
	*c = (struct chunked){ .state = CHUNKED_SIZE };
}

/* Are the next bytes those of trailers (or the line at the end)? */
static inline bool
chunked_is_in_trailers(const struct chunked *c)
{
	return c->state >= CHUNKED_TRAILER && c->state <= CHUNKED_TRAILER_LF;
}

/* All data has come, but not the end. */
static inline bool
chunked_is_behind_data(const struct chunked *c)
{
	return c->state >= CHUNKED_TRAILER && c->state <= CHUNKED_END_LF;
}

static inline bool
chunked_is_end(const struct chunked *c)
{
	return c->state == CHUNKED_END;
}

/*
 * Take bytes up to the end of the next piece of data, of the body, or of what is there.
 * data_at, data_len  the piece of chunk data within the bytes taken; data_len 0: only framing; no call takes trailers
 *                    and anything before them
 * Returns the bytes taken (0 only when len is 0 or the body has ended); -1 when the coding is broken.
 */
ptrdiff_t chunked_next(struct chunked *c, const char *bytes, size_t len, size_t *data_at, size_t *data_len);

/*
 * Take as much as belongs to the body, whatever the pieces.
 * Returns the bytes taken; -1 when the coding is broken.
 */
ptrdiff_t chunked_skim(struct chunked *c, const char *bytes, size_t len);
/* The same, but for trailers: it stops before them, unless the empty line shows that there are none. */
ptrdiff_t chunked_skim_data(struct chunked *c, const char *bytes, size_t len);

#endif
