/*
 * refuse: requests that cannot even begin, of HTTP/1 and HTTP/2 alike: counted, logged, kept for
 * `weirctl errors`, and answered.
 */
#include "front_priv.h"
#include "weir/accesslog.h"
#include "weir/buf.h"
#include "weir/faults.h"
#include "weir/reply.h"

void
client_report(
    const struct client *client, const char *reason, size_t position, const char *data, size_t len)
{
	const struct worker *worker = client->listener->worker;

	tally_add(client->listener->tally, TALLY_BAD_REQUESTS, 1);
	faults_add(
	    shm_faults(worker->shm, worker->slot), &(struct fault_report){ .kind = FAULT_REQUEST,
						       .client = &client->address,
						       .listener = client->listener->conf->name,
						       .reason = reason,
						       .position = position,
						       .data = data,
						       .len = len });
}

static bool
is_fault(enum end end)
{
	return end == END_REQUEST_MALFORMED || end == END_REQUEST_TOO_LARGE ||
	       end == END_TARGET_TOO_LONG || end == END_VERSION;
}

struct buf *
client_refuse(const struct client *client, const struct refusal *refusal)
{
	struct worker *worker = client->listener->worker;
	struct tally *tally = client->listener->tally;
	unsigned status = end_table[refusal->end].status;
	uint64_t id = worker->request_ids++;
	struct buf *out = reply_error(refusal->end, NULL, id, refusal->close);

	if (is_fault(refusal->end))
		client_report(client,
		    refusal->reason != NULL ? refusal->reason : end_table[refusal->end].sentence,
		    refusal->reason != NULL ? refusal->position : refusal->head.len,
		    refusal->head.ptr, refusal->head.len);
	if (refusal->end == END_CLIENT_TIMEOUT_HEAD)
		tally_add(tally, TALLY_SLOW_CLIENTS, 1);
	tally_add(tally, tally_of_status(status), 1);
	tally_add(tally, TALLY_BYTES_OUT, buf_len(out));
	latency_count_end(client->listener->latency, refusal->end);
	if (client->listener->accesslog != NULL)
		accesslog_write(client->listener->accesslog,
		    &(struct accesslog_entry){
			.id = id,
			.listener = client->listener->conf,
			.client = &client->address,
			.is_h2 = refusal->is_h2,
			.tls_version = transport_tls_version(&client->transport),
			.tls_cipher = transport_tls_cipher(&client->transport),
			.status = status,
			.bytes_in = refusal->head.len,
			.bytes_out = buf_len(out),
			.end = refusal->end,
		    });
	return out;
}
