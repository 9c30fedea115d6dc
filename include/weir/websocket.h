/*
 * websocket: the opening handshake of WebSocket (RFC 6455 section 4), which HTTP/2 does without (RFC 8441).
 *
 * Runs in: worker.  Where one side speaks HTTP/1.1 and the other HTTP/2, weir makes or answers it.
 */
#ifndef WEIR_WEBSOCKET_H
#define WEIR_WEBSOCKET_H

#include <stdbool.h>

#include "weir/message.h"
#include "weir/slice.h"

enum { WEBSOCKET_KEY_SIZE = 25, WEBSOCKET_ACCEPT_SIZE = 29 };

#define WEBSOCKET_KEY SLICE("sec-websocket-key")
#define WEBSOCKET_ACCEPT SLICE("sec-websocket-accept")

/* A new Sec-WebSocket-Key, as a string.  Returns 0 or -1. */
int websocket_new_key(char key[static WEBSOCKET_KEY_SIZE]);
/* The Sec-WebSocket-Accept that answers `key`, as a string.  Returns 0 or -1. */
int websocket_accept(struct slice key, char accept[static WEBSOCKET_ACCEPT_SIZE]);
/* Does this request of HTTP/1.1 ask for a WebSocket, with a key that can be answered? */
bool websocket_is_asked(const struct message *request);

#endif
