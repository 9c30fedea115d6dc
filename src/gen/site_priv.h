/*
 * site: the site file: what the cloud keeps in its console.
 *
 * Certificates by ID, access lists by ID, load balancers by ID with their addresses, defaults.  Without a file, all
 * defaults.  Memory comes from the arena.
 */
#ifndef GEN_SITE_PRIV_H
#define GEN_SITE_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/addr.h"
#include "weir/diag.h"
#include "weir/yaml.h"

#include "annotations_priv.h"
#include "collect_priv.h"
#include "model_priv.h"

enum backend_mode { BACKENDS_AUTO = 0, BACKENDS_POD, BACKENDS_NODE };

struct site_acl {
	const char *name;
	const char **networks; /* as written */
	struct network *parsed;
	size_t count;
};

struct site_addresses {
	const char **items; /* "*" or a literal address */
	size_t count;
};

/* Servers outside the cluster, which the cloud knows by an ID. */
struct site_pool {
	const char *name;
	struct gen_server *servers;
	size_t count;
};

struct load_balancer {
	const char *name;
	struct site_addresses any, internet, intranet; /* count 0: `any` counts */
};

struct site {
	const char *file; /* NULL: there is none */
	const char *certificates_dir; /* absolute; NULL: the daemon's default */
	bool check_certificates;      /* certificates_dir, or the default one, is a directory */
	const char *check_dir;        /* where certificates are looked for */
	const struct yaml_node *global; /* NULL: none */
	struct list acls;             /* struct site_acl, in the order of the file */
	struct index *acl_names;
	struct list load_balancers;   /* struct load_balancer */
	struct index *load_balancer_names;
	struct index *tls_policies;   /* ID of a custom policy -> name of the policy that stands for it */
	struct index *pools;          /* ID -> struct site_pool */
	enum provider provider;       /* PROVIDER_NONE: the manifest decides */
	enum backend_mode backends;
	bool ignore_bandwidth;
	bool bind_annotated_address;
	bool verify_servers;   /* TLS towards servers: their certificates must be good */
	const char *server_ca; /* by whom; NULL: those that the system trusts */
};

/* Read `path` (NULL: no site file); faults go to the diag. */
void site_read(struct site *site, struct arena *arena, struct diag *diag, const char *path);
void site_fini(struct site *site);
/* "auto", "pod", "node"; false: none of them. */
bool backend_mode_parse(const char *text, enum backend_mode *mode);
/*
 * Is certificate `id` in the store?  Yes also when the store is not there: then the daemon will tell.
 * tried    set to the paths that were tried, for a message.
 */
bool site_has_certificate(const struct site *site, struct arena *arena, const char *id,
    const char **tried);
/* The same for the certificate of an authority. */
bool site_has_authority(const struct site *site, struct arena *arena, const char *id,
    const char **tried);
struct load_balancer *site_find_load_balancer(const struct site *site, const char *name);
/* The first load balancer that listens on the address `ip`; NULL: none. */
struct load_balancer *site_find_address(const struct site *site, const char *ip);
struct site_acl *site_find_acl(const struct site *site, const char *name);
/* `name`, or something like it that no access list of the site has. */
const char *site_free_acl_name(const struct site *site, struct arena *arena, const char *name);

#endif
