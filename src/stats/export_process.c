/*
 * The processes, for Prometheus: what weir is as a whole, and what each of them takes.
 */
#include "export_priv.h"

#include <stdio.h>

#include "families_priv.h"

static void
sample_plain(struct text *text, const struct family *family, uint64_t value)
{
	family_head(text, "", family);
	family_name(text, "", family);
	family_sample_end(text, value);
}

static void
export_workers(struct text *text, const struct process_stats *process)
{
	static const struct family family = { "process_workers", "Worker processes by state.",
		true };
	static const enum slot_state states[] = { SLOT_RUNNING, SLOT_DRAINING };

	family_head(text, "", &family);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		uint64_t count = 0;

		for (size_t k = 0; k < process->worker_count; k++)
			count += process->workers[k].state == states[i];
		family_name(text, "", &family);
		text_printf(text, "{state=\"%s\"}", collect_slot_name(states[i]));
		family_sample_end(text, count);
	}
}

static void
export_whole(struct text *text, const struct process_stats *process)
{
	const struct {
		struct family family;
		uint64_t value;
	} rows[] = {
		{ { "process_start_time_seconds", "When weir was started, in Unix time.", true },
		    process->started_wall_s },
		{ { "process_config_load_time_seconds",
		      "When the configuration was loaded, in Unix time.", true },
		    process->loaded_wall_s },
		{ { "process_config_generation", "Number of the loaded configuration.", true },
		    process->generation },
		{ { "process_reloads", "Configurations loaded after the first.", false },
		    process->reloads },
		{ { "process_reload_failures", "Configurations refused by a reload.", false },
		    process->reload_failures },
		{ { "process_server_changes",
		      "Changes of the servers of pools without new workers.", false },
		    process->server_changes },
		{ { "process_worker_deaths", "Workers that died and were replaced.", false },
		    process->worker_deaths },
		{ { "log_lines_lost", "Lines of access logs and spans that could not be written.",
		      false },
		    process->log_lines_lost },
	};
	static const struct family build = { "build_info", "The version that runs; always 1.",
		true };

	family_head(text, "", &build);
	family_name(text, "", &build);
	text_puts(text, "{version=");
	text_label_value(text, WEIR_VERSION);
	text_puts(text, "} 1\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		sample_plain(text, &rows[i].family, rows[i].value);
	export_workers(text, process);
}

static uint64_t
use_resident(const struct process_use *use)
{
	return use->resident;
}

static uint64_t
use_cpu_ms(const struct process_use *use)
{
	return use->cpu_ms;
}

static void
sample_use(struct text *text, const struct family *family, const struct process_use *use,
    const char *labels, bool is_ms, uint64_t value)
{
	if (use->resident == 0)
		return;
	family_name(text, "", family);
	text_puts(text, labels);
	if (is_ms)
		text_printf(text, " %llu.%03u\n", (unsigned long long)(value / 1000),
		    (unsigned)(value % 1000));
	else
		family_sample_end(text, value);
}

/* What the processes take, and what each worker has; a worker is called by its slot, as process IDs come and go. */
static void
export_each(struct text *text, const struct process_stats *process)
{
	static const struct {
		struct family family;
		uint64_t (*value)(const struct process_use *use);
		bool is_ms;
	} rows[] = {
		{ { "process_cpu_seconds", "Processor time of a process.", false }, use_cpu_ms, true },
		{ { "process_resident_memory_bytes",
		      "Memory of a process; what is shared counts in each.", true },
		    use_resident, false },
	};
	static const struct family active = { "worker_active", "Connections open in a worker.", true },
				   requests = { "worker_requests",
					   "Requests and sessions of a worker, since it began.",
					   false };
	char labels[64];

	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		family_head(text, "", &rows[row].family);
		sample_use(text, &rows[row].family, &process->control, "{process=\"control\"}",
		    rows[row].is_ms, rows[row].value(&process->control));
		for (size_t i = 0; i < process->worker_count; i++) {
			const struct worker_stats *worker = &process->workers[i];

			snprintf(labels, sizeof(labels), "{process=\"worker\",worker=\"%d\"}",
			    worker->slot);
			sample_use(text, &rows[row].family, &worker->use, labels, rows[row].is_ms,
			    rows[row].value(&worker->use));
		}
	}
	family_head(text, "", &active);
	for (size_t i = 0; i < process->worker_count; i++)
		text_printf(text, "weir_worker_active{worker=\"%d\"} %llu\n",
		    process->workers[i].slot, (unsigned long long)process->workers[i].active);
	family_head(text, "", &requests);
	for (size_t i = 0; i < process->worker_count; i++)
		text_printf(text, "weir_worker_requests_total{worker=\"%d\"} %llu\n",
		    process->workers[i].slot, (unsigned long long)process->workers[i].requests);
}

void
export_prometheus_process(struct text *text, const struct process_stats *process)
{
	export_whole(text, process);
	export_each(text, process);
}
