/*
 * h2_fault: what HTTP/2 clients did wrong, counted and kept for `weirctl errors`.
 *
 * nghttp2 finds most of it, and answers with RST_STREAM or GOAWAY: what it says there is what is
 * kept.
 */
#include <stdio.h>

#include "h2_priv.h"
#include "weir/buf.h"
#include "weir/faults.h"

static void
report(struct h2 *h2, const struct h2_stream *s, const char *reason)
{
	struct buf *head = s != NULL ? s->head : NULL;

	client_report(h2->client, reason, FAULT_NOWHERE, head != NULL ? buf_head(head) : NULL,
	    head != NULL ? buf_len(head) : 0);
}

void
h2_fault_field(struct h2 *h2, struct h2_stream *s, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
	nghttp2_vec parts[] = { nghttp2_rcbuf_get_buf(name), nghttp2_rcbuf_get_buf(value) };
	char text[FAULT_EXCERPT_SIZE];
	size_t len = 0;

	for (int i = 0; i < 2; i++) {
		size_t n =
		    parts[i].len < sizeof(text) / 2 - 2 ? parts[i].len : sizeof(text) / 2 - 2;

		if (n > 0)
			memcpy(text + len, parts[i].base, n);
		len += n;
		if (i == 0) {
			memcpy(text + len, ": ", 2);
			len += 2;
		}
	}
	client_report(h2->client, "HTTP/2: malformed or forbidden field", FAULT_NOWHERE, text, len);
	if (s != NULL)
		s->is_reported = true;
}

/* Other codes say that something else is wrong, or nothing. */
static bool
is_clients_fault(uint32_t code)
{
	return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
	       code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_FRAME_SIZE_ERROR ||
	       code == NGHTTP2_COMPRESSION_ERROR;
}

void
h2_fault_sent(struct h2 *h2, const nghttp2_frame *frame)
{
	struct h2_stream *s =
	    nghttp2_session_get_stream_user_data(h2->session, frame->hd.stream_id);
	char reason[FAULT_REASON_SIZE];

	if (frame->hd.type == NGHTTP2_RST_STREAM &&
	    is_clients_fault(frame->rst_stream.error_code) && (s == NULL || !s->is_reported)) {
		snprintf(reason, sizeof(reason), "HTTP/2 stream %d: %s", frame->hd.stream_id,
		    nghttp2_http2_strerror(frame->rst_stream.error_code));
		report(h2, s, reason);
	} else if (frame->hd.type == NGHTTP2_GOAWAY && is_clients_fault(frame->goaway.error_code)) {
		snprintf(reason, sizeof(reason), "HTTP/2: %s %.*s",
		    nghttp2_http2_strerror(frame->goaway.error_code),
		    (int)frame->goaway.opaque_data_len, (const char *)frame->goaway.opaque_data);
		report(h2, NULL, reason);
	}
}
