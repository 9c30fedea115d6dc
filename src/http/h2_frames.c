#include "weir/h2_frames.h"

#include <stdint.h>
#include <sys/types.h>

int
h2_frames_fill(nghttp2_session *session, struct buf **out)
{
	for (;;) {
		const uint8_t *frame;
		ssize_t n;

		if (*out != NULL && buf_room(*out) < H2_FRAME_MAX) {
			if ((*out)->start == 0)
				return 0; /* the other side must read first */
			buf_pack(*out);
			continue;
		}
		n = nghttp2_session_mem_send(session, &frame);
		if (n <= 0)
			return n < 0 ? -1 : 0;
		if (*out == NULL)
			*out = buf_take(BUF_LARGE);
		if ((size_t)n > buf_room(*out))
			return -1;
		memcpy((*out)->data + (*out)->end, frame, (size_t)n);
		(*out)->end += (uint32_t)n;
	}
}
