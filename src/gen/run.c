/* One round of weirgen: read, generate, check, write. */
#include "run_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/arena.h"
#include "weir/conf.h"
#include "weir/diag.h"
#include "weir/file.h"

#include "diff_priv.h"
#include "emit_priv.h"
#include "ingress_priv.h"
#include "reload_priv.h"
#include "secret_priv.h"
#include "servers_priv.h"
#include "service_priv.h"

enum { OUTPUT_SIZE_MAX = 256 << 20 };

/* The paths as the first line of the output shows them. */
static char *
print_sources(const struct options *options)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < options->path_count; i++) {
		const char *path = options->paths[i];
		char *longer = xprintf("%s%s%s", text, i > 0 ? " " : "",
		    strcmp(path, "-") == 0 ? "standard input" : path);

		free(text);
		text = longer;
	}
	for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?'; /* the comment must stay one line */
	return text;
}

static void
read_input(struct gen *gen, const struct options *options)
{
	site_read(&gen->site, gen->arena, gen->diag, options->site);
	manifest_init(&gen->manifest, gen->arena, gen->diag);
	for (size_t i = 0; i < options->path_count; i++)
		manifest_read(&gen->manifest, options->paths[i]);
	gen->backends = options->backends;
	gen->backends_given = options->backends_given;
	gen->port_offset = options->port_offset;
	gen->explain = options->explain ? stdout : NULL;
	gen->model.groups = index_new();
	gen->model.bandwidths = index_new();
	gen->model.listener_names = index_new();
	gen->model.pool_names = index_new();
	gen->model.pool_settings = index_new();
	gen->model.ingress_pools = index_new();
	gen->model.site_pools = index_new();
	gen->ingress_services = index_new();
	gen->certificates = index_new();
}

static void
gen_fini(struct gen *gen)
{
	for (size_t i = 0; i < gen->model.pools.count; i++) {
		struct gen_pool *pool = gen->model.pools.items[i];

		list_fini(&pool->servers);
		list_fini(&pool->meta);
	}
	for (size_t i = 0; i < gen->model.listeners.count; i++)
		list_fini(&((struct gen_listener *)gen->model.listeners.items[i])->routes);
	list_fini(&gen->model.listeners);
	list_fini(&gen->model.pools);
	index_free(gen->model.groups);
	index_free(gen->model.bandwidths);
	index_free(gen->model.listener_names);
	index_free(gen->model.pool_names);
	index_free(gen->model.pool_settings);
	index_free(gen->model.ingress_pools);
	index_free(gen->model.site_pools);
	index_free(gen->ingress_services);
	index_free(gen->certificates);
	manifest_fini(&gen->manifest);
	site_fini(&gen->site);
	annotations_stop();
	arena_free(gen->arena);
	diag_free(gen->diag);
}

static char *
print_config(const struct gen *gen, const struct options *options, size_t *len)
{
	char *text = NULL, *sources = print_sources(options);
	FILE *out = open_memstream(&text, len);

	if (out == NULL) {
		fprintf(stderr, "weirgen: %s\n", strerror(errno));
		exit(EXIT_FAULT);
	}
	emit_config(out, gen, sources);
	free(sources);
	if (fclose(out) != 0) {
		fprintf(stderr, "weirgen: %s\n", strerror(errno));
		exit(EXIT_FAULT);
	}
	return text;
}

/*
 * What weir would refuse must not be written.  A fault in the site's `global:` is the user's, told
 * with its line in the output; any other is ours.
 */
static struct config *
check_output(const char *text, size_t len)
{
	struct diag *diag = diag_new();
	struct config *config = conf_load_text("<generated configuration>", text, len, diag);
	char *findings;

	if (config == NULL || diag_errors(diag) > 0) {
		findings = diag_text(diag, "weirgen");
		fprintf(stderr,
		    "%sweirgen: error: the generated configuration is not valid: a fault in the "
		    "site file's "
		    "\"global\", or else in weirgen\n",
		    findings);
		free(findings);
		conf_free(config);
		config = NULL;
	}
	diag_free(diag);
	return config;
}

/* A new configuration, on its way to the file and the daemon. */
struct output {
	char *text; /* owned */
	size_t len;
	struct config *config; /* owned; NULL: was found to be good before, but for the servers */
	char *change; /* owned; from the file that is there, if only servers differ; else NULL */
};

