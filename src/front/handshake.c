/* Handshakes of clients: counted for the listener and the certificate; those that failed by their reason too. */
#include "front_priv.h"
#include "weir/log.h"

static enum tally_field
tally_of_fault(enum tls_fault fault)
{
	switch (fault) {
	case TLS_FAULT_TIMEOUT:
		return TALLY_TLS_TIMEOUTS;
	case TLS_FAULT_CLOSED:
		return TALLY_TLS_CLOSED;
	case TLS_FAULT_PLAIN:
		return TALLY_TLS_PLAIN;
	case TLS_FAULT_MISMATCH:
		return TALLY_TLS_MISMATCHES;
	case TLS_FAULT_CERTIFICATE:
		return TALLY_TLS_CERTIFICATES;
	case TLS_FAULT_ALERT:
		return TALLY_TLS_ALERTS;
	case TLS_FAULT_MALFORMED:
		break;
	}
	return TALLY_TLS_MALFORMED;
}

/* Of the certificate that the client is shown; NULL: it was not chosen, or there is no TLS. */
static struct tally *
certificate_tally(const struct client *client)
{
	unsigned served = transport_certificate(&client->transport);

	return served != SERIES_NONE ? client->listener->worker->certificates[served] : NULL;
}

static void
count(const struct client *client, enum tally_field field)
{
	struct tally *certificate = certificate_tally(client);

	tally_add(client->listener->tally, field, 1);
	if (certificate != NULL)
		tally_add(certificate, field, 1);
}

void
client_count_handshake(const struct client *client)
{
	count(client, TALLY_TLS_HANDSHAKES);
	if (transport_tls_resumed(&client->transport))
		count(client, TALLY_TLS_RESUMED);
}

void
client_count_tls_failure(const struct client *client, enum tls_fault fault, const char *why)
{
	count(client, TALLY_TLS_FAILURES);
	count(client, tally_of_fault(fault));
	log_debug("listener %s: TLS handshake: %s", client->listener->conf->name, why);
}
