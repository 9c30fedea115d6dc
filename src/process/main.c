/*
 * main: the command line of weir(8).
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <llhttp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>

#include "master_priv.h"
#include "pidfile_priv.h"
#include "weir/clock.h"
#include "weir/conf.h"
#include "weir/tls_context.h"
#include "weir/tls_kernel.h"

#ifndef WEIR_VERSION
#define WEIR_VERSION "0.1.0"
#endif
#ifndef WEIR_SYSCONFDIR
#define WEIR_SYSCONFDIR "/etc"
#endif
#ifndef WEIR_BUILD_OPTIONS
#define WEIR_BUILD_OPTIONS "none"
#endif

enum { EXIT_USAGE = 2 };

enum { /* options without a short form */
	OPTION_SCHEMA = 256,
	OPTION_MANUAL,
	OPTION_VERSION,
};

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "test", no_argument, NULL, 't' },
	{ "dump", no_argument, NULL, 'T' },
	{ "signal", required_argument, NULL, 's' },
	{ "build", no_argument, NULL, 'V' },
	{ "schema", no_argument, NULL, OPTION_SCHEMA },
	{ "manual", no_argument, NULL, OPTION_MANUAL },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const struct {
	const char *name;
	int number;
} signal_words[] = {
	{ "reload", SIGHUP },
	{ "quit", SIGQUIT },
	{ "stop", SIGTERM },
	{ "reopen", SIGUSR1 },
	{ "upgrade", SIGUSR2 },
};

static void
print_usage(FILE *out)
{
	fputs(
	    "Usage: weir [OPTION]...\n"
	    "Serve TCP, HTTP and HTTPS clients as the configuration says; stay in the foreground.\n"
	    "\n"
	    "  -c, --config=FILE   the configuration [" WEIR_SYSCONFDIR "/weir/weir.yaml]\n"
	    "  -t, --test          check the configuration and all that it names, then exit\n"
	    "  -T, --dump          print the configuration with every default filled in\n"
	    "  -s, --signal=WORD   tell the running weir: reload, quit (graceful), stop (fast),\n"
	    "                      reopen (log files), upgrade (to the binary in its place)\n"
	    "  -V, --build         print version, build options and library versions\n"
	    "      --schema        print a JSON Schema of the configuration\n"
	    "      --manual        print the option reference as mdoc(7)\n"
	    "  -h, --help          this text\n"
	    "      --version       print the version\n"
	    "\n"
	    "Exit status: 0 success, 1 failure, 2 wrong usage.\n",
	    out);
}

static int
usage_error(void)
{
	fputs("Try 'weir --help'.\n", stderr);
	return EXIT_USAGE;
}

static void
print_build(void)
{
	enum tls_kernel kernel_tls = tls_kernel_find(true);

	printf("weir %s\n", WEIR_VERSION);
	printf("configured with: %s\n", WEIR_BUILD_OPTIONS);
	printf("libevent %s\n", event_get_version());
	printf("%s\n", OpenSSL_version(OPENSSL_VERSION));
	printf("kernel TLS: %s\n",
	    kernel_tls == TLS_KERNEL_ON ? "available" : tls_kernel_text(kernel_tls));
	printf(
	    "llhttp %d.%d.%d\n", LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH);
	printf("nghttp2 %s\n", nghttp2_version(0)->version_str);
	printf("libyaml %s\n", yaml_get_version_string());
	printf("jansson %s\n", jansson_version_str());
	printf("zlib %s\n", zlibVersion());
	printf("xxhash %u\n", XXH_versionNumber());
}

