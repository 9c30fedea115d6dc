/*
 * h2_frames: what an nghttp2 session has to say, in a buffer.
 *
 * Runs in: worker.  The front and the connections to servers send what it fills.
 */
#ifndef WEIR_H2_FRAMES_H
#define WEIR_H2_FRAMES_H

#include <nghttp2/nghttp2.h>

#include "weir/buf.h"

/* The largest frame with its head: no larger ones are allowed to the other side, and none are sent. */
enum { H2_FRAME_MAX = 16 * 1024 + 10 };

/*
 * Put frames behind those in *out until there are no more or no further one would fit; *out is taken when it is NULL
 * and there are some.  The session's callbacks run.  Not to be called from within them.
 * Returns 0, or -1 when the session is of no more use.
 */
int h2_frames_fill(nghttp2_session *session, struct buf **out);

#endif
