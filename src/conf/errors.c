/* Pages of errors: files that the master reads at load. */
#include "conf_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "weir/file.h"

static const char variable[] = "${request_id}";

/* Whatever else looks like a variable is the page's own. */
static struct text_config *
page_of(struct arena *arena, const char *text, size_t len)
{
	struct text_config *page = arena_alloc(arena, sizeof(*page));
	const char *at = arena_strndup(arena, text, len), *end = at + len, *next;
	size_t count = 1;

	for (next = at; (next = strstr(next, variable)) != NULL; next++)
		count += 2;
	page->parts = arena_array(arena, count, sizeof(*page->parts));
	while ((next = strstr(at, variable)) != NULL) {
		page->parts[page->count++] = (struct text_part){
			.what = TEXT_LITERAL, .literal = at, .len = (size_t)(next - at)
		};
		page->parts[page->count++] = (struct text_part){ .what = TEXT_REQUEST_ID };
		at = next + sizeof(variable) - 1;
	}
	page->parts[page->count++] =
	    (struct text_part){ .what = TEXT_LITERAL, .literal = at, .len = (size_t)(end - at) };
	return page;
}

/* One file, if it is there. */
static const struct text_config *
load_page(struct config *config, struct diag *diag, const char *name)
{
	char *path = xprintf("%s/%s", config->global.errors_dir, name);
	struct text_config *page = NULL;
	size_t len;
	char *text = file_read(path, ERROR_PAGE_SIZE, &len);

	if (text != NULL && strlen(text) == len)
		page = page_of(config->arena, text, len);
	else if (text != NULL)
		diag_error(diag, config->global.errors_where, "dir: %s has zero bytes in it", path);
	else if (errno == EFBIG)
		diag_error(diag, config->global.errors_where,
		    "dir: %s is larger than %d bytes, which are allowed", path, ERROR_PAGE_SIZE);
	else if (errno != ENOENT)
		diag_error(diag, config->global.errors_where, "dir: cannot read %s: %s", path,
		    strerror(errno));
	free(text);
	free(path);
	return page;
}

static void
load_pages(
    struct config *config, struct diag *diag, const char *suffix, const struct text_config **pages)
{
	char name[24];
	const struct text_config *of_class = NULL;

	for (unsigned i = 0; i < ERROR_STATUSES; i++) {
		unsigned status = ERROR_STATUS_MIN + i;

		if (status % 100 == 0) {
			snprintf(name, sizeof(name), "%uxx.%s", status / 100, suffix);
			of_class = load_page(config, diag, name);
		}
		snprintf(name, sizeof(name), "%u.%s", status, suffix);
		pages[i] = load_page(config, diag, name);
		if (pages[i] == NULL)
			pages[i] = of_class;
	}
}

int
conf_load_errors(struct config *config, struct diag *diag)
{
	struct global_config *global = &config->global;
	size_t errors = diag_errors(diag);
	struct stat info;

	if (global->errors_dir == NULL)
		return 0;
	if (stat(global->errors_dir, &info) == -1 || !S_ISDIR(info.st_mode)) {
		diag_error(diag, global->errors_where,
		    "dir: there is no directory %s; one is needed", global->errors_dir);
		return -1;
	}
	global->error_pages = arena_alloc(config->arena, sizeof(*global->error_pages));
	load_pages(config, diag, "html", global->error_pages->html);
	load_pages(config, diag, "json", global->error_pages->json);
	return diag_errors(diag) > errors ? -1 : 0;
}
