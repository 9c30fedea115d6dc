/* Chunked bodies: the first byte is the size of the pieces they come in; it must make no
 * difference. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "weir/chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chunked whole, parts;
	size_t step, at = 0, len;
	ptrdiff_t taken, n = 0;
	char *copy;

	if (size < 2)
		return 0;
	step = data[0] % 32 + 1;
	len = size - 1;
	copy = malloc(len);
	memcpy(copy, data + 1, len);
	chunked_init(&whole);
	chunked_init(&parts);
	taken = chunked_skim(&whole, copy, len);
	while (at < len && !chunked_is_end(&parts)) {
		size_t piece = len - at < step ? len - at : step, data_at, data_len;

		n = chunked_next(&parts, copy + at, piece, &data_at, &data_len);
		if (n < 0)
			break;
		assert(n > 0 && (size_t)n <= piece && data_at + data_len <= (size_t)n);
		at += (size_t)n;
	}
	assert((taken < 0) == (n < 0));
	assert(taken < 0 || (size_t)taken == at);
	assert(whole.state == parts.state);
	if (taken < 0)
		assert(chunked_skim(&whole, "0\r\n\r\n", 5) < 0);
	free(copy);
	return 0;
}
