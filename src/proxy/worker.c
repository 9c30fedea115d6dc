#include "weir/worker.h"

void
worker_clear_graves(struct worker *worker)
{
	while (worker->graves != NULL) {
		struct grave *grave = worker->graves;

		worker->graves = grave->next;
		slab_give(grave->slab, grave);
	}
}

void
worker_defer(struct worker *worker, struct deferred *deferred)
{
	if (deferred->link != NULL)
		return;
	deferred->next = worker->deferred;
	if (deferred->next != NULL)
		deferred->next->link = &deferred->next;
	deferred->link = &worker->deferred;
	worker->deferred = deferred;
}

void
worker_undefer(struct worker *worker, struct deferred *deferred)
{
	(void)worker;
	if (deferred->link == NULL)
		return;
	*deferred->link = deferred->next;
	if (deferred->next != NULL)
		deferred->next->link = deferred->link;
	deferred->link = NULL;
}

void
worker_run_deferred(struct worker *worker)
{
	while (worker->deferred != NULL) {
		struct deferred *deferred = worker->deferred;

		worker_undefer(worker, deferred);
		deferred->run(deferred);
	}
}