static int
test_configuration(const char *file)
{
	struct diag *diag = diag_new();
	struct config *config = generation_check(file, diag);
	bool valid = config != NULL && diag_errors(diag) == 0;

	diag_print(diag, "weir", stderr);
	if (valid)
		printf("%s: configuration is valid\n", file);
	else
		fprintf(stderr, "%s: configuration is not valid: %zu error%s\n", file,
		    diag_errors(diag), diag_errors(diag) == 1 ? "" : "s");
	if (config != NULL)
		tls_unload(config);
	conf_free(config);
	diag_free(diag);
	return valid ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Loads `file` alone, telling what is wrong with it.  NULL: it cannot be used. */
static struct config *
load_only(const char *file)
{
	struct diag *diag = diag_new();
	struct config *config = conf_load(file, diag);

	diag_print(diag, "weir", stderr);
	diag_free(diag);
	return config;
}

static int
dump_configuration(const char *file)
{
	struct config *config = load_only(file);

	if (config == NULL)
		return EXIT_FAILURE;
	conf_dump(config, stdout);
	conf_free(config);
	return EXIT_SUCCESS;
}

static int
send_signal(const char *file, int number)
{
	struct config *config = load_only(file);
	const char *path;
	pid_t owner;
	int result = EXIT_FAILURE;

	if (config == NULL)
		return EXIT_FAILURE;
	path = config->global.pid_file;
	owner = pidfile_owner(path);
	if (owner == -1)
		fprintf(
		    stderr, "weir: error: cannot read pid file %s: %s\n", path, strerror(errno));
	else if (owner == 0)
		fprintf(stderr, "weir: error: weir does not run: nobody holds pid file %s\n", path);
	else if (kill(owner, number) == -1)
		fprintf(stderr, "weir: error: cannot signal process %d: %s\n", (int)owner,
		    strerror(errno));
	else
		result = EXIT_SUCCESS;
	conf_free(config);
	return result;
}

static int
find_signal(const char *word)
{
	for (size_t i = 0; i < sizeof(signal_words) / sizeof(signal_words[0]); i++)
		if (strcmp(signal_words[i].name, word) == 0)
			return signal_words[i].number;
	fprintf(stderr, "weir: error: unknown signal '%s'; known are", word);
	for (size_t i = 0; i < sizeof(signal_words) / sizeof(signal_words[0]); i++)
		fprintf(stderr, "%s %s", i == 0 ? "" : ",", signal_words[i].name);
	fputc('\n', stderr);
	return -1;
}

/* What is opened first must not become 0, 1 or 2: a log line would go to a client. */
static void
fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd != -1 && fd <= STDERR_FILENO);
	if (fd != -1)
		close(fd);
}

/* Everything was printed, or the answer is no: a full disk must not look like success. */
static int
finish(int status)
{
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "weir: error: cannot write: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return status;
}

int
main(int argc, char **argv)
{
	const char *file = WEIR_SYSCONFDIR "/weir/weir.yaml";
	int command = 0, number = 0, option;

	fill_standard_descriptors();
	clock_update();
	while ((option = getopt_long(argc, argv, "c:tTs:Vh", options, NULL)) != -1) {
		switch (option) {
		case '?':
			return usage_error();
		case 'c':
			file = optarg;
			break;
		case 's':
			number = find_signal(optarg);
			if (number == -1)
				return usage_error();
			command = option;
			break;
		default:
			command = option;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "weir: error: unexpected argument '%s'\n", argv[optind]);
		return usage_error();
	}
	switch (command) {
	case 'h':
		print_usage(stdout);
		return finish(EXIT_SUCCESS);
	case 'V':
		print_build();
		return finish(EXIT_SUCCESS);
	case OPTION_VERSION:
		printf("weir %s\n", WEIR_VERSION);
		return finish(EXIT_SUCCESS);
	case OPTION_SCHEMA:
		conf_print_schema(stdout);
		return finish(EXIT_SUCCESS);
	case OPTION_MANUAL:
		conf_print_manual(stdout);
		return finish(EXIT_SUCCESS);
	case 't':
		return finish(test_configuration(file));
	case 'T':
		return finish(dump_configuration(file));
	case 's':
		return send_signal(file, number);
	default:
		return master_run(file, argv);
	}
}
