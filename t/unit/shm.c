/*
 * shm: entities over reloads, slots over lives and deaths of workers, copies, take-over by a new
 * binary.
 */
#include "pools.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct server_config *
server_of(struct config *config, size_t i)
{
	return &config->pools[0].servers[i];
}

static void
entities_keep_their_state_by_name(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 3);
	struct config *next = setting_config(s.arena, "default/api:80", 2, NULL, 4);
	uint32_t id = setting_server_id(&s, 1);

	(void)state;
	/* s1 comes first now, and there is a new one. */
	server_of(next, 0)->name = "s1";
	server_of(next, 1)->name = "new";
	shm_set_admin(s.shm, s.config->pools[0].id, id, ADMIN_DRAIN);
	shm_set_health(s.shm, s.config->pools[0].id, id, HEALTH_DOWN);
	tally_add(s.pools[0].servers[1]->tally, TALLY_REQUESTS, 7);
	assert_int_equal(shm_bind_config(s.shm, next, 1), 0);
	assert_int_equal(server_of(next, 0)->id, id);
	assert_int_equal(next->pools[0].id, s.config->pools[0].id);
	assert_int_equal(shm_entity(s.shm, id)->admin, ADMIN_DRAIN);
	assert_int_equal(shm_entity(s.shm, id)->health, HEALTH_DOWN);
	assert_int_equal(shm_sum(s.shm, id, TALLY_REQUESTS), 7);
	assert_int_equal(shm_entity(s.shm, server_of(next, 1)->id)->health, HEALTH_UNKNOWN);
	assert_false(shm_server_usable(s.shm, server_of(next, 0)));
	assert_true(shm_server_usable(s.shm, server_of(next, 1)));
	setting_free(&s);
}

static void
names_do_not_run_together(void **state)
{
	struct arena *arena = arena_new();
	struct config *config = setting_config(arena, "a", 1, NULL, 2);
	struct listener_config listener = { .name = "a" };
	struct shm *shm = shm_new(4, 0);

	(void)state;
	config->listeners = &listener;
	config->listener_count = 1;
	server_of(config, 0)->name = "a";
	server_of(config, 1)->name = "";
	assert_int_equal(shm_needed(config), 4);
	assert_int_equal(shm_bind_config(shm, config, 0), 0);
	assert_int_equal(
	    listener.id + config->pools[0].id + server_of(config, 0)->id + server_of(config, 1)->id,
	    0 + 1 + 2 + 3);
	assert_int_equal(shm_entity(shm, listener.id)->kind, ENTITY_LISTENER);
	assert_int_equal(shm_entity(shm, config->pools[0].id)->kind, ENTITY_POOL);
	assert_int_equal(shm_entity(shm, server_of(config, 1)->id)->kind, ENTITY_SERVER);
	shm_free(shm);
	arena_free(arena);
}

static void
weight_at_run_time_yields_to_a_new_configured_one(void **state)
{
	static const unsigned before[] = { 1, 1 }, after[] = { 1, 9 };
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, before, 2);
	struct config *same = setting_config(s.arena, "default/api:80", 2, before, 2);
	struct config *changed = setting_config(s.arena, "default/api:80", 3, after, 2);

	(void)state;
	assert_int_equal(shm_weight(s.shm, server_of(s.config, 0)), 1);
	shm_set_weight(s.shm, s.config->pools[0].id, setting_server_id(&s, 0), 0);
	shm_set_weight(s.shm, s.config->pools[0].id, setting_server_id(&s, 1), 20);
	assert_false(shm_server_usable(s.shm, server_of(s.config, 0)));
	assert_true(shm_server_stickable(s.shm, server_of(s.config, 0)));
	assert_int_equal(shm_bind_config(s.shm, same, 1), 0);
	assert_int_equal(shm_weight(s.shm, server_of(same, 0)), 0);
	assert_int_equal(shm_weight(s.shm, server_of(same, 1)), 20);
	assert_int_equal(shm_bind_config(s.shm, changed, 1), 0);
	assert_int_equal(shm_weight(s.shm, server_of(changed, 0)), 0);
	assert_int_equal(shm_weight(s.shm, server_of(changed, 1)), 9);
	shm_set_weight(s.shm, changed->pools[0].id, server_of(changed, 0)->id, WEIGHT_FROM_CONFIG);
	assert_int_equal(shm_weight(s.shm, server_of(changed, 0)), 1);
	setting_free(&s);
}

