/*
 * ack: what ACK's annotations mean, in two files.
 */
#ifndef GEN_ACK_PRIV_H
#define GEN_ACK_PRIV_H

#include "service_priv.h"

/* Fills in the health checks of all ports. */
void ack_read_health(struct service *service);

#endif
