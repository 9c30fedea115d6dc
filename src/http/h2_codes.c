#include "weir/h2_codes.h"

#include <nghttp2/nghttp2.h>

uint32_t
h2_codes_pass(uint32_t code)
{
	switch (code) {
	case NGHTTP2_REFUSED_STREAM:
	case NGHTTP2_CANCEL:
	case NGHTTP2_CONNECT_ERROR:
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return code;
	default: /* those of one connection, and those that nobody knows */
		return NGHTTP2_INTERNAL_ERROR;
	}
}

uint32_t
h2_codes_give_up(uint32_t code)
{
	/* Servers refuse streams, clients do not; and who needs no more may well say that nothing
	 * is wrong. */
	if (code == NGHTTP2_NO_ERROR || code == NGHTTP2_REFUSED_STREAM)
		return NGHTTP2_CANCEL;
	return h2_codes_pass(code);
}
