/*
 * cce: what CCE's (and CTyun's) annotations mean, for Services and Ingresses.
 */
#ifndef GEN_CCE_PRIV_H
#define GEN_CCE_PRIV_H

#include "service_priv.h"

/* What the listeners of a Service or an Ingress share: instance, access list, timeouts. */
void cce_read_listener(struct service *service);
/* How servers are chosen, what clients stick to, health checks of all ports. */
void cce_read_pool(struct service *service);
/* The TLS policy; it must be known before certificates are looked at. */
void cce_read_policy(struct service *service);
/* Fills in the health checks of all ports. */
void cce_read_health(struct service *service);
/* The number in a JSON field; `preset` when it is absent or `object` NULL. */
unsigned json_number(const struct yaml_node *object, const char *name, unsigned preset);

#endif
