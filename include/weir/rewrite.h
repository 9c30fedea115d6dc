/*
 * rewrite: a received head as it is sent on.
 *
 * Runs in: worker.  Everything that is not changed is passed as the slice that was received.
 */
#ifndef WEIR_REWRITE_H
#define WEIR_REWRITE_H

#include "weir/addr.h"
#include "weir/conf.h"
#include "weir/edits.h"
#include "weir/message.h"
#include "weir/outv.h"

struct request_edits {
	const struct addr *client;   /* borrowed */
	const struct addr *server;   /* borrowed; Host for HTTP/1.0 requests that have none */
	const struct forwarded_config *forwarded; /* borrowed */
	bool is_tls;                 /* the client's side */
	bool upgrade;                /* pass Upgrade on */
	bool te_trailers;            /* say TE: trailers; for HTTP/2, as there is no Connection that would have to name it */
	struct slice target;         /* path and query to ask for instead; ptr NULL: as they came; copied */
	const struct field_edits *fields; /* NULL: none; copied */
	struct slice cookie_cut;     /* part of a Cookie field's value that is left out; ptr NULL: none */
};

/* Always as HTTP/1.1, with the hop-by-hop fields gone (RFC 9110 section 7.6.1). */
void rewrite_request(struct outv *out, const struct message *m, const struct request_edits *edits);

struct response_edits {
	bool close;            /* say Connection: close */
	bool keep_alive;       /* say Connection: keep-alive (to HTTP/1.0 clients that asked) */
	bool upgrade;          /* 101: pass Upgrade on */
	bool add_coding;       /* the body is chunked, the head does not say so yet */
	bool drop_coding;      /* the body is sent without its chunked coding */
	const struct field_edits *fields; /* NULL: none; copied */
	struct slice set_cookie; /* a whole field line with CR LF; len 0: none */
	struct slice date;       /* likewise, behind the status line */
	size_t room;             /* bytes before the head that may be written over, its status line too */
};

void rewrite_response(struct outv *out, const struct message *m, const struct response_edits *edits);

#endif
