/*
 * handover: what a master leaves to a new binary: descriptors, and a text that says what they are.
 *
 * Runs in: master.  The text is in a memory file of its own; lines of words, the first says of what.  A line that the
 * new binary does not know is passed over, so that versions may differ.
 */
#ifndef WEIR_HANDOVER_PRIV_H
#define WEIR_HANDOVER_PRIV_H

struct master;

/* ready: the descriptor where the new one tells that it serves.  Returns 0, or -1 with errno set. */
int handover_write(const struct master *master, int description, int ready);
/* Context: the child, before it runs the new binary.  Let it inherit what the text names.  Returns 0 or -1 with errno set. */
int handover_inherit(const struct master *master, int description, int ready);
/* Context: the new binary.  Takes all over, `description` too.  Returns 0, or -1 with the reason logged. */
int handover_read(struct master *master, int description);

#endif
