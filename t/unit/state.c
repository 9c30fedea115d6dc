/* What outlives a restart: state files, and the sticky table in one. */
#include "pools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/file.h"
#include "weir/sticky.h"
#include "weir/statefile.h"

static const struct state_kind kind = { "test", 3, 1000 };
static char dir[] = "/tmp/weir-state-XXXXXX", path[64];

static int
make_dir(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/below/state", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	return rmdir(dir);
}

static void
files_are_read_as_they_were_written(void **state)
{
	char data[1001] = "some";
	const char *why;
	struct stat st;
	size_t len;
	char *back;

	(void)state;
	assert_null(statefile_read(path, &kind, &len, &why));
	assert_null(why);
	for (size_t size = 0; size <= 1000; size += 250) {
		assert_int_equal(statefile_write(path, &kind, data, size), 0);
		back = statefile_read(path, &kind, &len, &why);
		assert_non_null(back);
		assert_int_equal(len, size);
		assert_memory_equal(back, data, size);
		free(back);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(statefile_write(path, &kind, data, 1001), -1);
	assert_int_equal(errno, EFBIG);
}

static void
others_are_refused(void **state)
{
	static const struct state_kind others[] = { { "other", 3, 1000 }, { "test", 4, 1000 },
		{ "testing", 3, 1000 }, { "test", 3, 10 } };
	const char *why;
	char *whole;
	size_t len, size;

	(void)state;
	assert_int_equal(statefile_write(path, &kind, "0123456789abcdef", 16), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_null(statefile_read(path, &others[i], &len, &why));
		assert_non_null(why);
	}
	whole = file_read(path, 4096, &len);
	assert_int_equal(len, 40 + 16);
	for (size_t bit = 0; bit < len * 8; bit++) {
		whole[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(file_write_atomic(path, whole, len, 0600, NULL), 0);
		assert_null(statefile_read(path, &kind, &size, &why));
		assert_non_null(why);
		whole[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++) {
		assert_int_equal(file_write_atomic(path, whole, cut, 0600, NULL), 0);
		assert_null(statefile_read(path, &kind, &size, &why));
		assert_non_null(why);
	}
	free(whole);
}

/* ---- the sticky table ---- */

static struct addr
source(unsigned i)
{
	struct addr addr;
	char text[64];

	snprintf(text, sizeof(text), "10.0.%u.%u:1", i / 256 % 256, i % 256);
	assert_int_equal(addr_parse(&addr, text, 0), 0);
	return addr;
}

/* The same pool in another run: others came first, and the servers stand in another order. */
static struct setting
another_run(size_t entries, const char *const *names, size_t count)
{
	struct setting s = { .arena = arena_new() };
	struct config *before = setting_config(s.arena, "other/pool:1", 1, NULL, 5);

	s.config = setting_config(s.arena, "default/api:80", 2, NULL, count);
	s.config->pools[0].sticky.by = STICKY_SOURCE_IP;
	for (size_t i = 0; i < count; i++)
		s.config->pools[0].servers[i].name = names[i];
	s.shm = shm_new(100, entries);
	assert_int_equal(shm_bind_config(s.shm, before, 0), 0);
	assert_int_equal(shm_bind_config(s.shm, s.config, 0), 0);
	pool_name_cookies(s.config, (const uint8_t *)"secret", 6);
	s.slot = shm_take_slot(s.shm);
	s.pools = pools_new(s.config, s.shm, s.slot);
	return s;
}

static void
sources_find_their_servers_in_another_run(void **state)
{
	static const char *const names[] = { "s2", "new", "s0" }; /* s1 is gone */
	static const size_t sizes[] = { 16, 4096, 16384, 200000 };
	struct setting s = setting_new(BALANCE_WRR, STICKY_SOURCE_IP, NULL, 3);
	size_t len;
	void *data;

	(void)state;
	now_wall_s = 1000000;
	for (unsigned i = 0; i < 300; i++) {
		struct addr client = source(i);

		sticky_store_source(&s.pools[0], &client, s.pools[0].servers[i % 3]);
	}
	data = shm_sticky_save(s.shm, &len);
	assert_int_equal(shm_sticky_count(data), 300);
	now_ms = 77; /* another boot */
	now_wall_s += 20;
	for (size_t k = 1; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct setting next = another_run(sizes[k], names, 3);

		assert_true(shm_sticky_load(next.shm, data, len) == 200);
		for (unsigned i = 0; i < 300; i++) {
			struct addr client = source(i);
			struct server *server = sticky_find_source(&next.pools[0], &client);

			assert_ptr_equal(server, i % 3 == 0   ? next.pools[0].servers[2]
						 : i % 3 == 2 ? next.pools[0].servers[0]
							      : NULL);
		}
		setting_free(&next);
	}
	/* A small table takes what it can. */
	{
		struct setting next = another_run(sizes[0], names, 3);

		assert_in_range(shm_sticky_load(next.shm, data, len), 1, 200);
		setting_free(&next);
	}
	free(data);
	setting_free(&s);
}

static void
time_passes_while_weir_is_gone(void **state)
{
	static const char *const names[] = { "s0" };
	static const struct {
		int gone_s;
		bool is_known;
	} cases[] = { { 0, true }, { 45, true }, { 70, false }, { -3600, true }, { 1 << 30, false } };
	struct setting s = setting_new(BALANCE_WRR, STICKY_SOURCE_IP, NULL, 1);
	struct addr client = source(1);
	size_t len;
	void *data;

	(void)state;
	now_wall_s = 2000000000;
	sticky_store_source(&s.pools[0], &client, s.pools[0].servers[0]);
	now_ms += 10 * 1000; /* of the 60 s that an entry lives */
	data = shm_sticky_save(s.shm, &len);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct setting next = another_run(16, names, 1);

		now_ms = 123456789;
		now_wall_s = INT64_C(2000000000) + cases[i].gone_s;
		shm_sticky_load(next.shm, data, len);
		assert_int_equal(sticky_find_source(&next.pools[0], &client) != NULL, cases[i].is_known);
		setting_free(&next);
	}
	free(data);
	setting_free(&s);
}

static void
nonsense_is_bounded(void **state)
{
	static const char *const names[] = { "s0", "s1", "s2" };
	struct setting s = setting_new(BALANCE_WRR, STICKY_SOURCE_IP, NULL, 3);
	size_t len;
	char *data;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		struct addr client = source(i);

		sticky_store_source(&s.pools[0], &client, s.pools[0].servers[i % 3]);
	}
	data = shm_sticky_save(s.shm, &len);
	srandom(7);
	for (int round = 0; round < 200; round++) {
		struct setting next = another_run(1024, names, 3);
		char *bad = malloc(len);
		size_t cut = round % 4 == 0 ? (size_t)random() % len : len;

		memcpy(bad, data, len);
		for (int i = 0; i < round; i++)
			bad[round % 2 == 0 ? random() % 24 : random() % (long)len] = (char)random();
		shm_sticky_load(next.shm, bad, cut);
		/* Whatever it was: servers that are found are servers of the pool. */
		for (unsigned i = 0; i < 300; i++) {
			struct addr client = source(i);
			struct server *server = sticky_find_source(&next.pools[0], &client);

			assert_true(server == NULL || server->pool == &next.pools[0]);
		}
		free(bad);
		setting_free(&next);
	}
	free(data);
	setting_free(&s);
}

/* 1,000,000 source addresses are remembered in 64 MB, and the file of them fits as well. */
static void
a_million_fit_in_64_mb(void **state)
{
	enum { MILLION = 1000000 };
	static const char *const names[] = { "s0" };
	struct setting s = another_run(MILLION, names, 1);
	struct shm *none = shm_new(100, 1);
	uint32_t id = setting_server_id(&s, 0);
	struct stat with, without;
	unsigned known = 0;
	size_t len;

	(void)state;
	assert_int_equal(fstat(shm_fd(s.shm), &with), 0);
	assert_int_equal(fstat(shm_fd(none), &without), 0);
	assert_in_range(with.st_size - without.st_size, 8 * MILLION, 64 * 1000 * 1000);
	for (uint64_t i = 1; i <= MILLION; i++)
		shm_sticky_store(s.shm, i * UINT64_C(0x9e3779b97f4a7c15) ^ i << 40, id, 600);
	for (uint64_t i = 1; i <= MILLION; i++)
		known += shm_sticky_find(s.shm, i * UINT64_C(0x9e3779b97f4a7c15) ^ i << 40, 600) == id;
	assert_in_range(known, MILLION - MILLION / 500, MILLION);
	free(shm_sticky_save(s.shm, &len));
	assert_in_range(len, 16 * (MILLION - MILLION / 500), 64 * 1000 * 1000);
	shm_free(none);
	setting_free(&s);
}

/* ---- what operators want of servers ---- */

struct kept { /* as in the file */
	uint64_t key[2];
	uint32_t admin;
	int32_t weight;
	uint32_t config_weight, unused;
};

static void
operators_are_remembered(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 3);
	struct setting next = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 3);
	uint32_t pool = s.config->pools[0].id;
	size_t len;
	void *data = shm_states_save(s.shm, &len);

	(void)state;
	assert_int_equal(len, 0);
	free(data);
	shm_set_admin(s.shm, pool, setting_server_id(&s, 0), ADMIN_MAINT);
	shm_set_weight(s.shm, pool, setting_server_id(&s, 2), 0);
	data = shm_states_save(s.shm, &len);
	assert_int_equal(len, 2 * sizeof(struct kept));
	assert_int_equal(shm_states_load(next.shm, next.config, data, len), 2);
	assert_int_equal(shm_entity(next.shm, setting_server_id(&next, 0))->admin, ADMIN_MAINT);
	assert_int_equal(shm_entity(next.shm, setting_server_id(&next, 0))->weight, -1);
	assert_int_equal(shm_entity(next.shm, setting_server_id(&next, 1))->admin, ADMIN_READY);
	assert_int_equal(shm_entity(next.shm, setting_server_id(&next, 2))->weight, 0);
	free(data);
	setting_free(&s);
	setting_free(&next);
}

