/*
 * conf_priv: the option tables and what walks them.
 *
 * A *kind* parses, prints and describes one type of value; an *option* is one key of a mapping; a *block* is the table
 * of a mapping's options.  schema.c (load), dump.c (-T) and describe.c (--schema, manual) walk the tables and know no
 * option by name; check.c knows names and no tables.
 */
#ifndef WEIR_CONF_PRIV_H
#define WEIR_CONF_PRIV_H

#include "weir/conf.h"

#include "weir/arena.h"
#include "weir/yaml.h"

/* config.h has them, which configure wrote. */
#ifndef WEIR_SYSCONFDIR
#define WEIR_SYSCONFDIR "/etc"
#endif
#ifndef WEIR_RUNSTATEDIR
#define WEIR_RUNSTATEDIR "/run"
#endif
#ifndef WEIR_LOCALSTATEDIR
#define WEIR_LOCALSTATEDIR "/var"
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOWHERE ((size_t)-1)

struct option;
struct block;

/* Where a value of a kind stands in YAML and in memory. */
enum shape {
	SHAPE_SCALAR = 0,
	SHAPE_LIST,   /* list of scalars, or one: pointer at .offset, number at .count_offset; one object if !item_size */
	SHAPE_BLOCK,  /* mapping with a table: structure at .offset */
	SHAPE_BLOCKS, /* list of such mappings: pointer and number */
	SHAPE_NAMED,  /* mapping of names to such mappings: pointer and number */
	SHAPE_TEXTS,  /* mapping of free texts to free texts: pointer and number of struct meta_config */
};

struct word {
	const char *text; /* NULL ends a list */
	int value;
};

struct kind {
	enum shape shape;
	const char *name; /* with its article: "a duration" */
	const char *form; /* what a user may write; NULL: the words of the option */
	/* Numbers: text to value, kept in `width` bytes; false when it is none.  NULL: not a number. */
	bool (*number)(const char *text, uint64_t *value);
	size_t width;
	/* Others: NULL when done, else what is wrong ("is not ..."). */
	const char *(*parse)(struct arena *arena, const struct option *option, const char *text, void *at);
	void (*print)(FILE *out, const struct option *option, const void *at);
	const char *const *(*names)(void); /* where the words are a list of another module; ends with NULL */
	const char *schema;      /* members of its JSON Schema; NULL: made from words or bounds */
	const struct kind *item; /* lists */
	size_t item_size;
};

struct option {
	const char *name;        /* key in the YAML mapping */
	const struct kind *kind;
	size_t offset;           /* where the value lands in the block's structure */
	const char *preset;      /* as a user would write it; NULL: must be given; "": none, the field stays zero */
	const char *min, *max;   /* likewise; NULL: no bound.  Lists: number of items */
	const char *doc;         /* sentences; become the reference manual */
	const struct word *words;
	const struct block *block;
	size_t count_offset;     /* lists: number of items; addresses that may be "off": the bool */
	size_t where_offset;     /* the place is kept there too (lists: array of places); 0: not kept */
	bool (*applies)(const void *structure); /* NULL: always; else the key is an error when it returns false */
	const char *scope;       /* says in words when it applies: "with type http" */
};

struct load;

struct block {
	const char *name;  /* "listener" */
	const char *doc;
	const struct option *options;
	size_t option_count;
	size_t size;         /* of the structure; blocks in lists only */
	size_t where_offset; /* struct where of the mapping; NOWHERE: not kept */
	size_t key_offset;   /* SHAPE_NAMED: const char * that gets the key */
	bool one_line;       /* printed as {a: b, c: d} */
	bool (*is_on)(const void *structure); /* NULL: always; else the block is printed when it returns true */
	/* After all options of a mapping that is there. */
	void (*finish)(struct load *load, const struct yaml_node *map, void *structure);
};

/* Words that the design names and this version does not serve. */
struct unserved {
	const char *block, *key;
	const char *value; /* NULL: the key as such (with "off" it is harmless) */
};

/* One address that something will listen on. */
struct bound {
	struct addr addr;
	struct where where;
	bool is_star; /* written as "*": IPv4 and IPv6 */
	bool is_udp;  /* its ports are others than those of TCP */
	const char *owner;
};

struct load {
	struct arena *arena;
	struct diag *diag;
	struct config *config;
	struct bound *bounds; /* owned */
	size_t bound_count, bound_size;
	const void **broken; /* owned; fields whose value was wrong: what depends on them is not worth a second error */
	size_t broken_count;
};

