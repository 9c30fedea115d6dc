/*
 * spec: what the spec of a Service says by itself, without annotations.
 */
#ifndef GEN_SPEC_PRIV_H
#define GEN_SPEC_PRIV_H

struct object;
struct service;

/* Ports, externalTrafficPolicy.  Returns 0; -1 after an error that leaves nothing to go on with. */
int spec_read(struct service *service);
/* AF_INET, AF_INET6: the first of ipFamilies; 0: it does not say. */
int spec_family(const struct object *object);

#endif
