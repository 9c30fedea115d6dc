/* conf: what is right is read, filled in, printed and read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "weir/arena.h"
#include "weir/conf.h"
#include "weir/file.h"
#include "weir/log.h"

static struct config *
load(const char *text)
{
	struct diag *diag = diag_new();
	struct config *config = conf_load_text("f", text, strlen(text), diag);
	char *findings = diag_text(diag, "test");

	assert_string_equal(findings, "");
	assert_non_null(config);
	free(findings);
	diag_free(diag);
	return config;
}

static char *
dump(const struct config *config)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	conf_dump(config, out);
	fclose(out);
	return text;
}

static void
defaults_of_global(void **state)
{
	struct config *config = load("version: 1\n");
	const struct global_config *g = &config->global;
	char text[ADDR_TEXT_SIZE];

	(void)state;
	assert_string_equal(config->file, "f");
	assert_int_equal(g->workers, CONF_AUTO);
	assert_string_equal(g->user, "weir");
	assert_non_null(strstr(g->certificates_dir, "/weir/certs"));
	assert_non_null(strstr(g->control_socket, "/weir/control.sock"));
	assert_non_null(strstr(g->pid_file, "/weir/weir.pid"));
	assert_non_null(strstr(g->state_dir, "/lib/weir"));
	assert_true(g->stats_on);
	assert_string_equal(addr_print(&g->stats_listen, text), "127.0.0.1:9180");
	assert_string_equal(g->access_log.to, "off");
	assert_int_equal(g->access_log.format, LOG_FORMAT_JSON);
	assert_int_equal(g->log_level, LOG_LEVEL_INFO);
	assert_string_equal(g->error_log, "stderr");
	assert_int_equal(g->limits.connections, CONF_AUTO);
	assert_int_equal(g->limits.request_head, 32768);
	assert_int_equal(g->limits.response_head, 32768);
	assert_int_equal(g->limits.headers, 128);
	assert_int_equal(g->limits.drain_ms, 60000);
	assert_int_equal(g->limits.sticky_entries, 65536);
	assert_int_equal(g->limits.idle_upstream, 512);
	assert_int_equal(g->limits.handshakes, 16);
	assert_int_equal(config->listener_count + config->pool_count + config->acl_count, 0);
	conf_free(config);
}

static void
values_of_global(void **state)
{
	struct config *config = load(
	    "version: \"1\"\n"
	    "global:\n"
	    "  workers: 4\n"
	    "  user: 1000\n"
	    "  certificates:\n"
	    "  control: {socket: /c}\n"
	    "  stats: {listen: off}\n"
	    "  log: {access: stdout, format: combined, level: debug, error: /e}\n"
	    "  limits: {connections: 7, request_head: 1024, drain: 1500ms, idle_upstream: 0}\n");
	const struct global_config *g = &config->global;

	(void)state;
	assert_int_equal(g->workers, 4);
	assert_string_equal(g->user, "1000");
	assert_string_equal(g->control_socket, "/c");
	assert_false(g->stats_on);
	assert_string_equal(g->access_log.to, "stdout");
	assert_int_equal(g->access_log.format, LOG_FORMAT_COMBINED);
	assert_int_equal(g->log_level, LOG_LEVEL_DEBUG);
	assert_string_equal(g->error_log, "/e");
	assert_int_equal(g->limits.connections, 7);
	assert_int_equal(g->limits.request_head, 1024);
	assert_int_equal(g->limits.drain_ms, 1500);
	assert_int_equal(g->limits.idle_upstream, 0);
	conf_free(config);
}

/* Everything is said, nothing as by default. */
static const char full[] =
    "version: 1\n"
    "acls:\n"
    "  empty: {networks: []}\n"
    "  office: {networks: [203.0.113.0/24, \"2001:db8::/32\", 10.0.0.1]}\n"
    "listeners:\n"
    "  - name: default/test:443\n"
    "    listen: [\"0.0.0.0:443\", \"[::]:443\"]\n"
    "    protocol: https\n"
    "    tls:\n"
    "      certificate: 17e3b4f4bc40471c86741dc3aa211379\n"
    "      server_names: [{name: \"*.API.example.com\", certificate: other-id}]\n"
    "      policy: tls-1-2\n"
    "      alpn: [http/1.1]\n"
    "    timeouts: {client_head: 1s, client_body: 2s, client_idle: 3s, connect: 4s, response: 5s, "
    "idle: 6s, tunnel: 7h}\n"
    "    access: {acl: office, mode: deny}\n"
    "    forwarded: {for: replace, proto: yes, client_port: off}\n"
    "    routes:\n"
    "      - {host: API.example.com, path: {prefix: /v1}, pool: api}\n"
    "      - {path: {exact: \"/a%20b\"}, pool: web}\n"
    "    pool: web\n"
    "  - {name: r, listen: \"*:80\", protocol: http, redirect: {port: 8443, status: 308}}\n"
    "  - {name: r2, listen: \"*:81\", protocol: http, redirect: {scheme: http}}\n"
    "  - {name: mail, listen: [\"[2001:db8::1]:25\"], protocol: tls, tls: {certificate: m}, pool: "
    "mail}\n"
    "pools:\n"
    "  - name: web\n"
    "    balance: weighted_least_connections\n"
    "    sticky: {by: cookie_insert, name: X, timeout: 90s}\n"
    "    health: {type: http, interval: 1s, timeout: 2s, rise: 4, fall: 5, port: 81, path: "
    "\"/h?x=1\", host: h.example,\n"
    "      method: HEAD, status: [2xx, 301, 400-403, 599]}\n"
    "    servers:\n"
    "      - {name: a, address: \"10.0.0.7:80\", weight: 0}\n"
    "      - {name: b, address: \"[2001:db8::7]:8080\", weight: 256}\n"
    "    meta: {x: 1, \"off\": \"y: z\", e: }\n"
    "  - {name: api, balance: source_hash, servers: [{name: a, address: \"10.0.0.8:80\"}]}\n"
    "  - name: mail\n"
    "    protocol: tcp\n"
    "    balance: tuple_hash\n"
    "    sticky: {by: source_ip}\n"
    "    health: {type: tcp}\n"
    "    servers: [{name: a, address: \"10.0.0.9:25\"}]\n"
    "  - name: dns\n"
    "    protocol: udp\n"
    "    health: {type: udp, payload: \"0x00fF\", expect: \"0x31\", fast_interval: 1s}\n"
    "    servers: [{name: a, address: \"10.0.0.10:53\"}]\n";

