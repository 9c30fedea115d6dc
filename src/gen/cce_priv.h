/*
 * cce: what CCE's (and CTyun's) annotations mean, in two files.
 */
#ifndef GEN_CCE_PRIV_H
#define GEN_CCE_PRIV_H

#include "service_priv.h"

/* Fills in the health checks of all ports. */
void cce_read_health(struct service *service);
/* The number in a JSON field; `preset` when it is absent or `object` NULL. */
unsigned json_number(const struct yaml_node *object, const char *name, unsigned preset);

#endif
