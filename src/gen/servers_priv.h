/*
 * servers: what changes of a configuration when only servers do.
 */
#ifndef GEN_SERVERS_PRIV_H
#define GEN_SERVERS_PRIV_H

#include <stddef.h>

/*
 * From the text of one generated configuration to that of the next: what the daemon's `apply` takes (weirctl(1)).
 * Returns NULL where more than servers of pools differ, or nothing does; else the caller's to free.
 * Cost: both texts are compared line by line, and nothing is parsed.
 */
char *servers_find_change(const char *old, size_t old_len, const char *new, size_t new_len);

#endif
