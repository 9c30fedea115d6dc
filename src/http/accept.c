#include "weir/accept.h"

/* Take what stands before the next `separator` from *rest, without spaces around it. */
static struct slice
take_until(struct slice *rest, char separator)
{
	const char *end = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
	size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
	struct slice part = slice_trim((struct slice){ rest->ptr, len });

	len += end != NULL;
	rest->ptr += len;
	rest->len -= len;
	return part;
}

/* "1", "0.5", "0.125"; what is none of these counts as 0: such an element asks for nothing that can
 * be known. */
static int
parse_quality(struct slice text)
{
	int value = 0, unit = QUALITY_MAX;

	if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1') ||
	    (text.len > 1 && text.ptr[1] != '.'))
		return 0;
	for (size_t i = 0; i < text.len; i++) {
		if (i == 1)
			continue;
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return 0;
		value += (text.ptr[i] - '0') * unit;
		unit /= 10;
	}
	return value <= QUALITY_MAX ? value : 0;
}

/* The weight among the parameters of an element; they are in *rest. */
static int
find_quality(struct slice rest)
{
	while (rest.len > 0) {
		struct slice parameter = take_until(&rest, ';'), name = take_until(&parameter, '=');

		if (slice_equal_nocase(name, SLICE("q")))
			return parse_quality(parameter);
	}
	return QUALITY_MAX;
}

/* How well an element names TYPE/SUBTYPE (or a coding: subtype len 0): 0 not at all, 3 exactly. */
static int
fit(struct slice element, struct slice type, struct slice subtype)
{
	struct slice sub = element, main = take_until(&sub, '/');

	if (subtype.len == 0)
		return slice_equal_nocase(element, type)  ? 3
		       : slice_equal(element, SLICE("*")) ? 1
							  : 0;
	if (slice_equal(main, SLICE("*")) && slice_equal(sub, SLICE("*")))
		return 1;
	if (!slice_equal_nocase(main, type))
		return 0;
	return slice_equal_nocase(sub, subtype) ? 3 : slice_equal(sub, SLICE("*")) ? 2 : 0;
}

static int
find(const struct message *request, struct slice field, struct slice type, struct slice subtype)
{
	int quality = QUALITY_UNSAID, best = 0;

	for (unsigned i = 0; i < request->field_count; i++) {
		const struct field *f = &request->fields[i];
		struct slice list = message_value(request, f), element;

		if (!slice_equal_nocase(message_name(request, f), field))
			continue;
		if (quality == QUALITY_UNSAID)
			quality = 0;
		while (list_next(&list, &element)) {
			struct slice name = take_until(&element, ';');
			int fits = fit(name, type, subtype);

			if (fits > best) {
				best = fits;
				quality = find_quality(element);
			}
		}
	}
	return quality;
}

int
accept_media(const struct message *request, struct slice type, struct slice subtype)
{
	return find(request, SLICE("accept"), type, subtype);
}

int
accept_coding(const struct message *request, struct slice coding)
{
	return find(request, SLICE("accept-encoding"), coding, (struct slice){ NULL, 0 });
}
