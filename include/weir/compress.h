/*
 * compress: which responses are compressed.
 *
 * Runs in: worker.
 */
#ifndef WEIR_COMPRESS_H
#define WEIR_COMPRESS_H

#include "weir/conf.h"
#include "weir/edits.h"
#include "weir/message.h"

enum compress {
	COMPRESS_NO = 0,
	COMPRESS_SAME, /* 304 about what this client has compressed */
	COMPRESS_VARY, /* not for this client, but for others: caches must know */
	COMPRESS_YES
};

enum compress compress_choose(
    const struct compression_config *conf, const struct message *request, const struct message *response);
/* Change the head of a response accordingly: its fields by `edits`, its framing to FRAMING_CHUNKED. */
void compress_edit(struct message *response, enum compress choice, struct field_edits *edits);

#endif
