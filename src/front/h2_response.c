/*
 * h2_response: responses of exchanges, and weir's own, as HTTP/2 streams.
 */
#include "h2_priv.h"
#include "weir/buf.h"
#include "weir/edits.h"
#include "weir/h1_parse.h"
#include "weir/h2_fields.h"
#include "weir/reply.h"

/* The trailers that may be sent, as the end of the stream.  Returns -1 when there are none. */
static int
submit_trailers(struct h2_stream *s)
{
	static struct h2_fields f; /* one worker, one thread */

	h2_fields_init(&f);
	h2_fields_add_trailers(
	    &f, (struct slice){ buf_head(s->trailers_out), buf_len(s->trailers_out) });
	if (f.count == 0)
		return -1;
	return nghttp2_submit_trailer(s->h2->session, s->id, f.v, f.count) == 0 ? 0 : -1;
}

static ssize_t
read_piece(nghttp2_session *session, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
    nghttp2_data_source *source, void *user)
{
	struct h2_stream *s = source->ptr;
	size_t left = s->piece_len - s->piece_taken;
	size_t n = left < size ? left : size;

	(void)session;
	(void)id;
	(void)user;
	if (n > 0)
		memcpy(to, s->piece + s->piece_taken, n);
	s->piece_taken += n;
	if (n > 0)
		s->stalled_ms = s->x != NULL ? 0 : now_ms;
	if (n == left && s->piece_is_last) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->trailers_out != NULL && submit_trailers(s) == 0)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		return (ssize_t)n;
	}
	if (n > 0)
		return (ssize_t)n;
	s->is_deferred = true;
	if (s->tunnel != NULL || (s->x != NULL && exchange_has_more(s->x)))
		h2_wait(s);
	return NGHTTP2_ERR_DEFERRED;
}

static int
submit_head(struct h2_stream *s, const struct message *head, const struct field_edits *edits,
    struct slice added_line, bool has_body)
{
	nghttp2_data_provider provider = { .source.ptr = s, .read_callback = read_piece };
	static struct h2_fields f; /* one worker, one thread */
	struct slice name, value;
	bool is_switch = head->status == 101;
	/* RFC 8441 section 5: what is 101 in HTTP/1.1. */
	unsigned code = is_switch ? 200 : head->status;
	char status[] = { (char)('0' + code / 100 % 10), (char)('0' + code / 10 % 10),
		(char)('0' + code % 10) };

	h2_fields_init(&f);
	h2_fields_add(&f, SLICE(":status"), (struct slice){ status, sizeof(status) });
	for (unsigned i = 0; i < head->field_count; i++) {
		const struct field *field = &head->fields[i];

		/* Section 8.2.2: what is about the connection does not exist here. */
		if (field->dropped || field->id == FIELD_TRANSFER_ENCODING)
			continue;
		if (field->id == FIELD_CONTENT_LENGTH &&
		    (head->status < 200 || head->status == 204))
			continue;
		if (is_switch && slice_equal_nocase(message_name(head, field), WEBSOCKET_ACCEPT))
			continue;
		if (edits != NULL && edits_hide(edits, message_name(head, field)))
			continue;
		h2_fields_add(&f, message_name(head, field), message_value(head, field));
	}
	/* RFC 9110 section 6.6.1. */
	if (head->status >= 200 && !head->has_date && !edits_hide(edits, SLICE("date")))
		h2_fields_add(&f, SLICE("date"), reply_date());
	for (unsigned i = 0; edits != NULL && i < edits->count; i++)
		if (edits->v[i].op != EDIT_REMOVE)
			h2_fields_add(&f, edits->v[i].name, edits->v[i].value);
	if (h2_fields_next_line(&added_line, &name, &value))
		h2_fields_add(&f, name, value);
	if (f.failed)
		return -1;
	if (head->status < 200 && !is_switch)
		return nghttp2_submit_headers(
			   s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, f.v, f.count, NULL) < 0
			   ? -1
			   : 0;
	return nghttp2_submit_response(
		   s->h2->session, s->id, f.v, f.count, has_body ? &provider : NULL) < 0
		   ? -1
		   : 0;
}