static void
values_of_listeners(void **state)
{
	struct config *config = load(full);
	const struct listener_config *l = &config->listeners[0];
	char text[ADDR_TEXT_SIZE];

	(void)state;
	assert_int_equal(config->listener_count, 4);
	assert_int_equal(l->where.line, 6);
	assert_int_equal(l->where.column, 5);
	assert_string_equal(l->where.file, "f");
	assert_int_equal(l->listen_count, 2);
	assert_string_equal(addr_print(&l->listen[1], text), "[::]:443");
	assert_int_equal(l->listen_where[1].column, 29);
	assert_int_equal(l->protocol, PROTOCOL_HTTPS);
	assert_true(l->tls.on);
	assert_int_equal(l->tls.certificate_where.line, 10);
	assert_string_equal(l->tls.certificate_where.file, "f");
	assert_string_equal(l->tls.server_names[0].name, "*.api.example.com");
	assert_int_equal(l->tls.server_names[0].where.line, 11);
	assert_string_equal(l->tls.policy, "tls-1-2");
	assert_string_equal(l->tls.alpn[0], "http/1.1");
	assert_int_equal(l->timeouts.client_head, 1000);
	assert_int_equal(l->timeouts.tunnel, 7 * 3600000);
	assert_ptr_equal(l->acl, &config->acls[1]);
	assert_true(l->access_deny);
	assert_int_equal(config->acls[1].network_count, 3);
	assert_int_equal(config->acls[1].networks[2].bits, 128);
	assert_int_equal(l->forwarded.for_, FORWARDED_FOR_REPLACE);
	assert_true(l->forwarded.proto);
	assert_string_equal(l->routes[0].host, "api.example.com");
	assert_int_equal(l->routes[0].match, PATH_PREFIX);
	assert_string_equal(l->routes[0].path, "/v1");
	assert_ptr_equal(l->routes[0].pool, &config->pools[1]);
	assert_int_equal(l->routes[1].match, PATH_EXACT);
	assert_null(l->routes[1].host);
	assert_ptr_equal(l->pool, &config->pools[0]);
	assert_int_equal(l[1].index, 1);
	assert_true(l[1].redirect.on);
	assert_string_equal(l[1].redirect.scheme, "https");
	assert_int_equal(l[1].redirect.port, 8443);
	assert_int_equal(l[1].redirect.status, 308);
	assert_null(l[1].pool);
	assert_int_equal(l[2].redirect.port, 80);
	assert_int_equal(l[2].redirect.status, 301);
	assert_int_equal(l[2].timeouts.idle, 900000);
	assert_int_equal(l[2].timeouts.client_idle, 15000);
	assert_false(l[2].tls.on);
	assert_string_equal(l[3].tls.policy, "intermediate");
	assert_int_equal(l[0].tls.alpn_count, 1);
	assert_int_equal(l[3].tls.alpn_count, 0); /* protocol tls */
	conf_free(config);
}

