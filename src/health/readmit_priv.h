/*
 * readmit: take servers back that workers left out because requests failed (see eject.h), once their time is over.
 *
 * Runs in: control.
 */
#ifndef WEIR_READMIT_PRIV_H
#define WEIR_READMIT_PRIV_H

#include "weir/conf.h"
#include "weir/shm.h"

struct event_base;
struct readmit;

struct readmit *readmit_start(struct event_base *base, const struct config *config, struct shm *shm);
/* NULL is allowed. */
void readmit_stop(struct readmit *readmit);

#endif
