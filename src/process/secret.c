#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "generation_priv.h"
#include "weir/arena.h"
#include "weir/file.h"
#include "weir/log.h"

static void
fill(uint8_t secret[static SECRET_SIZE])
{
	if (getrandom(secret, SECRET_SIZE, 0) != SECRET_SIZE) {
		log_error("cannot get random bytes");
		exit(EXIT_FAILURE);
	}
}

/* Returns whether the file is there and whole. */
static bool
read_secret(uint8_t secret[static SECRET_SIZE], const char *path)
{
	size_t len;
	char *data = file_read(path, SECRET_SIZE, &len);
	bool whole = data != NULL && len == SECRET_SIZE;

	if (whole)
		memcpy(secret, data, SECRET_SIZE);
	else if (data != NULL || errno != ENOENT)
		log_warnx("state %s: not a secret of %d bytes: %s", path, SECRET_SIZE,
		    data != NULL ? "too short" : strerror(errno));
	free(data);
	return whole;
}

void
secret_load(uint8_t secret[static SECRET_SIZE], const char *state_dir)
{
	char *path = xprintf("%s/secret", state_dir);

	if (!read_secret(secret, path)) {
		fill(secret);
		if (file_make_dirs(state_dir, 0750) == -1 ||
		    file_write_atomic(path, secret, SECRET_SIZE, 0600, NULL) == -1)
			log_warn(
			    "state %s: cannot be kept, so sticky cookies end with this run", path);
	}
	free(path);
}
