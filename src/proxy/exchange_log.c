/*
 * What is told of an exchange: its line in the access log, and its place in a trace.
 */
#include "exchange_priv.h"
#include "weir/accesslog.h"
#include "weir/edits.h"
#include "weir/series.h"
#include "weir/spans.h"
#include "weir/transport.h"

void
exchange_log(const struct exchange *x, enum end end, uint64_t total_us)
{
	char trace_id[TRACE_ID_SIZE];
	struct accesslog_entry entry = {
		.id = x->id,
		.client_id = x->client_id,
		.listener = x->listener->conf,
		.client = x->client,
		.request = &x->request,
		.is_h2 = x->is_h2,
		.tls_version = transport_tls_version(x->transport),
		.tls_cipher = transport_tls_cipher(x->transport),
		.route = x->route != NULL && x->series != NULL ? x->series->conf->name : NULL,
		.pool = x->pool != NULL ? x->pool->conf : NULL,
		.server = x->server != NULL ? x->server->conf : NULL,
		.status = x->status,
		.bytes_in = x->bytes_in,
		.bytes_out = x->bytes_out,
		.retries = x->attempts > 1 ? x->attempts - 1 : 0,
		.connect_us = x->connected_us != 0 ? x->connected_us - x->started_us : 0,
		.first_byte_us = x->first_byte_us != 0 ? x->first_byte_us - x->started_us : 0,
		.total_us = total_us,
		.end = end,
	};

	if (exchange_is_traced(x)) {
		trace_id_print(&x->trace, trace_id);
		entry.trace_id = trace_id;
	}
	if (x->listener->accesslog != NULL)
		accesslog_write(x->listener->accesslog, &entry);
	if (x->worker->spans != NULL && (x->trace.flags & TRACE_SAMPLED) != 0)
		span_write(x->worker->spans, &x->trace, &entry);
}

/* ---- traces ---- */

static const struct slice traceparent = { "traceparent", 11 }, tracestate = { "tracestate", 10 };

/* splitmix64: IDs need be unique, not secret. */
static uint64_t
next_random(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void
begin_trace(struct exchange *x)
{
	struct worker *worker = x->worker;

	x->trace = (struct trace_context){
		.trace = { next_random(&worker->trace_seeds[0]),
		    next_random(&worker->trace_seeds[1]) | 1 },
	};
	if (++worker->traces_skipped < worker->config->global.trace.sample)
		return;
	worker->traces_skipped = 0;
	x->trace.flags = TRACE_SAMPLED;
}

void
exchange_find_trace(struct exchange *x)
{
	struct slice found = { NULL, 0 };
	unsigned count = 0;

	for (unsigned i = 0; i < x->request.field_count; i++)
		if (slice_equal_nocase(
			message_name(&x->request, &x->request.fields[i]), traceparent)) {
			found = message_value(&x->request, &x->request.fields[i]);
			count++;
		}
	if (x->id == 0)
		x->id = x->worker->request_ids++; /* no span has the ID 0 */
	if (count != 1 || !traceparent_parse(&x->trace, found))
		begin_trace(x);
}

void
exchange_edit_trace(const struct exchange *x, struct field_edits *edits)
{
	char text[TRACEPARENT_SIZE];
	size_t at = edits->used;

	traceparent_print(&x->trace, x->id, text);
	edits_write(edits, slice_of(text));
	edits_forget(edits, traceparent);
	edits_put(
	    edits, EDIT_SET, traceparent, (struct slice){ edits->text + at, edits->used - at });
	/* It says more of a trace that does not go on (section 3.3.1.1). */
	if (x->trace.parent == 0)
		edits_put(edits, EDIT_REMOVE, tracestate, SLICE(""));
}
