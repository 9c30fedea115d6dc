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
