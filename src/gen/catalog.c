/* --list-annotations: the rows as text and as mdoc. */
#include <string.h>

#include "annotations_priv.h"

static const char *
outcome_word(const struct annotation *row)
{
	switch (row->outcome) {
	case OUTCOME_ENFORCE:
		return "enforced";
	case OUTCOME_META:
		return "metadata";
	case OUTCOME_NONE:
		return "no effect";
	}
	return "";
}

static void
print_values(FILE *out, const struct annotation *row)
{
	switch (row->kind) {
	case KIND_CHOICE:
		fputs(row->choices, out);
		break;
	case KIND_NUMBER:
		fprintf(out, "%u to %u%s%s", row->min, row->max, row->unit != NULL ? " " : "",
		    row->unit != NULL ? row->unit : "");
		break;
	case KIND_TEXT:
	case KIND_LIST:
	case KIND_JSON:
		if (row->allowed == NULL && row->max > 0)
			fprintf(out, "%u to %u characters", row->min, row->max);
		else
			fputs(row->allowed != NULL ? row->allowed : "any text", out);
		break;
	}
}

static void
print_fields(FILE *out, const struct json_field *fields)
{
	for (const struct json_field *f = fields; f->name != NULL; f++)
		fprintf(out, "%s%s", f == fields ? "" : ", ", f->name);
}

static void
list_text(FILE *out)
{
	fputs("KEY\tOUTCOME\tVALUES\tDEFAULT\tWHAT IT DOES\tSOURCE\n", out);
	for (unsigned id = 0; id < ANNOTATION_COUNT; id++) {
		const struct annotation *row = annotation_row(id);

		fprintf(out, "%s\t%s\t", annotation_key(id), outcome_word(row));
		print_values(out, row);
		fprintf(out, "\t%s\t%s\t%s\n", row->preset != NULL ? row->preset : "-", row->doc,
		    row->source);
	}
}

/* mdoc takes a leading dot or quote for a macro, and a backslash for an escape. */
static void
mdoc_text(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text != '\0'; text++) {
		if (*text == '\\')
			fputs("\\e", out);
		else
			fputc(*text, out);
	}
	fputc('\n', out);
}

static void
list_mdoc_row(FILE *out, enum annotation_id id)
{
	const struct annotation *row = annotation_row(id);

	fprintf(out, ".It Li %s\n", annotation_key(id));
	mdoc_text(out, row->doc);
	fputs(".br\nValues: ", out);
	print_values(out, row);
	if (row->fields != NULL) {
		fputs(" with ", out);
		print_fields(out, row->fields);
	}
	fputs(".\n", out);
	if (row->preset != NULL)
		fprintf(out, "Default: %s.\n", row->preset);
	fprintf(out, "Outcome: %s.\n", outcome_word(row));
	fprintf(out, "Source: %s.\n", row->source);
}

static void
list_mdoc(FILE *out, const char *title, unsigned from, unsigned to)
{
	fprintf(out, ".Ss %s\n.Bl -tag -width Ds\n", title);
	for (unsigned id = from; id < to; id++)
		list_mdoc_row(out, id);
	fputs(".El\n", out);
}

void
annotations_list(FILE *out, bool as_mdoc)
{
	if (!as_mdoc) {
		list_text(out);
		return;
	}
	list_mdoc(out, "Alibaba Cloud ACK", 0, ACK_NLB_FIRST);
	list_mdoc(out, "Alibaba Cloud NLB, recognised only", ACK_NLB_FIRST, ACK_END);
	list_mdoc(out, "Huawei Cloud CCE and CTyun CCE", ACK_END, ANNOTATION_COUNT);
}
