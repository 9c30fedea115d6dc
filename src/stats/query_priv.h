/*
 * query: the head of a request to the stats endpoint.
 *
 * Runs in: control.  A strict reader of what monitoring tools send; the data path has its own (http).  Source: RFC 9112.
 */
#ifndef WEIR_QUERY_PRIV_H
#define WEIR_QUERY_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/slice.h"

struct query {
	size_t len;        /* bytes of the head, its empty line included */
	unsigned status;   /* 0: fine; else the error to answer, and the connection ends */
	bool is_old;       /* HTTP/1.0 */
	bool is_head;      /* HEAD, not GET */
	bool closes;       /* the client wants or gets no further request on this connection */
	struct slice path; /* points into the text; without the query string */
	struct slice args; /* what stands behind the question mark */
};

/*
 * Read one head.  A fault is told as soon as it is seen, complete or not.
 * Returns  false while the head is incomplete and faultless so far.
 */
bool query_parse(struct query *query, const char *text, size_t len);
/*
 * The value of "name=" behind the question mark, decoded.
 * Returns 1; 0: it is not there; -1: it is malformed or does not fit.
 */
int query_get(const struct query *query, const char *name, char *text, size_t size);

#endif
