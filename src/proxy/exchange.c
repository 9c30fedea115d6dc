#include "weir/exchange.h"

#include <errno.h>
#include <stdio.h>

#include "exchange_priv.h"
#include "weir/buf.h"
#include "weir/clock.h"
#include "weir/eject.h"
#include "weir/log.h"
#include "weir/rate.h"
#include "weir/retry.h"
#include "weir/route.h"
#include "weir/series.h"
#include "weir/sticky.h"
#include "weir/throttle.h"
#include "weir/tls_context.h"
#include "weir/upstream.h"

static void on_upstream_ready(void *user, struct upstream *up);
static void on_upstream_timeout(void *user, struct upstream *up);

static const struct upstream_user user_ops = { on_upstream_ready, on_upstream_timeout };

struct exchange *
exchange_new(struct worker *worker, const struct exchange_ops *ops, void *front)
{
	struct exchange *x = slab_take(&worker->exchanges);

	memset(x, 0, offsetof(struct exchange, request));
	x->worker = worker;
	x->ops = ops;
	x->front = front;
	x->id = worker->request_ids++;
	return x;
}

static void
count_latency(const struct exchange *x, enum latency_kind kind, uint64_t us)
{
	unsigned index = histogram_index(us);

	histogram_add(&x->listener->latency->of[kind], index, us);
	if (x->pool != NULL)
		histogram_add(&x->pool->latency->of[kind], index, us);
	if (x->server != NULL)
		histogram_add(&x->server->latency->of[kind], index, us);
	if (x->series != NULL)
		histogram_add(&x->series->latency->of[kind], index, us);
}

static inline void
count_response(const struct exchange *x, struct tally *tally)
{
	tally_add(tally, TALLY_BYTES_IN, x->bytes_in);
	tally_add(tally, TALLY_BYTES_OUT, x->bytes_out);
	if (x->status != 0)
		tally_add(tally, tally_of_status(x->status), 1);
}

/* Of pools and routes: what went well is the rest of the requests. */
static void
count_failure(const struct exchange *x, enum end end)
{
	if (x->pool != NULL)
		latency_count_end(x->pool->latency, end);
	if (x->series != NULL)
		latency_count_end(x->series->latency, end);
}

/* Does anybody want to know more of it than counters say? */
static bool
is_logged(const struct exchange *x)
{
	return x->listener->accesslog != NULL || x->worker->spans != NULL;
}

static void
account(struct exchange *x, enum end end)
{
	struct tally *tally = x->listener->tally;
	/* A response that came whole ended when it began: one look at the clock serves both. */
	uint64_t total_us = (x->ended_us != 0 ? x->ended_us : clock_us()) - x->started_us;

	if (x->first_byte_us != 0)
		count_latency(x, LATENCY_FIRST_BYTE, x->first_byte_us - x->started_us);
	count_latency(x, LATENCY_TOTAL, total_us);
	latency_count_end(x->listener->latency, end);

	if (end == END_CLIENT_TIMEOUT_BODY)
		tally_add(tally, TALLY_SLOW_CLIENTS, 1);
	count_response(x, tally);
	if (x->pool != NULL)
		count_response(x, x->pool->tally);
	if (x->server != NULL)
		count_response(x, x->server->tally);
	if (x->series != NULL) {
		count_response(x, x->series->tally);
		if (x->attempts > 1)
			tally_add(x->series->tally, TALLY_RETRIES, x->attempts - 1);
		series_end(x->series);
	}
	if (end != END_OK)
		count_failure(x, end);
	if (is_logged(x))
		exchange_log(x, end, total_us);
}

/* The only way out that tells the front. */
enum step
exchange_end(struct exchange *x, enum end end)
{
	if (end == END_OK && x->upstream_reusable && x->body_done) {
		upstream_give(x->upstream);
		x->upstream = NULL;
	}
	x->ops->done(x, end);
	return STEP_GONE;
}

void
exchange_fail(struct exchange *x, enum end end)
{
	exchange_end(x, end);
}

enum step
exchange_switch(struct exchange *x)
{
	x->ops->switched(x);
	return STEP_GONE;
}

