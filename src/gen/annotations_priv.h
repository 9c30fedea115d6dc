/*
 * annotations: what each annotation may say, read and checked for one object.
 *
 * One row per annotation (ack_table.c, cce_table.c) drives recognition, checks, warnings, --explain,
 * --list-annotations and weir-annotations(7).  The engine (annotations.c, values.c) knows rows, not what they
 * mean; ack.c and cce.c turn the values into listeners and pools.
 */
#ifndef GEN_ANNOTATIONS_PRIV_H
#define GEN_ANNOTATIONS_PRIV_H

#include <stdbool.h>
#include <stdio.h>

#include "weir/diag.h"
#include "weir/yaml.h"

#include "collect_priv.h"

struct arena;
struct object; /* manifest_priv.h */

enum provider { PROVIDER_NONE = 0, PROVIDER_ACK, PROVIDER_CCE };

enum prefix {
	PREFIX_ACK = 0, /* service.beta.kubernetes.io/alibaba-cloud-loadbalancer-, and the legacy one */
	PREFIX_BETA,    /* service.beta.kubernetes.io/ */
	PREFIX_ELB,     /* kubernetes.io/elb. */
	PREFIX_PLAIN,   /* kubernetes.io/ */
	PREFIX_PATH,    /* ingress.beta.kubernetes.io/: no annotation, but a property of a path */
};

enum kind_of_value {
	KIND_TEXT = 0, /* min to max characters (max 0: any), then check() */
	KIND_CHOICE,   /* one of `choices` */
	KIND_NUMBER,   /* decimal digits, min to max */
	KIND_LIST,     /* comma-separated; the items are checked where they are used */
	KIND_JSON,     /* an object with `fields`, or a list of such */
};

enum outcome { OUTCOME_ENFORCE = 0, OUTCOME_META, OUTCOME_NONE /* n/a outside the cloud */ };

/* Listener protocols that an annotation applies to; 0: the Service as a whole. */
enum { ON_TCP = 1, ON_UDP = 2, ON_HTTP = 4, ON_HTTPS = 8, ON_TLS = 16 };
enum { ON_L4 = ON_TCP | ON_UDP | ON_TLS, ON_L7 = ON_HTTP | ON_HTTPS, ON_ALL = ON_L4 | ON_L7 };

enum field_type { FIELD_TEXT = 0, FIELD_NUMBER, FIELD_TEXTS /* list of texts */ };

/* One member of a JSON value. */
struct json_field {
	const char *name; /* NULL ends the list */
	enum field_type type;
	unsigned min, max; /* number: range; text: characters, max 0: any */
	const char *unit;
	const char *choices;   /* text: the only values; NULL: any */
	bool only_number;      /* a number in quotes is taken with a warning */
	bool in_meta;
	bool (*check)(const char *text);
	const char *allowed;   /* what check() accepts */
};

struct annotation {
	const char *name; /* after the prefix; a name that ends in '.' stands for all that begin with it */
	enum prefix prefix;
	enum kind_of_value kind;
	bool on_ingress_only, on_service_only;
	const char *choices;       /* "on, off" */
	const char *quiet_choices; /* accepted too, but not advertised */
	bool ignore_case;
	unsigned min, max;
	const char *unit; /* "seconds" */
	bool (*check)(const char *text);
	const char *what;    /* "a cookie name": said when check() fails */
	const char *allowed; /* likewise, and for lists in the manual */
	const struct json_field *fields;
	bool is_json_list;
	const char *preset;  /* what the cloud applies when it is absent; NULL: nothing */
	unsigned protocols;  /* ON_... */
	enum outcome outcome;
	const char *meta_key; /* in the pool's meta block; NULL: the name; "": not there */
	bool in_meta;         /* in the meta block although it is enforced */
	const char *doc;      /* one sentence: what it does */
	const char *source;   /* the document it comes from */
};

