/*
 * view: results of the daemon, for people.
 *
 * Used by: weirctl.  A result that lacks something shows "-" there: the daemon may be of another version.
 */
#ifndef WEIR_VIEW_PRIV_H
#define WEIR_VIEW_PRIV_H

#include <stdio.h>

#include <jansson.h>

typedef void view_fn(const json_t *result, FILE *out);

view_fn view_status, view_listeners, view_pools, view_servers, view_message, view_help;

#endif
