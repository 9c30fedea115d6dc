/*
 * scarcity: is it this process or this machine that has run out of something?
 *
 * Used by: all who open descriptors.  Such a failure says nothing about the other side, and passes.
 */
#ifndef WEIR_SCARCITY_H
#define WEIR_SCARCITY_H

#include <stdbool.h>

/* error  errno of a call that makes a descriptor or sends: descriptors, buffers or memory were missing */
bool scarcity_caused(int error);

#endif