void
exchange_free(struct exchange *x, enum end end)
{
	queue_leave(&x->waiter);
	account(x, end);
	if (end == END_CLIENT_CLOSED && x->reset_code != 0)
		upstream_give_up(x->upstream, x->reset_code);
	upstream_close(x->upstream, false);
	balance_release(x->server);
	buf_give(x->head_rest);
	buf_give(x->trailers);
	exchange_drop_coding(x);
	worker_bury(x->worker, &x->grave, &x->worker->exchanges);
}

void
exchange_account_reply(struct exchange *x, unsigned status, size_t bytes)
{
	x->status = (uint16_t)status;
	x->bytes_out += bytes;
}

/* ---- PICK ---- */

static struct server *
find_by_cookie(struct exchange *x)
{
	struct slice name = slice_of(x->pool->conf->sticky.name), value;

	for (unsigned i = 0; i < x->request.field_count; i++) {
		const struct field *f = &x->request.fields[i];

		if (f->id != FIELD_COOKIE || !sticky_find_in_field(message_value(&x->request, f),
						 name, &value, &x->cookie_cut))
			continue;
		if (x->pool->conf->sticky.by == STICKY_COOKIE_INSERT)
			return sticky_find_cookie(x->pool, value);
		return sticky_find_prefix(x->pool, value, &x->cookie_cut);
	}
	return NULL;
}

_Static_assert(sizeof("Set-Cookie: =; Path=; Max-Age=4294967; Domain=; HttpOnly; Secure; SameSite=Strict\r\n") +
		   sizeof(((struct server_config *)NULL)->cookie) + COOKIE_TEXTS_MAX <=
	       SET_COOKIE_MAX,
    "whatever the configuration says fits");

static void
remember_by_cookie(struct exchange *x)
{
	static const char *const same_site[] = { [SAME_SITE_OFF] = "",
		[SAME_SITE_LAX] = "; SameSite=Lax",
		[SAME_SITE_STRICT] = "; SameSite=Strict",
		[SAME_SITE_NONE] = "; SameSite=None" };
	const struct sticky_config *sticky = &x->pool->conf->sticky;
	bool is_secure = sticky->secure == COOKIE_SECURE_AUTO ? x->is_tls
							      : sticky->secure == COOKIE_SECURE_ON;
	int len = snprintf(x->set_cookie, sizeof(x->set_cookie),
	    "Set-Cookie: %s=%s; Path=%s; Max-Age=%u%s%s%s%s%s\r\n", sticky->name,
	    x->server->conf->cookie, sticky->path, sticky->timeout_ms / 1000,
	    sticky->domain != NULL ? "; Domain=" : "", sticky->domain != NULL ? sticky->domain : "",
	    sticky->http_only ? "; HttpOnly" : "", is_secure ? "; Secure" : "",
	    same_site[sticky->same_site]);

	x->set_cookie_len = len > 0 && (size_t)len < sizeof(x->set_cookie) ? (uint16_t)len : 0;
}

/*
 * The server of this request, by stickiness or by the pool's method, counted as active.  NULL:
 * none.
 * must_wait  set to whether there are some, but their limits are reached
 */
static struct server *
choose(struct exchange *x, bool *must_wait)
{
	enum sticky_by by = x->pool->conf->sticky.by;
	struct server *known = NULL;

	if (by == STICKY_COOKIE_INSERT || by == STICKY_COOKIE_PREFIX)
		known = find_by_cookie(x);
	else if (by == STICKY_SOURCE_IP)
		known = sticky_find_source(x->pool, x->client);
	x->set_cookie_len = 0;
	*must_wait = false;
	if (known != NULL && !balance_was_tried(&x->balance, known)) {
		if (balance_hold(known)) {
			tally_add(x->pool->tally, TALLY_STICKY_HITS, 1);
			return known;
		}
		/* It is worth waiting for, where one may wait. */
		*must_wait = x->pool->queue != NULL;
		if (*must_wait)
			return NULL;
	}
	x->server = balance_pick(x->pool, &x->balance);
	if (x->server != NULL && by == STICKY_COOKIE_INSERT)
		remember_by_cookie(x);
	else if (x->server != NULL && by == STICKY_SOURCE_IP)
		sticky_store_source(x->pool, x->client, x->server);
	*must_wait = x->server == NULL && x->pool->is_full;
	return x->server;
}