static void
output_fini(struct output *output)
{
	free(output->text);
	free(output->change);
	conf_free(output->config);
}

/* Is the change good, and the file that it begins from the one that was checked last? */
static bool
is_known_but_servers(
    const struct output *output, const struct known *known, const char *old, size_t old_len)
{
	struct diag *diag = diag_new();
	struct servers_change *change;
	char digest[CONF_DIGEST_SIZE];
	bool ok;

	conf_digest(old, old_len, digest);
	change = conf_load_servers("change", output->change, strlen(output->change), diag);
	ok = change != NULL && strcmp(digest, known->digest) == 0;
	conf_free_servers(change);
	diag_free(diag);
	return ok;
}

/*
 * What weir would refuse must not be written.  Where the daemon is told of changes, and the file is
 * as this process wrote it, it is enough to look at the servers that differ.
 */
static bool
output_check(struct output *output, const struct options *options, const struct known *known)
{
	size_t old_len;
	char *old = options->reload && options->output != NULL
			? file_read(options->output, OUTPUT_SIZE_MAX, &old_len)
			: NULL;
	bool is_good = false;

	if (old != NULL)
		output->change = servers_find_change(old, old_len, output->text, output->len);
	if (output->change != NULL && !options->diff)
		is_good = is_known_but_servers(output, known, old, old_len);
	free(old);
	if (!is_good)
		output->config = check_output(output->text, output->len);
	return is_good || output->config != NULL;
}

static void
known_set(struct known *known, const struct output *output)
{
	conf_digest(output->text, output->len, known->digest);
	if (output->config == NULL)
		return;
	free(known->control_socket);
	known->control_socket = xstrdup(output->config->global.control_socket);
}

void
known_fini(struct known *known)
{
	free(known->control_socket);
	known->control_socket = NULL;
}

static int
write_output(const struct options *options, const struct list *secret_files,
    const struct output *output, struct known *known, bool reload_is_due, bool *changed)
{
	bool renewed = false;

	if (options->diff)
		return diff_print(options->diff_file != NULL ? options->diff_file : options->output,
			   output->config, stdout) == 0
			   ? EXIT_DONE
			   : EXIT_FAULT;
	if (options->check || (options->explain && options->output == NULL))
		return EXIT_DONE;
	/* first, so that the configuration never names what is not there yet */
	if (secrets_write(secret_files, &renewed) == -1)
		return EXIT_FAULT;
	if (options->output == NULL) {
		fwrite(output->text, 1, output->len, stdout);
		return EXIT_DONE;
	}
	if (file_write_atomic(options->output, output->text, output->len, 0644, changed) == -1) {
		fprintf(
		    stderr, "%s: error: cannot be written: %s\n", options->output, strerror(errno));
		return EXIT_FAULT;
	}
	known_set(known, output);
	*changed = *changed || renewed;
	if (!options->reload || (!*changed && !reload_is_due))
		return EXIT_DONE;
	if (output->change != NULL && !renewed && !reload_is_due &&
	    reload_servers(known->control_socket, output->change) == 0)
		return EXIT_DONE;
	return reload_daemon(known->control_socket) == 0 ? EXIT_DONE : EXIT_FAULT;
}

int
run_once(const struct options *options, struct known *known, bool reload_is_due, bool *changed)
{
	struct gen gen = { .arena = arena_new(), .diag = diag_new() };
	struct output output = { 0 };
	struct list secret_files;
	int status = EXIT_FAULT;

	*changed = false;
	annotations_start();
	if (options->strict)
		diag_be_strict(gen.diag);
	read_input(&gen, options);
	services_generate(&gen);
	ingresses_generate(&gen);
	services_check_idle(&gen);
	conflicts_resolve(&gen);
	diag_print(gen.diag, "weirgen", stderr);
	if (diag_errors(gen.diag) == 0)
		output.text = print_config(&gen, options, &output.len);
	secret_files = gen.secret_files;
	gen_fini(&gen); /* the manifests may be large, and the check needs room of its own */
	if (output.text != NULL && output_check(&output, options, known))
		status =
		    write_output(options, &secret_files, &output, known, reload_is_due, changed);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "weirgen: standard output: %s\n", strerror(errno));
		status = EXIT_FAULT;
	}
	output_fini(&output);
	secrets_fini(&secret_files);
	return status;
}