static void
values_of_pools(void **state)
{
	struct config *config = load(full);
	const struct pool_config *p = &config->pools[0];
	const struct health_config *h = &p->health;

	(void)state;
	assert_ptr_equal(conf_find_pool(config, "mail"), &config->pools[2]);
	assert_null(conf_find_pool(config, "ma"));
	assert_ptr_equal(conf_find_server(p, "b"), &p->servers[1]);
	assert_null(conf_find_server(p, "c"));
	assert_int_equal(p->protocol, POOL_HTTP);
	assert_int_equal(p->balance, BALANCE_WLC);
	assert_int_equal(p->sticky.by, STICKY_COOKIE_INSERT);
	assert_string_equal(p->sticky.name, "X");
	assert_int_equal(p->sticky.timeout_ms, 90000);
	assert_int_equal(h->type, HEALTH_HTTP);
	assert_int_equal(h->interval_ms, 1000);
	assert_int_equal(h->timeout_ms, 2000);
	assert_int_equal(h->rise, 4);
	assert_int_equal(h->fall, 5);
	assert_int_equal(h->port, 81);
	assert_string_equal(h->path, "/h?x=1");
	assert_string_equal(h->host, "h.example");
	assert_string_equal(h->method, "HEAD");
	assert_int_equal(p->servers[0].weight, 0);
	assert_int_equal(p->servers[1].weight, 256);
	assert_int_equal(p->servers[1].index, 1);
	assert_int_equal(p->meta_count, 3);
	assert_string_equal(p->meta[1].key, "off");
	assert_string_equal(p->meta[1].value, "y: z");
	assert_string_equal(p->meta[2].value, "");
	assert_int_equal(p[1].index, 1);
	assert_int_equal(p[1].health.type, HEALTH_OFF);
	assert_int_equal(p[1].sticky.by, STICKY_OFF);
	assert_int_equal(p[1].servers[0].weight, 1);
	assert_int_equal(p[2].protocol, POOL_TCP);
	assert_int_equal(p[2].sticky.timeout_ms, 1800000);
	assert_int_equal(p[2].health.interval_ms, 5000);
	assert_int_equal(p[2].health.timeout_ms, 10000);
	assert_int_equal(p[2].health.rise, 3);
	assert_int_equal(p[3].health.payload.len, 2);
	assert_memory_equal(p[3].health.payload.ptr, "\0\xff", 2);
	assert_int_equal(p[3].health.expect.len, 1);
	assert_int_equal(p[3].health.fast_interval_ms, 1000);
	conf_free(config);
}

static void
statuses(void **state)
{
	static const unsigned in[] = { 200, 204, 299, 301, 400, 403, 599 };
	static const unsigned out[] = { 0, 99, 100, 199, 300, 302, 399, 404, 598, 600, 640, 99999 };
	struct config *config = load(full);
	const struct status_set *set = &config->pools[0].health.status;

	(void)state;
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		assert_true(status_set_has(set, in[i]));
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
		assert_false(status_set_has(set, out[i]));
	conf_free(config);
}

static void
assert_reads_back(struct config *config)
{
	char *first = dump(config), *second;
	struct config *again = load(first);

	second = dump(again);
	assert_string_equal(first, second);
	assert_int_equal(again->listener_count, config->listener_count);
	assert_int_equal(again->pool_count, config->pool_count);
	assert_memory_equal(
	    &again->global.limits, &config->global.limits, sizeof(config->global.limits));
	for (size_t i = 0; i < config->pool_count; i++)
		assert_memory_equal(&again->pools[i].health.status, &config->pools[i].health.status,
		    sizeof(struct status_set));
	for (size_t i = 0; i < config->listener_count; i++)
		assert_memory_equal(&again->listeners[i].timeouts, &config->listeners[i].timeouts,
		    sizeof(struct timeouts_config));
	conf_free(again);
	conf_free(config);
	free(first);
	free(second);
}