/* Give up on the server of the moment; another may be tried. */
static void
drop_server(struct exchange *x)
{
	upstream_close(x->upstream, false);
	x->upstream = NULL;
	if (x->balance.tried_count < BALANCE_TRIED_MAX)
		x->balance.tried[x->balance.tried_count++] = x->server;
	balance_release(x->server);
	x->server = NULL;
}

#define OF_WAITER(w) ((struct exchange *)(void *)((char *)(w)-offsetof(struct exchange, waiter)))

static void
on_turn(struct waiter *waiter)
{
	exchange_run(OF_WAITER(waiter));
}

static void
on_wait_timeout(struct waiter *waiter)
{
	exchange_end(OF_WAITER(waiter), END_QUEUE_TIMEOUT);
}

/* The limits of the servers are reached. */
static enum step
wait_for_place(struct exchange *x)
{
	x->waiter.on_turn = on_turn;
	x->waiter.on_timeout = on_wait_timeout;
	if (!queue_join(x->pool, &x->waiter)) {
		tally_add(x->pool->tally, TALLY_QUEUE_FULL, 1);
		return exchange_end(x, END_QUEUE_FULL);
	}
	x->state = EXCHANGE_QUEUE;
	return STEP_WAIT;
}

static enum step
use_server(struct exchange *x)
{
	if (x->server == NULL) {
		tally_add(x->pool->tally, TALLY_NO_SERVER, 1);
		return exchange_end(
		    x, x->balance.tried_count > 0 ? (enum end)x->connect_end : END_NO_SERVER);
	}
	tally_add(x->server->tally, TALLY_REQUESTS, 1);
	if (x->attempts++ > 0)
		retry_pay(x->pool);
	return exchange_connect_to(x);
}

static enum step
exchange_pick(struct exchange *x)
{
	bool must_wait = queue_is_busy(x->pool);

	if (!must_wait) {
		x->server = choose(x, &must_wait);
		if (!must_wait)
			return use_server(x);
	}
	return wait_for_place(x);
}

/* Run by events of the client too; those do not make it its turn. */
static enum step
exchange_queue(struct exchange *x)
{
	bool must_wait;

	if (!x->waiter.is_turn)
		return STEP_WAIT;
	x->server = choose(x, &must_wait);
	if (must_wait)
		return STEP_WAIT;
	queue_leave(&x->waiter);
	return use_server(x);
}

/* A kept connection if there is one, else a new one. */
enum step
exchange_connect_to(struct exchange *x)
{
	for (;;) {
		x->upstream = upstream_take_idle(
		    x->worker, x->server, &x->request.host, &user_ops, x);
		if (x->upstream == NULL)
			break;
		/*
		 * A kept connection may be dead without our knowing.  A request that must not be
		 * sent twice cannot find out by trying.
		 */
		if (method_is_idempotent(x->request.method) && x->request.framing == FRAMING_NONE)
			break;
		if (upstream_is_quiet(x->upstream))
			break;
		upstream_close(x->upstream, false);
	}
	if (x->upstream != NULL) {
		x->state = EXCHANGE_SEND;
		return STEP_NEXT;
	}
	return exchange_connect_anew(x);
}

enum step
exchange_connect_anew(struct exchange *x)
{
	x->upstream = upstream_connect(x->worker, x->server, &x->request.host, &user_ops, x);
	if (x->upstream == NULL)
		return exchange_connect_failed(x, upstream_refusal(errno));
	timer_set(&x->upstream->timer, x->listener->conf->timeouts.connect);
	x->state = EXCHANGE_CONNECT;
	return STEP_NEXT;
}

