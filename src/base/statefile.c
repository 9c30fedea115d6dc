#include "weir/statefile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "weir/arena.h"
#include "weir/file.h"

struct header {
	uint64_t magic;
	char kind[8];
	uint32_t version, zero;
	uint64_t len, checksum;
};
_Static_assert(sizeof(struct header) == 40, "without holes");

static const uint64_t state_magic = 0x3174617473726577; /* "werstat1" on x86 */

static void
set_kind(struct header *header, const struct state_kind *kind)
{
	size_t len = strlen(kind->name);

	memcpy(header->kind, kind->name, len < sizeof(header->kind) ? len : sizeof(header->kind));
}

int
statefile_write(const char *path, const struct state_kind *kind, const void *data, size_t len)
{
	const char *slash = strrchr(path, '/');
	struct header header = { .magic = state_magic,
		.version = kind->version,
		.len = len,
		.checksum = XXH3_64bits(data, len) };
	char *whole, *dir;
	int result, saved;

	if (len > kind->max) {
		errno = EFBIG;
		return -1;
	}
	set_kind(&header, kind);
	whole = xmalloc(sizeof(header) + len);
	memcpy(whole, &header, sizeof(header));
	if (len > 0)
		memcpy(whole + sizeof(header), data, len);
	dir = xprintf("%.*s", slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : ".");
	result = file_make_dirs(dir, 0750);
	if (result == 0)
		result = file_write_atomic(path, whole, sizeof(header) + len, 0600, NULL);
	saved = errno;
	free(dir);
	free(whole);
	errno = saved;
	return result;
}

/* NULL: it is right. */
static const char *
fault_of(const struct header *header, const struct state_kind *kind, const char *data, size_t len)
{
	struct header wanted = { .magic = state_magic };

	set_kind(&wanted, kind);
	if (header->magic != wanted.magic || memcmp(header->kind, wanted.kind, 8) != 0)
		return "it is no such file";
	if (header->version != kind->version || header->zero != 0)
		return "it is of another version";
	if (header->len != len)
		return "it is cut short, or too long";
	return header->checksum == XXH3_64bits(data, len) ? NULL : "its checksum is wrong";
}

void *
statefile_read(const char *path, const struct state_kind *kind, size_t *len, const char **why)
{
	struct header header;
	char *whole = file_read(path, sizeof(header) + kind->max, len);

	*why = NULL;
	if (whole == NULL) {
		if (errno != ENOENT)
			*why = strerror(errno);
		return NULL;
	}
	if (*len < sizeof(header)) {
		*why = "it is cut short, or too long";
	} else {
		memcpy(&header, whole, sizeof(header));
		*len -= sizeof(header);
		*why = fault_of(&header, kind, whole + sizeof(header), *len);
	}
	if (*why != NULL) {
		free(whole);
		return NULL;
	}
	memmove(whole, whole + sizeof(header), *len);
	return whole;
}
