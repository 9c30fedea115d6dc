/* The PROXY protocol: what is accepted is no longer than what came, wants every byte of itself, and
 * can be written and read again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "weir/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
write_and_read(const struct proxyproto *header)
{
	for (unsigned version = 1; version <= 2; version++) {
		uint8_t out[PROXYPROTO_PRINT_MAX];
		struct proxyproto again;
		size_t len = proxyproto_print(
		    version, false, &header->source, &header->destination, out);

		assert(len <= sizeof(out));
		assert(proxyproto_parse(out, len, &again) == PROXYPROTO_DONE);
		assert(again.len == len && again.has_addresses);
		assert(addr_port(&again.source) == addr_port(&header->source));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	struct proxyproto header, part;

	memcpy(copy, data, size);
	if (proxyproto_parse(copy, size, &header) == PROXYPROTO_DONE) {
		assert(header.len > 0 && header.len <= size);
		for (size_t i = 0; i < header.len; i++)
			assert(proxyproto_parse(copy, i, &part) == PROXYPROTO_MORE);
		if (header.has_addresses)
			write_and_read(&header);
	}
	free(copy);
	return 0;
}