/* Another server is tried at once, as long as there is one. */
enum step
exchange_connect_failed(struct exchange *x, enum end end)
{
	if (end == END_EXHAUSTED)
		return exchange_end(x, end); /* of no other server either, and none is to blame */
	server_count_error(x->server, TALLY_CONNECT_ERRORS, end);
	eject_count_failure(x->server, end);
	/* Which of several reasons counts?  That another server could not be reached says less. */
	if (x->connect_end == END_OK || end != END_CONNECT_FAILED)
		x->connect_end = (uint8_t)end;
	if (x->connect_end != END_SERVER_REFUSED)
		x->reset_code = 0;
	drop_server(x);
	if (!retry_is_allowed(x->pool, x->attempts))
		return exchange_end(x, end);
	x->state = EXCHANGE_PICK;
	return STEP_NEXT;
}

static enum step
exchange_connect(struct exchange *x)
{
	switch (upstream_check(x->upstream)) {
	case 0:
		x->state = EXCHANGE_SEND;
		if (is_logged(x))
			x->connected_us = clock_us();
		return STEP_NEXT;
	case IO_WAIT:
		return STEP_WAIT;
	default:
		return exchange_connect_failed(x, upstream_fault(x->upstream));
	}
}

/* ---- running ---- */

static const struct {
	const char *name;
	enum step (*run)(struct exchange *x);
} states[EXCHANGE_STATES] = {
	[EXCHANGE_PICK] = { "pick", exchange_pick },
	[EXCHANGE_QUEUE] = { "queue", exchange_queue },
	[EXCHANGE_CONNECT] = { "connect", exchange_connect },
	[EXCHANGE_SEND] = { "send", exchange_send },
	[EXCHANGE_AWAIT] = { "await", exchange_await },
	[EXCHANGE_RELAY] = { "relay", exchange_relay },
};

void
exchange_run(struct exchange *x)
{
	while (states[x->state].run(x) == STEP_NEXT)
		;
}

static void
on_upstream_ready(void *user, struct upstream *up)
{
	if (!up->is_stale || exchange_server_closed(user) == STEP_NEXT)
		exchange_run(user);
}

static void
on_upstream_timeout(void *user, struct upstream *up)
{
	struct exchange *x = user;

	(void)up;
	switch ((enum exchange_state)x->state) {
	case EXCHANGE_CONNECT:
		if (exchange_connect_failed(x, END_CONNECT_TIMEOUT) == STEP_NEXT)
			exchange_run(x);
		return;
	case EXCHANGE_PICK:
	case EXCHANGE_QUEUE:
	case EXCHANGE_SEND:
	case EXCHANGE_AWAIT:
	case EXCHANGE_RELAY:
	case EXCHANGE_STATES:
		break;
	}
	exchange_response_failed(x, END_RESPONSE_TIMEOUT);
}

/* The pool of a split that the client had before: its cookie is one of that pool's.  NULL: none. */
static const struct pool_config *
pool_of_cookie(const struct exchange *x, const struct share_config *share)
{
	const struct pool *pool = &x->worker->pools[share->pool->index];
	struct slice name = slice_of(share->pool->sticky.name), value, cut;

	if (share->weight == 0 || share->pool->sticky.by != STICKY_COOKIE_INSERT)
		return NULL;
	for (unsigned i = 0; i < x->request.field_count; i++) {
		const struct field *f = &x->request.fields[i];

		if (f->id == FIELD_COOKIE &&
		    sticky_find_in_field(message_value(&x->request, f), name, &value, &cut))
			return pool_find_cookie(pool, value.ptr, value.len) != NULL ? share->pool
										    : NULL;
	}
	return NULL;
}

/*
 * Successive IDs, multiplied with the golden ratio, are spread evenly: shares come out right over
 * any stretch of requests.
 */
static const struct pool_config *
pool_of_route(const struct exchange *x)
{
	const struct route_config *route = x->route->conf;
	uint64_t at = x->id * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	uint64_t rest = at * route->split_total >> 32;
	const struct pool_config *known = NULL;

	for (size_t i = 0; i < route->split_count && route->split_sticks && known == NULL; i++)
		known = pool_of_cookie(x, &route->split[i]);
	if (known != NULL)
		return known;
	for (size_t i = 0; i < route->split_count; i++) {
		if (rest < route->split[i].weight)
			return route->split[i].pool;
		rest -= route->split[i].weight;
	}
	return route->pool;
}

