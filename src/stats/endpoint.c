#include "weir/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clients_priv.h"
#include "export_priv.h"
#include "query_priv.h"
#include "weir/arena.h"
#include "weir/clock.h"

/* Answers that wait to be read, all connections together; past it new requests get 503. */
enum { PENDING_MAX = 64 << 20 };

struct endpoint {
	const struct config *config; /* borrowed from the generation */
	const struct shm *shm;
	struct clients *clients; /* owned */
};

/* Writes the body; returns the status. */
typedef unsigned page_fn(const struct endpoint *endpoint, struct text *body);

struct page {
	const char *path;
	const char *type; /* Content-Type */
	page_fn *write;
};

static unsigned
page_json(const struct endpoint *endpoint, struct text *body)
{
	struct stats *stats = collect_all(endpoint->config, endpoint->shm);

	export_json(body, stats);
	collect_free(stats);
	return 200;
}

static unsigned
page_metrics(const struct endpoint *endpoint, struct text *body)
{
	struct stats *stats = collect_all(endpoint->config, endpoint->shm);

	export_prometheus(body, stats);
	collect_free(stats);
	return 200;
}

static unsigned
page_csv(const struct endpoint *endpoint, struct text *body)
{
	struct stats *stats = collect_all(endpoint->config, endpoint->shm);

	export_csv(body, stats);
	collect_free(stats);
	return 200;
}

/* That somebody answers is the answer. */
static unsigned
page_healthz(const struct endpoint *endpoint, struct text *body)
{
	(void)endpoint;
	text_puts(body, "ok\n");
	return 200;
}

static unsigned
page_readyz(const struct endpoint *endpoint, struct text *body)
{
	struct process_stats process;
	bool is_ready;

	collect_process(&process, endpoint->config, endpoint->shm);
	is_ready = process.workers_current >= process.workers_wanted;
	text_printf(body, "%s: %zu of %zu workers run configuration %u\n",
	    is_ready ? "ok" : "not ready", process.workers_current, process.workers_wanted,
	    process.generation);
	return is_ready ? 200 : 503;
}

static unsigned
page_index(const struct endpoint *endpoint, struct text *body)
{
	(void)endpoint;
	text_puts(body,
	    "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>weir</title>\n"
	    "<h1>weir " WEIR_VERSION "</h1>\n<ul>\n"
	    "<li><a href=\"/stats.json\">/stats.json</a>: everything, as JSON\n"
	    "<li><a href=\"/metrics\">/metrics</a>: the same for Prometheus\n"
	    "<li><a href=\"/healthz\">/healthz</a>: 200 while weir runs\n"
	    "<li><a href=\"/readyz\">/readyz</a>: 200 when all workers serve\n"
	    "</ul>\n</html>\n");
	return 200;
}

static const struct page pages[] = {
	{ "/", "text/html; charset=utf-8", page_index },
	{ "/stats.json", "application/json", page_json },
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics },
	{ "/stats.csv", "text/csv; charset=utf-8", page_csv },
	{ "/;csv", "text/csv; charset=utf-8", page_csv }, /* where tools look for it */
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
	char date[40];
	struct tm tm;

	gmtime_r(&now_wall_s, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	text_printf(&client->out,
	    "HTTP/1.1 %u %s\r\nServer: weir\r\nDate: %s\r\nContent-Type: %s\r\n", status,
	    endpoint_reason(status), date, type);
	text_printf(&client->out, "Content-Length: %zu\r\nCache-Control: no-store\r\n", body->len);
	text_puts(&client->out,
	    "X-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'\r\n");
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
	status = page->write(endpoint, &body);
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
		.connections = 64, .idle_ms = 10000, .stall_ms = 10000, .answer_ms = 60000
	};
	struct endpoint *endpoint;

	if (fd == -1)
		return NULL;
	endpoint = xcalloc(1, sizeof(*endpoint));
	endpoint->config = config;
	endpoint->shm = shm;
	endpoint->clients = clients_start(base, fd, &ops, &limits, endpoint);
	return endpoint;
}

void
endpoint_drain(struct endpoint *endpoint)
{
	if (endpoint != NULL)
		clients_drain(endpoint->clients);
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
	free(endpoint);
}
