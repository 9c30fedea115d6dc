#include "weir/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "weir/arena.h"
#include "weir/file.h"

#include "namemap_priv.h"

enum { PATH_SIZE_MAX = 4096, PACK_SIZE_MAX = 1 << 30 };

struct entry {
	struct tls_file file;
	char *path;  /* in the arena */
	char *owned; /* file.data; NULL: it is in files->pack, or there is none */
	struct entry *next;
};

struct tls_files {
	struct arena *arena; /* owned */
	struct namemap by_path;
	struct entry *all;
	char *pack; /* owned; NULL: read from disk */
	size_t pack_len;
};

/*
 * A pack is a row of
 *
 *	| path length (4) | errno (4) | mode (4) | length (4) | path, NUL | bytes, NUL |
 */
struct head {
	uint32_t path_len, error, mode, len;
};

struct tls_files *
tls_files_new(void)
{
	struct tls_files *files = xcalloc(1, sizeof(*files));

	files->arena = arena_new();
	namemap_init(&files->by_path, files->arena);
	return files;
}

static struct entry *
add(struct tls_files *files, const char *path)
{
	struct entry *entry = arena_alloc(files->arena, sizeof(*entry));

	*entry = (struct entry){ .path = arena_strdup(files->arena, path), .next = files->all };
	files->all = entry;
	namemap_add(&files->by_path, entry->path, entry);
	return entry;
}

/* Asked first what it is: to read a pipe that lies there by mistake would hang the start. */
static void
read_from_disk(struct entry *entry, size_t max)
{
	struct tls_file *file = &entry->file;
	struct stat st;

	if (stat(entry->path, &st) == -1) {
		file->error = errno;
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		file->error = EINVAL;
		return;
	}
	entry->owned = file_read(entry->path, max, &file->len);
	file->error = entry->owned ? 0 : errno;
	file->data = entry->owned;
	file->mode = (unsigned)st.st_mode & 07777;
}

const struct tls_file *
tls_files_read(struct tls_files *files, const char *path, size_t max)
{
	struct entry *entry = namemap_find(&files->by_path, path, strlen(path));

	if (entry)
		return &entry->file;
	entry = add(files, path);
	if (files->pack)
		entry->file.error = ENOENT; /* nobody asked for it when the others were read */
	else
		read_from_disk(entry, max);
	return &entry->file;
}

void
tls_files_free(struct tls_files *files)
{
	if (!files)
		return;
	for (struct entry *entry = files->all; entry; entry = entry->next) {
		if (!entry->owned)
			continue;
		OPENSSL_cleanse(entry->owned, entry->file.len);
		free(entry->owned);
	}
	if (files->pack) {
		OPENSSL_cleanse(files->pack, files->pack_len);
		free(files->pack);
	}
	arena_free(files->arena);
	free(files);
}

/* ---- packs ---- */

static bool
write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
write_entry(int fd, const struct entry *entry)
{
	const struct tls_file *file = &entry->file;
	struct head head = { (uint32_t)strlen(entry->path), (uint32_t)file->error, file->mode,
		file->error == 0 ? (uint32_t)file->len : 0 };

	return write_all(fd, &head, sizeof(head)) &&
	       write_all(fd, entry->path, head.path_len + 1) &&
	       (head.len == 0 || write_all(fd, file->data, head.len)) && write_all(fd, "", 1);
}

int
tls_files_pack(const struct tls_files *files)
{
	int fd = memfd_create("weir-certificates", MFD_CLOEXEC | MFD_ALLOW_SEALING), saved;
	bool ok = fd != -1;

	for (const struct entry *entry = files->all; ok && entry; entry = entry->next)
		ok = write_entry(fd, entry);
	if (ok &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != -1)
		return fd;
	saved = errno;
	if (fd != -1)
		close(fd);
	errno = saved;
	return -1;
}

/* Take one entry off the pack.  Returns the place behind it; 0: malformed. */
static size_t
open_entry(struct tls_files *files, size_t at)
{
	const char *path, *data;
	struct entry *entry;
	struct head head;

	if (files->pack_len - at < sizeof(head))
		return 0;
	memcpy(&head, files->pack + at, sizeof(head));
	at += sizeof(head);
	if (head.path_len >= PATH_SIZE_MAX || head.len > PACK_SIZE_MAX ||
	    files->pack_len - at < (size_t)head.path_len + 1 + head.len + 1)
		return 0;
	path = files->pack + at;
	data = path + head.path_len + 1;
	if (strlen(path) != head.path_len || data[head.len] != '\0' ||
	    namemap_find(&files->by_path, path, head.path_len))
		return 0;
	entry = add(files, path);
	entry->file = (struct tls_file){ (int)head.error, head.mode, head.len, data };
	return at + head.path_len + 1 + head.len + 1;
}

static bool
read_pack(struct tls_files *files, int fd)
{
	size_t at = 0;
	struct stat st;

	if (fstat(fd, &st) == -1)
		return false;
	if (st.st_size > PACK_SIZE_MAX) {
		errno = EFBIG;
		return false;
	}
	files->pack_len = (size_t)st.st_size;
	files->pack = xmalloc(files->pack_len + 1);
	while (at < files->pack_len) {
		ssize_t n = pread(fd, files->pack + at, files->pack_len - at, (off_t)at);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	files->pack[files->pack_len] = '\0';
	return true;
}

struct tls_files *
tls_files_open(int fd)
{
	struct tls_files *files = tls_files_new();
	size_t at = 0;
	int saved = EPROTO;

	if (!read_pack(files, fd)) {
		saved = errno;
		goto fail;
	}
	while (at < files->pack_len)
		if ((at = open_entry(files, at)) == 0)
			goto fail;
	return files;

fail:
	tls_files_free(files);
	errno = saved;
	return NULL;
}