/* Why no pool gets the request. */
static enum end
unpooled_end(const struct exchange *x, bool limit)
{
	static struct log_limit log_rate;

	if (limit) {
		if (log_allowed(&log_rate, 1, 10000))
			log_warnx("listener %s: a path needs too many steps of an expression",
			    x->listener->conf->name);
		return END_INTERNAL;
	}
	if (x->route == NULL)
		return END_NO_ROUTE;
	return x->route->conf->redirect.on ? END_REDIRECTED : END_RESPONDED;
}

/* Does its source ask too often? */
static bool
is_throttled(struct exchange *x)
{
	uint64_t wait_us;

	if (x->listener->conf->rate.requests == 0)
		return false;
	wait_us = throttle_request(x->listener, x->client, x->started_us);
	if (wait_us == 0)
		return false;
	x->retry_after_s = (uint32_t)((wait_us + 999999) / 1000000);
	tally_add(x->listener->tally, TALLY_TOO_OFTEN, 1);
	return true;
}

/* For `weirctl errors`. */
static void
report_path(const struct exchange *x)
{
	const struct message *m = &x->request;

	faults_add(shm_faults(x->worker->shm, x->worker->slot),
	    &(struct fault_report){ .kind = FAULT_REQUEST,
		.client = x->client,
		.listener = x->listener->conf->name,
		.reason = "malformed or forbidden escape in the path",
		.position = (size_t)(m->path.ptr - m->base),
		.data = m->base,
		.len = m->head_len });
}

void
exchange_start(struct exchange *x, const struct listener *listener, const struct addr *client)
{
	const struct pool_config *pool = listener->conf->pool;
	bool limit = false;

	x->listener = listener;
	x->client = client;
	x->balance.client = client;
	x->balance.local = &x->local;
	x->body_done = x->request.framing == FRAMING_NONE;
	x->bytes_in = x->request.head_len;
	x->started_us = clock_us();
	tally_add(listener->tally, TALLY_REQUESTS, 1);
	if (listener->conf->request_id.trust)
		exchange_find_id(x);
	if (x->worker->config->global.trace.propagate)
		exchange_find_trace(x);
	if (is_throttled(x)) {
		exchange_end(x, END_TOO_OFTEN);
		return;
	}
	if (x->shown != NULL &&
	    tls_context_is_foreign(listener->conf->tls_context, x->shown, x->request.host.ptr,
		x->request.host.len)) {
		exchange_end(x, END_MISDIRECTED);
		return;
	}
	if (listener->conf->redirect.on) {
		exchange_end(x, END_REDIRECTED);
		return;
	}
	if (listener->router != NULL && !route_escapes_are_sound(x->request.path)) {
		tally_add(listener->tally, TALLY_BAD_REQUESTS, 1);
		report_path(x);
		exchange_end(x, END_REQUEST_MALFORMED);
		return;
	}
	if (listener->router != NULL) {
		x->route = router_find(listener->router, &x->request, client, &limit);
		x->series = series_begin(x->worker->series,
		    x->route != NULL ? x->route->conf->series : listener->conf->unrouted);
	}
	if (x->route != NULL) {
		if (x->route->conf->limit.on &&
		    !rate_take(&x->route->conf->limit, client, x->started_us)) {
			tally_add(listener->tally, TALLY_OVER_LIMIT, 1);
			if (x->series != NULL)
				tally_add(x->series->tally, TALLY_OVER_LIMIT, 1);
			exchange_end(x, END_OVER_LIMIT);
			return;
		}
		pool = pool_of_route(x);
	}
	if (pool == NULL || limit) {
		exchange_end(x, unpooled_end(x, limit));
		return;
	}
	/* RFC 9110 section 7.6.2: then weir is the final recipient, and TRACE is none of its methods. */
	if (x->request.max_forwards == 0) {
		exchange_end(x, x->request.method == METHOD_TRACE ? END_METHOD : END_LAST_HOP);
		return;
	}
	x->pool = &x->worker->pools[pool->index];
	tally_add(x->pool->tally, TALLY_REQUESTS, 1);
	retry_earn(x->pool);
	exchange_run(x);
}
