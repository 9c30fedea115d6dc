/* weirgen: manifests (and a site file) in, a configuration for weir out: the command line. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "annotations_priv.h"
#include "run_priv.h"
#include "watch_priv.h"

#ifndef WEIR_VERSION
#define WEIR_VERSION "development"
#endif

enum {
	OPT_CHECK = 256,
	OPT_EXPLAIN,
	OPT_STRICT,
	OPT_BACKENDS,
	OPT_OFFSET,
	OPT_RELOAD,
	OPT_DIFF,
	OPT_WATCH,
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
	{ "diff", optional_argument, NULL, OPT_DIFF },
	{ "watch", no_argument, NULL, OPT_WATCH },
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
    "      --diff[=FILE]         print what would change in FILE (default: that of -o, else the "
    "daemon's)\n"
    "      --watch               go on: follow the files, and write and reload when they change\n"
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
		case OPT_DIFF:
			options->diff = true;
			options->diff_file = optarg;
			break;
		case OPT_WATCH:
			options->watch = true;
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
	if (options->watch && options->output == NULL)
		return usage_error("--watch", "needs -o FILE");
	if (options->watch && (options->check || options->explain || options->diff))
		return usage_error("--watch", "cannot be had with --check, --explain or --diff");
	for (size_t i = 0; options->watch && i < options->path_count; i++)
		if (strcmp(options->paths[i], "-") == 0)
			return usage_error("--watch", "cannot follow standard input");
	return -1;
}

int
main(int argc, char **argv)
{
	struct options options = { .backends = BACKENDS_AUTO };
	struct known known = { 0 };
	bool changed;
	int status = options_parse(&options, argc, argv);

	if (status != -1)
		return status;
	if (options.watch)
		return watch_run(&options);
	status = run_once(&options, &known, false, &changed);
	known_fini(&known);
	return status;
}
