/*
 * listen: where a listener listens, and who may connect.
 */
#ifndef GEN_LISTEN_PRIV_H
#define GEN_LISTEN_PRIV_H

struct gen_listener;
struct service;
struct service_port;

/*
 * The listener of one port, with all settings but its pool, added to the model.
 * Returns  NULL when it cannot be had: after an error in the diag.
 */
struct gen_listener *listen_build(struct service *service, struct service_port *port);
/* spec.loadBalancerSourceRanges as an access list, together with what the annotations say. */
void listen_apply_source_ranges(struct service *service);

#endif
