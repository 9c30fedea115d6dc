/* Response heads: the first byte says whether the request was HEAD; see request.c. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "weir/h1_parse.h"
#include "weir/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct h1_limits limits = { 4096, 32 }, wider = { 16384, FIELDS_MAX };
static struct message m, again;

static void
check_again(const struct outv *out, bool to_head)
{
	static char text[128 * 1024];
	uint32_t scanned = 0;
	size_t len = 0;

	for (int i = 0; i < out->count; i++) {
		memcpy(text + len, out->v[i].iov_base, out->v[i].iov_len);
		len += out->v[i].iov_len;
	}
	assert(len == out->len);
	assert(h1_parse_response(&again, text, len, &scanned, &wider, to_head) == H1_DONE);
	assert(again.head_len == len && again.status == m.status);
	assert(again.framing == m.framing);
	assert(m.framing != FRAMING_LENGTH || again.content_length == m.content_length);
	assert(again.minor == 1 && again.keep_alive);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool to_head = size > 0 && (data[0] & 1);
	char *copy;
	uint32_t scanned = 0;
	struct outv out;
	size_t len;

	if (size < 2)
		return 0;
	len = size - 1;
	copy = malloc(len);
	memcpy(copy, data + 1, len);
	if (h1_parse_response(&m, copy, len, &scanned, &limits, to_head) == H1_DONE) {
		const struct response_edits edits = { .upgrade = m.upgrade && m.status == 101 };

		assert(m.head_len <= len && m.head_len <= limits.head);
		outv_init(&out, NULL, 0);
		rewrite_response(&out, &m, &edits);
		if (!out.failed)
			check_again(&out, to_head);
		outv_fini(&out);
	}
	free(copy);
	return 0;
}