enum annotation_id {
	ACK_ID = 0, ACK_FORCE_OVERRIDE, ACK_ADDRESS_TYPE, ACK_VSWITCH_ID, ACK_IP, ACK_IP_VERSION,
	ACK_INSTANCE_CHARGE_TYPE, ACK_SPEC, ACK_CHARGE_TYPE, ACK_BANDWIDTH, ACK_MASTER_ZONEID,
	ACK_SLAVE_ZONEID, ACK_TAGS, ACK_NAME, ACK_RESOURCE_GROUP_ID, ACK_DELETE_PROTECTION,
	ACK_MODIFICATION_PROTECTION, ACK_PRESERVE, ACK_HOSTNAME, ACK_PROTOCOL_PORT, ACK_CERT_ID,
	ACK_DOMAIN_EXTENSIONS, ACK_TLS_CIPHER_POLICY, ACK_HTTP2_ENABLED, ACK_FORWARD_PORT,
	ACK_SCHEDULER, ACK_ACL_STATUS, ACK_ACL_ID, ACK_ACL_TYPE, ACK_PERSISTENCE_TIMEOUT,
	ACK_STICKY_SESSION, ACK_STICKY_SESSION_TYPE, ACK_COOKIE_TIMEOUT, ACK_COOKIE,
	ACK_XFF_PROTO, ACK_XFF_SLBPORT, ACK_XFF_CLIENTSRCPORT, ACK_IDLE_TIMEOUT, ACK_REQUEST_TIMEOUT,
	ACK_ESTABLISHED_TIMEOUT, ACK_PROXY_PROTOCOL, ACK_CONNECTION_DRAIN,
	ACK_CONNECTION_DRAIN_TIMEOUT, ACK_HEALTH_SWITCH, ACK_HEALTH_FLAG, ACK_HEALTH_TYPE,
	ACK_HEALTH_CONNECT_TIMEOUT, ACK_HEALTH_TIMEOUT, ACK_HEALTH_INTERVAL, ACK_HEALTHY_THRESHOLD,
	ACK_UNHEALTHY_THRESHOLD, ACK_HEALTH_URI, ACK_HEALTH_HTTPCODE, ACK_HEALTH_DOMAIN,
	ACK_HEALTH_METHOD, ACK_BACKEND_LABEL, ACK_REMOVE_UNSCHEDULED, ACK_BACKEND_TYPE,
	ACK_VGROUP_PORT, ACK_WEIGHT, ACK_IGNORE_WEIGHT_UPDATE, ACK_NETWORK_TYPE,
	ACK_EXTERNAL_IP_TYPE, ACK_HEALTH_CONNECT_PORT, ACK_BACKEND_IP_VERSION, ACK_DEFAULT_WEIGHT,
	ACK_NLB_FIRST,
	ACK_END = ACK_NLB_FIRST + 17,

	CCE_CLASS = ACK_END, CCE_ID, CCE_SUBNET_ID, CCE_ENTERPRISE_ID, CCE_AUTOCREATE,
	CCE_LB_ALGORITHM, CCE_AFFINITY_MODE, CCE_AFFINITY_OPTION, CCE_HEALTH_FLAG, CCE_HEALTH_OPTION,
	CCE_PROTOCOL_PORT, CCE_CERT_ID, CCE_PASS_THROUGH, CCE_HOST_NETWORK, CCE_PORT,
	CCE_POOL_PROTOCOL, CCE_TLS_POLICY, CCE_HEALTH_OPTIONS, CCE_ADAPTIVE_WEIGHT, CCE_ACL_ID,
	CCE_ACL_STATUS, CCE_ACL_TYPE, CCE_KEEPALIVE_TIMEOUT, CCE_CLIENT_TIMEOUT, CCE_MEMBER_TIMEOUT,
	CCE_L4_KEEPALIVE_TIMEOUT, CCE_L7_KEEPALIVE_TIMEOUT, CCE_HTTP2_ENABLE,
	CCE_TLS_CERTIFICATE_IDS, CCE_SECURITY_POLICY_ID, CCE_CLIENT_CA_CERT_ID,
	CCE_SECURITY_POOL_PROTOCOL, CCE_X_FORWARDED_PORT, CCE_X_FORWARDED_FOR_PORT,
	CCE_X_FORWARDED_HOST, CCE_X_REAL_IP, CCE_GZIP_ENABLED, CCE_PORT_RANGES,
	CCE_TRANSPARENT_CLIENT_IP, CCE_TAGS, CCE_CUSTOM_EIP_ID, CCE_EIP_ID, CCE_CUSTOM_EIP_STATUS,
	CCE_MULTICLUSTER, CCE_IP, CCE_INGRESS_CLASS, CCE_LISTEN_PORTS, CCE_SSL_REDIRECT,
	CCE_REDIRECT_URL, CCE_REDIRECT_URL_CODE, CCE_REWRITE_TARGET, CCE_CORS_ALLOW_ORIGIN,
	CCE_CORS_ALLOW_HEADERS, CCE_CORS_EXPOSE_HEADERS, CCE_CORS_ALLOW_METHODS,
	CCE_CORS_ALLOW_CREDENTIALS, CCE_CORS_MAX_AGE, CCE_SLOWSTART, CCE_SLOW_START,
	CCE_INGRESS_ORDER, CCE_RULE_PRIORITY_ENABLED, CCE_HEADERS, CCE_CONDITIONS, CCE_ACTIONS,
	CCE_CANARY, CCE_CANARY_WEIGHT, CCE_CANARY_BY_HEADER, CCE_CANARY_BY_HEADER_VALUE,
	CCE_CANARY_BY_COOKIE, CCE_CANARY_BY_COOKIE_VALUE, CCE_LISTENER_MASTER_INGRESS,
	CCE_URL_MATCH_MODE,
	CCE_END,

	ANNOTATION_COUNT = CCE_END
};

