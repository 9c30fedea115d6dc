/* Handshakes of clients that failed: counted as a whole, and by their reason. */
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

void
client_count_tls_failure(const struct client *client, enum tls_fault fault, const char *why)
{
	struct tally *tally = client->listener->tally;

	tally_add(tally, TALLY_TLS_FAILURES, 1);
	tally_add(tally, tally_of_fault(fault), 1);
	log_debug("listener %s: TLS handshake: %s", client->listener->conf->name, why);
}