static void
dump_reads_back(void **state)
{
	struct config *config = load(full);
	char *text = dump(config);

	(void)state;
	assert_non_null(strstr(text, "status: [2xx, 301, 400-403, 599]\n"));
	assert_non_null(strstr(text, "redirect: {scheme: http, port: 80, status: 301}\n"));
	assert_non_null(
	    strstr(text, "- {host: api.example.com, path: {prefix: /v1}, in_order: off, pool: api}\n"));
	assert_non_null(strstr(text, "empty: {networks: []}\n"));
	assert_null(
	    strstr(text, "SERVERID")); /* of a pool that sticks by address: without meaning there */
	free(text);
	assert_reads_back(config);
	assert_reads_back(load("version: 1\n"));
	assert_reads_back(load("version: 1\nglobal: {user: \"no\", log: {access: \"/a b\"}, "
			       "limits: {drain: 61001ms}}\n"));
}

static void
example_is_right(void **state)
{
	struct diag *diag = diag_new();
	struct config *config = conf_load(WEIR_SRCDIR "/etc/weir.yaml", diag);
	char *findings = diag_text(diag, "test");

	(void)state;
	assert_string_equal(findings, "");
	assert_reads_back(config);
	free(findings);
	diag_free(diag);
}

/* Thousands of objects: references are found, and nothing is told twice. */
static void
many_objects(void **state)
{
	enum { MANY = 3000 };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct config *config;

	(void)state;
	fputs("version: 1\nlisteners:\n", out);
	for (int i = 0; i < MANY; i++)
		fprintf(out, "- {name: l%d, listen: ['*:%d'], protocol: http, pool: p%d}\n", i,
		    10000 + i, MANY - 1 - i);
	fputs("pools:\n", out);
	for (int i = 0; i < MANY; i++)
		fprintf(out, "- {name: p%d, servers: [{name: s, address: '10.0.0.1:80'}]}\n", i);
	fclose(out);
	config = load(text);
	for (int i = 0; i < MANY; i++)
		assert_ptr_equal(config->listeners[i].pool, &config->pools[MANY - 1 - i]);
	conf_free(config);
	free(text);
}

static void
schema_is_json(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	json_t *schema, *listener, *interval;
	json_error_t error;

	(void)state;
	conf_print_schema(out);
	fclose(out);
	schema = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(schema);
	assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
	listener = json_object_get(
	    json_object_get(json_object_get(schema, "properties"), "listeners"), "items");
	assert_true(json_is_object(listener));
	assert_int_equal(json_array_size(json_object_get(listener, "required")), 3);
	interval = json_object_get(
	    json_object_get(json_object_get(listener, "properties"), "timeouts"), "properties");
	interval = json_object_get(json_object_get(interval, "connect"), "default");
	assert_string_equal(json_string_value(interval), "5s");
	json_decref(schema);
	free(text);
}

#define MANUAL WEIR_SRCDIR "/doc/weir.yaml.5"
static const char begin_mark[] = ".\\\" begin\n", end_mark[] = ".\\\" end\n";

/* The reference in weir.yaml(5) is what the tables say.  With WEIR_UPDATE in the environment it is
 * written anew. */
static void
manual_is_up_to_date(void **state)
{
	char *text = NULL, *page, *begin, *end, *before;
	size_t size, len;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	conf_print_manual(out);
	fclose(out);
	page = file_read(MANUAL, 1 << 20, &len);
	assert_non_null(page);
	begin = strstr(page, begin_mark);
	end = strstr(page, end_mark);
	assert_non_null(begin);
	assert_non_null(end);
	begin += strlen(begin_mark);
	if (getenv("WEIR_UPDATE") != NULL) {
		char *updated = xprintf("%.*s%s%s", (int)(begin - page), page, text, end);

		assert_int_equal(
		    file_write_atomic(MANUAL, updated, strlen(updated), 0644, NULL), 0);
		free(updated);
	} else {
		before = strndup(begin, (size_t)(end - begin));
		assert_string_equal(before, text);
		free(before);
	}
	free(page);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_of_global),
		cmocka_unit_test(values_of_global),
		cmocka_unit_test(values_of_listeners),
		cmocka_unit_test(values_of_pools),
		cmocka_unit_test(statuses),
		cmocka_unit_test(dump_reads_back),
		cmocka_unit_test(example_is_right),
		cmocka_unit_test(many_objects),
		cmocka_unit_test(schema_is_json),
		cmocka_unit_test(manual_is_up_to_date),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
