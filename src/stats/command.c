#include "command_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clients_priv.h"
#include "export_priv.h"
#include "weir/arena.h"
#include "weir/tls_kernel.h"
#include "weir/log.h"
#include "weir/yaml.h"

struct command {
	const char *name, *args;
	size_t min, max; /* words after the name */
	enum command_end (*run)(struct command_call *call);
	const char *help;
};

static enum command_end command_help(struct command_call *call);

enum command_end
command_fail(struct command_call *call, const char *format, ...)
{
	char *message;
	va_list args;

	va_start(args, format);
	message = xvprintf(format, args);
	va_end(args);
	text_puts(&call->error, message);
	free(message);
	return COMMAND_FAILED;
}

/* "no pool "x"; did you mean "y"?" */
static enum command_end
command_fail_unknown(struct command_call *call, const char *what, const char *name,
    const char *const *names, size_t count)
{
	size_t len = strlen(name); /* any two names of one letter are near */
	const char *nearest =
	    len < 3 ? NULL : yaml_nearest(name, names, count, 1 + (unsigned)len / 4);

	if (nearest == NULL)
		return command_fail(call, "no %s \"%s\"", what, name);
	return command_fail(call, "no %s \"%s\"; did you mean \"%s\"?", what, name, nearest);
}

enum command_end
command_fail_pool(struct command_call *call, const char *name)
{
	const struct config *config = call->config;
	const char **names = xcalloc(config->pool_count + 1, sizeof(*names));
	enum command_end end;

	for (size_t i = 0; i < config->pool_count; i++)
		names[i] = config->pools[i].name;
	end = command_fail_unknown(call, "pool", name, names, config->pool_count);
	free(names);
	return end;
}

static enum command_end
command_fail_listener(struct command_call *call, const char *name)
{
	const struct config *config = call->config;
	const char **names = xcalloc(config->listener_count + 1, sizeof(*names));
	enum command_end end;

	for (size_t i = 0; i < config->listener_count; i++)
		names[i] = config->listeners[i].name;
	end = command_fail_unknown(call, "listener", name, names, config->listener_count);
	free(names);
	return end;
}

static enum command_end
command_fail_server(struct command_call *call, const struct pool_config *pool, const char *name)
{
	const char **names = xcalloc(pool->server_count + 1, sizeof(*names));
	char *what = xprintf("server in pool %s named", pool->name);
	enum command_end end;

	for (size_t i = 0; i < pool->server_count; i++)
		names[i] = pool->servers[i].name;
	end = command_fail_unknown(call, what, name, names, pool->server_count);
	free(what);
	free(names);
	return end;
}

static enum command_end
command_status(struct command_call *call)
{
	struct stats *stats = collect_all(call->config, call->shm, COLLECT_SUMS);
	const struct process_stats *process = &stats->process;
	struct json *json = &call->json;

	json_open(json, NULL, '{');
	json_put_string(json, "version", WEIR_VERSION);
	json_put_uint(json, "pid", (uint64_t)process->pid);
	json_put_string(json, "configuration", stats->config->file);
	json_put_uint(json, "generation", process->generation);
	json_put_uint(json, "started", process->started_wall_s);
	json_put_uint(json, "loaded", process->loaded_wall_s);
	json_put_uint(json, "uptime_s", process->uptime_s);
	json_put_uint(json, "reloads", process->reloads);
	json_put_uint(json, "reload_failures", process->reload_failures);
	json_put_uint(json, "server_changes", process->server_changes);
	json_put_uint(json, "worker_deaths", process->worker_deaths);
	json_put_string(json, "kernel_tls", tls_kernel_text(stats->config->kernel_tls));
	json_put_uint(json, "workers_wanted", process->workers_wanted);
	json_put_uint(json, "listeners", stats->config->listener_count);
	json_put_uint(json, "pools", stats->config->pool_count);
	json_put_uint(json, "servers", stats->server_count);
	json_put_uint(json, "servers_down", stats->servers_down);
	export_json_workers(json, process);
	json_close(json, '}');
	collect_free(stats);
	return COMMAND_DONE;
}

static enum command_end
command_listeners(struct command_call *call)
{
	struct stats *stats = collect_all(call->config, call->shm, COLLECT_PERCENTILES);

	json_open(&call->json, NULL, '[');
	for (size_t i = 0; i < stats->config->listener_count; i++)
		export_json_listener(&call->json, &stats->listeners[i]);
	json_close(&call->json, ']');
	collect_free(stats);
	return COMMAND_DONE;
}

