/*
 * statefile: what outlives a restart, in files of state_dir.
 *
 * Runs in: master.  A file has a header with its kind, the version of what follows, its length and a checksum; it is
 * replaced as a whole or not at all.  What is read is checked, but not understood, here: that a file is whole does not
 * mean that its contents make sense.
 *
 *	 0       8       16         20         24          32        40
 *	+-------+-------+----------+----------+-----------+---------+------...
 *	| magic | kind  | version  | zero     | length    | XXH3    | data
 *	+-------+-------+----------+----------+-----------+---------+------...
 *
 * Numbers are the machine's: a file of another kind of machine has another magic.
 */
#ifndef WEIR_STATEFILE_H
#define WEIR_STATEFILE_H

#include <stddef.h>
#include <stdint.h>

struct state_kind {
	const char *name; /* 8 characters at most */
	uint32_t version; /* of the data; a file of another version is not read */
	size_t max;       /* bytes of data; a file with more is not read */
};

/* Replace `path` in its directory, which is made if there is none.  Returns 0, or -1 with errno set and nothing changed. */
int statefile_write(const char *path, const struct state_kind *kind, const void *data, size_t len);
/*
 * Returns the data, which the caller frees, and its length in *len.
 * NULL: there is no file (*why is NULL), or it cannot be used (*why says it; borrowed until the next call).
 */
void *statefile_read(const char *path, const struct state_kind *kind, size_t *len, const char **why);

#endif
