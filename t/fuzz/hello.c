/* The server name of a ClientHello: it is known from one byte on and not before, and what more
 * comes changes nothing. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "weir/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum hello_result so_far = HELLO_MORE;
	struct slice name, first = { NULL, 0 };
	char host[255];

	for (size_t len = 0; len <= size; len++) {
		uint8_t *copy = malloc(len + 1); /* so that a byte too far is seen */
		enum hello_result result;

		memcpy(copy, data, len);
		result = client_hello_parse(copy, len, &name);
		free(copy);
		if (result == HELLO_DONE) {
			assert(name.len <= sizeof(host));
			assert(name.len == 0 || memchr(name.ptr, '\0', name.len) == NULL);
		}
		if (so_far == HELLO_MORE && result == HELLO_DONE) {
			first = name;
			if (name.len > 0)
				memcpy(host, name.ptr, name.len);
		} else if (so_far != HELLO_MORE) {
			assert(result == so_far);
			if (result == HELLO_DONE)
				assert(name.len == first.len &&
				       (name.len == 0 || memcmp(name.ptr, host, name.len) == 0));
		}
		so_far = result;
	}
	return 0;
}
