/*
 * /stats.csv: the columns of HAProxy's statistics, in their order, so that tools made for it can read
 * weir's.  A listener is a FRONTEND, a pool a BACKEND with its servers.  What weir does not count
 * stays empty, as it does there.
 *
 * Source: HAProxy management guide, section 9.1 "CSV format", columns 0 to 95.
 */
#include "export_priv.h"

#include <string.h>

#include "weir/addr.h"

enum csv_type { CSV_FRONTEND = 0, CSV_BACKEND = 1, CSV_SERVER = 2 };

static const char csv_head[] =
    "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,"
    "wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,"
    "lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,"
    "hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,"
    "cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,"
    "rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,"
    "check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,"
    "conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,"
    "srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,\n";

enum csv_column { /* those that weir fills */
	CSV_PXNAME = 0,
	CSV_SVNAME = 1,
	CSV_QCUR = 2,
	CSV_SCUR = 4,
	CSV_SLIM = 6,
	CSV_STOT = 7,
	CSV_BIN = 8,
	CSV_BOUT = 9,
	CSV_DREQ = 10,
	CSV_EREQ = 12,
	CSV_ECON = 13,
	CSV_ERESP = 14,
	CSV_WRETR = 15,
	CSV_STATUS = 17,
	CSV_WEIGHT = 18,
	CSV_ACT = 19,
	CSV_BCK = 20,
	CSV_CHKFAIL = 21,
	CSV_CHKDOWN = 22,
	CSV_LASTCHG = 23,
	CSV_QLIMIT = 25,
	CSV_PID = 26,
	CSV_IID = 27,
	CSV_SID = 28,
	CSV_LBTOT = 30,
	CSV_TYPE = 32,
	CSV_CHECK_STATUS = 36,
	CSV_HRSP_1XX = 39,
	CSV_HRSP_OTHER = 44,
	CSV_REQ_TOT = 48,
	CSV_COMP_IN = 51,
	CSV_COMP_OUT = 52,
	CSV_COMP_RSP = 54,
	CSV_LAST_CHK = 56,
	CSV_CTIME = 59,
	CSV_RTIME = 60,
	CSV_TTIME = 61,
	CSV_CHECK_RISE = 67,
	CSV_CHECK_FALL = 68,
	CSV_ADDR = 73,
	CSV_COOKIE = 74,
	CSV_MODE = 75,
	CSV_ALGO = 76,
	CSV_CONN_TOT = 79,
	CSV_DCON = 81,
	CSV_CONNECT = 84,
	CSV_COLUMNS = 96
};

struct csv {
	struct text *text;
	unsigned column; /* the next one to be written */
};

/* Columns come in their order; those between stay empty. */
static void
csv_to(struct csv *csv, enum csv_column column)
{
	for (; csv->column < column; csv->column++)
		text_add(csv->text, ",", 1);
}

static void
csv_uint(struct csv *csv, enum csv_column column, uint64_t value)
{
	csv_to(csv, column);
	text_uint(csv->text, value);
}

/* Quoted where a comma, quote or line end would be misread; other control characters go. */
static void
csv_text(struct csv *csv, enum csv_column column, const char *value)
{
	csv_to(csv, column);
	if (strpbrk(value, ",\"\r\n") == NULL) {
		text_puts(csv->text, value);
		return;
	}
	text_add(csv->text, "\"", 1);
	for (; *value != '\0'; value++) {
		if (*value == '"')
			text_add(csv->text, "\"", 1);
		if (*value != '\r' && *value != '\n')
			text_add(csv->text, value, 1);
	}
	text_add(csv->text, "\"", 1);
}

static void
csv_end(struct csv *csv)
{
	csv_to(csv, CSV_COLUMNS);
	text_add(csv->text, "\n", 1);
	csv->column = 0;
}

static void
csv_responses(struct csv *csv, const uint64_t sums[static TALLY_FIELDS])
{
	for (unsigned i = 0; i < 5; i++)
		csv_uint(csv, CSV_HRSP_1XX + i, sums[TALLY_STATUS_1XX + i]);
	csv_uint(csv, CSV_HRSP_OTHER, 0);
}

static void
csv_time(struct csv *csv, enum csv_column column, const struct latency_stats *latency)
{
	csv_uint(
	    csv, column, latency->count > 0 ? latency->sum_us / latency->count / 1000 : 0);
}

