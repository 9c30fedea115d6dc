/*
 * view: results of the daemon, for people.
 *
 * Used by: weirctl.  A result that lacks something shows "-" there: the daemon may be of another version.
 */
#ifndef WEIR_VIEW_PRIV_H
#define WEIR_VIEW_PRIV_H

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

typedef void view_fn(const json_t *result, FILE *out);

view_fn view_status, view_listeners, view_pools, view_servers, view_routes, view_sticky, view_certs, view_errors, view_message, view_help;

/* "1.5k", "3m": what the tables use; they return `text`. */
const char *view_bytes(uint64_t bytes, char text[static 32]);
const char *view_duration(uint64_t seconds, char text[static 32]);

#endif
