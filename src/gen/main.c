/* weirgen: manifests (and a site file) in, a configuration for weir out. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weir/arena.h"
#include "weir/conf.h"
#include "weir/diag.h"
#include "weir/file.h"

#include "emit_priv.h"
#include "ingress_priv.h"
#include "reload_priv.h"
#include "secret_priv.h"
#include "service_priv.h"

#ifndef WEIR_VERSION
#define WEIR_VERSION "development"
#endif

enum { EXIT_DONE = 0, EXIT_FAULT = 1, EXIT_USAGE = 2 };

struct options {
	const char *site, *output;
	bool check, explain, strict, reload;
	bool backends_given;
	enum backend_mode backends;
	unsigned port_offset;
	char **paths;
	size_t path_count;
};

enum {
	OPT_CHECK = 256,
	OPT_EXPLAIN,
	OPT_STRICT,
	OPT_BACKENDS,
	OPT_OFFSET,
	OPT_RELOAD,
	OPT_LIST,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{ "site", required_argument, NULL, 's' },
	{ "output", required_argument, NULL, 'o' },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "explain", no_argument, NULL, OPT_EXPLAIN },
	{ "strict", no_argument, NULL, OPT_STRICT },
	{ "backends", required_argument, NULL, OPT_BACKENDS },
	{ "port-offset", required_argument, NULL, OPT_OFFSET },
	{ "reload", no_argument, NULL, OPT_RELOAD },
	{ "list-annotations", optional_argument, NULL, OPT_LIST },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char usage_text[] =
    "Usage: weirgen [OPTION]... PATH|DIRECTORY|-...\n"
    "Generate a configuration for weir from Kubernetes manifests with load-balancer annotations.\n"
    "\n"
    "  -s, --site=FILE           what the cloud's console would know: weir-site.yaml(5)\n"
    "  -o, --output=FILE         write there (atomically, when it changes) instead of to standard "
    "output\n"
    "      --check               only diagnose, write nothing\n"
    "      --explain             print what each annotation did\n"
    "      --strict              warnings are errors\n"
    "      --backends=MODE       where servers come from: auto, pod, node\n"
    "      --port-offset=N       add N to the ports of listeners and redirects\n"
    "      --reload              tell the running weir after a change was written\n"
    "      --list-annotations[=text|mdoc]\n"
    "                            print all known annotations\n"
    "      --help                print this and exit\n"
    "      --version             print the version and exit\n"
    "\n"
    "Exit status: 0 success, 1 an error in the input, 2 wrong usage.\n";

static int
usage_error(const char *format, const char *argument)
{
	fputs("weirgen: ", stderr);
	fprintf(stderr, format[0] != '\0' ? "%s: " : "%s", format);
	fprintf(stderr, "%s\nTry 'weirgen --help' for more information.\n", argument);
	return EXIT_USAGE;
}

static int
list_annotations(const char *form)
{
	if (form != NULL && strcmp(form, "text") != 0 && strcmp(form, "mdoc") != 0)
		return usage_error("--list-annotations: allowed: text, mdoc; not", form);
	annotations_start();
	annotations_list(stdout, form != NULL && strcmp(form, "mdoc") == 0);
	annotations_stop();
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAULT;
}

/* Returns -1 to go on, else the status to end with. */
static int
options_parse(struct options *options, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "s:o:", long_options, NULL)) != -1) {
		switch (c) {
		case 's':
			options->site = optarg;
			break;
		case 'o':
			options->output = optarg;
			break;
		case OPT_CHECK:
			options->check = true;
			break;
		case OPT_EXPLAIN:
			options->explain = true;
			break;
		case OPT_STRICT:
			options->strict = true;
			break;
		case OPT_BACKENDS:
			options->backends_given = true;
			if (!backend_mode_parse(optarg, &options->backends))
				return usage_error(
				    "--backends: allowed: auto, pod, node; not", optarg);
			break;
		case OPT_OFFSET:
			if (!number_parse(optarg, &options->port_offset) ||
			    options->port_offset > 65534)
				return usage_error(
				    "--port-offset: allowed: 0 to 65534; not", optarg);
			break;
		case OPT_RELOAD:
			options->reload = true;
			break;
		case OPT_LIST:
			return list_annotations(optarg);
		case OPT_HELP:
			fputs(usage_text, stdout);
			return EXIT_DONE;
		case OPT_VERSION:
			puts("weirgen " WEIR_VERSION);
			return EXIT_DONE;
		default:
			fputs("Try 'weirgen --help' for more information.\n", stderr);
			return EXIT_USAGE;
		}
	}
	options->paths = argv + optind;
	options->path_count = (size_t)(argc - optind);
	if (options->path_count == 0)
		return usage_error(
		    "no manifest", "name files, directories or - for standard input");
	if (options->reload && options->output == NULL)
		return usage_error("--reload", "needs -o FILE");
	return -1;
}

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
	gen->model.listener_names = index_new();
	gen->model.pool_names = index_new();
	gen->model.pool_settings = index_new();
	gen->model.ingress_pools = index_new();
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
	index_free(gen->model.listener_names);
	index_free(gen->model.pool_names);
	index_free(gen->model.pool_settings);
	index_free(gen->model.ingress_pools);
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

static int
write_output(const struct options *options, const struct list *secret_files,
    const struct config *config, const char *text, size_t len)
{
	bool changed = false, renewed = false;

	if (options->check || (options->explain && options->output == NULL))
		return EXIT_DONE;
	/* first, so that the configuration never names what is not there yet */
	if (secrets_write(secret_files, &renewed) == -1)
		return EXIT_FAULT;
	if (options->output == NULL) {
		fwrite(text, 1, len, stdout);
		return EXIT_DONE;
	}
	if (file_write_atomic(options->output, text, len, 0644, &changed) == -1) {
		fprintf(
		    stderr, "%s: error: cannot be written: %s\n", options->output, strerror(errno));
		return EXIT_FAULT;
	}
	if (!options->reload || (!changed && !renewed))
		return EXIT_DONE;
	return reload_daemon(config->global.control_socket) == 0 ? EXIT_DONE : EXIT_FAULT;
}

static int
run(struct gen *gen, const struct options *options)
{
	struct config *config = NULL;
	struct list secret_files;
	char *text = NULL;
	size_t len = 0;
	int status = EXIT_FAULT;

	if (options->strict)
		diag_be_strict(gen->diag);
	read_input(gen, options);
	services_generate(gen);
	ingresses_generate(gen);
	services_check_idle(gen);
	conflicts_resolve(gen);
	diag_print(gen->diag, "weirgen", stderr);
	if (diag_errors(gen->diag) == 0)
		text = print_config(gen, options, &len);
	secret_files = gen->secret_files;
	gen_fini(gen); /* the manifests may be large, and the check needs room of its own */
	if (text != NULL)
		config = check_output(text, len);
	if (config != NULL)
		status = write_output(options, &secret_files, config, text, len);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "weirgen: standard output: %s\n", strerror(errno));
		status = EXIT_FAULT;
	}
	conf_free(config);
	secrets_fini(&secret_files);
	free(text);
	return status;
}

int
main(int argc, char **argv)
{
	struct options options = { .backends = BACKENDS_AUTO };
	struct gen gen = { 0 };
	int status = options_parse(&options, argc, argv);

	if (status != -1)
		return status;
	annotations_start();
	gen.arena = arena_new();
	gen.diag = diag_new();
	return run(&gen, &options);
}