static void
csv_listener(struct csv *csv, const struct listener_stats *listener, unsigned iid)
{
	const struct listener_config *conf = listener->conf;
	const uint64_t *sums = listener->sums;
	bool is_http = conf->protocol == PROTOCOL_HTTP || conf->protocol == PROTOCOL_HTTPS;

	csv_text(csv, CSV_PXNAME, conf->name);
	csv_text(csv, CSV_SVNAME, "FRONTEND");
	csv_uint(csv, CSV_SCUR, sums[TALLY_ACTIVE]);
	csv_uint(csv, CSV_STOT, sums[TALLY_CONNECTIONS]);
	csv_uint(csv, CSV_BIN, sums[TALLY_BYTES_IN]);
	csv_uint(csv, CSV_BOUT, sums[TALLY_BYTES_OUT]);
	csv_uint(csv, CSV_DREQ, sums[TALLY_TOO_OFTEN] + sums[TALLY_OVER_LIMIT]);
	csv_uint(csv, CSV_EREQ, sums[TALLY_BAD_REQUESTS]);
	csv_text(csv, CSV_STATUS, "OPEN");
	csv_uint(csv, CSV_PID, 1);
	csv_uint(csv, CSV_IID, iid);
	csv_uint(csv, CSV_SID, 0);
	csv_uint(csv, CSV_TYPE, CSV_FRONTEND);
	if (is_http) {
		csv_responses(csv, sums);
		csv_uint(csv, CSV_REQ_TOT, sums[TALLY_REQUESTS]);
		csv_uint(csv, CSV_COMP_IN, sums[TALLY_COMPRESS_IN]);
		csv_uint(csv, CSV_COMP_OUT, sums[TALLY_COMPRESS_OUT]);
		csv_uint(csv, CSV_COMP_RSP, sums[TALLY_COMPRESSED]);
	}
	csv_text(csv, CSV_MODE, is_http ? "http" : "tcp");
	csv_uint(csv, CSV_CONN_TOT, sums[TALLY_CONNECTIONS] + sums[TALLY_REFUSED]);
	csv_uint(csv, CSV_DCON, sums[TALLY_REFUSED]);
	csv_end(csv);
}

/* The words that tools look for. */
static const char *
csv_server_status(const struct server_stats *server)
{
	if (server->admin == ADMIN_MAINT)
		return "MAINT";
	if (server->health == HEALTH_DOWN)
		return "DOWN";
	if (server->ejected)
		return "NOLB";
	if (server->admin == ADMIN_DRAIN || server->weight == 0)
		return "DRAIN";
	return server->pool->health.type == HEALTH_OFF ? "no check" : "UP";
}

static void
csv_server(struct csv *csv, const struct server_stats *server, unsigned iid, unsigned sid)
{
	const struct pool_config *pool = server->pool;
	const struct health_config *health = &pool->health;
	const uint64_t *sums = server->sums;
	char addr[ADDR_TEXT_SIZE];

	csv_text(csv, CSV_PXNAME, pool->name);
	csv_text(csv, CSV_SVNAME, server->conf->name);
	csv_uint(csv, CSV_SCUR, sums[TALLY_ACTIVE]);
	if (server->conf->max_connections > 0)
		csv_uint(csv, CSV_SLIM, server->conf->max_connections);
	csv_uint(csv, CSV_STOT, sums[TALLY_REQUESTS]);
	csv_uint(csv, CSV_BIN, sums[TALLY_BYTES_IN]);
	csv_uint(csv, CSV_BOUT, sums[TALLY_BYTES_OUT]);
	csv_uint(csv, CSV_ECON, sums[TALLY_CONNECT_ERRORS]);
	csv_uint(csv, CSV_ERESP, sums[TALLY_RESPONSE_ERRORS]);
	csv_text(csv, CSV_STATUS, csv_server_status(server));
	csv_uint(csv, CSV_WEIGHT, server->weight);
	csv_uint(csv, CSV_ACT, !server->conf->backup);
	csv_uint(csv, CSV_BCK, server->conf->backup);
	if (health->type != HEALTH_OFF) {
		csv_uint(csv, CSV_CHKFAIL, server->checks_failed);
		csv_uint(csv, CSV_CHKDOWN, (server->transitions + 1) / 2);
	}
	if (server->has_since)
		csv_uint(csv, CSV_LASTCHG, server->since_s);
	csv_uint(csv, CSV_PID, 1);
	csv_uint(csv, CSV_IID, iid);
	csv_uint(csv, CSV_SID, sid);
	csv_uint(csv, CSV_LBTOT, sums[TALLY_REQUESTS]);
	csv_uint(csv, CSV_TYPE, CSV_SERVER);
	if (health->type != HEALTH_OFF && server->health != HEALTH_UNKNOWN) {
		bool is_up = server->health == HEALTH_UP;

		csv_text(csv, CSV_CHECK_STATUS,
		    health->type == HEALTH_HTTP || health->type == HEALTH_GRPC
			? (is_up ? "L7OK" : "L7STS")
						: (is_up ? "L4OK" : "L4CON"));
	}
	if (pool_is_http(pool)) {
		csv_responses(csv, sums);
		csv_uint(csv, CSV_REQ_TOT, sums[TALLY_REQUESTS]);
	}
	csv_text(csv, CSV_LAST_CHK, server->last_check);
	csv_time(csv, CSV_CTIME, &server->latency[LATENCY_CONNECT]);
	csv_time(csv, CSV_RTIME, &server->latency[LATENCY_FIRST_BYTE]);
	csv_time(csv, CSV_TTIME, &server->latency[LATENCY_TOTAL]);
	if (health->type != HEALTH_OFF) {
		csv_uint(csv, CSV_CHECK_RISE, health->rise);
		csv_uint(csv, CSV_CHECK_FALL, health->fall);
	}
	csv_text(csv, CSV_ADDR, addr_print(&server->conf->address, addr));
	if (pool->sticky.by == STICKY_COOKIE_INSERT || pool->sticky.by == STICKY_COOKIE_PREFIX)
		csv_text(csv, CSV_COOKIE, server->conf->cookie);
	csv_text(csv, CSV_MODE, pool_is_http(pool) ? "http" : "tcp");
	csv_uint(csv, CSV_CONNECT, sums[TALLY_CONNECTIONS]);
	csv_end(csv);
}

