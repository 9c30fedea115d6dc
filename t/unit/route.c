/* route: the router answers as a plain search through all routes does, only faster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/addr.h"
#include "weir/arena.h"
#include "weir/route.h"

enum { ROUTES = 300, REQUESTS = 20000, TEXT_SIZE = 32 };

static uint32_t seed = 12345;

static unsigned
draw(unsigned below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* Few letters and short segments, so that paths meet often. */
static void
draw_path(char text[static TEXT_SIZE])
{
	static const char letters[] = "aab/";
	unsigned len = 1 + draw(9);

	text[0] = '/';
	for (unsigned i = 1; i < len; i++)
		text[i] = letters[draw(4)];
	text[len] = '\0';
}

static const char *const hosts[] = { "", "a.test", "b.test", "*.test", "c.b.test" };

static struct message
request_for(const char *host, const char *path)
{
	return (struct message){
		.base = "GET ", .method_len = 3, .host = slice_of(host), .path = slice_of(path)
	};
}

/* ---- the same, found by trying all ---- */

static bool
is_prefix(const char *prefix, const char *path)
{
	size_t len = strlen(prefix);

	while (len > 0 && prefix[len - 1] == '/')
		len--;
	return strncmp(prefix, path, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static size_t
plain_len(const char *prefix)
{
	size_t len = strlen(prefix);

	while (len > 0 && prefix[len - 1] == '/')
		len--;
	return len;
}

/*
 * How well a route fits: 0 not at all; exact before prefixes before none, the longest first,
 * segments before text. Prefixes that differ only in slashes at the end are equal.
 */
static unsigned
rank(const struct route_config *route, const char *path)
{
	switch (route->match) {
	case PATH_EXACT:
		return strcmp(route->path, path) == 0 ? 1000 : 0;
	case PATH_PREFIX:
		return is_prefix(route->path, path) ? 3 + 2 * (unsigned)plain_len(route->path) : 0;
	case PATH_STARTS_WITH:
		return strncmp(route->path, path, strlen(route->path)) == 0
			   ? 2 + 2 * (unsigned)strlen(route->path)
			   : 0;
	case PATH_ANY:
		return 1;
	case PATH_REGEX:
		break;
	}
	return 0;
}

static const struct route_config *
search(const struct listener_config *listener, const char *host, const char *path)
{
	const char *dot = strchr(host, '.');
	char wildcard[TEXT_SIZE];

	snprintf(wildcard, sizeof(wildcard), "*%s", dot != NULL ? dot : "");
	for (int kind = 0; kind < 3; kind++) {
		const char *wanted = kind == 0 ? host : kind == 1 ? wildcard : "";
		const struct route_config *best = NULL;
		unsigned best_rank = 0;

		for (size_t i = 0; i < listener->route_count; i++) {
			const struct route_config *route = &listener->routes[i];
			const char *of_route = route->host != NULL ? route->host : "";
			unsigned r = strcmp(of_route, wanted) == 0 ? rank(route, path) : 0;

			if (r > best_rank) {
				best = route;
				best_rank = r;
			}
		}
		if (best != NULL)
			return best;
	}
	return NULL;
}

static void
answers_as_a_plain_search(void **state)
{
	static char paths[ROUTES][TEXT_SIZE];
	static struct route_config routes[ROUTES];
	struct listener_config listener = { .routes = routes, .route_count = ROUTES };
	struct addr client = { .len = 0 };
	struct router *router;
	unsigned found = 0;

	(void)state;
	for (unsigned i = 0; i < ROUTES; i++) {
		static const enum path_match kinds[] = { PATH_EXACT, PATH_PREFIX,
			PATH_STARTS_WITH };
		const char *host = hosts[draw(5)];

		draw_path(paths[i]);
		routes[i] = (struct route_config){ .host = host[0] != '\0' ? host : NULL,
			.match = draw(40) == 0 ? PATH_ANY : kinds[draw(3)],
			.path = paths[i] };
		if (routes[i].match == PATH_ANY)
			routes[i].path = NULL;
	}
	router = router_new(&listener);
	for (unsigned i = 0; i < REQUESTS; i++) {
		char path[TEXT_SIZE], target[2 * TEXT_SIZE];
		const char *host = draw(6) == 0 ? "d.test" : hosts[draw(5)];
		struct message request;
		const struct route *route;
		const struct route_config *expected;
		bool limit;

		draw_path(path);
		snprintf(target, sizeof(target), "%s%s", path, draw(2) ? "?/a/b" : "");
		request = request_for(host, target);
		route = router_find(router, &request, &client, &limit);
		expected = search(&listener, host, path);
		assert_false(limit);
		if (expected == NULL) {
			assert_null(route);
			continue;
		}
		assert_non_null(route);
		found++;
		if (route->conf != expected)
			fail_msg("%s%s: route %d, not %d", host, path, (int)(route->conf - routes),
			    (int)(expected - routes));
	}
	assert_true(found > REQUESTS / 4);
	router_free(router);
}

/* However specific: the first that fits, and only then the others. */
static void
in_order_comes_first(void **state)
{
	static const char *post[] = { "POST" };
	static struct condition_config condition = { .methods = post, .method_count = 1 };
	static struct route_config routes[] = {
		{ .match = PATH_EXACT, .path = "/a" },
		{ .in_order = true, .match = PATH_STARTS_WITH, .path = "/a/post", .when = &condition,
		    .when_count = 1 },
		{ .in_order = true, .host = "*.test", .match = PATH_REGEX, .path = "/a/[0-9]+$" },
		{ .in_order = true, .host = "b.test", .match = PATH_PREFIX, .path = "/a/" },
		{ .in_order = true, .host = "b.test", .match = PATH_EXACT, .path = "/a/b" },
		{ .in_order = true, .host = "b.test", .match = PATH_ANY },
		{ .host = "a.test", .match = PATH_ANY },
	};
	static const struct {
		const char *host, *path;
		int expected; /* -1: none */
	} cases[] = {
		{ "b.test", "/a", 3 }, { "B.test:80", "/a/b", 3 }, { "b.test", "/ab", 5 },
		{ "b.test", "/a/12", 2 }, { "x.test", "/a/12?a", 2 }, { "x.y.test", "/a/12", -1 },
		{ "a.test", "/a/post", 6 }, { "a.test", "/a", 6 }, { "c.test", "/a", 0 },
		{ "", "/a", 0 }, { "", "/b", -1 },
	};
	struct listener_config listener = { .routes = routes,
		.route_count = sizeof(routes) / sizeof(routes[0]) };
	struct router *router = router_new(&listener);
	struct addr client = { .len = 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct message request = request_for(cases[i].host, cases[i].path);
		bool limit;
		const struct route *route = router_find(router, &request, &client, &limit);
		int found = route != NULL ? (int)(route->conf - routes) : -1;

		if (found != cases[i].expected)
			fail_msg("%s%s: route %d, not %d", cases[i].host, cases[i].path, found,
			    cases[i].expected);
	}
	router_free(router);
}

static void
expressions_are_bounded(void **state)
{
	char fault[128], text[2048];
	struct slice groups[REGEX_GROUPS];
	struct regex *regex = regex_new("/(a+)+$", fault);

	(void)state;
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	assert_non_null(regex);
	assert_int_equal(regex_match(regex, slice_of("/aaa"), groups), REGEX_YES);
	assert_true(slice_equal(groups[1], SLICE("aaa")));
	assert_int_equal(groups[2].len, 0);
	assert_int_equal(regex_match(regex, slice_of("x/aaa"), NULL), REGEX_NO);
	text[sizeof(text) - 1] = 'b';
	assert_int_equal(
	    regex_match(regex, (struct slice){ text, sizeof(text) }, NULL), REGEX_LIMIT);
	assert_int_equal(regex_match(regex, (struct slice){ NULL, 0 }, NULL), REGEX_NO);
	assert_int_equal(regex_groups(regex), 1);
	regex_free(regex);
	assert_null(regex_new("/(", fault));
	assert_non_null(strstr(fault, "at byte 2"));
	assert_null(regex_new("/\\C", NULL));
	assert_null(regex_new("(*UTF)/", NULL));
}

/* More groups than are asked for. */
static void
many_groups(void **state)
{
	struct slice groups[REGEX_GROUPS];
	struct regex *regex = regex_new("/(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)", NULL);

	(void)state;
	assert_int_equal(regex_match(regex, SLICE("/abcdefghijk"), groups), REGEX_YES);
	assert_true(slice_equal(groups[9], SLICE("i")));
	assert_int_equal(regex_groups(regex), 11);
	regex_free(regex);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_as_a_plain_search),
		cmocka_unit_test(in_order_comes_first),
		cmocka_unit_test(expressions_are_bounded),
		cmocka_unit_test(many_groups),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
