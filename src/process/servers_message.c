/*
 * servers_message: lists of servers on their way from the master to its children.
 *
 * A message has room for some hundred servers at most, so the lists travel in a file in memory
 * whose descriptor goes with it.  Both sides are the same binary: servers are copied as they are.
 *
 *	for each pool:  | index | count | size | servers ... names ... | padding to 8 bytes
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "servers_priv.h"
#include "weir/arena.h"

struct list_header {
	uint64_t pool, count;
	uint64_t size; /* of servers and names */
};

static size_t
padded(size_t size)
{
	return (size + 7) / 8 * 8;
}

static int
write_at(int fd, const void *data, size_t len, size_t *at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)data + done, len - done, (off_t)(*at + done));

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	*at += len;
	return 0;
}

int
servers_pack(const struct servers_set *sets, size_t count, struct servers_header *header)
{
	int fd = memfd_create("weir-servers", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;

	if (fd == -1)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct servers_set *set = &sets[i];
		struct list_header list = { set->pool, set->count,
			conf_servers_size(set->servers, set->count) };

		if (write_at(fd, &list, sizeof(list), &at) == -1 ||
		    write_at(fd, set->servers, list.size, &at) == -1)
			goto fail;
		at = padded(at);
	}
	if (ftruncate(fd, (off_t)at) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == -1)
		goto fail;
	header->size = at;
	header->pool_count = (uint32_t)count;
	return fd;

fail:
	close(fd);
	return -1;
}

/* Takes the next list out of `data`.  Returns false when there is none. */
static bool
unpack_one(
    const char *data, size_t len, size_t *at, const struct config *config, struct servers_set *set)
{
	struct list_header list;

	if (len - *at < sizeof(list))
		return false;
	memcpy(&list, data + *at, sizeof(list));
	*at += sizeof(list);
	if (list.pool >= config->pool_count || list.size > len - *at ||
	    list.count > list.size / sizeof(struct server_config))
		return false;
	set->pool = (uint32_t)list.pool;
	set->count = list.count;
	set->servers = xmalloc(list.size + 1);
	memcpy(set->servers, data + *at, list.size);
	*at = padded(*at + list.size);
	if (*at <= len && conf_adopt_servers(set->servers, list.count, list.size))
		return true;
	free(set->servers);
	return false;
}

bool
servers_unpack(int fd, const struct servers_header *header, const struct config *config,
    void (*each)(void *arg, struct servers_set set), void *arg)
{
	size_t at = 0;
	struct servers_set set;
	struct stat st;
	bool ok = true;
	char *data;

	if (fstat(fd, &st) == -1 || header->size == 0 || (uint64_t)st.st_size != header->size)
		return false;
	data = mmap(NULL, header->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return false;
	for (uint32_t i = 0; ok && i < header->pool_count; i++) {
		ok = unpack_one(data, header->size, &at, config, &set);
		if (ok)
			each(arg, set);
	}
	munmap(data, header->size);
	return ok;
}
