/* text: a growing text, and JSON and labels that stay well-formed whatever is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "../../src/stats/text_priv.h"

static void
assert_text(struct text *text, const char *expected)
{
	assert_int_equal(text->len, strlen(expected));
	assert_memory_equal(text->data, expected, text->len);
	text_fini(text);
}

static void
numbers_and_formats(void **state)
{
	struct text text = { 0 };

	(void)state;
	text_uint(&text, 0);
	text_printf(&text, " %s ", "x");
	text_uint(&text, UINT64_MAX);
	assert_text(&text, "0 x 18446744073709551615");
}

static void
it_grows(void **state)
{
	struct text text = { 0 };

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		text_printf(&text, "%06u", i);
	assert_int_equal(text.len, 600000);
	assert_memory_equal(text.data + 599994, "099999", 6);
	text_fini(&text);
	assert_null(text.data);
}

static void
json_commas_come_by_themselves(void **state)
{
	struct text text = { 0 };
	struct json json = { .text = &text };

	(void)state;
	json_open(&json, NULL, '{');
	json_put_uint(&json, "a", 1);
	json_open(&json, "b", '[');
	json_put_string(&json, NULL, "x");
	json_open(&json, NULL, '{');
	json_close(&json, '}');
	json_put_null(&json, NULL);
	json_close(&json, ']');
	json_put_bool(&json, "c", true);
	json_put_string(&json, "d", NULL);
	json_close(&json, '}');
	assert_text(&text, "{\"a\": 1, \"b\": [\"x\", {}, null], \"c\": true, \"d\": null}");
}

/* All texts of three bytes from a set that has every kind: another parser must read them all. */
static void
json_strings_are_always_valid(void **state)
{
	static const unsigned char bytes[] = { 'a', '"', '\\', '\n', 0x01, 0x7f, 0x80, 0xbf, 0xc0,
		0xc2, 0xe0, 0xa0, 0xed, 0xef, 0xf0, 0x90, 0xf4, 0xf5, 0xff };
	size_t count = sizeof(bytes);

	(void)state;
	for (size_t i = 0; i < count * count * count; i++) {
		char string[4] = { (char)bytes[i % count], (char)bytes[i / count % count],
			(char)bytes[i / count / count], '\0' };
		struct text text = { 0 };
		json_t *read;

		text_json_string(&text, string);
		read = json_loadb(text.data, text.len, JSON_DECODE_ANY, NULL);
		assert_non_null(read);
		json_decref(read);
		text_fini(&text);
	}
}

static void
strings_and_labels_are_escaped(void **state)
{
	struct text text = { 0 };

	(void)state;
	text_json_string(
	    &text, "a\"b\\c\nd\te\x01\x7f \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 \xff\xc3");
	assert_text(&text,
	    "\"a\\\"b\\\\c\\nd\\te\\u0001\\u007f \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 "
	    "\xef\xbf\xbd\xef\xbf\xbd\"");
	text_label_value(&text, "a\"b\\c\nd\xff");
	assert_text(&text, "\"a\\\"b\\\\c\\nd\xef\xbf\xbd\"");
	text_label_value(&text, "");
	assert_text(&text, "\"\"");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_and_formats),
		cmocka_unit_test(it_grows),
		cmocka_unit_test(json_commas_come_by_themselves),
		cmocka_unit_test(json_strings_are_always_valid),
		cmocka_unit_test(strings_and_labels_are_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
