#include "weir/h2_scan.h"

ptrdiff_t
h2_scan_next(struct h2_scan *scan, const char *bytes, size_t len, size_t *at)
{
	size_t skip = scan->left < len - *at ? scan->left : len - *at;
	ptrdiff_t begin = (ptrdiff_t)(*at += skip);

	scan->left -= (uint32_t)skip;
	while (*at < len && scan->have < H2_FRAME_HEAD)
		scan->head[scan->have++] = (uint8_t)bytes[(*at)++];
	if (scan->have < H2_FRAME_HEAD)
		return -1;
	scan->have = 0;
	scan->left = (uint32_t)scan->head[0] << 16 | (uint32_t)scan->head[1] << 8 | scan->head[2];
	return begin;
}
