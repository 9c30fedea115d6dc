/*
 * values: one annotation value against its row.  For annotations.c alone.
 */
#ifndef GEN_VALUES_PRIV_H
#define GEN_VALUES_PRIV_H

struct annotation_set;
struct value;

/* Sets is_valid and what the kind of the row yields (number, json); faults go to the diag. */
void value_check(struct annotation_set *set, struct value *value);

#endif
