/*
 * Request heads: whatever is accepted stays within its bytes, and what is sent on for it is a
 * request with the same framing.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "weir/h1_parse.h"
#include "weir/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct h1_limits limits = { 4096, 32 }, wider = { 16384, FIELDS_MAX };
static struct message m, again;

static void
check_again(const struct outv *out)
{
	static char text[128 * 1024];
	uint32_t scanned = 0;
	size_t len = 0;

	for (int i = 0; i < out->count; i++) {
		memcpy(text + len, out->v[i].iov_base, out->v[i].iov_len);
		len += out->v[i].iov_len;
	}
	assert(len == out->len);
	assert(h1_parse_request(&again, text, len, &scanned, &wider) == H1_DONE);
	assert(again.head_len == len);
	assert(again.framing == m.framing && again.content_length == m.content_length);
	assert(again.minor == 1 && again.keep_alive && again.upgrade == m.upgrade);
	assert(m.host.len == 0 || slice_equal(again.host, m.host));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addr address;
	struct forwarded_config forwarded = { .for_ = FORWARDED_FOR_APPEND, .proto = true };
	struct request_edits edits = {
		.client = &address, .server = &address, .forwarded = &forwarded
	};
	char *copy = malloc(size + 1);
	enum h1_result result = H1_MORE;
	uint32_t scanned = 0, scanned_once = 0;
	struct outv out;

	memcpy(copy, data, size);
	for (size_t len = 1; len < size && result == H1_MORE; len += 1 + len / 8)
		result = h1_parse_request(&m, copy, len, &scanned, &limits);
	if (result == H1_MORE && size > 0)
		result = h1_parse_request(&m, copy, size, &scanned, &limits);
	if (result == H1_DONE) {
		assert(m.head_len <= size && m.head_len <= limits.head);
		assert(h1_parse_request(&again, copy, size, &scanned_once, &limits) == H1_DONE);
		assert(again.head_len == m.head_len && again.field_count == m.field_count);
	}
	if (result == H1_DONE && m.method != METHOD_CONNECT) {
		addr_parse(&address, "[2001:db8::1]:80", 0);
		edits.upgrade = m.upgrade;
		outv_init(&out, NULL, 0);
		rewrite_request(&out, &m, &edits);
		if (!out.failed)
			check_again(&out);
		outv_fini(&out);
	}
	free(copy);
	return 0;
}
