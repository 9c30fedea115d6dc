/*
 * faults: the last malformed requests and responses, kept for the operator (weirctl errors).
 *
 * Runs in: workers write, each only its own ring (see shm.h); control reads all.  Of fixed size whatever peers send.  A
 * message may hold secrets: only the control socket, which its file mode guards, shows them.
 */
#ifndef WEIR_FAULTS_H
#define WEIR_FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/addr.h"

enum {
	FAULTS_KEPT = 16, /* of each worker, and of those that ended */
	FAULT_NAME_SIZE = 96,
	FAULT_REASON_SIZE = 96,
	FAULT_EXCERPT_SIZE = 512,
	FAULT_NOWHERE = UINT32_MAX
};

enum fault_kind { FAULT_REQUEST = 0, FAULT_RESPONSE };

struct fault {
	_Atomic uint32_t sequence; /* odd while it is written; 0: never was */
	uint32_t kind;             /* enum fault_kind */
	uint64_t at_us; /* CLOCK_MONOTONIC: the order, whatever becomes of the wall clock */
	uint64_t wall_us;
	uint32_t len;        /* bytes that were there of the message */
	uint32_t position;   /* where parsing stopped; FAULT_NOWHERE: not known */
	uint32_t excerpt_at; /* position of the first byte kept */
	uint32_t excerpt_len;
	char client[ADDR_TEXT_SIZE];
	char listener[FAULT_NAME_SIZE]; /* cut when longer; so are the others */
	char pool[FAULT_NAME_SIZE];     /* empty: none */
	char server[FAULT_NAME_SIZE];
	char reason[FAULT_REASON_SIZE];
	char excerpt[FAULT_EXCERPT_SIZE];
};

struct fault_ring {
	_Alignas(64) _Atomic uint32_t next; /* counts up; 0: all are empty */
	struct fault faults[FAULTS_KEPT];
};

/* What is known of a message that could not be read; all is copied. */
struct fault_report {
	enum fault_kind kind;
	const struct addr *client;
	const char *listener, *pool, *server; /* pool, server NULL: none */
	const char *reason;
	size_t position; /* FAULT_NOWHERE: not known */
	const char *data;
	size_t len;
};

/* Context: the process that owns the ring.  No system call; a few hundred bytes are copied. */
void faults_add(struct fault_ring *ring, const struct fault_report *report);
/* Copy entry `index` if there is one and nobody writes it just now. */
bool faults_read(const struct fault_ring *ring, unsigned index, struct fault *copy);
/* `to` keeps the latest of both.  Context: master; nobody else writes `to`. */
void faults_merge(struct fault_ring *to, const struct fault_ring *from);
/* Context: master, when the owner has ended. */
void faults_clear(struct fault_ring *ring);

#endif
