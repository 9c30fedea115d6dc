/*
 * traceparent: which trace a request belongs to (W3C Trace Context, level 1).
 *
 * Runs in: worker.  Text to numbers and back; knows nothing of messages.
 */
#ifndef WEIR_TRACEPARENT_H
#define WEIR_TRACEPARENT_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/slice.h"

enum { TRACEPARENT_SIZE = 56, TRACE_ID_SIZE = 33, TRACE_SAMPLED = 1 };

struct trace_context {
	uint64_t trace[2]; /* both 0: none */
	uint64_t parent;   /* span of whoever sent it; 0: the trace begins here */
	uint8_t flags;     /* TRACE_SAMPLED and what later versions define */
};

/*
 *	00 - 4bf92f3577b34da6a3ce929d0e0e4736 - 00f067aa0ba902b7 - 01
 *	version     trace                        parent             flags
 *
 * Later versions may have more behind another "-".  Returns false when it is not valid: the trace must not go on.
 */
bool traceparent_parse(struct trace_context *context, struct slice text);
/* Of version 00, with `span` as the parent of what the next one does. */
void traceparent_print(const struct trace_context *context, uint64_t span, char text[static TRACEPARENT_SIZE]);
void trace_id_print(const struct trace_context *context, char text[static TRACE_ID_SIZE]);

#endif