int
h2_send(struct exchange *x, const struct response_piece *piece, size_t *taken)
{
	struct h2_stream *s = x->front;
	struct h2 *h2 = s->h2;

	*taken = 0;
	if (s->is_closed || h2->is_broken)
		return IO_ERROR;
	worker_defer(h2->worker, &h2->deferred);
	if (piece->is_last && x->trailers != NULL) {
		s->trailers_out = x->trailers;
		x->trailers = NULL;
	}
	if (piece->head != NULL) {
		bool is_final = piece->head->status >= 200;
		bool has_more = !piece->is_last || piece->len > 0 || s->trailers_out != NULL;
		struct slice cookie = { x->set_cookie, is_final ? x->set_cookie_len : 0 };

		if (piece->head->status == 101 && s->is_connect &&
		    h2_check_switch(s, piece->head) < 0)
			return 0;
		/* Any 2xx would begin a tunnel that the server knows nothing of. */
		if (s->is_connect && is_final && piece->head->status < 300)
			return IO_CLOSED;
		if (!s->is_connect && piece->head->status == 101)
			return IO_ERROR;
		if (submit_head(s, piece->head, piece->edits, cookie, has_more) < 0)
			return IO_ERROR;
		if (!is_final || !has_more)
			return 0;
	}
	s->piece = piece->body;
	s->piece_len = piece->len;
	s->piece_taken = 0;
	s->piece_is_last = piece->is_last;
	if (s->is_deferred) {
		s->is_deferred = false;
		nghttp2_session_resume_data(h2->session, s->id);
	}
	h2_make_output(h2);
	*taken = s->piece_taken;
	x->bytes_out += s->piece_taken;
	if (piece->len == 0)
		h2_move(s);
	s->piece = NULL;
	s->piece_len = s->piece_taken = 0;
	/* What was not taken waits in the exchange, which offers it again: it is not the last piece
	 * yet. */
	if (*taken < piece->len) {
		s->piece_is_last = false;
		h2_stall(s);
	}
	return 0;
}

void
h2_reset(struct h2_stream *s, uint32_t code)
{
	s->is_servers_fault = true;
	nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, code);
}

/* A whole HTTP/1.1 response that weir made, as the response of this stream. */
static void
submit_reply(struct h2_stream *s, struct buf *reply)
{
	static struct message head;
	const struct h1_limits limits = { (uint32_t)buf_len(reply), FIELDS_MAX };
	uint32_t scanned = 0;
	int failed = -1;

	s->reply = reply;
	if (h1_parse_response(&head, buf_head(reply), buf_len(reply), &scanned, &limits, false) ==
	    H1_DONE) {
		s->piece = buf_head(reply) + head.head_len;
		s->piece_len = buf_len(reply) - head.head_len;
		s->piece_taken = 0;
		s->piece_is_last = true;
		failed = submit_head(s, &head, NULL, (struct slice){ NULL, 0 }, s->piece_len > 0);
	}
	if (failed != 0)
		h2_reset(s, NGHTTP2_INTERNAL_ERROR);
	h2_stall(s); /* until the stream is closed */
	worker_defer(s->h2->worker, &s->h2->deferred);
}

void
h2_refuse(struct h2_stream *s, enum end end, bool is_parsed)
{
	struct refusal refusal = { .end = end, .is_h2 = true };

	if (s->head != NULL)
		refusal.head = (struct slice){ buf_head(s->head), buf_len(s->head) };
	if (is_parsed)
		refusal.reason = h1_fault(&refusal.position);
	submit_reply(s, client_refuse(s->h2->client, &refusal));
}

static bool
is_grpc(const struct message *request)
{
	static const struct slice name = SLICE("content-type"), type = SLICE("application/grpc");

	for (unsigned i = 0; i < request->field_count; i++) {
		const struct field *f = &request->fields[i];
		struct slice value = message_value(request, f);

		if (f->id == FIELD_OTHER && value.len >= type.len &&
		    slice_equal_nocase(message_name(request, f), name)) {
			value.len = type.len;
			return slice_equal_nocase(value, type);
		}
	}
	return false;
}

/*
 * Does the code with which the server reset its stream tell the client more than an answer of
 * weir's could?  What was refused may be asked for again, whatever the method (RFC 9113
 * section 8.7), and gRPC has a status for each code.
 */
static bool
is_told_by_code(const struct exchange *x)
{
	return x->reset_code == NGHTTP2_REFUSED_STREAM ||
	       (x->reset_code != 0 && is_grpc(&x->request));
}

void
h2_done(struct exchange *x, enum end end)
{
	struct h2_stream *s = x->front;
	bool is_answerable = !x->head_sent && !s->is_closed, close = false;

	h2_move(s);
	h2_stall(s); /* what is left for nghttp2 to send must go, too */
	if (end != END_OK && is_answerable && exchange_has_answer(end) && !is_told_by_code(x))
		submit_reply(s, exchange_answer(x, end, &close));
	else if (end != END_OK && !s->is_closed)
		h2_reset(s, x->reset_code != 0 ? x->reset_code : NGHTTP2_INTERNAL_ERROR);
	exchange_free(x, end);
	s->x = NULL;
	worker_defer(s->h2->worker, &s->h2->deferred);
	if (s->is_closed)
		h2_stream_free(s);
}

const struct exchange_ops h2_exchange_ops = {
	.peek_body = h2_peek_body,
	.consume_body = h2_consume_body,
	.send = h2_send,
	.done = h2_done,
	.switched = h2_switched,
};