static enum command_end
command_certs(struct command_call *call)
{
	struct stats *stats;

	if (call->count > 1)
		return strcmp(call->words[1], "reload") == 0
			   ? commands_reload_certs(call)
			   : command_fail(call, "\"%s\" is not reload", call->words[1]);
	stats = collect_all(call->config, call->shm, COLLECT_SUMS);
	json_open(&call->json, NULL, '[');
	for (size_t i = 0; i < call->config->certificate_count; i++)
		export_json_certificate(&call->json, &call->config->certificates[i],
		    collect_find_certificate(stats, call->config->certificates[i].id));
	json_close(&call->json, ']');
	collect_free(stats);
	return COMMAND_DONE;
}

/* Those of one listener, or of all. */
static enum command_end
command_routes(struct command_call *call)
{
	const struct config *config = call->config;
	const struct listener_config *only = NULL;

	if (call->count > 1) {
		only = conf_find_listener(config, call->words[1]);
		if (only == NULL)
			return command_fail_listener(call, call->words[1]);
	}
	json_open(&call->json, NULL, '[');
	for (size_t i = 0; i < config->route_series_count; i++) {
		struct route_stats route;

		if (only != NULL && only != config->route_series[i].listener)
			continue;
		collect_route(&route, &config->route_series[i], call->shm);
		export_json_route(&call->json, &route);
	}
	json_close(&call->json, ']');
	return COMMAND_DONE;
}

static enum command_end
command_pools(struct command_call *call)
{
	struct stats *stats = collect_all(call->config, call->shm, COLLECT_PERCENTILES);

	json_open(&call->json, NULL, '[');
	for (size_t i = 0; i < stats->config->pool_count; i++)
		export_json_pool(&call->json, &stats->pools[i], false);
	json_close(&call->json, ']');
	collect_free(stats);
	return COMMAND_DONE;
}

static enum command_end
command_servers(struct command_call *call)
{
	const struct config *config = call->config;
	const struct pool_config *only = NULL;

	if (call->count > 1) {
		only = conf_find_pool(config, call->words[1]);
		if (only == NULL)
			return command_fail_pool(call, call->words[1]);
	}
	json_open(&call->json, NULL, '[');
	for (size_t i = 0; i < config->pool_count; i++) {
		const struct pool_config *pool = &config->pools[i];

		for (size_t k = 0; (only == NULL || only == pool) && k < pool->server_count; k++) {
			struct server_stats server;

			collect_server(&server, pool, &pool->servers[k], call->shm, COLLECT_PERCENTILES);
			export_json_server(&call->json, &server, true);
		}
	}
	json_close(&call->json, ']');
	return COMMAND_DONE;
}

/*
 * POOL/NAME: pool names hold slashes, so the last one parts them; should a server's name hold some
 * too, one further to the left does. Returns 0, or -1 with the call's error set.
 */
static int
command_find_server(struct command_call *call, const char *path, const struct pool_config **pool,
    const struct server_config **server)
{
	const char *last = strrchr(path, '/');
	char *copy = xstrdup(path);

	*server = NULL;
	for (char *slash = strrchr(copy, '/'); slash != NULL && *server == NULL;
	     slash = strrchr(copy, '/')) {
		*slash = '\0';
		*pool = conf_find_pool(call->config, copy);
		if (*pool != NULL)
			*server = conf_find_server(*pool, path + (slash - copy) + 1);
	}
	free(copy);
	if (*server != NULL)
		return 0;
	if (last == NULL || last == path || last[1] == '\0') {
		command_fail(call, "\"%s\" is no POOL/NAME", path);
		return -1;
	}
	copy = xstrdup(path);
	copy[last - path] = '\0';
	*pool = conf_find_pool(call->config, copy);
	if (*pool == NULL)
		command_fail_pool(call, copy);
	else
		command_fail_server(call, *pool, last + 1);
	free(copy);
	return -1;
}

void
command_find_peer(const struct command_call *call, struct ucred *peer)
{
	socklen_t len = sizeof(*peer);

	*peer = (struct ucred){ .pid = 0, .uid = (uid_t)-1 };
	if (getsockopt(call->client->fd, SOL_SOCKET, SO_PEERCRED, peer, &len) == -1)
		log_warn("control: cannot tell who asks");
}

/* For the log. */
static void
command_log_change(struct command_call *call, const struct pool_config *pool,
    const struct server_config *server, const char *change)
{
	struct ucred peer;

	command_find_peer(call, &peer);
	log_info("pool %s server %s: %s by user %u (process %d)", pool->name, server->name, change,
	    (unsigned)peer.uid, (int)peer.pid);
}

/* "0" to "256", or "auto".  Returns 0 or -1. */
static int
command_parse_weight(const char *text, int *weight)
{
	int value = 0;

	if (strcmp(text, "auto") == 0) {
		*weight = WEIGHT_FROM_CONFIG;
		return 0;
	}
	if (*text == '\0' || strlen(text) > 3)
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
	}
	*weight = value;
	return value <= 256 ? 0 : -1;
}

