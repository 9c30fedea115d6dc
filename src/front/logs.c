#include "logs_priv.h"

#include <stdlib.h>
#include <string.h>

#include "weir/accesslog.h"
#include "weir/arena.h"
#include "weir/log_writer.h"
#include "weir/worker.h"

void
logs_open(struct worker *worker, const int *fds)
{
	const struct config *config = worker->config;
	struct slot_info *info = shm_slot_info(worker->shm, worker->slot);

	if (config->log_output_count == 0)
		return;
	worker->log_writers = xcalloc(config->log_output_count, sizeof(struct log_writer *));
	for (size_t i = 0; i < config->log_output_count; i++) {
		const char *to = config->log_outputs[i].to;
		bool is_syslog = strcmp(to, "syslog") == 0;

		worker->log_writers[i] =
		    log_writer_new(fds[i], to, is_syslog ? config->global.syslog : NULL,
			&info->log_lines_lost, &shm_global(worker->shm)->logs_torn);
	}
	if (config->global.trace.output != LOG_OUTPUT_NONE)
		worker->spans = worker->log_writers[config->global.trace.output];
}

void
logs_close(struct worker *worker)
{
	for (size_t i = 0; worker->log_writers != NULL && i < worker->config->log_output_count; i++)
		log_writer_free(worker->log_writers[i]);
	free(worker->log_writers);
	worker->log_writers = NULL;
}

struct accesslog *
logs_of(struct worker *worker, const struct access_log_config *conf)
{
	if (conf->output == LOG_OUTPUT_NONE)
		return NULL;
	return accesslog_new(worker->log_writers[conf->output], conf);
}

void
logs_set_fd(struct worker *worker, size_t output, int fd)
{
	if (output < worker->config->log_output_count)
		log_writer_set_fd(worker->log_writers[output], fd);
}

bool
logs_flush(struct worker *worker)
{
	bool is_slow = false;

	for (size_t i = 0; i < worker->config->log_output_count; i++)
		is_slow = log_writer_flush(worker->log_writers[i]) || is_slow;
	return is_slow;
}
