/* yaml: trees with positions, JSON, faults, scalars that read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/arena.h"
#include "weir/yaml.h"

struct parsed {
	struct arena *arena;
	struct diag *diag;
	struct yaml_node **documents;
	size_t count;
};

static struct parsed
parse_bytes(const char *text, size_t len)
{
	struct parsed p = { .arena = arena_new(), .diag = diag_new() };

	p.documents = yaml_parse(p.arena, p.diag, "f", text, len, &p.count);
	return p;
}

static struct parsed
parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static bool
is_noise(const char *at, const char *key)
{
	return strcmp(key, "noise") == 0 && (at == NULL || strcmp(at, "list") == 0);
}

/* What is passed over is missing, however it is written; the rest is there. */
static void
values_are_passed_over(void **state)
{
	static const char text[] = "noise: {a: [1, {b: 2}], noise: 3}\n"
				   "keep: {noise: 1}\n"
				   "list:\n  - noise: |\n      a: b\n    last: 1\n  - {noise: [], x: noise}\n"
				   "---\nnoise: 7\n";
	struct arena *arena = arena_new();
	struct diag *diag = diag_new();
	struct yaml_node **roots, *list;
	size_t count;

	(void)state;
	roots = yaml_parse_wanted(
	    arena, diag, "f", text, sizeof(text) - 1, is_noise, &count);
	assert_int_equal(diag_errors(diag), 0);
	assert_int_equal(count, 2);
	assert_int_equal(roots[0]->count, 2);
	assert_string_equal(yaml_get_text(yaml_get(roots[0], "keep"), "noise"), "1");
	list = yaml_get(roots[0], "list");
	assert_int_equal(list->count, 2);
	assert_int_equal(list->items[0]->count, 1);
	assert_string_equal(yaml_get_text(list->items[0], "last"), "1");
	assert_string_equal(yaml_get_text(list->items[1], "x"), "noise");
	assert_int_equal(roots[1]->count, 0);
	assert_ptr_equal(list->items[0]->pairs[0].key, yaml_get_pair(list->items[0], "last")->key);
	arena_free(arena);
	diag_free(diag);
}

static void
deep_values_are_not_passed_over(void **state)
{
	char text[512] = "noise: ";
	struct arena *arena = arena_new();
	struct diag *diag = diag_new();
	size_t count;

	(void)state;
	memset(text + 7, '[', 200);
	yaml_parse_wanted(arena, diag, "f", text, strlen(text), is_noise, &count);
	assert_int_equal(diag_errors(diag), 1);
	arena_free(arena);
	diag_free(diag);
}

static void
done(struct parsed *p)
{
	arena_free(p->arena);
	diag_free(p->diag);
}

/* Editors of some systems put a byte order mark in front. */
static void
byte_order_mark(void **state)
{
	struct parsed p = parse("\xef\xbb\xbf" "a: b\n");

	(void)state;
	assert_int_equal(diag_errors(p.diag), 0);
	assert_string_equal(yaml_get_text(p.documents[0], "a"), "b");
	done(&p);
}

/* The findings for `text` are these. */
static void
assert_findings_of(const char *text, size_t len, const char *expected)
{
	struct parsed p = parse_bytes(text, len);
	char *findings;

	arena_free(p.arena); /* findings outlive the tree */
	findings = diag_text(p.diag, "test");
	assert_string_equal(findings, expected);
	free(findings);
	diag_free(p.diag);
}

static void
assert_findings(const char *text, const char *expected)
{
	assert_findings_of(text, strlen(text), expected);
}

/* One line for a tree: what stands where. */
static void
write_tree(FILE *out, const struct yaml_node *n)
{
	fprintf(out, "%u:%u", n->where.line, n->where.column);
	switch (n->type) {
	case YAML_NULL:
		fputs("~", out);
		break;
	case YAML_SCALAR:
		fprintf(out, n->quoted ? "\"%s\"" : "'%s'", n->text);
		assert_int_equal(n->len, strlen(n->text));
		break;
	case YAML_LIST:
		fputs("[", out);
		for (size_t i = 0; i < n->count; i++) {
			fputs(i ? " " : "", out);
			write_tree(out, n->items[i]);
		}
		fputs("]", out);
		break;
	case YAML_MAP:
		fputs("{", out);
		for (size_t i = 0; i < n->count; i++) {
			fprintf(out, "%s%u:%u %s=", i ? " " : "", n->pairs[i].where.line,
			    n->pairs[i].where.column, n->pairs[i].key);
			write_tree(out, n->pairs[i].value);
		}
		fputs("}", out);
		break;
	}
}

