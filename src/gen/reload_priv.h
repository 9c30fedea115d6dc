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
/*
 * Give it other servers, which costs less; change: made by servers_find_change().
 * Returns 0; -1, without a message, when a reload has to do it.
 */
int reload_servers(const char *path, const char *change);

#endif
