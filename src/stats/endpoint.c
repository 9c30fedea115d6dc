#include "weir/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients_priv.h"
#include "dashboard_priv.h"
#include "export_priv.h"
#include "query_priv.h"
#include "sampler_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"

/* Answers that wait to be read, all connections together; past it new requests get 503. */
enum { REQUEST_SIZE = 4096, PENDING_MAX = 64 << 20, NAME_SIZE = 1024 };

struct endpoint {
	const struct config *config; /* borrowed from the generation */
	const struct shm *shm;
	struct clients *clients; /* owned */
	struct sampler *sampler; /* owned */
	char *policy;            /* owned; Content-Security-Policy of the page */
};

/* Writes the body; returns the status. */
typedef unsigned page_fn(const struct endpoint *endpoint, const struct query *query, struct text *body);

struct page {
	const char *path;
	const char *type; /* Content-Type */
	page_fn *write;
};

static unsigned
page_json(const struct endpoint *endpoint, const struct query *query, struct text *body)
{
	struct stats *stats = collect_all(endpoint->config, endpoint->shm, COLLECT_PERCENTILES);

	(void)query;
	export_json(body, stats);
	collect_free(stats);
	return 200;
}

static unsigned
page_metrics(const struct endpoint *endpoint, const struct query *query, struct text *body)
{
	struct stats *stats = collect_all(endpoint->config, endpoint->shm, COLLECT_SUMS);

	(void)query;
	export_prometheus(body, stats);
	collect_free(stats);
	return 200;
}

static unsigned
page_csv(const struct endpoint *endpoint, const struct query *query, struct text *body)
{
	struct stats *stats = collect_all(endpoint->config, endpoint->shm, COLLECT_SUMS);

	(void)query;
	export_csv(body, stats);
	collect_free(stats);
	return 200;
}

/* That somebody answers is the answer. */
static unsigned
page_healthz(const struct endpoint *endpoint, const struct query *query, struct text *body)
{
	(void)query;
	(void)endpoint;
	text_puts(body, "ok\n");
	return 200;
}

static unsigned
page_readyz(const struct endpoint *endpoint, const struct query *query, struct text *body)
{
	struct process_stats process;
	bool is_ready;

	(void)query;
	collect_process(&process, endpoint->config, endpoint->shm);
	is_ready = process.workers_current >= process.workers_wanted;
	text_printf(body, "%s: %zu of %zu workers run configuration %u\n",
	    is_ready ? "ok" : "not ready", process.workers_current, process.workers_wanted,
	    process.generation);
	return is_ready ? 200 : 503;
}

static unsigned
page_dashboard_data(
    const struct endpoint *endpoint, const struct query *query, struct text *body)
{
	struct stats *stats = collect_all(endpoint->config, endpoint->shm, COLLECT_PERCENTILES);

	(void)query;
	export_dashboard(body, stats);
	collect_free(stats);
	return 200;
}

/* /history.json, ?listener=NAME or ?pool=NAME */
static unsigned
page_history(const struct endpoint *endpoint, const struct query *query, struct text *body)
{
	const struct config *config = endpoint->config;
	const struct listener_config *listener = NULL;
	const struct pool_config *pool = NULL;
	char name[NAME_SIZE];
	int by_listener = query_get(query, "listener", name, sizeof(name)), by_pool = 0;

	if (by_listener == 1)
		listener = conf_find_listener(config, name);
	else if (by_listener == 0)
		by_pool = query_get(query, "pool", name, sizeof(name));
	if (by_pool == 1)
		pool = conf_find_pool(config, name);
	if (by_listener == -1 || by_pool == -1 || (by_listener == 1 && listener == NULL) ||
	    (by_pool == 1 && pool == NULL)) {
		text_puts(body, "{\"error\": \"no such listener or pool\"}\n");
		return 404;
	}
	sampler_export(body, config, endpoint->shm, listener, pool);
	return 200;
}

static unsigned
page_index(const struct endpoint *endpoint, const struct query *query, struct text *body)
{
	(void)endpoint;
	(void)query;
	text_add(body, dashboard_page, dashboard_page_len);
	return 200;
}