static void
weight_at_run_time_stays_or_not_as_the_pool_says(void **state)
{
	static const unsigned before[] = { 1, 1 }, after[] = { 1, 9 };
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, before, 2);
	struct config *keep = setting_config(s.arena, "default/api:80", 2, after, 2);
	struct config *reset = setting_config(s.arena, "default/api:80", 3, after, 2);

	(void)state;
	keep->pools[0].run_time_weights = WEIGHTS_KEEP;
	reset->pools[0].run_time_weights = WEIGHTS_RESET;
	shm_set_weight(s.shm, s.config->pools[0].id, setting_server_id(&s, 0), 7);
	shm_set_weight(s.shm, s.config->pools[0].id, setting_server_id(&s, 1), 20);
	assert_int_equal(shm_bind_config(s.shm, keep, 1), 0);
	assert_int_equal(shm_weight(s.shm, server_of(keep, 0)), 7);
	assert_int_equal(shm_weight(s.shm, server_of(keep, 1)), 20);
	assert_int_equal(shm_bind_config(s.shm, reset, 1), 0);
	assert_int_equal(shm_weight(s.shm, server_of(reset, 0)), 1);
	assert_int_equal(shm_weight(s.shm, server_of(reset, 1)), 9);
	setting_free(&s);
}

static void
entities_are_freed_after_their_last_generation(void **state)
{
	struct arena *arena = arena_new();
	struct config *first = setting_config(arena, "one", 1, NULL, 2);
	struct config *second = setting_config(arena, "two", 2, NULL, 2);
	struct config *third = setting_config(arena, "three", 3, NULL, 2);
	struct shm *shm = shm_new(6, 0);
	int slot = shm_take_slot(shm);

	(void)state;
	assert_int_equal(shm_bind_config(shm, first, 1), 0);
	assert_int_equal(shm_bind_config(shm, second, 1), 0);
	tally_add(shm_tally(shm, slot, server_of(first, 0)->id), TALLY_REQUESTS, 5);
	tally_add(shm_tally(shm, slot, server_of(second, 0)->id), TALLY_REQUESTS, 6);
	/* Workers of the first generation still run: full. */
	assert_int_equal(shm_bind_config(shm, third, 1), -1);
	assert_int_equal(shm_sum(shm, server_of(first, 0)->id, TALLY_REQUESTS), 5);
	assert_int_equal(shm_bind_config(shm, third, 2), 0);
	assert_int_equal(server_of(third, 0)->id, server_of(first, 0)->id);
	assert_int_equal(shm_sum(shm, server_of(third, 0)->id, TALLY_REQUESTS), 0);
	assert_int_equal(shm_sum(shm, server_of(second, 0)->id, TALLY_REQUESTS), 6);
	shm_free(shm);
	arena_free(arena);
}

static void
retired_slots_leave_counters_not_gauges(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 2);
	uint32_t id = setting_server_id(&s, 1);
	uint64_t live[SHM_SLOTS / 64], sums[TALLY_FIELDS];
	int other = shm_take_slot(s.shm);

	(void)state;
	assert_int_not_equal(other, s.slot);
	tally_add(shm_tally(s.shm, s.slot, id), TALLY_REQUESTS, 10);
	tally_add(shm_tally(s.shm, s.slot, id), TALLY_ACTIVE, 3);
	tally_add(shm_tally(s.shm, other, id), TALLY_REQUESTS, 100);
	tally_add(shm_tally(s.shm, other, id), TALLY_ACTIVE, 4);
	atomic_store(&shm_slot_info(s.shm, other)->pid, 4711);
	shm_live_slots(s.shm, live);
	assert_int_equal(live[0], 1ULL << s.slot | 1ULL << other);
	for (int round = 0; round < 3; round++) {
		shm_retire_slot(s.shm, other);
		assert_int_equal(shm_slot_info(s.shm, other)->pid, 0);
		shm_sum_all(s.shm, id, sums);
		assert_int_equal(sums[TALLY_REQUESTS], 110);
		assert_int_equal(sums[TALLY_ACTIVE], 3);
		assert_int_equal(tally_get(shm_tally(s.shm, other, id), TALLY_ACTIVE), 0);
		assert_int_equal(shm_take_slot(s.shm), other);
	}
	setting_free(&s);
}

