/* The rules of Ingresses as routes. */
#include <string.h>

#include "emit_priv.h"
#include "model_priv.h"

/* A dollar sign begins a variable in the configuration. */
static void
emit_literal(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '$')
			fputc('$', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void
emit_place(FILE *out, const struct gen_route *route)
{
	static const char *const matches[] = {
		[PATH_EXACT] = "exact",
		[PATH_PREFIX] = "prefix",
		[PATH_STARTS_WITH] = "starts_with",
		[PATH_REGEX] = "regex",
	};

	fputs("      - {", out);
	if (route->host != NULL) {
		fputs("host: ", out);
		emit_text(out, route->host);
		fputs(", ", out);
	}
	fprintf(out, "path: {%s: ", matches[route->match]);
	emit_text(out, route->path);
	fputs(route->in_order ? "}, in_order: on" : "}", out);
}

static void
emit_condition(FILE *out, const struct gen_condition *condition)
{
	static const char *const names[] = {
		[CONDITION_HEADER] = "header: ",
		[CONDITION_COOKIE] = "cookie: ",
		[CONDITION_QUERY] = "query: ",
		[CONDITION_METHOD] = "method: [",
		[CONDITION_SOURCE] = "source: [",
	};

	fprintf(out, "{%s", names[condition->kind]);
	if (condition->name != NULL) {
		emit_text(out, condition->name);
		fputs(", values: [", out);
	}
	for (size_t i = 0; i < condition->value_count; i++) {
		fputs(i == 0 ? "" : ", ", out);
		emit_text(out, condition->values[i]);
	}
	fputs("]}", out);
}

/* What browsers say of the page that asks. */
static void
emit_origins(FILE *out, const struct gen_cors *cors)
{
	fputs("{header: Origin, values: [", out);
	for (size_t i = 0; i < cors->origin_count; i++) {
		fputs(i == 0 ? "" : ", ", out);
		emit_text(out, cors->origins[i]);
	}
	fputs(cors->origin_count == 0 ? "\"*\"]}" : "]}", out);
}

/* cors  NULL: whoever asks. */
static void
emit_conditions(FILE *out, const struct gen_condition_set *set, const struct gen_cors *cors)
{
	if (set->count == 0 && cors == NULL)
		return;
	fputs(", when: [", out);
	for (size_t i = 0; i < set->count; i++) {
		fputs(i == 0 ? "" : ", ", out);
		emit_condition(out, &set->items[i]);
	}
	if (cors != NULL) {
		fputs(set->count > 0 ? ", " : "", out);
		emit_origins(out, cors);
	}
	fputc(']', out);
}

static void
emit_limit(FILE *out, const struct gen_limit *limit)
{
	const struct {
		const char *name;
		unsigned value;
	} all[] = { { "requests", limit->requests }, { "per_source", limit->per_source },
		{ "burst", limit->burst } };
	const char *before = ", limit: {";

	if (limit->requests == 0 && limit->per_source == 0)
		return;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].value == 0)
			continue;
		fprintf(out, "%s%s: %u", before, all[i].name, all[i].value);
		before = ", ";
	}
	fputc('}', out);
}

static void
emit_respond(FILE *out, const struct gen_respond *respond)
{
	fprintf(out, ", respond: {status: %s, content_type: %s", respond->status,
	    respond->content_type);
	if (respond->body[0] != '\0') {
		fputs(", body: ", out);
		emit_text(out, respond->body);
	}
	fputc('}', out);
}

static void
emit_target(FILE *out, const struct gen_route *route)
{
	emit_limit(out, &route->limit);
	if (route->redirect != NULL) {
		fputs(", redirect: {url: ", out);
		emit_literal(out, route->redirect);
		fprintf(out, ", status: %s}", route->status);
		return;
	}
	if (route->respond != NULL) {
		emit_respond(out, route->respond);
		return;
	}
	if (route->rewrite != NULL) {
		fputs(", rewrite: ", out);
		emit_text(out, route->rewrite);
	}
	if (route->share_count == 0) {
		fputs(", pool: ", out);
		emit_text(out, route->pool->name);
		return;
	}
	for (size_t i = 0; i < route->share_count; i++) {
		fputs(i == 0 ? ", split: [{pool: " : ", {pool: ", out);
		emit_text(out, route->shares[i].pool->name);
		fprintf(out, ", weight: %u}", route->shares[i].weight);
	}
	fputc(']', out);
}

static void
emit_field(FILE *out, const char *name, const char *value)
{
	if (value == NULL)
		return;
	fprintf(out, ", Access-Control-%s: ", name);
	emit_literal(out, value);
}

static void
emit_cors(FILE *out, const struct gen_cors *cors, bool is_preflight)
{
	bool is_any = cors->origin_count == 0;

	fprintf(out, ", response_headers: {set: {Access-Control-Allow-Origin: \"%s\"",
	    is_any ? "*" : "${origin}");
	if (cors->with_credentials)
		emit_field(out, "Allow-Credentials", "true");
	if (is_preflight) {
		emit_field(out, "Allow-Methods", cors->methods);
		emit_field(out, "Allow-Headers", cors->headers);
		emit_field(out, "Max-Age", cors->max_age);
	} else {
		emit_field(out, "Expose-Headers", cors->expose);
	}
	fputs(is_any ? "}}" : "}, add: {Vary: Origin}}", out);
}

/* A browser asks beforehand, with OPTIONS, whether a page of such an origin may do it. */
static void
emit_preflight(FILE *out, const struct gen_route *route)
{
	emit_place(out, route);
	fputs(", when: [{method: [OPTIONS]}, {header: Access-Control-Request-Method, values: "
	      "[\"*\"]}, ",
	    out);
	emit_origins(out, route->cors);
	fputs("], respond: {status: 204}", out);
	emit_cors(out, route->cors, true);
	fputs("}\n", out);
}

static void
emit_plain(FILE *out, const struct gen_route *route, const struct gen_cors *cors)
{
	emit_place(out, route);
	emit_conditions(out, &route->conditions, cors);
	emit_target(out, route);
}

void
emit_route(FILE *out, const struct gen_route *route)
{
	const struct gen_cors *cors = route->cors;
	bool is_any = cors != NULL && cors->origin_count == 0;

	if (cors != NULL)
		emit_preflight(out, route);
	if (cors != NULL && !is_any) {
		emit_plain(out, route, cors);
		emit_cors(out, cors, false);
		fputs("}\n", out);
	}
	emit_plain(out, route, NULL);
	if (is_any)
		emit_cors(out, cors, false);
	else if (cors != NULL) /* caches must keep it apart from those for origins */
		fputs(", response_headers: {add: {Vary: Origin}}", out);
	fputs("}\n", out);
}
