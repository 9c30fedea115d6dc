#include "weir/traceparent.h"

#include <stdio.h>

enum { VERSION_AT = 0, TRACE_AT = 3, PARENT_AT = 36, FLAGS_AT = 53, LEN = 55 };

/* Lower-case hexadecimal digits alone (section 3.2.2). */
static bool
parse_hex(struct slice text, size_t at, size_t len, uint64_t *value)
{
	*value = 0;
	for (size_t i = at; i < at + len; i++) {
		char c = text.ptr[i];

		if (c >= '0' && c <= '9')
			*value = *value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*value = *value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	return true;
}

bool
traceparent_parse(struct trace_context *context, struct slice text)
{
	uint64_t version, flags;

	if (text.len < LEN || text.ptr[TRACE_AT - 1] != '-' || text.ptr[PARENT_AT - 1] != '-' ||
	    text.ptr[FLAGS_AT - 1] != '-')
		return false;
	if (!parse_hex(text, VERSION_AT, 2, &version) ||
	    !parse_hex(text, TRACE_AT, 16, &context->trace[0]) ||
	    !parse_hex(text, TRACE_AT + 16, 16, &context->trace[1]) ||
	    !parse_hex(text, PARENT_AT, 16, &context->parent) ||
	    !parse_hex(text, FLAGS_AT, 2, &flags))
		return false;
	if (version == 0xff || (version == 0 && text.len != LEN) ||
	    (text.len > LEN && text.ptr[LEN] != '-'))
		return false;
	context->flags = (uint8_t)flags;
	if (version != 0)
		context->flags &= TRACE_SAMPLED; /* what else it says is not known here */
	return (context->trace[0] | context->trace[1]) != 0 && context->parent != 0;
}

void
trace_id_print(const struct trace_context *context, char text[static TRACE_ID_SIZE])
{
	snprintf(text, TRACE_ID_SIZE, "%016llx%016llx", (unsigned long long)context->trace[0],
	    (unsigned long long)context->trace[1]);
}

void
traceparent_print(
    const struct trace_context *context, uint64_t span, char text[static TRACEPARENT_SIZE])
{
	snprintf(text, TRACEPARENT_SIZE, "00-%016llx%016llx-%016llx-%02x",
	    (unsigned long long)context->trace[0], (unsigned long long)context->trace[1],
	    (unsigned long long)span, context->flags);
}
