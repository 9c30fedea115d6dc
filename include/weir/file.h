/*
 * file: read a whole file, write one atomically.
 *
 * Used by every program, never on the data path (calls may block).
 */
#ifndef WEIR_FILE_H
#define WEIR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Read a regular file or a pipe, `max` bytes at most.  path "-" is standard input.
 * Returns a NUL-terminated copy that the caller frees and its length in *len; NULL with errno set (EFBIG: over `max`,
 * EISDIR: a directory).
 */
char *file_read(const char *path, size_t max, size_t *len);

/*
 * What all files that file_read() read since file_watch_reads() were called and held, as one number: whoever reads the
 * same files again can tell whether they have changed.
 */
void file_watch_reads(void);
uint64_t file_reads_seen(void);

/*
 * Replace `path` by `len` bytes: temporary file in the same directory, fsync, rename, fsync of the directory.
 * A file that holds these bytes already is left alone.  A symbolic link is replaced itself,
 * not what it names: root may write to directories that others own.
 * changed  set to whether something was written; may be NULL.
 * Returns 0, or -1 with errno set and nothing changed (EINVAL: a pipe or device; EISDIR: a directory).
 */
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, bool *changed);

/* Make the directory `path` and those above it, as mkdir -p.  Returns 0, or -1 with errno set. */
int file_make_dirs(const char *path, mode_t mode);

#endif
