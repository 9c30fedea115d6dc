/*
 * tls_files: the files of certificates and keys that one load reads, each read once.
 *
 * Runs in: master, which reads them from disk and can pack what it read into a descriptor; workers and control, which
 * have no right to read keys and get that descriptor.  So all processes load from the same bytes, with the same code.
 */
#ifndef WEIR_TLS_FILES_H
#define WEIR_TLS_FILES_H

#include <stdbool.h>
#include <stddef.h>

struct tls_files;

/* Files as they are on disk. */
struct tls_files *tls_files_new(void);
/* Files that another process packed; fd stays the caller's.  Returns NULL with errno set. */
struct tls_files *tls_files_open(int fd);
/* All that was asked for so far, in a sealed descriptor that the caller owns; -1 with errno set. */
int tls_files_pack(const struct tls_files *files);
/* Keys do not stay in memory.  NULL is allowed. */
void tls_files_free(struct tls_files *files);

struct tls_file {
	int error;      /* errno; 0: all below is valid.  EINVAL: not a regular file; EFBIG: larger than asked for */
	unsigned mode;  /* permissions */
	size_t len;
	const char *data; /* borrowed; a NUL follows */
};
/* Never NULL; valid as long as `files`.  max: bytes, taken from the first call for a path. */
const struct tls_file *tls_files_read(struct tls_files *files, const char *path, size_t max);

#endif
