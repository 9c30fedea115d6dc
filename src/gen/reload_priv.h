/*
 * reload: tell the running daemon that its configuration has changed.
 */
#ifndef GEN_RELOAD_PRIV_H
#define GEN_RELOAD_PRIV_H

/*
 * Ask the daemon at the control socket `path` and wait for its answer.
 * Returns  0; -1 after a message on standard error: nobody there, or the configuration was refused.
 */
int reload_daemon(const char *path);

#endif