extern const struct annotation ack_annotations[ACK_END];
extern const struct annotation cce_annotations[CCE_END - ACK_END]; /* the first is CCE_CLASS */

const struct annotation *annotation_row(enum annotation_id id);
enum provider annotation_provider(const struct annotation *row);
/* The full key, with the new prefix. */
const char *annotation_key(enum annotation_id id);
const char *provider_name(enum provider provider);

/* What one object says for one row. */
struct value {
	const struct annotation *row;
	const char *key;              /* as written, borrowed from the manifest */
	const struct yaml_node *node; /* as written */
	struct where where;           /* of the value */
	const char *text;             /* without spaces around it; NULL: the row does not count as set */
	bool is_valid;                /* passed the checks of its row */
	bool no_effect;               /* for --explain: it was read, but nothing follows from it here */
	unsigned number;              /* KIND_NUMBER */
	struct yaml_node *json;       /* KIND_JSON */
	const char *note;             /* for --explain: what it did; NULL: row->doc says it */
};

struct annotation_set {
	struct arena *arena; /* borrowed, as all here */
	struct diag *diag;
	const struct object *object;
	const char *what; /* "Service default/nginx" */
	enum provider provider;
	struct value values[ANNOTATION_COUNT];
	struct list written; /* struct value in the order of the file */
	struct list ignored; /* struct yaml_pair of the other provider */
	struct list foreign; /* struct yaml_pair of other products of this provider: kept in the meta block */
};

/*
 * Which providers have keys on `object`?  Sets *ack and *cce to the first key of each, or NULL.
 */
void annotations_providers(const struct object *object, const struct yaml_pair **ack,
    const struct yaml_pair **cce);
/* What stands behind the prefix of a key that has a known one. */
const char *annotation_name(const char *key);
/* Does any known prefix stand on `object`? */
const struct yaml_pair *annotations_any(const struct object *object);
/* Before the first annotations_read(); annotations_stop() after the last. */
void annotations_start(void);
void annotations_stop(void);
/*
 * Read and check all annotations of `object` against the rows of `provider`.
 * Pair     annotation_set_fini(); the set may be used again for the next object.
 */
void annotations_read(struct annotation_set *set, struct arena *arena, struct diag *diag,
    const struct object *object, const char *what, enum provider provider, bool is_ingress);
void annotation_set_fini(struct annotation_set *set);
/* Warn about annotations that apply to none of `protocols` (ON_...), the listeners of the object. */
void annotations_check_protocols(struct annotation_set *set, unsigned protocols);

/* NULL when absent or not valid. */
struct value *value_get(struct annotation_set *set, enum annotation_id id);
const char *value_text(struct annotation_set *set, enum annotation_id id);
bool value_is(struct annotation_set *set, enum annotation_id id, const char *text);
unsigned value_number(struct annotation_set *set, enum annotation_id id, unsigned preset);
/* Written at all, valid or not? */
bool value_is_written(const struct annotation_set *set, enum annotation_id id);

/* Findings at the value's place, "KEY: " in front. */
void value_error(struct annotation_set *set, const struct value *value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void value_warning(struct annotation_set *set, const struct value *value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What --explain says about it. */
void value_note(struct annotation_set *set, struct value *value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Like value_note(), and the value has no effect on this object. */
void value_idle(struct annotation_set *set, struct value *value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Items of a KIND_LIST value, without spaces (each with a warning); `count` may be 0. */
const char **value_items(struct annotation_set *set, const struct value *value, size_t *count);

/* A value for a message: in quotes, cut to 64 bytes. */
const char *quote_value(struct arena *arena, const char *text);
/* Is `text` one of the comma-separated `choices`? */
bool choice_has(const char *choices, const char *text, bool ignore_case);
/* Decimal digits only, fits 32 bits; false: not so. */
bool number_parse(const char *text, unsigned *number);
/* Would a YAML 1.1 reader take this plain text for a number, boolean or null? */
bool text_looks_typed(const char *text);

/* The checks of the tables (checks.c): does `text` have the form? */
bool check_not_blank(const char *text);
bool check_instance_id(const char *text);
bool check_certificate_id(const char *text);
bool check_ipv4(const char *text);
bool check_ip(const char *text);
bool check_spec(const char *text);
bool check_instance_name(const char *text);
bool check_resource_name(const char *text);
bool check_dns_name(const char *text);
bool check_server_name(const char *text);
bool check_host_name(const char *text);
bool check_cookie_name(const char *text);
bool check_app_cookie_name(const char *text);
bool check_path(const char *text);
bool check_health_uri(const char *text);
bool check_health_domain(const char *text);
bool check_url(const char *text);
bool check_header_name(const char *text);
bool check_field_value(const char *text);
bool check_rewrite(const char *text);
bool check_probe_port(const char *text);

/* --list-annotations: as text (tabs between columns), or as mdoc for weir-annotations(7). */
void annotations_list(FILE *out, bool as_mdoc);

#endif
