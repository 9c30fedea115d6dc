/*
 * spans: what a trace learns of a request: one OTLP/JSON object a line, as collectors read from files.
 *
 * Runs in: worker.
 */
#ifndef WEIR_SPANS_H
#define WEIR_SPANS_H

#include "weir/accesslog.h"
#include "weir/traceparent.h"

struct log_writer;

/* `entry->id` is the span's.  Ended now. */
void span_write(struct log_writer *writer, const struct trace_context *context, const struct accesslog_entry *entry);

#endif