static void
assert_tree(const char *text, const char *expected)
{
	struct parsed p = parse(text);
	char *tree = NULL;
	size_t size;
	FILE *out = open_memstream(&tree, &size);

	for (size_t i = 0; i < p.count; i++) {
		fputs(i ? "; " : "", out);
		write_tree(out, p.documents[i]);
	}
	fclose(out);
	assert_int_equal(diag_errors(p.diag), 0);
	assert_string_equal(tree, expected);
	free(tree);
	done(&p);
}

static void
trees(void **state)
{
	(void)state;
	assert_tree("a: 1\nb: [x, 'y', {c: \"z\"}]\n",
	    "1:1{1:1 a=1:4'1' 2:1 b=2:4[2:5'x' 2:8\"y\" 2:13{2:14 c=2:17\"z\"}]}");
	assert_tree("- a\n-   b: on\n    c: |\n      text\n",
	    "1:1[1:3'a' 2:5{2:5 b=2:8'on' 3:5 c=3:8\"text\n\"}]");
	assert_tree("", "");
	assert_tree("# nothing\n", "");
	assert_tree("a\n---\nb\n--- \n- c\n", "1:1'a'; 3:1'b'; 5:1[5:3'c']");
	assert_tree("\xef\xbb\xbf"
		    "a: 1\n",
	    "1:4{1:4 a=1:7'1'}");
}

static void
scalars_keep_their_text(void **state)
{
	(void)state;
	assert_tree("[yes, 0x1F, 1_000, 12:30:45, .inf, 2001-01-01]",
	    "1:1[1:2'yes' 1:7'0x1F' 1:13'1_000' 1:20'12:30:45' 1:30'.inf' 1:36'2001-01-01']");
	assert_tree("[~, null, 'null', \"\", !!str 5, ! 6]",
	    "1:1[1:2~ 1:5~ 1:11\"null\" 1:19\"\" 1:23\"5\" 1:32\"6\"]");
	assert_tree("a:\nnull: 1\n~: 2\n", "1:1{1:1 a=1:3~ 2:1 null=2:7'1' 3:1 ~=3:4'2'}");
}

/* Columns count bytes, also behind characters of several, and lines end as YAML says. */
static void
positions_in_bytes(void **state)
{
	(void)state;
	assert_tree("\xc3\xa9\xc3\xa9: [\xe2\x82\xac, b]",
	    "1:1{1:1 \xc3\xa9\xc3\xa9=1:7[1:8'\xe2\x82\xac' 1:13'b']}");
	assert_tree("a: 1\r\nb: 2\r\n", "1:1{1:1 a=1:4'1' 2:1 b=2:4'2'}");
	assert_tree("a: 1\rb: 2\r", "1:1{1:1 a=1:4'1' 2:1 b=2:4'2'}");
}

static void
json_is_yaml(void **state)
{
	(void)state;
	assert_tree("{\n\t\"a\": [1, true, null],\n\t\"b\":{}\t}\n",
	    "1:1{2:2 a=2:7[2:8'1' 2:11'true' 2:17~] 3:2 b=3:6{}}");
	assert_tree("\t {\"a\":\"\\u003c\\/\\n\"}", "1:3{1:4 a=1:8\"</\n\"}");
	/* Pairs of surrogates, and positions behind them. */
	assert_tree("{\"\\ud83d\\uDE00\\ud83d\\ude01\":\"\\\\ud83d\", \"b\": 1}",
	    "1:1{1:2 \xf0\x9f\x98\x80\xf0\x9f\x98\x81=1:29\"\\ud83d\" 1:40 b=1:45'1'}");
	assert_findings("{\"a\": \"\\ud83d\"}",
	    "f:1:10: error: not valid YAML: found invalid Unicode character escape "
	    "code, while parsing a quoted scalar that starts at line 1\n");
}

