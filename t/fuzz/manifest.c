/*
 * Fuzzes weirgen as a whole: manifests with their annotations, to a configuration that weir takes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../src/gen/run_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Findings go nowhere; the fuzzer itself writes to the descriptor. */
static void
be_quiet(void)
{
	static FILE *nowhere;

	if (nowhere == NULL)
		stderr = nowhere = fopen("/dev/null", "w");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], *paths[] = { path };
	struct options options = { .check = true, .paths = paths, .path_count = 1 };
	int fd = memfd_create("manifest", MFD_CLOEXEC);
	struct known known = { 0 };
	bool changed;

	be_quiet();
	if (fd == -1 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	run_once(&options, &known, false, &changed);
	known_fini(&known);
	close(fd);
	return 0;
}
