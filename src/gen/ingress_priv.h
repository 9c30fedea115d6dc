/*
 * ingress: CCE Ingresses become listeners with routes, and pools.
 *
 * ingress.c reads the object and its listeners, ingress_tls.c certificates, ingress_rules.c rules, ingress_pools.c the
 * Services behind them, ingress_conditions.c what they look at, ingress_actions.c what they do, ingress_order.c their
 * order, ingress_canary.c canaries, ingress_cors.c what pages of other origins may do; ingress_merge.c joins those that
 * share a listener.
 */
#ifndef GEN_INGRESS_PRIV_H
#define GEN_INGRESS_PRIV_H

#include "service_priv.h"

/* All Ingresses of the manifest; after services_generate(). */
void ingresses_generate(struct gen *gen);

/* Is any certificate named, so that listeners speak TLS? */
bool ingress_has_tls(const struct service *ingress);
/* Certificates of the annotation or of spec.tls; faults go to the diag. */
void ingress_read_tls(struct service *ingress);

/* What the rules of one Ingress come to; the same for each of its listeners. */
struct ingress_rules {
	struct list routes;    /* struct gen_route */
	struct gen_pool *pool; /* the default back end; NULL: none */
	struct where pool_where;
};

void ingress_read_rules(struct service *ingress, struct ingress_rules *rules);

/*
 * The pool of a back end.
 * place    what diagnostics call it, as spec.rules[0].http.paths[0].backend.
 * Returns  NULL after an error in the diag.
 */
struct gen_pool *ingress_find_pool(struct service *ingress, const struct yaml_node *backend,
    const char *place);

/* The pool of a Service and its port by number or name, as a value of annotation `key` names them. */
struct gen_pool *ingress_find_service(struct service *ingress, const struct yaml_node *name,
    const struct yaml_node *port, const char *key);

/*
 * The JSON of an annotation about one Service, such as headers.SERVICE.
 * key      set to the whole key, also when it is not there.
 * Returns  NULL when it is not there, or malformed: then *ok becomes false.
 */
const struct yaml_node *ingress_json_of(struct service *ingress, enum annotation_id id, const char *service,
    const char **key, bool *ok);
/*
 * headers.SERVICE and conditions.SERVICE.
 * sets     gets struct gen_condition_set: a rule holds when one of them does; at least one.
 * Returns  false after an error.
 */
bool ingress_read_conditions(struct service *ingress, const char *service, struct list *sets);
/* A name and its values, in an annotation each; false after an error. */
bool ingress_read_choice(struct service *ingress, const struct value *name, const struct value *values,
    enum gen_condition_kind kind, struct gen_condition *condition);
/* actions.SERVICE; false after an error. */
bool ingress_read_actions(struct service *ingress, const char *service, struct gen_route *route);
/* ingress-order and rule-priority-enabled. */
void ingress_read_order(struct service *ingress, struct ingress_rules *rules);
/* Routes that have an order come first; two Ingresses of one order are an error. */
void ingress_sort(struct gen *gen, struct gen_listener *listener);
/* The cors- annotations; NULL: none, or wrong. */
const struct gen_cors *ingress_read_cors(struct service *ingress);
/* The rules of a canary become conditions and shares. */
void ingress_read_canary(struct service *ingress, struct ingress_rules *rules);
/* Canaries find the routes that they belong to. */
void ingress_join_canaries(struct gen *gen, struct gen_listener *listener);

/* Join `other` to `first`, which is on the same port of the same load balancer and comes before it. */
void ingress_merge(struct gen *gen, struct gen_listener *first, struct gen_listener *other);
/* Routes that an earlier one hides go, with a warning. */
void ingress_drop_twins(struct gen *gen, struct gen_listener *listener);

#endif
