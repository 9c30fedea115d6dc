/*
 * The options of logs and traces, and what follows from them: the places that lines go to, and what
 * each listener's log is.
 */
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "conf_priv.h"
#include "weir/log.h"
#include "weir/syslog.h"

static const char format_doc[] = "Form of the access log: one JSON object a line, the combined "
				 "format of web servers, or the template.";
static const char template_doc[] =
    "One line of a custom access log, with variables: $time, $id, $listener, $client, $client_ip, "
    "$method, $host, $target, $protocol, $status, $pool, $server, $bytes_in, $bytes_out, $retries, "
    "$connect_ms, $first_byte_ms, $total_ms, $end, $tls_version, $tls_cipher, $trace_id, $route, and "
    "${header:NAME} for a field of the request; $$ is a dollar sign. What is not known is written "
    "as -.";
static const char sample_doc[] = "Log one of so many requests that went well; those that ended "
				 "otherwise, or with a status of 500 and above, are all logged.";

#define FORMATS                                                                                    \
	WORDS({ "json", LOG_FORMAT_JSON }, { "combined", LOG_FORMAT_COMBINED },                    \
	    { "custom", LOG_FORMAT_CUSTOM })

static void
finish(struct load *load, const struct yaml_node *map, struct access_log_config *log)
{
	const struct yaml_node *node = yaml_get(map, "template");

	if (log->format != LOG_FORMAT_CUSTOM)
		return;
	if (log->template != NULL)
		log_template_compile(load, node->where, log);
	else if (node == NULL)
		diag_error(load->diag, map->where, "log: format custom needs a template");
}

/* global.log */

static bool
global_is_custom(const void *structure)
{
	const struct global_config *global = structure;

	return global->access_log.format == LOG_FORMAT_CUSTOM;
}

static void
global_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	finish(load, map, &((struct global_config *)structure)->access_log);
}

