/*
 * server_names: which of many names a TLS client asks for: exact, else with its first label replaced by "*".
 *
 * Runs in: master (fill), workers (find).  A hash table in an arena: thousands of names cost what one costs.
 */
#ifndef WEIR_SERVER_NAMES_H
#define WEIR_SERVER_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct server_names;

struct server_names *server_names_new(struct arena *arena);
/*
 * name     "www.example.com" or "*.example.com" (one label); copied
 * value    not NULL
 * Returns  false if the name is there already, or can be no host's.
 */
bool server_names_add(struct server_names *names, const char *name, void *value);
/* The value for a name as a client sent it, in any case; NULL: none. */
void *server_names_find(const struct server_names *names, const char *name, size_t len);
/* The same, but of the wildcards alone. */
void *server_names_find_wild(const struct server_names *names, const char *name, size_t len);

#endif
