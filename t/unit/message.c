/* message: names and methods that weir knows, lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "weir/message.h"

static const struct {
	const char *name;
	enum field_id id;
} names[] = {
	{ "connection", FIELD_CONNECTION },
	{ "content-length", FIELD_CONTENT_LENGTH },
	{ "cookie", FIELD_COOKIE },
	{ "expect", FIELD_EXPECT },
	{ "host", FIELD_HOST },
	{ "keep-alive", FIELD_KEEP_ALIVE },
	{ "proxy-authenticate", FIELD_PROXY_AUTHENTICATE },
	{ "proxy-authorization", FIELD_PROXY_AUTHORIZATION },
	{ "proxy-connection", FIELD_PROXY_CONNECTION },
	{ "te", FIELD_TE },
	{ "trailer", FIELD_TRAILER },
	{ "transfer-encoding", FIELD_TRANSFER_ENCODING },
	{ "upgrade", FIELD_UPGRADE },
	{ "x-forwarded-for", FIELD_X_FORWARDED_FOR },
	{ "x-forwarded-proto", FIELD_X_FORWARDED_PROTO },
};

static void
names_in_any_case(void **state)
{
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i].name);

		assert_int_equal(field_identify(names[i].name, len), names[i].id);
		for (size_t j = 0; j < len; j++) {
			char c = names[i].name[j];

			text[j] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
		}
		assert_int_equal(field_identify(text, len), names[i].id);
	}
}

static void
names_almost_known(void **state)
{
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i].name);

		assert_int_equal(field_identify(names[i].name, len - 1), FIELD_OTHER);
		memcpy(text, names[i].name, len);
		text[len] = 'x';
		assert_int_equal(field_identify(text, len + 1), FIELD_OTHER);
		for (size_t j = 0; j < len; j++) {
			text[j] = '_';
			assert_int_equal(field_identify(text, len), FIELD_OTHER);
			text[j] = names[i].name[j];
		}
	}
	assert_int_equal(field_identify("", 0), FIELD_OTHER);
	for (size_t len = 1; len < sizeof(text); len++) {
		memset(text, 'x', sizeof(text));
		assert_int_equal(field_identify(text, len), FIELD_OTHER);
	}
}

static void
methods(void **state)
{
	(void)state;
	assert_int_equal(method_identify("GET", 3), METHOD_GET);
	assert_int_equal(method_identify("CONNECT", 7), METHOD_CONNECT);
	assert_int_equal(method_identify("get", 3), METHOD_OTHER);
	assert_int_equal(method_identify("GETS", 4), METHOD_OTHER);
	assert_int_equal(method_identify("", 0), METHOD_OTHER);
	assert_true(method_is_idempotent(METHOD_PUT));
	assert_false(method_is_idempotent(METHOD_POST));
	assert_false(method_is_idempotent(METHOD_OTHER));
	assert_false(method_is_idempotent(METHOD_CONNECT));
}

static void
lists(void **state)
{
	static const char text[] = ",, a,\tb c ,,\t ,d";
	static const char *const expected[] = { "a", "b c", "d" };
	struct slice rest = { text, sizeof(text) - 1 }, element;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_true(list_next(&rest, &element));
		assert_int_equal(element.len, strlen(expected[i]));
		assert_memory_equal(element.ptr, expected[i], element.len);
	}
	assert_false(list_next(&rest, &element));
	rest = (struct slice){ NULL, 0 };
	assert_false(list_next(&rest, &element));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_in_any_case),
		cmocka_unit_test(names_almost_known),
		cmocka_unit_test(methods),
		cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