static enum command_end
command_set_weight(
    struct command_call *call, const struct pool_config *pool, const struct server_config *server)
{
	char change[32];
	int weight;

	if (call->count != 4 || command_parse_weight(call->words[3], &weight) == -1)
		return command_fail(call, "a weight is 0 to 256, or auto");
	shm_set_weight(call->shm, pool->id, server->id, weight);
	if (weight == WEIGHT_FROM_CONFIG)
		snprintf(change, sizeof(change), "weight auto (%u)", server->weight);
	else
		snprintf(change, sizeof(change), "weight %d", weight);
	command_log_change(call, pool, server, change);
	return COMMAND_DONE;
}

static enum command_end
command_set_admin(
    struct command_call *call, const struct pool_config *pool, const struct server_config *server)
{
	static const enum admin_state states[] = { ADMIN_READY, ADMIN_DRAIN, ADMIN_MAINT };
	const char *word = call->words[2];

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		const char *name = collect_admin_name(states[i]);

		if (strcmp(word, name) != 0)
			continue;
		if (call->count != 3)
			return command_fail(call, "nothing may follow \"%s\"", word);
		shm_set_admin(call->shm, pool->id, server->id, states[i]);
		/* Who says that it is ready knows better than the requests that failed. */
		if (states[i] == ADMIN_READY)
			shm_readmit(call->shm, pool->id, server->id, 0);
		command_log_change(call, pool, server, name);
		return COMMAND_DONE;
	}
	return command_fail(call, "\"%s\" is none of ready, drain, maint, weight", word);
}

static enum command_end
command_server(struct command_call *call)
{
	const struct server_config *server;
	const struct pool_config *pool;
	struct server_stats stats;
	enum command_end end;

	if (command_find_server(call, call->words[1], &pool, &server) == -1)
		return COMMAND_FAILED;
	if (strcmp(call->words[2], "weight") == 0)
		end = command_set_weight(call, pool, server);
	else
		end = command_set_admin(call, pool, server);
	if (end == COMMAND_DONE) {
		commands_on_change(call);
		collect_server(&stats, pool, server, call->shm, COLLECT_PERCENTILES);
		export_json_server(&call->json, &stats, true);
	}
	return end;
}

/* clang-format off */
static const struct command command_table[] = {
	{ "status", "", 0, 0, command_status, "the processes and what they serve" },
	{ "listeners", "", 0, 0, command_listeners, "all listeners with their counters" },
	{ "pools", "", 0, 0, command_pools, "all pools with their counters" },
	{ "servers", "[POOL]", 0, 1, command_servers, "the servers of one pool or of all" },
	{ "routes", "[LISTENER]", 0, 1, command_routes, "the routes of one listener or of all, with their counters" },
	{ "sticky", "[POOL]", 0, 1, command_sticky, "which clients stick to which servers" },
	{ "certs", "[reload]", 0, 1, command_certs, "the certificates and when they end; reload: read them again" },
	{ "errors", "", 0, 0, command_errors, "the last malformed requests and responses" },
	{ "server", "POOL/NAME ready|drain|maint|weight N|weight auto", 2, 3, command_server,
	    "change how a server is used" },
	{ "reload", "", 0, 0, commands_reload, "read the configuration again" },
	{ "apply", "CHANGE", 1, 1, commands_apply, "other servers for pools, without new workers" },
	{ "help", "", 0, 0, command_help, "this list" },
};
/* clang-format on */

enum { COMMAND_COUNT = sizeof(command_table) / sizeof(command_table[0]) };

static enum command_end
command_help(struct command_call *call)
{
	json_open(&call->json, NULL, '[');
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		json_open(&call->json, NULL, '{');
		json_put_string(&call->json, "command", command_table[i].name);
		json_put_string(&call->json, "arguments", command_table[i].args);
		json_put_string(&call->json, "help", command_table[i].help);
		json_close(&call->json, '}');
	}
	json_close(&call->json, ']');
	return COMMAND_DONE;
}

enum command_end
command_run(struct command_call *call)
{
	const char *names[COMMAND_COUNT];

	if (call->count == 0)
		return command_fail(call, "an empty request; \"help\" lists the commands");
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct command *command = &command_table[i];

		names[i] = command->name;
		if (strcmp(call->words[0], command->name) != 0)
			continue;
		if (call->count - 1 < command->min || call->count - 1 > command->max)
			return command_fail(call, "usage: %s%s%s", command->name,
			    command->args[0] != '\0' ? " " : "", command->args);
		return command->run(call);
	}
	return command_fail_unknown(call, "command", call->words[0], names, COMMAND_COUNT);
}
