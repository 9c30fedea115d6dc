/*
 * weirctl: ask the running daemon, or tell it something, over its control socket.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "exchange_priv.h"
#include "view_priv.h"
#include "watch_priv.h"
#include "weir/arena.h"
#include "weir/yaml.h"

#ifndef WEIR_VERSION
#define WEIR_VERSION "unknown"
#endif
#ifndef WEIR_RUNSTATEDIR
#define WEIR_RUNSTATEDIR "/run"
#endif

enum { EXIT_USAGE = 2 };
enum { REQUEST_MAX = 4095 }; /* what the daemon takes, without the end of the line */

struct command {
	const char *name, *args;
	int min, max; /* words after the name */
	unsigned timeout_s;
	view_fn *view;
	const char *help;
};

struct options {
	const char *socket;
	bool as_json;
	bool waits;        /* --wait */
	unsigned wait_s;   /* 0: without limit */
	double interval_s; /* top */
	unsigned count;    /* top; 0: no end */
};

enum { OPTION_WAIT = 256, OPTION_INTERVAL, OPTION_COUNT };

/* clang-format off */
static const struct command commands[] = {
	{ "status", "", 0, 0, 30, view_status, "the processes and what they serve" },
	{ "listeners", "", 0, 0, 30, view_listeners, "all listeners with their counters" },
	{ "pools", "", 0, 0, 30, view_pools, "all pools with their counters" },
	{ "servers", "[POOL]", 0, 1, 30, view_servers, "the servers of one pool or of all" },
	{ "routes", "[LISTENER]", 0, 1, 30, view_routes, "the routes of one listener or of all" },
	{ "sticky", "[POOL]", 0, 1, 30, view_sticky, "which clients stick to which servers" },
	{ "certs", "", 0, 0, 30, view_certs, "the certificates and when they end" },
	{ "certs", "reload", 1, 1, 300, view_message, "read certificates and keys again, without new workers" },
	{ "errors", "", 0, 0, 30, view_errors, "the last malformed requests and responses" },
	{ "server", "POOL/NAME ready|drain|maint", 2, 3, 30, view_servers, "use it, only for who sticks to it, or not" },
	{ "server", "POOL/NAME weight N|auto", 2, 3, 30, view_servers, "its weight, 0 to 256; auto: the configured one" },
	{ "top", "", 0, 0, 30, NULL, "rates and states, live" },
	{ "reload", "", 0, 0, 300, view_message, "read the configuration again" },
	{ "help", "", 0, 0, 30, view_help, "the commands that the daemon knows" },
};
/* clang-format on */

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static void
print_help(void)
{
	printf("Usage: weirctl [OPTION]... COMMAND [ARGUMENT]...\n"
	       "Ask the running weir, or tell it something, over its control socket.\n\n"
	       "Commands:\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		char *form = xprintf("%s %s", commands[i].name, commands[i].args);

		printf("  %-36s %s\n", form, commands[i].help);
		free(form);
	}
	printf(
	    "\nOptions:\n"
	    "  -S, --socket=PATH          the control socket (default: " WEIR_RUNSTATEDIR
	    "/weir/control.sock)\n"
	    "  -o, --output=table|json    for people (default) or for programs\n"
	    "      --wait[=SECONDS]       server ... drain or maint: until nothing is in progress\n"
	    "                             there; exit status 1 when the seconds are over\n"
	    "      --interval=SECONDS     top: between two looks (default: 2)\n"
	    "      --count=NUMBER         top: how many looks (default: until interrupted)\n"
	    "  -h, --help                 this text\n"
	    "  -V, --version              the version of this program\n\n"
	    "Exit status: 0 done, 1 failed or refused by the daemon, 2 wrong usage.\n"
	    "Details: man weirctl\n");
}

static int
usage_error(void)
{
	fputs("Try 'weirctl --help'.\n", stderr);
	return EXIT_USAGE;
}

/* Of several forms of a command the one that takes so many words. */
static bool
fits(const struct command *command, const char *name, int words)
{
	return strcmp(name, command->name) == 0 && words >= command->min && words <= command->max;
}

/* Returns NULL after a message. */
static const struct command *
find_command(const char *name, int words)
{
	const char *names[COMMAND_COUNT], *nearest;
	bool is_known = false;

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		names[i] = commands[i].name;
		if (fits(&commands[i], name, words))
			return &commands[i];
		is_known = is_known || strcmp(name, commands[i].name) == 0;
	}
	if (is_known) {
		for (size_t i = 0; i < COMMAND_COUNT; i++)
			if (strcmp(name, commands[i].name) == 0)
				fprintf(stderr, "weirctl: usage: weirctl %s%s%s\n", name,
				    commands[i].args[0] != '\0' ? " " : "", commands[i].args);
		return NULL;
	}
	nearest = yaml_nearest(name, names, COMMAND_COUNT, 2);
	if (nearest != NULL)
		fprintf(stderr, "weirctl: no command '%s'; did you mean '%s'?\n", name, nearest);
	else
		fprintf(stderr, "weirctl: no command '%s'\n", name);
	return NULL;
}