static const struct page pages[] = {
	{ "/", "text/html; charset=utf-8", page_index },
	{ "/stats.json", "application/json", page_json },
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics },
	{ "/stats.csv", "text/csv; charset=utf-8", page_csv },
	{ "/;csv", "text/csv; charset=utf-8", page_csv }, /* where tools look for it */
	{ "/dashboard.json", "application/json", page_dashboard_data },
	{ "/history.json", "application/json", page_history },
	{ "/healthz", "text/plain; charset=utf-8", page_healthz },
	{ "/readyz", "text/plain; charset=utf-8", page_readyz },
};

static const char *
endpoint_reason(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Error";
	}
}

static void
endpoint_send(
    struct client *client, unsigned status, const char *type, const struct text *body, bool is_head)
{
	const struct endpoint *endpoint = clients_arg(client->clients);
	char date[40];
	struct tm tm;

	gmtime_r(&now_wall_s, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	text_printf(&client->out,
	    "HTTP/1.1 %u %s\r\nServer: weir\r\nDate: %s\r\nContent-Type: %s\r\n", status,
	    endpoint_reason(status), date, type);
	text_printf(&client->out, "Content-Length: %zu\r\nCache-Control: no-store\r\n", body->len);
	text_printf(&client->out,
	    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
	    "Content-Security-Policy: %s\r\n",
	    strncmp(type, "text/html", 9) == 0 ? endpoint->policy
						: "default-src 'none'; frame-ancestors 'none'");
	if (status == 405)
		text_puts(&client->out, "Allow: GET, HEAD\r\n");
	if (client->closes)
		text_puts(&client->out, "Connection: close\r\n");
	text_puts(&client->out, "\r\n");
	if (!is_head)
		text_add(&client->out, body->data, body->len);
}

static void
endpoint_refuse(struct client *client, unsigned status, bool is_head)
{
	struct text body = { 0 };

	text_printf(&body, "%u %s\n", status, endpoint_reason(status));
	endpoint_send(client, status, "text/plain; charset=utf-8", &body, is_head);
	text_fini(&body);
}

static const struct page *
endpoint_find_page(struct slice path)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (slice_equal(path, slice_of(pages[i].path)))
			return &pages[i];
	return NULL;
}

static size_t
endpoint_answer(struct client *client)
{
	const struct endpoint *endpoint = clients_arg(client->clients);
	const struct page *page;
	struct text body = { 0 };
	struct query query;
	unsigned status;

	if (!query_parse(&query, client->in, client->filled))
		return 0;
	client->closes = query.closes || clients_is_draining(client->clients);
	page = query.status == 0 ? endpoint_find_page(query.path) : NULL;
	if (page == NULL) {
		endpoint_refuse(client, query.status != 0 ? query.status : 404, query.is_head);
		return query.len;
	}
	if (clients_pending(endpoint->clients) > PENDING_MAX) {
		endpoint_refuse(client, 503, query.is_head);
		return query.len;
	}
	status = page->write(endpoint, &query, &body);
	endpoint_send(client, status, page->type, &body, query.is_head);
	text_fini(&body);
	return query.len;
}

static void
endpoint_too_long(struct client *client)
{
	endpoint_refuse(client, 431, false);
}

struct endpoint *
endpoint_start(struct event_base *base, const struct config *config, struct shm *shm, int fd)
{
	static const struct clients_ops ops = { .answer = endpoint_answer,
		.too_long = endpoint_too_long };
	static const struct clients_limits limits = {
		.request_size = REQUEST_SIZE,
		.connections = 64,
		.idle_ms = 10000,
		.stall_ms = 10000,
		.answer_ms = 60000,
	};
	struct endpoint *endpoint;

	if (fd == -1)
		return NULL;
	endpoint = xcalloc(1, sizeof(*endpoint));
	endpoint->config = config;
	endpoint->shm = shm;
	endpoint->policy = dashboard_policy();
	endpoint->sampler = sampler_start(base, config, shm);
	endpoint->clients = clients_start(base, fd, &ops, &limits, endpoint);
	return endpoint;
}

void
endpoint_drain(struct endpoint *endpoint)
{
	if (endpoint == NULL)
		return;
	clients_drain(endpoint->clients);
	sampler_stop(endpoint->sampler);
	endpoint->sampler = NULL;
}

bool
endpoint_busy(const struct endpoint *endpoint)
{
	return endpoint != NULL && clients_busy(endpoint->clients);
}

void
endpoint_stop(struct endpoint *endpoint)
{
	if (endpoint == NULL)
		return;
	clients_stop(endpoint->clients);
	sampler_stop(endpoint->sampler);
	free(endpoint->policy);
	free(endpoint);
}