static void
slots_run_out(void **state)
{
	struct shm *shm = shm_new(1, 0);
	uint64_t live[SHM_SLOTS / 64];

	(void)state;
	for (int i = 1; i < SHM_SLOTS; i++)
		assert_int_equal(shm_take_slot(shm), i);
	assert_int_equal(shm_take_slot(shm), -1);
	shm_retire_slot(shm, 200);
	assert_int_equal(shm_take_slot(shm), 200);
	shm_live_slots(shm, live);
	assert_true(live[0] == ~1ULL && live[3] == ~0ULL);
	shm_free(shm);
}

static void
processes_share(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 1);
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		tally_add(s.pools[0].servers[0]->tally, TALLY_BYTES_OUT, 1ULL << 40);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(shm_sum(s.shm, setting_server_id(&s, 0), TALLY_BYTES_OUT) == 1ULL << 40);
	setting_free(&s);
}

enum { ROUNDS = 300, PER_ROUND = 1000 };

/* Reads until all is counted; exits 1 if a sum ever went back or was too high. */
static void
watch_sums(const struct shm *shm, uint32_t id)
{
	uint64_t before = 0, sum;

	while (before < ROUNDS * PER_ROUND) {
		sum = shm_sum(shm, id, TALLY_REQUESTS);
		if (sum < before || sum > ROUNDS * PER_ROUND)
			_exit(1);
		before = sum;
	}
	_exit(0);
}

static void
sums_never_go_back(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 500);
	uint32_t id = setting_server_id(&s, 499);
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		watch_sums(s.shm, id);
	for (int round = 0; round < ROUNDS; round++) {
		int slot = shm_take_slot(s.shm);

		tally_add(shm_tally(s.shm, slot, id), TALLY_REQUESTS, PER_ROUND);
		shm_retire_slot(s.shm, slot);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	setting_free(&s);
}

static void
copy_keeps_ids_states_and_counts(void **state)
{
	for (size_t sticky = 64; sticky <= 16384; sticky *= 16) {
		struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 3);
		uint32_t id = setting_server_id(&s, 2);
		struct shm *large = shm_new(1000, sticky);
		struct config *next = setting_config(s.arena, "default/api:80", 2, NULL, 500);

		tally_add(s.pools[0].servers[2]->tally, TALLY_REQUESTS, 7);
		tally_add(s.pools[0].servers[2]->tally, TALLY_ACTIVE, 1);
		shm_set_admin(s.shm, s.config->pools[0].id, id, ADMIN_MAINT);
		atomic_store(&shm_global(s.shm)->reloads, 12);
		shm_sticky_store(s.shm, 0x123456789abcdef0, id, 60);
		shm_copy(large, s.shm);
		assert_int_equal(shm_bind_config(large, next, 1), 0);
		assert_int_equal(server_of(next, 2)->id, id);
		assert_int_equal(shm_entity(large, id)->admin, ADMIN_MAINT);
		assert_int_equal(shm_sum(large, id, TALLY_REQUESTS), 7);
		assert_int_equal(shm_sum(large, id, TALLY_ACTIVE), 0);
		assert_int_equal(shm_global(large)->reloads, 12);
		assert_int_equal(shm_sticky_find(large, 0x123456789abcdef0, 60), id);
		shm_free(large);
		setting_free(&s);
	}
	(void)state;
}

static void
new_binary_takes_over(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 3);
	struct shm *other;
	int fd = dup(shm_fd(s.shm)), bad;

	(void)state;
	tally_add(s.pools[0].servers[0]->tally, TALLY_REQUESTS, 7);
	other = shm_attach_take(fd);
	assert_non_null(other);
	assert_int_equal(shm_sum(other, setting_server_id(&s, 0), TALLY_REQUESTS), 7);
	assert_int_equal(shm_take_slot(other), s.slot + 1);
	/* Nobody can pull the region away from under the others. */
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(ftruncate(fd, 1LL << 40), -1);
	shm_free(other);

	bad = memfd_create("bad", 0);
	assert_int_equal(ftruncate(bad, 1 << 20), 0);
	assert_null(shm_attach_take(bad));
	assert_int_equal(errno, EPROTO);
	/* A good header in a region that is too short. */
	{
		char page[4096];

		assert_int_equal(pread(shm_fd(s.shm), page, sizeof(page), 0), sizeof(page));
		assert_int_equal(pwrite(bad, page, sizeof(page), 0), sizeof(page));
	}
	assert_int_equal(ftruncate(bad, 4096), 0);
	assert_null(shm_attach_take(bad));
	assert_int_equal(errno, EPROTO);
	close(bad);
	setting_free(&s);
}

