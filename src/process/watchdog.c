/*
 * The service manager's watchdog is fed as long as all workers answer: each is asked at one turn, and
 * has until the next, which is half of what the service manager allows.
 */
#include "master_priv.h"
#include "systemd_priv.h"
#include "weir/log.h"

static bool
is_awake(struct child *child)
{
	const struct slot_info *info = shm_slot_info(child->generation->region->shm, child->slot);

	if (atomic_load(&info->pongs) != child->pings)
		return false;
	child->pings++;
	child_send(child, MESSAGE_PING, NULL, 0, -1);
	return true;
}

void
watchdog_feed(struct master *master)
{
	bool all_awake = true;
	struct child *child;

	for (child = TAILQ_FIRST(&master->children); child != NULL;
	     child = TAILQ_NEXT(child, entry)) {
		if (child->kind != CHILD_WORKER || child->state != CHILD_RUNNING)
			continue;
		if (is_awake(child))
			continue;
		all_awake = false;
		log_warnx("worker[%d] does not answer: the watchdog is not fed", (int)child->pid);
	}
	if (all_awake)
		systemd_notify("WATCHDOG=1");
}