/* The words as one line; NULL after a message if one of them cannot be a word there. */
static char *
join_words(char **words, int count)
{
	char *line = xstrdup("");

	for (int i = 0; i < count; i++) {
		char *longer;

		if (words[i][0] == '\0' || strpbrk(words[i], " \t\r\n") != NULL) {
			fprintf(stderr, "weirctl: '%s': a word may not be empty or hold blanks\n",
			    words[i]);
			free(line);
			return NULL;
		}
		longer = xprintf("%s%s%s", line, i > 0 ? " " : "", words[i]);
		free(line);
		line = longer;
	}
	if (strlen(line) > REQUEST_MAX) {
		fputs("weirctl: the command is too long\n", stderr);
		free(line);
		return NULL;
	}
	return line;
}

/* Diagnostics of a refused configuration come as lines of their own, each with its place in the
 * file. */
static void
print_error(const struct command *command, const char *error)
{
	size_t len = strlen(error);

	if (command->view != view_message) {
		fprintf(stderr, "weirctl: %s\n", error);
		return;
	}
	fprintf(stderr, "%s%s", error, len > 0 && error[len - 1] == '\n' ? "" : "\n");
	if (strcmp(command->name, "reload") == 0)
		fputs("weirctl: reload failed, the old configuration goes on\n", stderr);
	else
		fputs("weirctl: reload failed, the old certificates are served on\n", stderr);
}

static int
print_result(const struct command *command, const json_t *result, bool as_json)
{
	if (as_json) {
		json_dumpf(result, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
		putchar('\n');
	} else {
		command->view(result, stdout);
	}
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	perror("weirctl: standard output");
	return EXIT_FAILURE;
}

static bool
drains(const char *line)
{
	const char *last = strrchr(line, ' ');

	return strncmp(line, "server ", 7) == 0 && last != NULL &&
	       (strcmp(last, " drain") == 0 || strcmp(last, " maint") == 0);
}

static int
run(const struct options *options, const struct command *command, const char *line)
{
	json_error_t fault;
	json_t *answer, *result;
	const char *error;
	char *text;
	int status = EXIT_FAILURE;

	if (command->view == NULL)
		return watch_top(options->socket, options->interval_s, options->count);
	text = exchange_ask(options->socket, line, command->timeout_s);
	if (text == NULL)
		return EXIT_FAILURE;
	answer = json_loads(text, 0, &fault);
	result = json_object_get(answer, "result");
	error = json_string_value(json_object_get(answer, "error"));
	if (json_is_true(json_object_get(answer, "ok")) && result != NULL)
		status = print_result(command, result, options->as_json);
	else if (error != NULL)
		print_error(command, error);
	else
		fprintf(stderr, "weirctl: %s does not speak weir's protocol\n", options->socket);
	if (status == EXIT_SUCCESS && options->waits)
		status = watch_drained(options->socket, result, options->wait_s);
	json_decref(answer);
	free(text);
	return status;
}

static bool
read_number(const char *text, unsigned max, unsigned *number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*number = (unsigned)value;
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && value >= 1 && value <= max;
}

static int
number_error(const char *option, unsigned max)
{
	fprintf(stderr, "weirctl: %s: a number from 1 to %u\n", option, max);
	return usage_error();
}

static bool
read_seconds(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *seconds >= 0.1 &&
	       *seconds <= 3600;
}

/* Returns -1 to go on, else the exit status. */
static int
read_options(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{ "socket", required_argument, NULL, 'S' },
		{ "output", required_argument, NULL, 'o' },
		{ "wait", optional_argument, NULL, OPTION_WAIT },
		{ "interval", required_argument, NULL, OPTION_INTERVAL },
		{ "count", required_argument, NULL, OPTION_COUNT },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "S:o:hV", names, NULL)) != -1) {
		switch (letter) {
		case 'S':
			options->socket = optarg;
			break;
		case 'o':
			options->as_json = strcmp(optarg, "json") == 0;
			if (!options->as_json && strcmp(optarg, "table") != 0) {
				fprintf(stderr, "weirctl: output '%s': table or json\n", optarg);
				return usage_error();
			}
			break;
		case OPTION_WAIT:
			options->waits = true;
			if (optarg != NULL && !read_number(optarg, 86400, &options->wait_s))
				return number_error("--wait", 86400);
			break;
		case OPTION_INTERVAL:
			if (!read_seconds(optarg, &options->interval_s)) {
				fputs("weirctl: --interval: 0.1 to 3600 seconds\n", stderr);
				return usage_error();
			}
			break;
		case OPTION_COUNT:
			if (!read_number(optarg, 1000000, &options->count))
				return number_error("--count", 1000000);
			break;
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		case 'V':
			puts("weirctl " WEIR_VERSION);
			return EXIT_SUCCESS;
		default:
			return usage_error();
		}
	}
	return -1;
}

int
main(int argc, char **argv)
{
	struct options options = { .socket = WEIR_RUNSTATEDIR "/weir/control.sock",
		.interval_s = 2 };
	int status = read_options(argc, argv, &options);
	const struct command *command;
	char *line;

	if (status != -1)
		return status;
	if (optind == argc) {
		fputs("weirctl: no command\n", stderr);
		return usage_error();
	}
	command = find_command(argv[optind], argc - optind - 1);
	line = command != NULL ? join_words(argv + optind, argc - optind) : NULL;
	if (line == NULL)
		return usage_error();
	if (options.waits && !drains(line)) {
		fputs("weirctl: --wait goes with server POOL/NAME drain or maint\n", stderr);
		status = usage_error();
	} else if (options.as_json && command->view == NULL) {
		fputs("weirctl: top is for people; programs ask for status, listeners, pools, "
		      "servers\n",
		    stderr);
		status = usage_error();
	} else {
		status = run(&options, command, line);
	}
	free(line);
	return status;
}