static void
refuses_impossible_sizes(void **state)
{
	(void)state;
	assert_null(shm_new(0, 10));
	assert_int_equal(errno, EINVAL);
	assert_null(shm_new(SHM_CAPACITY_MAX + 1, 10));
	assert_int_equal(errno, EINVAL);
	shm_free(NULL);
}

static void
binds_many_servers(void **state)
{
	enum { SERVERS = 100000 };
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, SERVERS);
	struct config *next = setting_config(s.arena, "default/api:80", 2, NULL, SERVERS);

	(void)state;
	for (size_t i = 0; i < SERVERS; i++)
		server_of(next, i)->name = server_of(s.config, SERVERS - 1 - i)->name;
	assert_int_equal(shm_bind_config(s.shm, next, 1), 0);
	for (size_t i = 0; i < SERVERS; i++) {
		assert_int_equal(server_of(next, i)->id, setting_server_id(&s, SERVERS - 1 - i));
		assert_int_equal(
		    pool_find_entity(&s.pools[0], setting_server_id(&s, i))->conf->index, i);
	}
	setting_free(&s);
}

static void
setters_tell_once(void **state)
{
	struct setting s = setting_new(BALANCE_WRR, STICKY_OFF, NULL, 1);
	uint32_t pool_id = s.config->pools[0].id, id = setting_server_id(&s, 0);
	uint32_t before = shm_entity(s.shm, pool_id)->changes;

	(void)state;
	for (int i = 0; i < 2; i++) {
		shm_set_health(s.shm, pool_id, id, HEALTH_UP);
		shm_set_admin(s.shm, pool_id, id, ADMIN_MAINT);
		shm_set_weight(s.shm, pool_id, id, 3);
	}
	assert_int_equal(shm_entity(s.shm, pool_id)->changes - before, 3);
	assert_false(shm_server_stickable(s.shm, server_of(s.config, 0)));
	setting_free(&s);
}

static void
tally_table_is_whole(void **state)
{
	(void)state;
	for (int i = 0; i < TALLY_FIELDS; i++) {
		assert_non_null(tally_table[i].name);
		assert_non_null(tally_table[i].help);
		/* Those from TALLY_COUNTED on are between workers. */
		if (i >= TALLY_COUNTED) {
			assert_int_equal(tally_table[i].of, 0);
			assert_true(tally_table[i].is_gauge);
			continue;
		}
		assert_int_equal(tally_table[i].help[strlen(tally_table[i].help) - 1], '.');
		assert_in_range(tally_table[i].of, 1, 31);
		assert_int_equal(
		    tally_table[i].is_gauge, i == TALLY_ACTIVE || i == TALLY_QUEUED);
	}
	assert_int_equal(tally_of_status(101), TALLY_STATUS_1XX);
	assert_int_equal(tally_of_status(200), TALLY_STATUS_2XX);
	assert_int_equal(tally_of_status(399), TALLY_STATUS_3XX);
	assert_int_equal(tally_of_status(404), TALLY_STATUS_4XX);
	assert_int_equal(tally_of_status(599), TALLY_STATUS_5XX);
	assert_int_equal(tally_of_status(0), TALLY_STATUS_1XX);
	assert_int_equal(tally_of_status(999), TALLY_STATUS_5XX);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(entities_keep_their_state_by_name),
		cmocka_unit_test(names_do_not_run_together),
		cmocka_unit_test(weight_at_run_time_yields_to_a_new_configured_one),
		cmocka_unit_test(weight_at_run_time_stays_or_not_as_the_pool_says),
		cmocka_unit_test(entities_are_freed_after_their_last_generation),
		cmocka_unit_test(retired_slots_leave_counters_not_gauges),
		cmocka_unit_test(slots_run_out),
		cmocka_unit_test(processes_share),
		cmocka_unit_test(sums_never_go_back),
		cmocka_unit_test(copy_keeps_ids_states_and_counts),
		cmocka_unit_test(new_binary_takes_over),
		cmocka_unit_test(refuses_impossible_sizes),
		cmocka_unit_test(binds_many_servers),
		cmocka_unit_test(setters_tell_once),
		cmocka_unit_test(tally_table_is_whole),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
