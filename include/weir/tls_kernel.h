/*
 * tls_kernel: can the kernel seal and open TLS records of its sockets (kernel TLS)?
 *
 * Runs in: master, weir -V.
 */
#ifndef WEIR_TLS_KERNEL_H
#define WEIR_TLS_KERNEL_H

#include <stdbool.h>

enum tls_kernel {
	TLS_KERNEL_OFF = 0,   /* not asked for */
	TLS_KERNEL_ON,        /* used for every connection whose suite the kernel knows */
	TLS_KERNEL_NO_MODULE, /* asked for, but the kernel has it not */
	TLS_KERNEL_NOT_BUILT  /* likewise OpenSSL */
};

/* Cost: a few system calls. */
enum tls_kernel tls_kernel_find(bool wanted);
/* "off", "on", and why it is not. */
const char *tls_kernel_text(enum tls_kernel state);

#endif
