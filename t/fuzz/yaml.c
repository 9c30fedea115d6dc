/* YAML: any text ends in a tree or in a diagnostic. */
#include <assert.h>
#include <stdint.h>

#include "weir/arena.h"
#include "weir/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new();
	struct diag *diag = diag_new();
	size_t count = 0;
	struct yaml_node **documents =
	    yaml_parse(arena, diag, "fuzz", (const char *)data, size, &count);

	assert(documents != NULL);
	for (size_t i = 0; i < count; i++)
		yaml_get(documents[i], "version");
	diag_free(diag);
	arena_free(arena);
	return 0;
}