static void
syntax_errors(void **state)
{
	struct parsed p = parse("a: 1\n---\nb: [1\nc: 2\n");

	(void)state;
	assert_int_equal(p.count, 1); /* what came before is delivered */
	assert_int_equal(diag_errors(p.diag), 1);
	done(&p);
	assert_findings("a: 1\n b: 2\n",
	    "f:2:3: error: not valid YAML: mapping values are not allowed in this context\n");
	assert_findings("a: \"x\n",
	    "f:2:1: error: not valid YAML: found unexpected end of stream, while scanning a "
	    "quoted scalar that starts at line 1\n");
	assert_findings("a: b\nc: \001\n",
	    "f:2:4: error: not valid YAML: control characters are not allowed; "
	    "UTF-8 text without control characters is allowed\n");
	assert_findings("a: \xff\n", "f:1:4: error: not valid YAML: invalid leading UTF-8 octet; "
				     "UTF-8 text without control characters is allowed\n");
	assert_findings_of("a: \"\0\"\n", 8,
	    "f:1:5: error: not valid YAML: control characters are not allowed; "
	    "UTF-8 text without control characters is allowed\n");
}

static void
refused_features(void **state)
{
	(void)state;
	assert_findings("a: &x 1\nb: *x\n",
	    "f:1:4: error: anchor \"&x\" is not allowed; write the value out where it is needed\n"
	    "f:2:4: error: alias \"*x\" is not allowed; write the value out where it is needed\n");
	assert_findings("a: !foo 1\nb: !!int 2\nc: !!map {}\n",
	    "f:1:4: error: tag \"!foo\" is not allowed; values have no tags here\n"
	    "f:2:4: error: tag \"tag:yaml.org,2002:int\" is not allowed; values have no tags "
	    "here\n");
	assert_findings("a: \"x\\0y\"\n",
	    "f:1:4: error: the text holds a NUL character; any other is allowed\n");
	assert_findings("? [a]\n: 1\n",
	    "f:1:3: error: a list stands where a key is expected; a key is a scalar\n");
	assert_findings(
	    "\"\": 1\n", "f:1:1: error: the key is empty; a key is a word or a text in quotes\n");
}

static void
duplicate_keys(void **state)
{
	char text[64 * 24], expected[256], *p = text;

	(void)state;
	assert_findings("a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n",
	    "f:2:11: error: key \"c\" is given twice; the first is at line 2\n"
	    "f:3:1: error: key \"a\" is given twice; the first is at line 1\n"
	    "f:4:1: error: key \"a\" is given twice; the first is at line 1\n");
	/* A big map takes another way. */
	for (int i = 0; i < 60; i++)
		p += sprintf(p, "key%d: 1\n", i == 59 || i == 58 ? 7 : i);
	snprintf(expected, sizeof(expected),
	    "f:59:1: error: key \"key7\" is given twice; the first is at line 8\n"
	    "f:60:1: error: key \"key7\" is given twice; the first is at line 8\n");
	assert_findings(text, expected);
}

static void
depth_is_bounded(void **state)
{
	char text[200];

	(void)state;
	memset(text, 0, sizeof(text));
	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	assert_findings(text, "");
	memset(text, '[', 65);
	assert_findings(text, "f:1:65: error: nested too deeply; 64 levels are allowed\n");
}

static void
files(void **state)
{
	struct arena *arena = arena_new();
	struct diag *diag = diag_new();
	size_t count = 7;
	char *findings;

	(void)state;
	assert_non_null(yaml_parse_file(arena, diag, "/nonexistent/x.yaml", 100, &count));
	assert_int_equal(count, 0);
	assert_non_null(yaml_parse_file(arena, diag, WEIR_SRCDIR "/doc", 100, &count));
	assert_non_null(yaml_parse_file(arena, diag, WEIR_SRCDIR "/etc/weir.yaml", 100, &count));
	assert_int_equal(count, 0);
	findings = diag_text(diag, "test");
	assert_non_null(strstr(findings,
	    "/nonexistent/x.yaml: error: cannot read the file: No such file or directory"));
	assert_non_null(strstr(findings, "/doc: error: cannot read the file: Is a directory"));
	assert_non_null(
	    strstr(findings, "/weir.yaml: error: the file is too big; 100 bytes are allowed"));
	free(findings);
	diag_free(diag);
	arena_free(arena);
}

static void
look_ups(void **state)
{
	struct parsed p = parse("a: x\nb: [1]\nc:\n");
	const struct yaml_node *root = p.documents[0];

	(void)state;
	assert_string_equal(yaml_get_text(root, "a"), "x");
	assert_null(yaml_get_text(root, "b"));
	assert_null(yaml_get_text(root, "d"));
	assert_int_equal(yaml_get(root, "b")->type, YAML_LIST);
	assert_int_equal(yaml_get(root, "c")->type, YAML_NULL);
	assert_int_equal(yaml_get_pair(root, "b")->where.line, 2);
	assert_null(yaml_get(NULL, "a"));
	assert_null(yaml_get(yaml_get(root, "a"), "a"));
	assert_string_equal(yaml_type_name(YAML_MAP), "a mapping");
	done(&p);
}

