/*
 * dashboard: the page at "/" of the stats endpoint.
 *
 * Runs in: control.  The page is src/stats/dashboard.html, which the build turns into an array.
 */
#ifndef WEIR_DASHBOARD_PRIV_H
#define WEIR_DASHBOARD_PRIV_H

#include <stddef.h>

extern const unsigned char dashboard_page[];
extern const size_t dashboard_page_len;

/*
 * The page's Content-Security-Policy: nothing but its own style and script, told by their hashes, and this endpoint's
 * data.  Returns a text that the caller frees.
 */
char *dashboard_policy(void);

#endif