/* A file that is whole, and holds what no server can be: nothing of it counts. */
static void
impossible_states_are_refused(void **state)
{
	static const struct kept bad[] = { { .admin = 3 }, { .admin = UINT32_MAX }, { .weight = 257 },
		{ .weight = -2 }, { .weight = INT32_MIN }, { .unused = 1 } };
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 2);
	struct kept list[2];

	(void)state;
	memset(list, 0, sizeof(list));
	memcpy(list[0].key, shm_entity(s.shm, setting_server_id(&s, 0))->key, sizeof(list[0].key));
	list[0].admin = ADMIN_DRAIN;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		list[1] = bad[i];
		assert_int_equal(shm_states_load(s.shm, s.config, list, sizeof(list)), -1);
	}
	for (size_t len = 1; len < sizeof(list[0]); len++)
		assert_int_equal(shm_states_load(s.shm, s.config, list, len), -1);
	assert_int_equal(shm_entity(s.shm, setting_server_id(&s, 0))->admin, ADMIN_READY);
	assert_int_equal(shm_states_load(s.shm, s.config, list, 0), 0);
	assert_int_equal(shm_states_load(s.shm, s.config, list, sizeof(list[0])), 1);
	assert_int_equal(shm_entity(s.shm, setting_server_id(&s, 0))->admin, ADMIN_DRAIN);
	setting_free(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_read_as_they_were_written),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(sources_find_their_servers_in_another_run),
		cmocka_unit_test(time_passes_while_weir_is_gone),
		cmocka_unit_test(nonsense_is_bounded),
		cmocka_unit_test(a_million_fit_in_64_mb),
		cmocka_unit_test(operators_are_remembered),
		cmocka_unit_test(impossible_states_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