static const char *
server_parse(struct arena *arena, const struct option *option, const char *text, void *at)
{
	struct addr addr;

	(void)option;
	if (text[0] == '/' && strlen(text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return "is too long for a socket's path";
	if (text[0] != '/' && addr_parse(&addr, text, 514) == -1)
		return "is neither an absolute path nor an IP address";
	*(const char **)at = arena_strdup(arena, text);
	return NULL;
}

static void
server_print(FILE *out, const struct option *option, const void *at)
{
	(void)option;
	yaml_write_scalar(out, *(const char *const *)at);
}

static const struct kind kind_syslog_server = {
	.name = "a syslog server",
	.form = "the path of a socket, or an IP address with its port, such as 192.0.2.1:514",
	.parse = server_parse,
	.print = server_print,
	.schema = "\"type\": \"string\", \"minLength\": 1",
};

static const struct option syslog_options[] = {
	OPTION("server", global_config, syslog_server, kind_syslog_server, .preset = "/dev/log",
	    .doc = "Who gets what goes to syslog, as RFC 5424 says: a local socket, or an address "
		   "(by UDP)."),
	OPTION("facility", global_config, syslog_facility, kind_enum, .preset = "daemon",
	    WORDS({ "kern", 0 }, { "user", 1 }, { "mail", 2 }, { "daemon", 3 }, { "auth", 4 },
		{ "syslog", 5 }, { "lpr", 6 }, { "news", 7 }, { "uucp", 8 }, { "cron", 9 },
		{ "authpriv", 10 }, { "ftp", 11 }, { "local0", 16 }, { "local1", 17 },
		{ "local2", 18 }, { "local3", 19 }, { "local4", 20 }, { "local5", 21 },
		{ "local6", 22 }, { "local7", 23 }),
	    .doc = "Facility of the lines."),
};
static const struct block syslog_block = {
	.name = "syslog",
	TABLE(syslog_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "Where lines go that go to syslog.",
};

static const struct option global_options[] = {
	OPTION("access", global_config, access_log.to, kind_path_or_word, .preset = "off",
	    .where_offset = offsetof(struct global_config, access_log.where),
	    WORDS({ "off", 0 }, { "stdout", 1 }, { "syslog", 2 }),
	    .doc = "Where each request and connection is logged."),
	OPTION("format", global_config, access_log.format, kind_enum, .preset = "json", FORMATS,
	    .doc = format_doc),
	OPTION("template", global_config, access_log.template, kind_text, .preset = "",
	    .applies = global_is_custom, .scope = "with format custom", .doc = template_doc),
	OPTION("sample", global_config, access_log.sample, kind_count, .preset = "1", .min = "1",
	    .max = "1000000", .doc = sample_doc),
	OPTION("level", global_config, log_level, kind_enum, .preset = "info",
	    WORDS({ "error", LOG_LEVEL_ERROR }, { "warn", LOG_LEVEL_WARN },
		{ "info", LOG_LEVEL_INFO }, { "debug", LOG_LEVEL_DEBUG }),
	    .doc = "The least important lines that the error log gets."),
	OPTION("error", global_config, error_log, kind_path_or_word, .preset = "stderr",
	    WORDS({ "stderr", 0 }, { "syslog", 1 }), .doc = "Where the error log goes."),
	INLINE_BLOCK("syslog", syslog_block, .preset = "{}"),
};
const struct block conf_global_log = {
	.name = "log",
	TABLE(global_options),
	.where_offset = NOWHERE,
	.finish = global_finish,
	.doc = "Logs.",
};

/* log of a listener */

static bool
listener_is_custom(const void *structure)
{
	const struct access_log_config *log = structure;

	return log->format == LOG_FORMAT_CUSTOM;
}

static void
listener_finish(struct load *load, const struct yaml_node *map, void *structure)
{
	finish(load, map, structure);
}

static bool
listener_is_on(const void *structure)
{
	const struct access_log_config *log = structure;

	return log->to != NULL || log->format != LOG_FORMAT_INHERIT || log->sample != 0;
}

static const struct option listener_options[] = {
	OPTION("access", access_log_config, to, kind_path_or_word, .preset = "",
	    WORDS({ "off", 0 }, { "stdout", 1 }, { "syslog", 2 }),
	    .doc = "Where requests and connections of this listener are logged."),
	OPTION("format", access_log_config, format, kind_enum, .preset = "", FORMATS,
	    .doc = format_doc),
	OPTION("template", access_log_config, template, kind_text, .preset = "",
	    .applies = listener_is_custom, .scope = "with format custom", .doc = template_doc),
	OPTION("sample", access_log_config, sample, kind_count, .preset = "", .min = "1",
	    .max = "1000000", .doc = sample_doc),
};
const struct block conf_listener_log = {
	.name = "listener_log",
	TABLE(listener_options),
	.size = sizeof(struct access_log_config),
	.where_offset = offsetof(struct access_log_config, where),
	.one_line = true,
	.is_on = listener_is_on,
	.finish = listener_finish,
	.doc = "The access log of this listener. What is not said here is as in global.log.",
};

/* global.trace */

static const struct option trace_options[] = {
	OPTION("propagate", trace_config, propagate, kind_bool, .preset = "off",
	    .doc = "Servers get traceparent (W3C Trace Context): the trace that the client named, "
		   "or a new one, with weir's span as the parent. off: what the client sent passes "
		   "as it is."),
	OPTION("spans", trace_config, spans, kind_path_or_word, .preset = "off",
	    WORDS({ "off", 0 }, { "stdout", 1 }),
	    .where_offset = offsetof(struct trace_config, where),
	    .doc = "Where the spans of sampled requests go, one OTLP/JSON object a line. Needs "
		   "propagate."),
	OPTION("sample", trace_config, sample, kind_count, .preset = "100", .min = "1",
	    .max = "1000000",
	    .doc = "One of so many traces that begin here is sampled. Of others the client "
		   "decides."),
};
const struct block conf_trace = {
	.name = "trace",
	TABLE(trace_options),
	.where_offset = NOWHERE,
	.one_line = true,
	.doc = "Distributed tracing of HTTP requests.",
};

/* What follows */

static uint32_t
find_output(struct load *load, const char *to, struct where where)
{
	struct config *c = load->config;

	if (to == NULL || strcmp(to, "off") == 0)
		return LOG_OUTPUT_NONE;
	for (size_t i = 0; i < c->log_output_count; i++)
		if (strcmp(c->log_outputs[i].to, to) == 0)
			return (uint32_t)i;
	c->log_outputs[c->log_output_count] = (struct log_output_config){ to, where };
	return (uint32_t)c->log_output_count++;
}

static void
find_listener_log(struct load *load, struct listener_config *listener)
{
	const struct access_log_config *above = &load->config->global.access_log;
	struct access_log_config *log = &listener->access_log;

	*log = listener->log;
	if (log->to == NULL) {
		log->to = above->to;
		log->where = above->where;
	}
	if (log->format == LOG_FORMAT_INHERIT) {
		log->format = above->format;
		log->parts = above->parts;
		log->part_count = above->part_count;
	}
	if (log->sample == 0)
		log->sample = above->sample;
	log->output = find_output(load, log->to, log->where);
}

static bool
uses_syslog(const struct config *c)
{
	if (c->global.error_log != NULL && strcmp(c->global.error_log, "syslog") == 0)
		return true;
	for (size_t i = 0; i < c->log_output_count; i++)
		if (strcmp(c->log_outputs[i].to, "syslog") == 0)
			return true;
	return false;
}

void
check_logs(struct load *load)
{
	struct config *c = load->config;
	struct global_config *global = &c->global;

	c->log_outputs = arena_array(load->arena, c->listener_count + 1, sizeof(*c->log_outputs));
	for (size_t i = 0; i < c->listener_count; i++)
		find_listener_log(load, &c->listeners[i]);
	global->trace.output = find_output(load, global->trace.spans, global->trace.where);
	if (global->trace.output != LOG_OUTPUT_NONE && !global->trace.propagate)
		diag_error(load->diag, global->trace.where, "trace: spans needs propagate: on");
	if (!uses_syslog(c) || global->syslog_server == NULL)
		return;
	global->syslog = arena_alloc(load->arena, sizeof(*global->syslog));
	/* The text was checked when it was read. */
	(void)syslog_target_init(
	    global->syslog, global->syslog_server, (unsigned)global->syslog_facility);
}
