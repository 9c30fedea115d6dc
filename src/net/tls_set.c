#include "tls_set_priv.h"

#include <stdlib.h>

#include "weir/arena.h"
#include "weir/conf.h"

#include "tls_context_priv.h"
#include "tls_hello_priv.h"
#include "tls_servers_priv.h"
#include "tls_tickets_priv.h"

struct tls_set *
tls_set_new(size_t listeners, size_t pools)
{
	static unsigned last_number;
	struct tls_set *set = xcalloc(1, sizeof(*set));

	set->users = 1;
	set->number = ++last_number;
	set->arena = arena_new();
	set->contexts = arena_array(set->arena, listeners + 1, sizeof(struct tls_context *));
	set->context_count = listeners;
	set->servers = arena_array(set->arena, pools + 1, sizeof(struct tls_servers *));
	set->server_count = pools;
	return set;
}

static void
leave(struct tls_set *set)
{
	if (--set->users > 0)
		return;
	tls_tickets_free(set->tickets);
	arena_free(set->arena);
	free(set);
}

void
tls_set_end(struct tls_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->context_count; i++)
		tls_context_fini(set->contexts[i]);
	for (size_t i = 0; i < set->server_count; i++)
		tls_servers_unload(set->servers[i]);
	leave(set);
}

/* OpenSSL frees the context. */
static void
on_free(void *parent, void *data, CRYPTO_EX_DATA *all, int index, long number, void *arg)
{
	struct tls_member *member = data;

	(void)parent;
	(void)all;
	(void)index;
	(void)number;
	(void)arg;
	if (!member)
		return;
	tls_hello_fini(member->hello);
	leave(member->set);
}

static int
member_index(void)
{
	static int index = -1;

	if (index == -1)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_free);
	return index;
}

struct tls_member *
tls_set_join(struct tls_set *set, SSL_CTX *ssl)
{
	struct tls_member *member = arena_alloc(set->arena, sizeof(*member));

	*member = (struct tls_member){ .set = set, .served = SERIES_NONE };
	if (member_index() == -1 || SSL_CTX_set_ex_data(ssl, member_index(), member) != 1)
		return NULL;
	set->users++;
	return member;
}

struct tls_member *
tls_member_of(const SSL_CTX *ssl)
{
	return SSL_CTX_get_ex_data(ssl, member_index());
}
