/*
 * accept: what a client would rather have: Accept and Accept-Encoding (RFC 9110 section 12.5).
 *
 * Runs in: worker.
 */
#ifndef WEIR_ACCEPT_H
#define WEIR_ACCEPT_H

#include "weir/message.h"

enum { QUALITY_MAX = 1000, QUALITY_UNSAID = -1 };

/* The quality, 0 to QUALITY_MAX, of the media type TYPE/SUBTYPE; QUALITY_UNSAID when there is no Accept at all. */
int accept_media(const struct message *request, struct slice type, struct slice subtype);
/* The same of a content coding; "*" counts for a coding that is not listed. */
int accept_coding(const struct message *request, struct slice coding);

#endif
