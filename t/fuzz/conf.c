/* Configurations: what is accepted can be printed, and what is printed is accepted (weir -T). */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "weir/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag *diag = diag_new();
	struct config *config = conf_load_text("fuzz", (const char *)data, size, diag);

	assert((config == NULL) == (diag_errors(diag) > 0));
	if (config != NULL) {
		char *text = NULL;
		size_t len = 0;
		FILE *out = open_memstream(&text, &len);
		struct config *again;

		conf_dump(config, out);
		fclose(out);
		again = conf_load_text("dump", text, len, diag);
		assert(again != NULL);
		conf_free(again);
		free(text);
	}
	conf_free(config);
	diag_free(diag);
	return 0;
}