/* Rows of the tables. */
/* clang-format off */
#define OPTION(key, structure, field, of_kind, ...) \
	{ .name = (key), .kind = &(of_kind), .offset = offsetof(struct structure, field), __VA_ARGS__ }
#define LIST(key, structure, field, count_field, of_kind, ...) \
	OPTION(key, structure, field, of_kind, .count_offset = offsetof(struct structure, count_field), __VA_ARGS__)
/* A mapping whose options lie in the same structure as those around it. */
#define INLINE_BLOCK(key, of_block, ...) { .name = (key), .kind = &kind_block, .block = &(of_block), __VA_ARGS__ }
#define TABLE(table) .options = (table), .option_count = COUNT(table)
#define WORDS(...) .words = (const struct word[]){ __VA_ARGS__, { NULL, 0 } }
/* clang-format on */

extern const struct block conf_root, conf_listener, conf_server;
/* options_route.c */
extern const struct block conf_route, conf_redirect, conf_request_headers, conf_response_headers;
/* options_balance.c */
extern const struct block conf_eject, conf_retry, conf_queue;
/* options_log.c */
extern const struct block conf_global_log, conf_listener_log, conf_trace;
extern const struct unserved conf_unserved[]; /* ends with .block NULL */

/* kinds.c, kinds_net.c */
extern const struct kind kind_duration, kind_size, kind_bits, kind_rate, kind_count, kind_auto_count, kind_port, kind_bool;
extern const struct kind kind_enum, kind_flag, kind_word, kind_version;
extern const struct kind kind_name, kind_text, kind_path, kind_path_or_word, kind_url_path, kind_cookie_name;
extern const struct kind kind_bytes, kind_address, kind_address_or_off, kind_listen, kind_networks, kind_status, kind_alpn;
extern const struct kind kind_host_name, kind_host_field, kind_certificate, kind_certificate_or_path, kind_policy;
/* kinds_http.c */
extern const struct kind kind_regex, kind_field_name, kind_field_names, kind_media_type, kind_media_types, kind_body;
extern const struct kind kind_rewrite, kind_url, kind_methods, kind_patterns;
extern const struct kind kind_block, kind_blocks, kind_named, kind_texts;

/* What a value of `option` may be, as a phrase: "off, or an address with its port". */
void option_print_allowed(const struct option *option, FILE *out);

/* How many edits away a known name may be to be proposed for an unknown one: few for short ones. */
unsigned conf_near(const char *name);

/* schema.c: fill `structure`, which `block` describes, from the root mapping.  load->config names the file. */
void schema_load(struct load *load, const struct block *block, const struct yaml_node *root, void *structure);
/* Was the value for the field at `at` wrong? */
bool load_is_broken(const struct load *load, const void *at);
/* Keep an address for check_config(). */
void load_add_bound(struct load *load, struct bound bound);

/* kinds_http.c: may it be the name of a field (RFC 9110 section 5.6.2)? */
bool is_token(const char *text);

/*
 * text.c: take a text with variables apart.
 * groups  $1 to $9 stand for groups.
 * Returns NULL when done, else what is wrong.
 */
enum text_use { TEXT_USE_HEADER = 0, TEXT_USE_REWRITE, TEXT_USE_URL };
const char *text_compile(struct arena *arena, const char *text, enum text_use use, struct text_config *out);

/* headers.c: the rules of a listener and its routes. */
void check_headers(struct load *load, struct listener_config *listener);
/* Tells what is wrong with the names and values of a block of rules; its `finish`. */
void headers_finish_request(struct load *load, const struct yaml_node *map, void *structure);
void headers_finish_response(struct load *load, const struct yaml_node *map, void *structure);

/* log_template.c: make parts of the template; what is wrong with it goes to load->diag. */
void log_template_compile(struct load *load, struct where where, struct access_log_config *log);

/* options_log.c: where lines go, and what is in force for each listener. */
void check_logs(struct load *load);

/* series.c: what is counted as one route, and which certificates are shown.  After all names and pools are checked. */
void check_series(struct load *load);

/* check.c: what needs more than one value to be seen; sets the pointers between objects. */
void check_config(struct load *load);
/* Two servers of one name are an error. */
void check_servers(struct load *load, struct server_config *servers, size_t count);

#endif