static void
csv_pool(struct csv *csv, const struct pool_stats *pool, unsigned iid)
{
	const struct pool_config *conf = pool->conf;
	const uint64_t *sums = pool->sums;
	uint64_t weight = 0, backups = 0, connections = 0, connect_errors = 0, response_errors = 0;

	for (size_t i = 0; i < conf->server_count; i++) {
		const struct server_stats *server = &pool->servers[i];

		weight += server->usable ? server->weight : 0;
		backups += server->usable && server->conf->backup;
		connections += server->sums[TALLY_CONNECTIONS];
		connect_errors += server->sums[TALLY_CONNECT_ERRORS];
		response_errors += server->sums[TALLY_RESPONSE_ERRORS];
	}
	csv_text(csv, CSV_PXNAME, conf->name);
	csv_text(csv, CSV_SVNAME, "BACKEND");
	csv_uint(csv, CSV_QCUR, sums[TALLY_QUEUED]);
	csv_uint(csv, CSV_SCUR, sums[TALLY_ACTIVE]);
	if (conf->max_connections > 0)
		csv_uint(csv, CSV_SLIM, conf->max_connections);
	csv_uint(csv, CSV_STOT, sums[TALLY_REQUESTS]);
	csv_uint(csv, CSV_BIN, sums[TALLY_BYTES_IN]);
	csv_uint(csv, CSV_BOUT, sums[TALLY_BYTES_OUT]);
	csv_uint(csv, CSV_ECON, connect_errors);
	csv_uint(csv, CSV_ERESP, response_errors);
	csv_uint(csv, CSV_WRETR, sums[TALLY_RETRIES]);
	csv_text(csv, CSV_STATUS, pool->usable > 0 ? "UP" : "DOWN");
	csv_uint(csv, CSV_WEIGHT, weight);
	csv_uint(csv, CSV_ACT, pool->usable - backups);
	csv_uint(csv, CSV_BCK, backups);
	if (conf->queue.size > 0)
		csv_uint(csv, CSV_QLIMIT, conf->queue.size);
	csv_uint(csv, CSV_PID, 1);
	csv_uint(csv, CSV_IID, iid);
	csv_uint(csv, CSV_SID, 0);
	csv_uint(csv, CSV_LBTOT, sums[TALLY_REQUESTS]);
	csv_uint(csv, CSV_TYPE, CSV_BACKEND);
	if (pool_is_http(conf)) {
		csv_responses(csv, sums);
		csv_uint(csv, CSV_REQ_TOT, sums[TALLY_REQUESTS]);
	}
	csv_time(csv, CSV_CTIME, &pool->latency[LATENCY_CONNECT].all);
	csv_time(csv, CSV_RTIME, &pool->latency[LATENCY_FIRST_BYTE].all);
	csv_time(csv, CSV_TTIME, &pool->latency[LATENCY_TOTAL].all);
	if (conf->sticky.by == STICKY_COOKIE_INSERT || conf->sticky.by == STICKY_COOKIE_PREFIX)
		csv_text(csv, CSV_COOKIE, conf->sticky.name);
	csv_text(csv, CSV_MODE, pool_is_http(conf) ? "http" : "tcp");
	csv_text(csv, CSV_ALGO, collect_balance_name(conf->balance));
	csv_uint(csv, CSV_CONNECT, connections);
	csv_end(csv);
}

void
export_csv(struct text *text, const struct stats *stats)
{
	struct csv csv = { .text = text };
	unsigned iid = 1;

	text_add(text, csv_head, sizeof(csv_head) - 1);
	for (size_t i = 0; i < stats->config->listener_count; i++)
		csv_listener(&csv, &stats->listeners[i], iid++);
	for (size_t i = 0; i < stats->config->pool_count; i++, iid++) {
		const struct pool_stats *pool = &stats->pools[i];

		for (size_t k = 0; k < pool->conf->server_count; k++)
			csv_server(&csv, &pool->servers[k], iid, (unsigned)k + 1);
		csv_pool(&csv, pool, iid);
	}
}
