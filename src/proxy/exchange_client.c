/* What servers are told of a client's certificate, in fields that no client can set. */
#include "exchange_priv.h"
#include "weir/client_cert.h"
#include "weir/edits.h"

static const char *const names[] = { "X-Client-Verify", "X-Client-Subject", "X-Client-Fingerprint",
	"Client-Cert", "Client-Cert-Chain" };

/* Servers may take '_' for '-' (CGI, RFC 3875 §4.1.18). */
static bool
is_same_name(struct slice field, const char *name)
{
	for (size_t i = 0; i < field.len; i++) {
		char c = field.ptr[i] == '_' ? '-' : field.ptr[i];

		if ((c | 0x20) != (name[i] | 0x20) || name[i] == '\0')
			return false;
	}
	return name[field.len] == '\0';
}

static bool
is_reserved(struct slice field)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (field.len == strlen(names[i]) && is_same_name(field, names[i]))
			return true;
	return false;
}

/* Each spelling once. */
bool
exchange_drop_forged(const struct exchange *x, struct field_edits *edits)
{
	bool has_some = false;

	if (!x->worker->config->verifies_clients)
		return false;
	for (unsigned i = 0; i < x->request.field_count; i++) {
		struct slice name = message_name(&x->request, &x->request.fields[i]);

		if (name.len < strlen("Client-Cert") || !is_reserved(name))
			continue;
		has_some = true;
		if (!edits_hide(edits, name))
			edits_put(edits, EDIT_REMOVE, name, SLICE(""));
	}
	return has_some;
}

/* Replaces what a rule may have said in these fields. */
static void
tell(struct field_edits *edits, const char *name, const char *value)
{
	edits_forget(edits, slice_of(name));
	if (value != NULL)
		edits_put(edits, EDIT_SET, slice_of(name), slice_of(value));
	else
		edits_put(edits, EDIT_REMOVE, slice_of(name), SLICE(""));
}

void
exchange_tell_client(const struct exchange *x, struct field_edits *edits)
{
	const struct client_cert *cert = x->client_cert;

	tell(edits, "X-Client-Verify", cert->subject != NULL ? "SUCCESS" : "NONE");
	tell(edits, "X-Client-Subject", cert->subject);
	tell(edits, "X-Client-Fingerprint", cert->fingerprint);
	tell(edits, "Client-Cert", cert->bytes); /* RFC 9440 */
	tell(edits, "Client-Cert-Chain", NULL);
}