static void
assert_written(const char *text, const char *expected)
{
	char *written = NULL;
	size_t size;
	FILE *out = open_memstream(&written, &size);
	struct parsed p;

	yaml_write_scalar(out, text);
	fclose(out);
	if (expected != NULL)
		assert_string_equal(written, expected);
	p = parse(written);
	assert_int_equal(diag_errors(p.diag), 0);
	assert_int_equal(p.documents[0]->type, YAML_SCALAR);
	assert_string_equal(p.documents[0]->text, text);
	done(&p);
	free(written);
}

static void
written_scalars_read_back(void **state)
{
	static const char *const quoted[] = { "", "on", "Off", "YES", "n", "true", "null", "~", "0",
		"443", "1.5", "-1", "+1", ".5", "1_000", "0x1f", "0b1", "0o7", "1e3", "1.5E-7",
		"12:30:45", "2001-12-14", "2001-12-14t21:59:43Z", "0.0.0.0:443", "[::]:443", "*:80",
		"*x", "&x", "!x", "a: b", "a:", "a #b", "#a", "- a", "-", "?", "{a}", "a,b", " a",
		"a ", "a b", "'", "%a", "@a", "`a", "|", ">", "=", "<<", "..." };
	static const char *const plain[] = { "a", "5s", "30m", "default/test:443",
		"/etc/weir/certs", "weighted_round_robin", "17e3b4f4bc40471c86741dc3aa211379",
		"203.0.113.0/24", "tls-1-2", "http/1.1", "no-cache", "nginx-2601814895-c1xhw" };
	char expected[64], bytes[2] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(quoted) / sizeof(quoted[0]); i++) {
		snprintf(expected, sizeof(expected), "\"%s\"", quoted[i]);
		assert_written(quoted[i], expected);
	}
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		assert_written(plain[i], plain[i]);
	for (int c = 1; c < 128; c++) {
		bytes[0] = (char)c;
		assert_written(bytes, NULL);
	}
	assert_written("a\n\tb\"\\\033", "\"a\\n\\tb\\\"\\\\\\x1B\"");
	assert_written("\xc2\x85 \xc3\xbc \xe2\x80\xa8 \xef\xbb\xbf \xf0\x9f\x98\x80",
	    "\"\\x85 \xc3\xbc \\u2028 \\uFEFF \xf0\x9f\x98\x80\"");
}

/* Text from elsewhere may be no UTF-8: what is written is YAML all the same. */
static void
written_bytes_are_valid(void **state)
{
	static const char *const texts[] = { "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "a\xe2\x82" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *written = NULL;
		size_t size;
		FILE *out = open_memstream(&written, &size);

		yaml_write_scalar(out, texts[i]);
		fclose(out);
		assert_findings(written, "");
		free(written);
	}
}

static void
nearest_names(void **state)
{
	static const char *const names[] = { "listen", NULL, "listeners", "timeout", "timeouts" };

	(void)state;
	assert_string_equal(yaml_nearest("lisen", names, 5, 2), "listen");
	assert_string_equal(yaml_nearest("timeuot", names, 5, 1), "timeout");
	assert_string_equal(yaml_nearest("timeouts", names, 5, 3), "timeouts");
	assert_string_equal(yaml_nearest("listener", names, 5, 2), "listeners");
	assert_null(yaml_nearest("pool", names, 5, 3));
	assert_null(yaml_nearest("", names, 5, 3));
	assert_null(yaml_nearest("lisen", names, 0, 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees),
		cmocka_unit_test(scalars_keep_their_text),
		cmocka_unit_test(positions_in_bytes),
		cmocka_unit_test(json_is_yaml),
		cmocka_unit_test(syntax_errors),
		cmocka_unit_test(refused_features),
		cmocka_unit_test(duplicate_keys),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(files),
		cmocka_unit_test(look_ups),
		cmocka_unit_test(written_scalars_read_back),
		cmocka_unit_test(written_bytes_are_valid),
		cmocka_unit_test(nearest_names),
		cmocka_unit_test(values_are_passed_over),
		cmocka_unit_test(byte_order_mark),
		cmocka_unit_test(deep_values_are_not_passed_over),
	};

	return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
